"""Bodies of language models, as families use them."""

from functools import partial

from unified_jax.core.types import DTypeLike
from unified_jax.nn.block import Block
from unified_jax.nn.mlp import GatedMlp
from unified_jax.nn.norm import RMSNorm
from unified_jax.nn.rope import Rope
from unified_jax.nn.stack import Stack


def dense(
    *,
    width: int = 192,
    depth: int = 4,
    num_heads: int = 6,
    hidden: int = 576,
    num_kv_heads: int | None = None,
    qk_norm: bool = True,
    places: bool = False,
    remat: str = "none",
    unroll: int = 1,
    dtype: DTypeLike = "float32",
) -> Stack:
    """One expert over the one lane ``main``. hidden: width of the gated MLP.

    places: whether half of the channels turn by row and column instead of the sequence index. Editing copies most
      patches from the same place of the picture before, and a head finds that place by its rotation.
    Raises ValueError when ``width`` does not divide into heads.
    """
    if width % num_heads:
        raise ValueError(f"width {width} must be a multiple of num_heads {num_heads}")
    head_dim = width // num_heads
    quarter = head_dim // 8
    sections = (head_dim // 2 - 2 * quarter, quarter, quarter) if places else None
    block = partial(
        Block,
        num_heads=num_heads,
        num_kv_heads=num_kv_heads,
        head_dim=head_dim,
        qk_norm=RMSNorm if qk_norm else None,
        mlp=partial(GatedMlp, hidden, dtype=dtype),
        route={"main": "main"},
        dtype=dtype,
    )
    return Stack(block, depth, Rope(head_dim, sections=sections), remat=remat, unroll=unroll)
