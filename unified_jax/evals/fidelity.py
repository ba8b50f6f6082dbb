"""How near one picture is to another: PSNR, SSIM and distances of networks; pictures are uint8 [H W 3].

    PSNR   10 log10(255^2 / mean (x - y)^2), in dB
    SSIM   (2 m_x m_y + c1) (2 s_xy + c2) / ((m_x^2 + m_y^2 + c1) (s_x^2 + s_y^2 + c2))

(Wang et al., IEEE Transactions on Image Processing 13, 2004, eq. 13; window and constants of section III.B:
Gaussian of 11 x 11, deviation 1.5, c1 = (0.01 * 255)^2, c2 = (0.03 * 255)^2). Each colour channel has its own means
and variances; the figure is the mean over channels and over the windows that lie within the picture.
"""

from collections.abc import Callable

import jax
import numpy as np

from unified_jax.codecs.base import to_float
from unified_jax.core.types import Float, Shaped
from unified_jax.models.perceptual.packaged import packaged, weights

ROUNDING = 1 / 12  # mean squared error of rounding to whole levels; equal pictures are taken to be so far apart
WINDOW, DEVIATION = 11, 1.5
C1, C2 = (0.01 * 255) ** 2, (0.03 * 255) ** 2


def psnr(x: Shaped[np.ndarray, "H W 3"], y: Shaped[np.ndarray, "H W 3"]) -> float:
    """dB, at most 58.9."""
    error = np.square(x.astype(np.float64) - y).mean()
    return float(10 * np.log10(255**2 / max(error, ROUNDING)))


def ssim(x: Shaped[np.ndarray, "H W 3"], y: Shaped[np.ndarray, "H W 3"]) -> float:
    """-1 to 1. Raises ValueError for pictures that are smaller than the window."""
    if min(x.shape[:2]) < WINDOW:
        raise ValueError(f"SSIM is of windows of {WINDOW}x{WINDOW} pixels, found {x.shape[1]}x{x.shape[0]}")
    x, y = x.astype(np.float64), y.astype(np.float64)
    mean_x, mean_y = _blurred(x), _blurred(y)
    var_x, var_y = _blurred(x * x) - mean_x**2, _blurred(y * y) - mean_y**2
    both = _blurred(x * y) - mean_x * mean_y
    alike = (2 * mean_x * mean_y + C1) * (2 * both + C2)
    return float((alike / ((mean_x**2 + mean_y**2 + C1) * (var_x + var_y + C2))).mean())


def distance(name: str) -> Callable[[np.ndarray, np.ndarray], float]:
    """The distance of a packaged network ("st-lpips-alex"), whose name says which figure it is.

    Raises as ``models.perceptual.packaged.weights``.
    """
    component, params = packaged(name), weights(name)
    run = jax.jit(lambda x, y: component.apply(params, x, y)[0])
    return lambda x, y: float(run(to_float(x)[None], to_float(y)[None]))


def _blurred(x: Float[np.ndarray, "H W 3"]) -> Float[np.ndarray, "h w 3"]:
    """Means weighed by the window, where it lies within the picture."""
    offsets = np.arange(WINDOW) - WINDOW // 2
    kernel = np.exp(-(offsets**2) / (2 * DEVIATION**2))
    kernel /= kernel.sum()
    along = lambda x, axis: np.lib.stride_tricks.sliding_window_view(x, WINDOW, axis) @ kernel
    return along(along(x, 0), 1)
