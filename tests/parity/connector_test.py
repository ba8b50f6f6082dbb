"""Connectors against the reference's classes, or against versions written from the papers, with the same weights."""

from functools import partial

import jax
import jax.numpy as jnp
import numpy as np
import pytest
import torch
from connectors import CASES, IN
from difference import worst_relative
from random_weights import redraw

from unified_jax.interop import convert
from unified_jax.interop.checkpoint import Tensor
from unified_jax.nn.connectors.grid import Connector

TOLERANCE = 1e-4


@pytest.fixture(scope="module", params=CASES, ids=lambda case: case.name)
def case(request):
    return request.param


def weights(reference: torch.nn.Module) -> dict[str, Tensor]:
    redraw(reference, lambda weight: 0.3)
    arrays = {name: x.numpy() for name, x in reference.state_dict().items()}
    return {name: Tensor(x.shape, x.dtype, lambda x=x: x) for name, x in arrays.items()}


def test_outputs_agree_at_two_sizes(case, record_parity):
    assert isinstance(case.ours, Connector)
    reference, worst = case.reference().eval(), 0.0
    tensors = weights(reference)
    for grid in case.grids:
        x = np.random.default_rng(0).normal(size=(2, int(np.prod(grid)), IN)).astype(np.float32)
        shapes = jax.eval_shape(partial(case.ours.init, jax.random.key(0), grid=grid), x)["params"]
        params = convert.load(tensors, shapes, rules=case.rules)
        got = jax.jit(partial(case.ours.apply, grid=grid))({"params": params}, x)
        with torch.no_grad():
            want = reference(torch.tensor(x), grid).numpy()
        assert got.shape == want.shape
        worst = max(worst, worst_relative(got, want))
        assert np.abs(want[0] - want[1]).max() > 0.1 * np.abs(want).max(), "outputs that hardly vary show little"
    record_parity(
        f"connector:{case.name}",
        reference=case.what,
        what=f"states of grids {' and '.join('x'.join(map(str, grid)) for grid in case.grids)}",
        worst_relative=worst,
        tolerance=TOLERANCE,
    )
    assert worst <= TOLERANCE


@pytest.mark.parametrize("name", ["average-pool", "pixel-shuffle-mlp", "token-packer", "c-abstractor"])
def test_a_grid_that_does_not_divide_is_refused(name):
    ours = next(case.ours for case in CASES if case.name == name)
    with pytest.raises(ValueError, match="a grid of 3 x 4 does not divide into blocks of 2 x 2"):
        ours.init(jax.random.key(0), jnp.zeros((1, 12, IN)), grid=(3, 4))


def test_a_grid_of_other_places_is_refused():
    ours = next(case.ours for case in CASES if case.name == "bilinear-pool")
    with pytest.raises(ValueError, match="a grid of 2 x 4 places does not fit 12 states"):
        ours.init(jax.random.key(0), jnp.zeros((1, 12, IN)), grid=(2, 4))
