"""Every implementation against attention written out over [T, S]: values, log-sum-exp, and all gradients of both."""

from functools import partial

import dense
import jax
import jax.numpy as jnp
import numpy as np
import pytest
from packed_rows import random_rows

from unified_jax.core.sequence import Slots
from unified_jax.nn.kernels import chunked, flash_gpu, flash_tpu
from unified_jax.nn.kernels.partial import Partial, merge

TOLERANCE = 1e-5
LENGTH, CACHED, SCALE = 75, 41, 0.3  # no multiple of any tile

IMPLEMENTATIONS = {
    "chunked": partial(chunked.attend, q_tile=32, k_tile=16),
    "flash_tpu": partial(flash_tpu.attend, q_tile=16, k_tile=32, interpret=True),
    "flash_gpu": partial(flash_gpu.attend, q_tile=32, k_tile=16, interpret=True),
}


def loss(attend, arrays, weights, slots, window):
    """Reads every entry of out, and lse wherever something is visible, with a weight of its own."""
    result = attend(*arrays, slots, window)
    lse = jnp.where(result.lse > -1e20, result.lse, 0.0)
    return jnp.sum(result.out * weights[0]) + jnp.sum(lse * weights[1]), result


def compiled(attend):
    return jax.jit(jax.value_and_grad(partial(loss, attend), has_aux=True))


def capped_in_a_window(attend, q, k, v, slots, window):
    return attend(q, k, v, query=slots, key=slots, scale=SCALE, softcap=1.5, window=window)


def cached_and_own(attend, q, k, v, slots, window):
    """The queries are the slots after the cached ones, and see these through a call of their own."""
    cached, own = jax.tree.map(lambda x: x[:, :CACHED], slots), jax.tree.map(lambda x: x[:, CACHED:], slots)
    call = partial(attend, q[:, CACHED:], query=own, scale=SCALE)
    return merge(call(k[:, :CACHED], v[:, :CACHED], key=cached), call(k[:, CACHED:], v[:, CACHED:], key=own))


def cached_and_own_at_once(q, k, v, slots, window):
    own = jax.tree.map(lambda x: x[:, CACHED:], slots)
    return dense.attend(q[:, CACHED:], k, v, query=own, key=slots, scale=SCALE)


REFERENCE = {
    capped_in_a_window: compiled(partial(capped_in_a_window, dense.attend)),
    cached_and_own: compiled(cached_and_own_at_once),
}


def inputs(seed: int, length: int) -> tuple:
    """Two rows, the second with a long empty tail; the window is an array, as inside a scan over layers."""
    rng = np.random.default_rng(seed)
    slots = random_rows(rng, batch=2, length=LENGTH, text=9, image=12)
    slots.doc[1, LENGTH - 20 :] = 0
    normal = lambda *shape: jnp.asarray(rng.normal(size=shape), jnp.float32)
    arrays = tuple(normal(2, LENGTH, heads, 8) for heads in (4, 2, 2))
    weights = normal(2, length, 4, 8), normal(2, length, 4)
    return arrays, weights, jax.tree.map(jnp.asarray, slots), jnp.int32(rng.integers(3, 12))


def worst_relative(found, expected) -> float:
    """Over all arrays, the largest difference by the largest entry."""
    pairs = zip(jax.tree.leaves(found), jax.tree.leaves(expected), strict=True)
    return max(float(jnp.abs(a - b).max() / jnp.abs(b).max()) for a, b in pairs)


@pytest.mark.parametrize("situation", REFERENCE, ids=lambda function: function.__name__)
@pytest.mark.parametrize("name", IMPLEMENTATIONS)
def test_values_and_gradients_agree_with_dense_attention(name, situation, record_parity):
    found = compiled(partial(situation, IMPLEMENTATIONS[name]))
    worst = 0.0
    for seed in range(4):
        data = inputs(seed, LENGTH - CACHED * (situation is cached_and_own))
        (_, ours), our_gradients = found(*data)
        (_, theirs), their_gradients = REFERENCE[situation](*data)
        nothing = theirs.lse < -1e20
        assert bool(nothing.any()) and bool((ours.lse[nothing] < -1e29).all()) and not bool(ours.out[nothing].any())
        ours, theirs = (p.replace(lse=jnp.where(nothing, 0.0, p.lse)) for p in (ours, theirs))
        worst = max(worst, worst_relative((ours, our_gradients), (theirs, their_gradients)))
    record_parity(
        f"attention:{name}-{situation.__name__.replace('_', '-')}",
        reference="attention written out over [T, S], in tests/nn/kernels/dense.py",
        what="values, log-sum-exp and gradients of q, k and v, random packed rows",
        worst_relative=worst,
        tolerance=TOLERANCE,
    )
    assert worst <= TOLERANCE


@pytest.mark.parametrize("name", IMPLEMENTATIONS)
def test_bfloat16_keeps_its_type_and_its_sums_in_float32(name):
    (q, k, v), _, slots, _ = inputs(0, LENGTH)
    arrays = tuple(x.astype(jnp.bfloat16) for x in (q, k, v))
    low = jax.jit(partial(IMPLEMENTATIONS[name], query=slots, key=slots, scale=SCALE))(*arrays)
    exact = dense.attend(*(x.astype(jnp.float32) for x in arrays), query=slots, key=slots, scale=SCALE)
    assert low.out.dtype == jnp.bfloat16 and low.lse.dtype == jnp.float32
    assert worst_relative(low.lse, exact.lse) < 1e-6 and worst_relative(low.out.astype(jnp.float32), exact.out) < 0.01


def test_heads_that_do_not_divide_are_refused():
    (q, k, v), _, slots, _ = inputs(0, LENGTH)
    with pytest.raises(ValueError, match="4 query heads must be a multiple of 3 key/value heads"):
        chunked.attend(q, k[:, :, [0, 0, 1]], v[:, :, [0, 0, 1]], query=slots, key=slots, scale=1.0)


def test_lists_that_do_not_fit_in_scalar_memory_are_refused():
    array = lambda dtype, *shape: jax.ShapeDtypeStruct((64, 32768, *shape), dtype)
    q, ids = array(jnp.bfloat16, 1, 128), array(jnp.int32)
    slots = Slots(ids, ids, array(jnp.bool_), array(jnp.int32, 3))
    call = lambda q, slots: flash_tpu.attend(q, q, q, query=slots, key=slots, scale=1.0)
    with pytest.raises(ValueError, match="64 rows x 4096 tiles .* larger tiles, or fewer rows"):
        jax.eval_shape(call, q, slots)


def test_merging_with_nothing_changes_nothing():
    rng = np.random.default_rng(0)
    some = Partial(
        jnp.asarray(rng.normal(size=(1, 3, 2, 4)), jnp.float32), jnp.asarray(rng.normal(size=(1, 3, 2)), jnp.float32)
    )
    nothing = Partial(jnp.zeros_like(some.out), jnp.full_like(some.lse, -1e30))
    for merged in (merge(some, nothing), merge(nothing, some)):
        assert worst_relative(merged, some) < 1e-6
    total = lambda merged: merged.out.sum() + merged.lse.sum()
    gradient = jax.jit(jax.grad(lambda a, b: total(merge(a, b)), (0, 1)))(nothing, nothing)
    assert all(bool(jnp.isfinite(x).all()) for x in jax.tree.leaves(gradient))
