"""JAX's own splash attention for TPU, where it can serve: packed documents of causal text, nothing else.

Its masks are static or given as a whole [T, S] array, so of the rule only ``doc`` (its segment ids) can vary. Where
``is_causal`` holds, that is all there is to say: q sees k if they share a document and k is not after q.
"""

from functools import partial

import jax
import jax.numpy as jnp
import numpy as np
from jax.experimental.pallas.ops.tpu.splash_attention import splash_attention_kernel as kernels
from jax.experimental.pallas.ops.tpu.splash_attention import splash_attention_mask as masks

from unified_jax.core.sequence import Slots
from unified_jax.core.types import Array, Float, Int
from unified_jax.nn.kernels import blocked
from unified_jax.nn.kernels.partial import NOTHING, Partial

LANES = 128


def is_causal(slots: Slots) -> bool:
    """Whether every slot sees itself and all before it in its document. Runs on the host, on known arrays."""
    doc, block, private = (np.asarray(x) for x in (slots.doc, slots.block, slots.private))
    order = np.argsort(doc, axis=1, kind="stable")
    doc, block, private = (np.take_along_axis(x, order, 1) for x in (doc, block, private))
    same = (doc[:, 1:] == doc[:, :-1]) & (doc[:, 1:] > 0)
    return bool(np.all(np.diff(block, axis=1)[same] > 0) and not np.any(private & (doc > 0)))


def attend(
    q: Float[Array, "B T H C"],
    k: Float[Array, "B T K C"],
    v: Float[Array, "B T K C"],
    *,
    query: Slots,
    key: Slots,
    scale: float,
    softcap: float | None = None,
    window: Int[Array, ""] | int | None = None,
    q_tile: int = 512,
    k_tile: int = 512,
    interpret: bool = False,
) -> Partial:
    """Causal attention inside each document; T need not be a multiple of the tiles, which are multiples of 128.

    lse carries no gradient: asking for it raises NotImplementedError.
    Raises ValueError for a window, or where query and key are known and are not the same causal slots. Inside ``jit``
      the slots are not known: check with ``is_causal`` outside.
    """
    if window is not None:
        raise ValueError("splash attention has no window here: use flash_tpu for layers with local attention")
    _check(query, key)
    length = q.shape[1]
    q_tile, k_tile = (blocked.fit(tile, length, multiple=LANES) for tile in (q_tile, k_tile))
    whole = int(np.lcm(q_tile, k_tile))
    q, k, v = (blocked.pad(x.transpose(0, 2, 1, 3), whole, axis=2) for x in (q * scale, k, v))
    doc = blocked.pad(query.doc, whole, axis=1)
    out, lse = _attend(blocked.Sizes(q_tile, k_tile, scale, softcap, LANES, interpret), q, k, v, doc)
    out, lse = out[:, :, :length].transpose(0, 2, 1, 3), lse[:, :, :length].transpose(0, 2, 1)
    used = query.doc[:, :, None] > 0  # to splash attention the empty slots are a document too
    return Partial(jnp.where(used[..., None], out, 0), jnp.where(used, lse, NOTHING))


def _check(query, key):
    arrays = jax.tree.leaves((query, key))
    if any(isinstance(x, jax.core.Tracer) for x in arrays):
        return
    if not is_causal(query):
        raise ValueError("splash attention serves causal text only, and these slots hold more: use flash_tpu")
    if not all(np.array_equal(getattr(query, name), getattr(key, name)) for name in ("doc", "block")):
        raise ValueError("splash attention needs queries and keys of the same slots: use flash_tpu for cached keys")


def _splash(sizes, q, k, v, doc, *, save_residuals):
    """Every row by itself: out, and with ``save_residuals`` also (lse,), which then cannot be differentiated."""
    heads, length = q.shape[1:3]
    names = ("block_q", "block_q_dkv", "block_q_dq"), ("block_kv", "block_kv_dkv", "block_kv_dq")
    tiles = {name: tile for group, tile in zip(names, (sizes.q_tile, sizes.k_tile), strict=True) for name in group}
    kernel = kernels.make_splash_mha_single_device(
        masks.MultiHeadMask([masks.CausalMask((length, length))] * heads),
        block_sizes=kernels.BlockSizes(**tiles),
        save_residuals=save_residuals,
        attn_logits_soft_cap=sizes.softcap,
        interpret=sizes.interpret,
    )
    return jax.vmap(lambda q, k, v, doc: kernel(q, k, v, kernels.SegmentIds(doc, doc)))(q, k, v, doc)


@partial(jax.custom_vjp, nondiff_argnums=(0,))
def _attend(sizes, q, k, v, doc):
    out, (lse,) = _splash(sizes, q, k, v, doc, save_residuals=True)
    return out, lse


def _save(sizes, q, k, v, doc):
    q, k, v, doc = (x.value for x in (q, k, v, doc))
    out, pull = jax.vjp(lambda q, k, v: _splash(sizes, q, k, v, doc, save_residuals=False), q, k, v)
    return (out, _attend(sizes, q, k, v, doc)[1]), pull  # a second run for lse, dropped where nobody reads it


def _pull(sizes, pull, cotangents):
    dout, dlse = cotangents
    if not isinstance(dlse, jax.custom_derivatives.SymbolicZero):
        raise NotImplementedError("splash attention has no gradient of lse: merge partial results of flash_tpu instead")
    return *pull(dout), None


_attend.defvjp(_save, _pull, symbolic_zeros=True)
