"""JAX's splash attention where it can serve, and a clear no elsewhere."""

from functools import partial

import dense
import jax
import jax.numpy as jnp
import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st
from packed_rows import packed

from unified_jax.core.mask import visible
from unified_jax.core.sequence import Slots
from unified_jax.nn.kernels import splash


def text(*sizes: int, length: int) -> Slots:
    return packed(np.random.default_rng(0), [[("text", size)] for size in sizes], length=length)


def random_arrays(length: int) -> list[jax.Array]:
    rng = np.random.default_rng(0)
    return [jnp.asarray(rng.normal(size=(1, length, heads, 16)), jnp.float32) for heads in (4, 2, 2, 4)]


def test_causal_text_equals_dense_attention_in_values_and_gradients(record_parity):
    slots, (q, k, v, weight) = text(40, 33, 50, length=150), random_arrays(150)
    call = {"query": slots, "key": slots, "scale": 0.3, "softcap": 1.5}
    loss = lambda attend, *x: (jnp.sum((result := attend(*x, **call)).out * weight), result)
    both = [
        jax.jit(jax.value_and_grad(partial(loss, attend), (0, 1, 2), has_aux=True))(q, k, v)
        for attend in (partial(splash.attend, interpret=True, q_tile=128, k_tile=128), dense.attend)
    ]
    pairs = zip(*map(jax.tree.leaves, both), strict=True)
    worst = max(float(jnp.abs(a - b).max() / jnp.abs(b).max()) for a, b in pairs)
    record_parity(
        "attention:splash-causal-text",
        reference="attention written out over [T, S], in tests/nn/kernels/dense.py",
        what="values, log-sum-exp and gradients of q, k and v, packed causal texts",
        worst_relative=worst,
        tolerance=1e-5,
    )
    assert worst <= 1e-5
    lse = both[0][0][1].lse
    assert np.allclose(lse[:, :123], both[1][0][1].lse[:, :123], rtol=1e-5) and np.all(lse[:, 123:] == -1e30)


@given(st.lists(st.tuples(st.integers(0, 2), st.integers(0, 5), st.booleans()), min_size=1, max_size=6))
def test_is_causal_holds_exactly_where_the_rule_is_order_inside_documents(rows):
    doc, block, private = (np.asarray([column]) for column in zip(*rows, strict=True))
    slots = Slots(doc, block, private, np.zeros((1, len(rows), 3), np.int32))
    before = np.arange(len(rows))[:, None] >= np.arange(len(rows))
    order = before & (doc[0, :, None] == doc[0]) & (doc[0] > 0)
    nobody_private = not (private & (doc > 0)).any()
    assert splash.is_causal(slots) == (nobody_private and np.array_equal(visible(slots, slots)[0], order))


def test_what_it_cannot_serve_is_refused():
    q, k, v, _ = random_arrays(20)
    causal = text(20, length=20)
    image = packed(np.random.default_rng(0), [[("text", 4), ("clean", 16)]], length=20)
    with pytest.raises(ValueError, match="causal text only"):
        splash.attend(q, k, v, query=image, key=image, scale=1.0)
    with pytest.raises(ValueError, match="same slots"):
        splash.attend(q, k, v, query=causal, key=text(10, 10, length=20), scale=1.0)
    with pytest.raises(ValueError, match="no window"):
        splash.attend(q, k, v, query=causal, key=causal, scale=1.0, window=8)
    call = partial(splash.attend, query=causal, key=causal, scale=1.0)
    with pytest.raises(NotImplementedError, match="no gradient of lse"):
        jax.eval_shape(jax.grad(lambda q: call(q, k, v).lse.sum()), q)
