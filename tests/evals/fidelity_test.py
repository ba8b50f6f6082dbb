"""PSNR and SSIM against the papers' formulas written out slowly."""

import math

import numpy as np
import pytest

from unified_jax.evals.fidelity import psnr, ssim


def pictures(height: int, width: int, noise: float, seed: int = 0) -> tuple[np.ndarray, np.ndarray]:
    rng = np.random.default_rng(seed)
    x = rng.integers(0, 256, (height, width, 3))
    y = np.clip(0.8 * x + 20 + noise * rng.normal(size=x.shape), 0, 255)
    return x.astype(np.uint8), y.astype(np.uint8)


def slow_ssim(x: np.ndarray, y: np.ndarray) -> float:
    """Window by window, weight by weight, of one channel after another."""
    weights = [[math.exp(-(i * i + j * j) / (2 * 1.5**2)) for j in range(-5, 6)] for i in range(-5, 6)]
    weights = np.array(weights) / np.sum(weights)
    found = []
    for channel in range(3):
        for row in range(x.shape[0] - 10):
            for column in range(x.shape[1] - 10):
                a = x[row : row + 11, column : column + 11, channel].astype(float)
                b = y[row : row + 11, column : column + 11, channel].astype(float)
                mean_a, mean_b = (weights * a).sum(), (weights * b).sum()
                var_a, var_b = (weights * (a - mean_a) ** 2).sum(), (weights * (b - mean_b) ** 2).sum()
                both = (weights * (a - mean_a) * (b - mean_b)).sum()
                c1, c2 = 6.5025, 58.5225
                light = (2 * mean_a * mean_b + c1) / (mean_a**2 + mean_b**2 + c1)
                found.append(light * (2 * both + c2) / (var_a + var_b + c2))
    return sum(found) / len(found)


@pytest.mark.parametrize("height, width, noise", [(16, 13, 0.0), (12, 17, 40.0), (11, 11, 90.0)])
def test_ssim_is_the_papers_formula(height, width, noise):
    x, y = pictures(height, width, noise)
    assert ssim(x, y) == pytest.approx(slow_ssim(x, y), rel=1e-9)
    assert ssim(x, x) == 1.0 and ssim(x, y) == pytest.approx(ssim(y, x))


def test_ssim_needs_a_whole_window():
    with pytest.raises(ValueError, match="windows of 11x11 pixels, found 12x10"):
        ssim(*pictures(10, 12, 1.0))


def test_psnr_by_hand():
    x = np.full((4, 4, 3), 100, np.uint8)
    assert psnr(x, x + np.uint8(5)) == pytest.approx(20 * math.log10(255 / 5))
    assert psnr(x, x) == pytest.approx(10 * math.log10(255**2 * 12))  # not infinite: levels are rounded
    assert psnr(np.zeros_like(x), np.full_like(x, 255)) == 0.0
