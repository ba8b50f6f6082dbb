"""Our side of the benchmarks of single pieces, forward and backward: attention and experts."""

from pathlib import Path

import jax
import jax.numpy as jnp
import numpy as np

from unified_jax.bench.contender import Contender
from unified_jax.core.mask import visible
from unified_jax.core.sequence import Slots, join
from unified_jax.core.types import Array
from unified_jax.data.pack import Layout, Stream, pack
from unified_jax.data.plan import Span
from unified_jax.nn.attention import attend_visible
from unified_jax.nn.kernels import chunked
from unified_jax.nn.moe import Moe


def reference_attention(*, folder: Path, **sizes: int) -> Contender:
    """The plain implementation, which writes the mask out."""
    return _attention(folder, attend_visible, **sizes)


def chunked_attention(*, folder: Path, **sizes: int) -> Contender:
    """The blocked implementation in plain JAX, which skips tiles where nothing is visible."""

    def attend(q: Array, k: Array, v: Array, *, slots: Slots) -> Array:
        return chunked.attend(q, k, v, query=slots, key=slots, scale=q.shape[-1] ** -0.5).out

    return _attention(folder, attend, **sizes)


def experts(
    *, folder: Path, width: int, hidden: int, num_experts: int, top_k: int, rows: int, length: int
) -> Contender:
    """Learned top-k routing over gated feed-forward experts. Leaves weights and inputs in ``folder``."""
    moe = Moe(num_experts=num_experts, top_k=top_k, hidden=hidden)
    x, cotangent = np.random.default_rng(0).normal(size=(2, rows, length, width)).astype(np.float32)
    params = moe.init(jax.random.key(0), jnp.asarray(x))["params"]
    weights = {name: np.asarray(params["experts"][name]["kernel"]) for name in ("gate", "up", "down")}
    np.savez(folder / "moe.npz", x=x, cotangent=cotangent, router=params["router"]["kernel"], **weights)

    @jax.jit
    def both(params, x):
        y, back = jax.vjp(lambda params, x: moe.apply({"params": params}, x), params, x)
        return y, back(cotangent)

    def run() -> list[np.ndarray]:
        y, (grads, dx) = jax.block_until_ready(both(params, jnp.asarray(x)))
        return [np.asarray(y), np.asarray(dx), np.asarray(grads["experts"]["down"]["kernel"])]

    return Contender(run, {"parameters": sum(x.size for x in jax.tree.leaves(params))})


def _attention(folder: Path, attend, *, length: int, heads: int, channels: int, text: int, picture: int) -> Contender:
    """One packed row of documents of text and a picture. Leaves q, k, v, cotangent and the mask in ``folder``."""
    slots = _packed(length, text=text, picture=picture)
    arrays = np.random.default_rng(0).normal(size=(4, 1, length, heads, channels)).astype(np.float32)
    mask = np.asarray(visible(slots, slots))
    np.savez(folder / "attention.npz", arrays=arrays, mask=mask)
    q, k, v, cotangent = map(jnp.asarray, arrays)

    @jax.jit
    def both(q, k, v, slots):
        out, back = jax.vjp(lambda q, k, v: attend(q, k, v, slots=slots), q, k, v)
        return out, *back(cotangent)

    run = lambda: [np.asarray(x) for x in jax.block_until_ready(both(q, k, v, slots))]
    return Contender(run, {"visible": round(float(mask.mean()), 3)})


def _packed(length: int, *, text: int, picture: int) -> Slots:
    """Documents of ``text`` causal slots and a picture of ``picture`` slots, until the row is full."""
    ids = lambda n: np.zeros(n, np.int32)
    document = [Span((("text", ids(text)),)), Span((("image", ids(picture)),), attend="full")]
    number = length // (text + picture)
    rest = [Span((("text", ids(length - number * (text + picture))),))]
    streams = {"text": Stream("main"), "image": Stream("main")}
    room = {"text": length, "image": length}
    seq = pack([[document] * number + [rest]], streams, Layout({"main": length}, room))
    return jax.tree.map(jnp.asarray, join(seq.lanes))
