"""ConvNeXt blocks against numpy, written from the paper's equations, and what they learn."""

import jax
import jax.numpy as jnp
import numpy as np

from unified_jax.nn.convnext import ConvNext, ResponseNorm
from unified_jax.nn.norm import RMSNorm


def test_response_norm_is_that_of_the_paper(getkey):
    x = np.asarray(jax.random.normal(getkey(), (2, 3, 4, 5)))
    scale, bias = (np.asarray(jax.random.normal(getkey(), (5,))) for _ in range(2))
    got = ResponseNorm().apply({"params": {"scale": scale, "bias": bias}}, jnp.asarray(x))
    for picture, made in zip(x, got):
        norms = np.array([np.linalg.norm(picture[..., c]) for c in range(5)])
        want = picture * (scale * norms / norms.mean() + 1) + bias
        np.testing.assert_allclose(made, want, rtol=1e-5, atol=1e-5)


def test_every_parameter_learns_and_an_empty_picture_is_no_obstacle(getkey):
    """Nothing is undefined where a picture is all zeros, as the room for one that a batch does not have."""
    block = ConvNext(RMSNorm, size=3)
    x = jax.random.normal(getkey(), (2, 4, 4, 6)).at[1].set(0.0)
    condition = jax.random.normal(getkey(), (2, 3))
    params = jax.jit(block.init)(getkey(), x, condition)["params"]
    learn = jax.jit(jax.grad(lambda p: jnp.square(block.apply({"params": p}, x, condition)).sum()))
    drawn = jax.tree.map(lambda p: p + jax.random.normal(getkey(), p.shape), params)
    for start in (params, drawn):
        slopes = learn(start)
        assert all(np.isfinite(slope).all() for slope in jax.tree.leaves(slopes))
    assert all(np.abs(slope).max() > 0 for slope in jax.tree.leaves(slopes))


def test_what_it_is_told_scales_and_shifts_all_of_it(getkey):
    block, x = ConvNext(RMSNorm, size=3), jax.random.normal(getkey(), (1, 4, 4, 6))
    params = block.init(getkey(), x, jnp.ones((1, 2)))["params"]
    plain = block.apply({"params": params}, x, jnp.ones((1, 2)))
    told = {**params["modulation"], "bias": jnp.stack([jnp.full(6, 2.0), jnp.full(6, -1.0)])}
    np.testing.assert_allclose(
        block.apply({"params": {**params, "modulation": told}}, x, jnp.ones((1, 2))),
        3 * plain - 1,
        rtol=1e-5,
        atol=1e-5,
    )
