"""Block: one pre-norm transformer layer over lanes, each piece routed to an expert by lane.

A dense model routes every lane to one expert; a mixture of transformers (arXiv:2411.04996) gives each lane its own
norms, projections and feed-forward weights under one joint attention. Routing is a static split of the slots.
"""

from collections.abc import Callable, Mapping

import flax.linen as nn
import jax.numpy as jnp
from flax import struct

from unified_jax.core.sequence import join, split
from unified_jax.core.types import Array, DTypeLike, Leaf
from unified_jax.nn.attention import attend, by_head
from unified_jax.nn.dense import Dense
from unified_jax.nn.norm import RMSNorm
from unified_jax.nn.rope import Rotation, rotate


@struct.dataclass
class Side:
    """What every layer needs beside the states: rotation [B T C/2] x 2, mask bool [B T S' + T]."""

    rotation: Rotation
    mask: Leaf


class Block(nn.Module):
    """xs + o(attend(q, k, v)), then + mlp; both on normalised inputs.

    route: lane -> expert. shared: pieces ("norm", "attn", "mlp") that ignore the route and serve all lanes.
    mlp, norm: partials, built once per expert. qk_norm: RMS-normalise every head of q and k (arXiv:2302.05442).
    """

    num_heads: int
    head_dim: int
    mlp: Callable[..., nn.Module]
    route: Mapping[str, str]
    num_kv_heads: int | None = None
    shared: tuple[str, ...] = ()
    norm: Callable[..., nn.Module] = RMSNorm
    qk_norm: bool = False
    dtype: DTypeLike = jnp.float32

    def _each(self, piece: str, make: Callable[[str], nn.Module], xs: Mapping[str, Array]) -> dict[str, Array]:
        """Applies ``piece`` to every lane with the weights of that lane's expert."""
        expert = {lane: "all" if piece in self.shared else self.route[lane] for lane in xs}
        modules = {name: make(name) for name in sorted(set(expert.values()))}
        return {lane: modules[expert[lane]](x) for lane, x in xs.items()}

    @nn.compact
    def __call__(
        self, xs: dict[str, Array], past: tuple[Array, Array] | None, side: Side
    ) -> tuple[dict[str, Array], tuple[Array, Array]]:
        """{lane: [B T D]}, cached (k, v) [B K S' C] or None -> the new states and this layer's own (k, v)."""
        capacity = {lane: x.shape[1] for lane, x in xs.items()}
        kv_heads = self.num_kv_heads or self.num_heads

        def project(name: str, heads: int):
            return lambda expert: Dense((heads, self.head_dim), dtype=self.dtype, name=f"{name}_{expert}")

        y = self._each("norm", lambda e: self.norm(name=f"attn_norm_{e}"), xs)
        q = self._each("attn", project("q", self.num_heads), y)
        k = self._each("attn", project("k", kv_heads), y)
        v = self._each("attn", project("v", kv_heads), y)
        if self.qk_norm:
            q = self._each("attn", lambda e: self.norm(name=f"q_norm_{e}"), q)
            k = self._each("attn", lambda e: self.norm(name=f"k_norm_{e}"), k)
        q, k, v = rotate(join(q), side.rotation), rotate(join(k), side.rotation), join(v)
        out = split(attend(q, k, v, mask=side.mask, past=past), capacity)
        width = {self.route[lane] if "attn" not in self.shared else "all": x.shape[-1] for lane, x in xs.items()}
        out = self._each("attn", lambda e: Dense(width[e], axes=2, dtype=self.dtype, name=f"o_{e}"), out)
        xs = {lane: x + out[lane] for lane, x in xs.items()}
        y = self._each("norm", lambda e: self.norm(name=f"mlp_norm_{e}"), xs)
        y = self._each("mlp", lambda e: self.mlp(name=f"mlp_{e}"), y)
        return {lane: x + y[lane] for lane, x in xs.items()}, (by_head(k), by_head(v))
