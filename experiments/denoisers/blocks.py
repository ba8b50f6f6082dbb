"""FLOPs of a DiT block's kinds at the size of DiT-XL/2, counted and as XLA counts the compiled block.

    python -m experiments.denoisers.blocks        # prints the table of README.md

A product of [M, K] and [K, N] is 2 M K N. Counted are products alone; XLA counts norms, softmax and gelu too.
"""

import dataclasses
from collections.abc import Callable
from functools import partial

import jax
import jax.numpy as jnp

from unified_jax.core.sequence import Slots, join
from unified_jax.nn.adaptive_norm import AdaNorm, TableNorm
from unified_jax.nn.block import PLACES, Block, Context, Side
from unified_jax.nn.cross_attention import CrossAttention
from unified_jax.nn.mlp import Mlp
from unified_jax.nn.norm import LayerNorm
from unified_jax.nn.rope import NoRope

WIDTH, HEADS, SLOTS = 1152, 16, 256  # DiT-XL/2 at 256 x 256 pixels
TOLD, CAPTION = 2, 120  # slots of time and class; of PixArt's caption
DEPTH = 28


def products(slots: int) -> int:
    """Projections of attention, scores and weighted values, and a feed-forward piece of four times the width."""
    return 24 * slots * WIDTH**2 + 4 * slots**2 * WIDTH


def reading(slots: int, read: int) -> int:
    """Cross-attention from ``slots`` to ``read``."""
    return 4 * slots * WIDTH**2 + 4 * read * WIDTH**2 + 4 * slots * read * WIDTH


@dataclasses.dataclass(frozen=True)
class Kind:
    """lanes: slots of each. counted: FLOPs for one picture. told: how adaptive norms are. read: slots of a context."""

    lanes: dict[str, int]
    counted: int
    block: Callable[..., Block]
    told: str = "vector"
    read: int = 0


def block(**fields) -> Callable[..., Block]:
    """A block of this size whose lanes all have one expert unless ``route`` says otherwise."""
    body = dict(
        num_heads=HEADS,
        head_dim=WIDTH // HEADS,
        mlp=partial(Mlp, 4 * WIDTH, jax.nn.gelu),
        route={"image": "image", "told": "image"},
        pre_norm=AdaNorm,
        qkv_bias=True,
        out_bias=True,
    )
    return partial(Block, **body | fields)


LAYER_NORM, CROSS = partial(LayerNorm, 1e-6), partial(CrossAttention, HEADS, WIDTH // HEADS)
TWO_STREAMS = {"image": "image", "text": "text"}
KINDS = {
    "in-context": Kind(
        {"image": SLOTS, "told": TOLD}, products(SLOTS + TOLD), block(pre_norm=LAYER_NORM), told="nothing"
    ),
    "cross-attention": Kind(
        {"image": SLOTS},
        products(SLOTS) + reading(SLOTS, TOLD),
        block(pre_norm=LAYER_NORM, cross=CROSS, cross_norm=LAYER_NORM),
        told="nothing",
        read=TOLD,
    ),
    "adaLN": Kind(
        {"image": SLOTS}, products(SLOTS) + 8 * WIDTH**2, block(pre_norm=partial(AdaNorm, parts=("shift", "scale")))
    ),
    "adaLN-Zero": Kind({"image": SLOTS}, products(SLOTS) + 12 * WIDTH**2, block()),
    "adaLN-single, cross-attention": Kind(
        {"image": SLOTS},
        products(SLOTS) + reading(SLOTS, CAPTION),
        block(pre_norm=TableNorm, cross=CROSS),
        told="shared",
        read=CAPTION,
    ),
    "two streams": Kind(
        {"image": SLOTS, "text": CAPTION}, products(SLOTS + CAPTION) + 24 * WIDTH**2, block(route=TWO_STREAMS)
    ),
}


def measured(kind: Kind) -> float:
    """FLOPs of the compiled block, one picture."""
    float32 = lambda *shape: jax.ShapeDtypeStruct((1, *shape), jnp.float32)
    xs = {lane: float32(slots, WIDTH) for lane, slots in kind.lanes.items()}
    condition = float32(1, 3 * WIDTH if kind.told == "shared" else WIDTH)
    arguments = (xs, condition, float32(kind.read, WIDTH))
    layer = kind.block()

    def side(xs, condition, context) -> Side:
        slots = join({lane: _slots(x.shape[1]) for lane, x in xs.items()})
        told = None if kind.told == "nothing" else dict.fromkeys(PLACES, dict.fromkeys(xs, condition))
        read = dict(context=Context(context, _slots(kind.read)), seen=jnp.ones((1, slots.capacity, kind.read), bool))
        return Side(NoRope(WIDTH // HEADS)(slots.pos), slots, told=told, **(read if kind.read else {}))

    params = jax.eval_shape(lambda *x: layer.init(jax.random.key(0), x[0], None, side(*x)), *arguments)
    run = lambda params, *x: layer.apply(params, x[0], None, side(*x))[0]
    return jax.jit(run).lower(params, *arguments).compile().cost_analysis()["flops"]


def _slots(length: int) -> Slots:
    doc = jnp.ones((1, length), jnp.int32)
    return Slots(doc, jnp.zeros_like(doc), jnp.zeros_like(doc, bool), jnp.zeros((1, length, 1), jnp.int32))


def main() -> None:
    """Prints the table."""
    print("| block | counted | by XLA | ratio | 28 layers, GMACs |\n|---|---|---|---|---|")
    for name, kind in KINDS.items():
        found = measured(kind)
        print(
            f"| {name} | {kind.counted / 1e9:.3f} | {found / 1e9:.3f} | {found / kind.counted:.4f} "
            f"| {DEPTH * kind.counted / 2e9:.1f} |"
        )


if __name__ == "__main__":
    main()
