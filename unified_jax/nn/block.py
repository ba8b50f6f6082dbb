"""Block: one transformer layer over lanes, each piece routed to an expert by lane.

A dense model routes every lane to one expert; a mixture of transformers (arXiv:2411.04996) gives each lane its own
norms, projections and feed-forward weights under one joint attention. Routing is a static split of the slots.
"""

from collections.abc import Callable, Mapping

import flax.linen as nn
import jax.numpy as jnp
from flax import struct

from unified_jax.core.sequence import join, split
from unified_jax.core.types import Array, DTypeLike, Int, Leaf
from unified_jax.nn.attention import Attention, KeysValues, attend_visible, by_head
from unified_jax.nn.dense import Dense
from unified_jax.nn.norm import RMSNorm
from unified_jax.nn.rope import Rotation, rotate

States = dict[str, Array]  # lane -> float [B T D]


@struct.dataclass
class Side:
    """What every layer needs beside the states: the rotation of every slot, the joined lanes' Slots, the Slots of
    the cached keys (None without a cache), and what is added to the scores of every layer (None for nothing).
    """

    rotation: Rotation
    slots: Leaf
    before: Leaf = None
    bias: Leaf = None


class Block(nn.Module):
    """xs + post(o(attend(q, k, v))), then + post(mlp); q, k, v and mlp see normalised states.

    route: lane -> expert. shared: pieces ("norm", "attn", "mlp") that ignore the route and serve all lanes.
    mlp: partial, built once per expert. pre_norm: the same, before attention and mlp; None for none. post_norm: on what
      they add to the states (Swin v2, arXiv:2111.09883, 3.2, has it alone; arXiv:2408.00118, section 2, has both).
    bias: partial of ``nn.relative_bias``, this layer's own; only for an attention that takes one, and without a cache.
    qk_norm: on every head of q and k (arXiv:2302.05442). attention: any function like ``attend_visible``.
    scale, softcap: of its scores, as there.
    """

    num_heads: int
    head_dim: int
    mlp: Callable[..., nn.Module]
    route: Mapping[str, str]
    num_kv_heads: int | None = None
    shared: tuple[str, ...] = ()
    pre_norm: Callable[..., nn.Module] | None = RMSNorm
    post_norm: Callable[..., nn.Module] | None = None
    qk_norm: Callable[..., nn.Module] | None = None
    bias: Callable[..., nn.Module] | None = None
    qkv_bias: bool = False
    out_bias: bool = False
    attention: Attention = attend_visible
    scale: float | None = None
    softcap: float | None = None
    dtype: DTypeLike = jnp.float32

    @nn.compact
    def __call__(
        self, xs: States, past: KeysValues | None, side: Side, *, window: Int[Array, ""] | None = None
    ) -> tuple[States, KeysValues]:
        """States, this layer's cached (k, v) [B K S' C] or None -> the new states and this layer's own (k, v)."""
        y, kv = self._attend(self._norm(self.pre_norm, "attn_norm", xs), past, side, window)
        xs = _add(xs, self._norm(self.post_norm, "attn_post_norm", y))
        y = self._feed(self._norm(self.pre_norm, "mlp_norm", xs), side)
        return _add(xs, self._norm(self.post_norm, "mlp_post_norm", y)), kv

    def _attend(
        self, xs: States, past: KeysValues | None, side: Side, window: Int[Array, ""] | None
    ) -> tuple[States, KeysValues]:
        capacity, width = {lane: x.shape[1] for lane, x in xs.items()}, self._widths(xs)
        kv_heads = self.num_kv_heads or self.num_heads

        def project(name: str, heads: int) -> States:
            make = lambda expert: Dense(
                (heads, self.head_dim), use_bias=self.qkv_bias, dtype=self.dtype, name=f"{name}_{expert}"
            )
            return self._each("attn", make, xs)

        q, k, v = project("q", self.num_heads), project("k", kv_heads), project("v", kv_heads)
        if self.qk_norm is not None:
            q = self._each("attn", lambda expert: self.qk_norm(name=f"q_norm_{expert}"), q)
            k = self._each("attn", lambda expert: self.qk_norm(name=f"k_norm_{expert}"), k)
        q, k, v = rotate(join(q), side.rotation), rotate(join(k), side.rotation), join(v)
        options = dict(slots=side.slots, past=past, before=side.before, window=window, **self._bias(side))
        out = self.attention(q, k, v, **options, scale=self.scale, softcap=self.softcap)
        make = lambda expert: Dense(width[expert], axes=2, use_bias=self.out_bias, dtype=self.dtype, name=f"o_{expert}")
        return self._each("attn", make, split(out, capacity)), (by_head(k), by_head(v))

    def _bias(self, side: Side) -> dict[str, Array]:
        """The argument of attention where there is one: kernels without it need not take it."""
        own = None if self.bias is None else self.bias(name="bias")(side.slots, side.slots)
        found = [x for x in (side.bias, own) if x is not None]
        return {"bias": sum(found)} if found else {}

    def _feed(self, xs: States, side: Side) -> States:
        return self._each("mlp", lambda expert: self.mlp(name=f"mlp_{expert}"), xs)

    def _norm(self, norm: Callable[..., nn.Module] | None, name: str, xs: States) -> States:
        return xs if norm is None else self._each("norm", lambda expert: norm(name=f"{name}_{expert}"), xs)

    def _each(self, piece: str, make: Callable[[str], nn.Module], xs: States, **options: Mapping[str, Array]) -> States:
        """Applies ``piece`` to every lane with the weights of its expert. options: further arguments, by lane."""
        expert = {lane: self._expert(piece, lane) for lane in xs}
        modules = {name: make(name) for name in sorted(set(expert.values()))}
        by_lane = {lane: {name: values[lane] for name, values in options.items()} for lane in xs}
        return {lane: modules[expert[lane]](x, **by_lane[lane]) for lane, x in xs.items()}

    def _expert(self, piece: str, lane: str) -> str:
        return "all" if piece in self.shared else self.route[lane]

    def _widths(self, xs: States) -> dict[str, int]:
        return {self._expert("attn", lane): x.shape[-1] for lane, x in xs.items()}


class ParallelBlock(Block):
    """xs + o(attend(q, k, v)) + mlp, both of the same normalised states (GPT-J; PaLM, arXiv:2204.02311, section 2)."""

    @nn.compact
    def __call__(
        self, xs: States, past: KeysValues | None, side: Side, *, window: Int[Array, ""] | None = None
    ) -> tuple[States, KeysValues]:
        """As ``Block``."""
        y = self._norm(self.pre_norm, "norm", xs)
        out, kv = self._attend(y, past, side, window)
        return _add(_add(xs, out), self._feed(y, side)), kv


def _add(xs: States, ys: States) -> States:
    return {lane: x + ys[lane] for lane, x in xs.items()}
