"""Pieces on pictures against torch's."""

import jax
import numpy as np
import pytest
import torch

from unified_jax.nn.conv import DepthwiseConv


@pytest.mark.parametrize("size", [3, 5])
def test_a_depthwise_convolution_is_torchs_grouped_one(size, getkey):
    x, piece = jax.random.normal(getkey(), (2, 4, 7, 6)), DepthwiseConv(size)
    params = jax.tree.map(lambda p: jax.random.normal(getkey(), p.shape), piece.init(getkey(), x))
    kernel, bias = (torch.tensor(np.asarray(params["params"][name])) for name in ("kernel", "bias"))
    first = torch.tensor(np.asarray(x)).movedim(-1, 1)
    want = torch.nn.functional.conv2d(first, kernel.permute(3, 2, 0, 1), bias, padding="same", groups=6).movedim(1, -1)
    np.testing.assert_allclose(piece.apply(params, x), want, atol=1e-4)
