"""Attention without a mask: in tiles as written out, and without an array of all pairs of places where it is large."""

from functools import partial

import jax
import jax.numpy as jnp
import numpy as np

from unified_jax.nn.conv import Attention
from unified_jax.nn.full_attention import MOST_SCORES, attend_all


def test_tiles_give_what_written_out_scores_give(getkey):
    q, k, v = (jax.random.normal(getkey(), (2, length, 2, 8)) for length in (300, 290, 290))
    weights = jax.nn.softmax(jnp.einsum("bthc,bshc->bhts", q, k) / 8**0.5)
    want = jnp.einsum("bhts,bshc->bthc", weights, v)
    for most in (0, MOST_SCORES):
        np.testing.assert_allclose(attend_all(q, k, v, most=most), want, atol=1e-5)


def test_a_layer_on_a_large_picture_does_not_hold_its_scores():
    layer, side = Attention(), 96  # 85 million scores
    x = jax.ShapeDtypeStruct((1, side, side, 32), jnp.float32)
    params = jax.eval_shape(layer.init, jax.random.key(0), x)
    pairs = f"{side**2},{side**2}]"  # the end of the shape of scores, and of a mask
    assert pairs not in str(jax.make_jaxpr(layer.apply)(params, x))
    q = jax.ShapeDtypeStruct((1, side**2, 1, 32), jnp.float32)
    assert pairs in str(jax.make_jaxpr(partial(attend_all, most=side**4))(q, q, q))
