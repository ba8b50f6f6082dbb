"""Bodies of language models, as families use them."""

from collections.abc import Mapping
from functools import partial
from typing import Any

from unified_jax.core.types import DTypeLike
from unified_jax.nn.attention import Attention, attend_visible, in_parts
from unified_jax.nn.block import Block
from unified_jax.nn.expert_dispatch import over_mesh
from unified_jax.nn.kernels import chunked, flash_gpu, flash_tpu
from unified_jax.nn.kernels.by_platform import by_platform
from unified_jax.nn.kernels.per_device import per_device
from unified_jax.nn.mlp import GatedMlp
from unified_jax.nn.moe import Moe
from unified_jax.nn.moe_block import MoeBlock
from unified_jax.nn.norm import RMSNorm
from unified_jax.nn.rope import Rope
from unified_jax.nn.stack import Stack
from unified_jax.nn.stages import Stages

# How attention is computed, by the name a config gives it: nn/kernels/README.md has memory and devices of each.
ATTENTION: Mapping[str, Attention] = {
    "reference": attend_visible,
    "chunked": in_parts(chunked.attend),
    "flash_tpu": in_parts(per_device(flash_tpu.attend)),
    "flash_gpu": in_parts(per_device(flash_gpu.attend)),
    "auto": in_parts(per_device(by_platform)),
}


def dense(
    *,
    width: int = 192,
    depth: int = 4,
    num_heads: int = 6,
    hidden: int = 576,
    num_kv_heads: int | None = None,
    qk_norm: bool = True,
    places: bool = False,
    experts: Mapping[str, int] | None = None,
    attention: str = "reference",
    remat: str = "none",
    unroll: int = 1,
    dtype: DTypeLike = "float32",
) -> Stack:
    """One expert over the one lane ``main``. hidden: width of the gated MLP.

    places: whether half of the channels turn by row and column instead of the sequence index. Editing copies most
      patches from the same place of the picture before, and a head finds that place by its rotation.
    experts: fields of ``Moe`` (num_experts, top_k), whose experts then have the width ``hidden``; None for none.
    attention: a name in ``ATTENTION``.
    Raises ValueError when ``width`` does not divide into heads, and for an unknown name.
    """
    if width % num_heads:
        raise ValueError(f"width {width} must be a multiple of num_heads {num_heads}")
    head_dim = width // num_heads
    quarter = head_dim // 8
    sections = (head_dim // 2 - 2 * quarter, quarter, quarter) if places else None
    block, mlp = Block, partial(GatedMlp, hidden, dtype=dtype)
    if experts is not None:
        block, mlp = MoeBlock, partial(Moe, hidden=hidden, dispatch=over_mesh, dtype=dtype, **experts)
    block = partial(
        block,
        num_heads=num_heads,
        num_kv_heads=num_kv_heads,
        head_dim=head_dim,
        qk_norm=RMSNorm if qk_norm else None,
        mlp=mlp,
        route={"main": "main"},
        dtype=dtype,
    )
    stack = Stack(block, depth, Rope(head_dim, sections=sections))
    return computed(stack, attention=attention, remat=remat, unroll=unroll)


def computed(stack: Stack | Stages, **choices: Any) -> Stack | Stages:
    """The same layers, computed otherwise: choices of speed and memory, as of ``dense`` (attention, remat, unroll).

    Raises ValueError for an unknown name.
    """
    if isinstance(stack, Stages):
        return stack.clone(stages=tuple(computed(each, **choices) for each in stack.stages))
    return _computed(stack, **choices)


def _computed(stack: Stack, *, attention: str = "reference", remat: str = "none", unroll: int = 1) -> Stack:
    if attention not in ATTENTION:
        raise ValueError(f"unknown attention {attention!r}; choose one of {', '.join(ATTENTION)}")
    return stack.clone(block=partial(stack.block, attention=ATTENTION[attention]), remat=remat, unroll=unroll)
