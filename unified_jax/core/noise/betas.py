"""Tables of betas, the variance that every level of a diffusion adds; least noise first, as hashable tuples."""

import numpy as np


def linear(levels: int = 1000, *, first: float = 1e-4, last: float = 0.02) -> tuple[float, ...]:
    """Linear from ``first`` to ``last`` (DDPM, arXiv:2006.11239, section 4)."""
    return tuple(np.linspace(first, last, levels).tolist())


def scaled_linear(levels: int = 1000, *, first: float = 0.00085, last: float = 0.012) -> tuple[float, ...]:
    """Squares of what is linear in between (github.com/CompVis/latent-diffusion, arXiv:2112.10752)."""
    return tuple((np.linspace(first**0.5, last**0.5, levels) ** 2).tolist())


def squared_cosine(levels: int = 1000, *, offset: float = 0.008, most: float = 0.999) -> tuple[float, ...]:
    """alpha^2 = cos^2(pi/2 (u + offset) / (1 + offset)) at u = i / levels (arXiv:2102.09672, eq. 17)."""
    signal = np.cos((np.arange(levels + 1) / levels + offset) / (1 + offset) * np.pi / 2) ** 2
    return tuple(np.minimum(1 - signal[1:] / signal[:-1], most).tolist())


def zero_terminal(betas: tuple[float, ...]) -> tuple[float, ...]:
    """The table moved and stretched in alpha so that the last level is pure noise (arXiv:2305.08891, algorithm 1)."""
    alpha = np.sqrt(np.cumprod(1 - np.array(betas)))
    alpha = (alpha - alpha[-1]) * alpha[0] / (alpha[0] - alpha[-1])
    return tuple((1 - alpha**2 / np.concatenate([[1.0], alpha[:-1] ** 2])).tolist())
