"""Block: one transformer layer over lanes, each piece routed to an expert by lane.

A dense model routes every lane to one expert; a mixture of transformers (arXiv:2411.04996), which is also the dual
stream of SD3 (arXiv:2403.03206, section 4), gives each lane its own norms, projections and feed-forward weights under
one joint attention. Routing is a static split of the slots.

A layer may be told a condition for each lane (the noise level, say): its norms are then adaptive
(``nn/adaptive_norm.py``), and gate what is added to the states.
"""

from collections.abc import Callable, Mapping
from types import MappingProxyType
from typing import Any

import flax.linen as nn
import jax.numpy as jnp
from flax import struct

from unified_jax.core.sequence import Slots, join, split
from unified_jax.core.types import Array, DTypeLike, Int, Leaf
from unified_jax.nn.attention import Attention, KeysValues, attend_visible, by_head
from unified_jax.nn.dense import Dense
from unified_jax.nn.norm import RMSNorm
from unified_jax.nn.rope import Rotation, rotate

States = dict[str, Array]  # lane -> float [B T D]
Piece = Callable[..., nn.Module]  # a partial
PLACES = ("attn", "mlp")  # where a block normalises


@struct.dataclass
class Context:
    """What cross-attention reads. states: float [B S E]. slots: of them, under the one mask rule."""

    states: Leaf
    slots: Slots


@struct.dataclass
class Side:
    """What every layer needs beside the states: the rotation of every slot, the joined lanes' Slots, the Slots of
    the cached keys (None without a cache), and what is added to the scores of every layer (None for nothing).

    told: {place: {lane: float [B U E]}}, what adaptive norms at a place are told, U being 1 or T; None for plain norms.
    context: what cross-attention reads, None for nothing. seen: bool [B T S], which of it each slot sees.
    """

    rotation: Rotation
    slots: Leaf
    before: Leaf = None
    bias: Leaf = None
    told: Leaf = None
    context: Leaf = None
    seen: Leaf = None

    def at(self, place: str) -> States | None:
        """What the norms at a place are told."""
        return None if self.told is None else self.told[place]


class Block(nn.Module):
    """xs + gate * post(o(attend(q, k, v))), then + cross, then + gate * post(mlp); all of them of normalised states.

    route: lane -> expert. shared: pieces ("norm", "attn", "mlp") that ignore the route and serve all lanes.
    mlp: partial, built once per expert. pre_norm: the same, before attention and mlp; None for none. mlp_norm: before
      mlp, where it is another. post_norm: on what they add to the states (Swin v2, arXiv:2111.09883, 3.2, has it alone;
      arXiv:2408.00118, section 2, has both). mlp and pre_norm may be mappings from experts to partials.
    cross: partial of ``CrossAttention``, which reads ``Side.context``, with a norm of its own before it (cross_norm).
    ends: lanes whose states end here: others still read them, but nothing is added to them any more.
    bias: partial of ``nn.relative_bias``, this layer's own; only for an attention that takes one, and without a cache.
    qk_norm: on every head of q and k (arXiv:2302.05442). k_norm: on those of k, where it is another.
    attention: any function like ``attend_visible``.
    scale, softcap: of its scores, as there.
    """

    num_heads: int
    head_dim: int
    mlp: Piece | Mapping[str, Piece]
    route: Mapping[str, str]
    num_kv_heads: int | None = None
    shared: tuple[str, ...] = ()
    pre_norm: Piece | Mapping[str, Piece] | None = RMSNorm
    mlp_norm: Piece | None = None
    post_norm: Piece | None = None
    cross: Piece | None = None
    cross_norm: Piece | None = None
    ends: tuple[str, ...] = ()
    qk_norm: Piece | None = None
    k_norm: Piece | None = None
    bias: Piece | None = None
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
        xs, kv = self._mix(xs, past, side, window)
        xs = self._read(xs, side)
        y, gates = self._normed(self.mlp_norm or self.pre_norm, "mlp_norm", self._going(xs), side.at("mlp"))
        return add(xs, self._post("mlp_post_norm", self._feed(y, side)), gates), kv

    def _mix(
        self, xs: States, past: KeysValues | None, side: Side, window: Int[Array, ""] | None
    ) -> tuple[States, KeysValues]:
        """The states after attention, and its keys and values."""
        y, gates = self._normed(self.pre_norm, "attn_norm", xs, side.at("attn"))
        y, kv = self._attend(y, past, side, window)
        return add(xs, self._post("attn_post_norm", y), gates), kv

    def _attend(
        self, xs: States, past: KeysValues | None, side: Side, window: Int[Array, ""] | None, *, mark: str = ""
    ) -> tuple[States, KeysValues]:
        """mark: in the parameters' names, where a block attends more than once."""
        capacity, width = {lane: x.shape[1] for lane, x in xs.items()}, self._widths(xs)
        kv_heads = self.num_kv_heads or self.num_heads

        def project(name: str, heads: int) -> States:
            make = lambda expert: Dense(
                (heads, self.head_dim), use_bias=self.qkv_bias, dtype=self.dtype, name=f"{name}{mark}_{expert}"
            )
            return self._each("attn", make, xs)

        q, k, v = project("q", self.num_heads), project("k", kv_heads), project("v", kv_heads)
        if self.qk_norm is not None:
            q = self._each("attn", lambda expert: self.qk_norm(name=f"q_norm{mark}_{expert}"), q)
            k_norm = self.k_norm or self.qk_norm
            k = self._each("attn", lambda expert: k_norm(name=f"k_norm{mark}_{expert}"), k)
        q, k, v = rotate(join(q), side.rotation), rotate(join(k), side.rotation), join(v)
        options = dict(slots=side.slots, past=past, before=side.before, window=window, **self._bias(side))
        out = self.attention(q, k, v, **options, scale=self.scale, softcap=self.softcap)
        make = lambda expert: Dense(
            width[expert], axes=2, use_bias=self.out_bias, dtype=self.dtype, name=f"o{mark}_{expert}"
        )
        return self._each("attn", make, self._going(split(out, capacity))), (by_head(k), by_head(v))

    def _bias(self, side: Side) -> dict[str, Array]:
        """The argument of attention where there is one: kernels without it need not take it."""
        own = None if self.bias is None else self.bias(name="bias")(side.slots, side.slots)
        found = [x for x in (side.bias, own) if x is not None]
        return {"bias": sum(found)} if found else {}

    def _feed(self, xs: States, side: Side) -> States:
        return self._each("mlp", lambda expert: _of(self.mlp, expert)(name=f"mlp_{expert}"), xs)

    def _read(self, xs: States, side: Side) -> States:
        """The states after cross-attention, where there is any."""
        if self.cross is None:
            return xs
        y = self._norm(self.cross_norm, "cross_norm", xs)
        seen = split(side.seen, {lane: x.shape[1] for lane, x in xs.items()})
        make = lambda expert: self.cross(name=f"cross_{expert}")
        return add(xs, self._each("attn", make, y, context=dict.fromkeys(xs, side.context.states), mask=seen))

    def _normed(self, norm: Any, name: str, xs: States, told: States | None) -> tuple[States, States]:
        """Normalised states, and the gates of what is added for them, where there are any. Lanes that are told nothing
        have plain norms.
        """
        if told is None or norm is None:
            return self._norm(norm, name, xs), {}
        made = self._norm(norm, name, xs, condition=told)
        gates = {lane: made[lane].gate for lane in made if lane in told and made[lane].gate is not None}
        return {lane: normed.states if lane in told else normed for lane, normed in made.items()}, gates

    def _post(self, name: str, xs: States) -> States:
        return self._norm(self.post_norm, name, xs)

    def _norm(self, norm: Any, name: str, xs: States, **options: Mapping[str, Array]) -> dict[str, Any]:
        """What the norm makes of every lane: states, or ``Normed`` of an adaptive one."""
        make = lambda expert: _of(norm, expert)(name=f"{name}_{expert}")
        return xs if norm is None else self._each("norm", make, xs, **options)

    def _each(self, piece: str, make: Callable[[str], nn.Module], xs: States, **options: Any) -> dict[str, Any]:
        """Applies ``piece`` to every lane with the weights of its expert. options: further arguments, of the lanes that
        have them.
        """
        expert = {lane: self._expert(piece, lane) for lane in xs}
        modules = {name: make(name) for name in sorted(set(expert.values()))}
        of = lambda lane: {name: values[lane] for name, values in options.items() if lane in values}
        return {lane: modules[expert[lane]](x, **of(lane)) for lane, x in xs.items()}

    def _going(self, xs: States) -> States:
        return {lane: x for lane, x in xs.items() if lane not in self.ends}

    def _expert(self, piece: str, lane: str) -> str:
        return "all" if piece in self.shared else self.route[lane]

    def _widths(self, xs: States) -> dict[str, int]:
        return {self._expert("attn", lane): x.shape[-1] for lane, x in xs.items()}


def add(xs: States, ys: States, gates: Mapping[str, Array] = MappingProxyType({})) -> States:
    """xs + gates * ys, by lane; lanes without anything to add stay as they are."""
    gated = {lane: gates[lane] * y if lane in gates else y for lane, y in ys.items()}
    return {lane: x + gated[lane] if lane in gated else x for lane, x in xs.items()}


def _of(piece: Piece | Mapping[str, Piece], expert: str) -> Piece:
    return piece[expert] if isinstance(piece, Mapping) else piece
