"""Q-Former: learned queries that see each other, and in some layers read a picture (BLIP-2, arXiv:2301.12597, 3.1)."""

from collections.abc import Callable

import flax.linen as nn
import jax.numpy as jnp

from unified_jax.core.types import Array, Bool, DTypeLike, Float
from unified_jax.nn.connectors.grid import Grid
from unified_jax.nn.dense import Dense

Piece = Callable[..., nn.Module]


class Layer(nn.Module):
    """norm(x + piece(x)) for each piece (arXiv:1706.03762, 5.4): attention, then cross where there is one, then mlp.

    Every field is a partial. cross: like ``attention``, of the context.
    """

    attention: Piece
    cross: Piece | None
    mlp: Piece
    norm: Piece

    @nn.compact
    def __call__(
        self, x: Float[Array, "B N D"], context: Float[Array, "B S E"], mask: Bool[Array, "B N S"] | None
    ) -> Float[Array, "B N D"]:
        x = self.norm(name="attention_norm")(x + self.attention(name="attention")(x, x))
        if self.cross is not None:
            x = self.norm(name="cross_norm")(x + self.cross(name="cross")(x, context, mask=mask))
        return self.norm(name="mlp_norm")(x + self.mlp(name="mlp")(x))


class Group(nn.Module):
    """``period`` layers, the first of which reads the context."""

    period: int
    attention: Piece
    mlp: Piece
    norm: Piece

    @nn.compact
    def __call__(
        self, x: Float[Array, "B N D"], context: Float[Array, "B S E"], mask: Bool[Array, "B N S"] | None
    ) -> tuple[Float[Array, "B N D"], None]:
        for i in range(self.period):
            cross = None if i else self.attention
            x = Layer(self.attention, cross, self.mlp, self.norm, name=f"layer_{i}")(x, context, mask)
        return x, None


class QFormerStack(nn.Module):
    """norm, then ``depth`` layers, the first of every ``period`` reading the context. Fields as those of ``Layer``."""

    depth: int
    period: int
    attention: Piece
    mlp: Piece
    norm: Piece

    @nn.compact
    def __call__(
        self,
        queries: Float[Array, "B N D"],
        context: Float[Array, "B S E"],
        mask: Bool[Array, "B S"] | None = None,
    ) -> Float[Array, "B N D"]:
        """mask: False where the context is empty. Raises ValueError for layers that do not divide into periods."""
        if self.depth % self.period:
            raise ValueError(f"{self.depth} layers of a Q-Former do not divide into groups of {self.period}")
        scan = nn.scan(
            Group,
            variable_axes={"params": 0},
            split_rngs={"params": True},
            in_axes=nn.broadcast,
            length=self.depth // self.period,
        )
        group = scan(self.period, self.attention, self.mlp, self.norm, name="group")
        if mask is not None:
            mask = jnp.broadcast_to(mask[:, None], (*queries.shape[:2], mask.shape[1]))
        return group(self.norm(name="norm")(queries), context, mask)[0]


class QFormer(nn.Module):
    """[B T E] -> [B N F]: ``count`` learned queries of ``width`` read the picture; an affine map to ``features``.

    body: ``QFormerStack``.
    """

    count: int
    width: int
    features: int
    body: nn.Module
    dtype: DTypeLike = jnp.float32

    @nn.compact
    def __call__(self, x: Float[Array, "B T E"], *, grid: Grid) -> Float[Array, "B N F"]:
        queries = self.param("queries", nn.initializers.normal(0.02), (self.count, self.width), jnp.float32)
        queries = jnp.broadcast_to(queries.astype(self.dtype), (x.shape[0], *queries.shape))
        return Dense(self.features, use_bias=True, dtype=self.dtype, name="out")(self.body(queries, x))
