"""Bodies of a DiT that is trained here, by how the words reach the picture (``dit.py``).

    pooled     layers over the picture's lane; of the words only the condition tells (arXiv:2212.09748, section 3.2)
    joint      lanes of words and picture, weights of their own, one attention; in the last layer the words are only
               read (MM-DiT, arXiv:2403.03206, section 4)

All norms are adaLN-Zero, places are in the states.
"""

from collections.abc import Callable, Mapping
from functools import partial

import jax

from unified_jax.core.types import DTypeLike
from unified_jax.models import lm
from unified_jax.nn.adaptive_norm import AdaNorm
from unified_jax.nn.block import Block
from unified_jax.nn.mlp import Mlp
from unified_jax.nn.picture_stack import PictureStack
from unified_jax.nn.rope import NoRope
from unified_jax.nn.stack import Stack
from unified_jax.nn.stages import Stages


def pooled(*, width: int, depth: int, num_heads: int, dtype: DTypeLike, **computation: str | int) -> PictureStack:
    """Layers over the picture's lane alone."""
    block = _block(width, num_heads, route={"image": "image"}, dtype=dtype)
    return _told(_stack(block, depth, **computation), ("image",))


def joint(*, width: int, depth: int, num_heads: int, dtype: DTypeLike, **computation: str | int) -> PictureStack:
    """Layers over both lanes."""
    route = {"image": "image", "text": "text"}
    both = _block(width, num_heads, route=route, dtype=dtype)
    closing = {"image": AdaNorm, "text": partial(AdaNorm, parts=("shift", "scale"))}
    last = partial(both, pre_norm=closing, ends=("text",))
    runs = [(both, depth - 1), (last, 1)] if depth > 1 else [(last, 1)]
    stages = tuple(_stack(block, layers, **computation) for block, layers in runs)
    return _told(Stages(stages), ("image", "text"))


BODIES: Mapping[str, Callable[..., PictureStack]] = {"pooled": pooled, "joint": joint}


def _told(stack: Stack | Stages, lanes: tuple[str, ...]) -> PictureStack:
    return PictureStack(stack, AdaNorm(parts=("shift", "scale")), lanes)


def _stack(block: Callable[..., Block], depth: int, **computation: str | int) -> Stack:
    stack = Stack(block, depth, NoRope(block.keywords["head_dim"]), norm=None)
    return lm.computed(stack, **computation)


def _block(width: int, num_heads: int, *, route: Mapping[str, str], dtype: DTypeLike) -> partial[Block]:
    return partial(
        Block,
        num_heads=num_heads,
        head_dim=width // num_heads,
        mlp=partial(Mlp, 4 * width, jax.nn.gelu, dtype=dtype),
        route=route,
        pre_norm=AdaNorm,
        qkv_bias=True,
        out_bias=True,
        dtype=dtype,
    )
