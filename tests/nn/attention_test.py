"""attend against one softmax after another in numpy."""

import jax
import jax.numpy as jnp
import numpy as np
import pytest

from unified_jax.nn.attention import attend, by_head

B, T, S, C = 2, 5, 7, 8


def naive(q, k, v, mask) -> np.ndarray:
    """For every query and head alone: a weighted mean of the values it may see; heads share keys in groups."""
    q, k, v, mask = (np.asarray(x, np.float64) for x in (q, k, v, mask))
    out = np.zeros(q.shape)
    group = q.shape[2] // k.shape[2]
    for b, t, h in np.ndindex(q.shape[:3]):
        seen = [s for s in range(k.shape[1]) if mask[b, t, s]]
        scores = np.array([q[b, t, h] @ k[b, s, h // group] / np.sqrt(q.shape[-1]) for s in seen])
        weights = np.exp(scores - scores.max())
        out[b, t, h] = sum(w * v[b, s, h // group] for w, s in zip(weights / weights.sum(), seen))
    return out


def inputs(heads: int, kv_heads: int, seed: int = 0):
    rng = np.random.default_rng(seed)
    shapes = (B, T, heads, C), (B, S, kv_heads, C), (B, S, kv_heads, C)
    q, k, v = (jnp.asarray(2 * rng.normal(size=shape), jnp.float32) for shape in shapes)
    mask = rng.random((B, T, S)) < 0.5
    mask[..., 0] |= ~mask.any(-1)  # every query sees something
    return q, k, v, jnp.asarray(mask)


@pytest.mark.parametrize("heads, kv_heads", [(4, 4), (4, 2), (4, 1), (6, 3)])
def test_attention_equals_the_naive_loop(heads, kv_heads):
    q, k, v, mask = inputs(heads, kv_heads)
    np.testing.assert_allclose(attend(q, k, v, mask=mask), naive(q, k, v, mask), atol=1e-5)


@pytest.mark.parametrize("kv_heads", [4, 2])
def test_cached_keys_and_new_ones_equal_all_of_them_at_once(kv_heads):
    q, k, v, mask = inputs(4, kv_heads)
    past = by_head(k[:, :4]), by_head(v[:, :4])
    found = attend(q, k[:, 4:], v[:, 4:], mask=mask, past=past)
    np.testing.assert_allclose(found, attend(q, k, v, mask=mask), atol=1e-6)
    np.testing.assert_allclose(found, naive(q, k, v, mask), atol=1e-5)


def test_rows_that_see_nothing_are_finite_and_so_are_their_gradients():
    q, k, v, mask = inputs(4, 2)
    mask = mask.at[0, 1].set(False)
    out, grads = jax.value_and_grad(lambda *x: attend(*x, mask=mask).sum(), (0, 1, 2))(q, k, v)
    assert jnp.isfinite(out) and all(jnp.isfinite(x).all() for x in grads)


def test_rows_that_see_nothing_do_not_disturb_the_others():
    q, k, v, mask = inputs(4, 2)
    blind = attend(q, k, v, mask=mask.at[0, 1].set(False))
    whole = attend(q, k, v, mask=mask)
    np.testing.assert_array_equal(jnp.delete(blind[0], 1, 0), jnp.delete(whole[0], 1, 0))
    np.testing.assert_array_equal(blind[1], whole[1])


def test_what_is_hidden_has_no_influence():
    q, k, v, mask = inputs(4, 2)
    mask = mask.at[..., 3].set(False).at[..., 0].set(True)
    changed = attend(q, k.at[:, 3].set(50.0), v.at[:, 3].set(1e6), mask=mask)
    np.testing.assert_array_equal(changed, attend(q, k, v, mask=mask))


def test_bfloat16_inputs_give_a_bfloat16_result_from_a_float32_softmax():
    q, k, v, mask = inputs(4, 2)
    out = attend(*(x.astype(jnp.bfloat16) for x in (q, k, v)), mask=mask)
    assert out.dtype == jnp.bfloat16
    np.testing.assert_allclose(out.astype(jnp.float32), naive(q, k, v, mask), atol=0.1)


def test_large_scores_do_not_overflow():
    q, k, v, mask = inputs(4, 2)
    np.testing.assert_allclose(attend(100 * q, k, v, mask=mask), naive(100 * q, k, v, mask), atol=1e-4)


def test_heads_that_do_not_divide_are_refused():
    q, k, v, mask = inputs(4, 3)
    with pytest.raises(ValueError, match="num_heads 4 must be a multiple of num_kv_heads 3"):
        attend(q, k, v, mask=mask)
