"""Published names of a ladder's parameters (``codecs/ladder.py``), as tables of rules.

The defaults are the names of VQGAN's own repository (CompVis/taming-transformers), which transformers kept.
"""

import dataclasses
from collections.abc import Callable, Iterator, Sequence

from unified_jax.interop import pairs
from unified_jax.interop.pairs import layer
from unified_jax.interop.rules import Rule

TRAINING_STEPS = r".*\.num_batches_tracked"  # counted beside the statistics of a ``fixed_norm``; nothing reads them
CONVOLVED = " 1 1"  # axes of a kernel of one place, where a published product is a convolution


@dataclasses.dataclass(frozen=True)
class Names:
    """How a project names the pieces of a ladder.

    down, up: a level of the encoder and of the decoder, by {level} from the finest or {back} from the coarsest. block,
    attention: pieces of a level. middle: those of the middle. shortcut: of a block. qkvo: the products of attention.
    before: the name of attention's norm, from that of the attention. axes: the trailing ones of attention's kernels.
    """

    down: str = "down.{level}"
    up: str = "up.{level}"
    block: str = "block.{i}"
    attention: str = "attn.{i}"
    smaller: str = "downsample.conv"
    larger: str = "upsample.conv"
    middle: tuple[str, ...] = ("mid.block_1", "mid.attn_1", "mid.block_2")
    norm: str = "norm_out"
    shortcut: str = "nin_shortcut"
    qkvo: tuple[str, str, str, str] = ("q", "k", "v", "proj_out")
    before: Callable[[str], str] = "{}.norm".format
    axes: str = CONVOLVED


def encoder_rules(names: Names, *, levels: int, depth: int) -> Iterator[Rule]:
    """The rules of ``encoder``."""
    numbered = [names.down.format(level=level, back=levels - 1 - level) for level in range(levels)]
    yield from _ladder("encoder", names, numbered, depth)
    for level, name in enumerate(numbered):
        yield from conv(f"encoder.{name}.{names.smaller}", f"encoder/down_{level + 1}/conv")


def decoder_rules(names: Names, *, levels: int, depth: int) -> Iterator[Rule]:
    """The rules of ``decoder``."""
    numbered = [names.up.format(level=level, back=levels - 1 - level) for level in range(levels)]
    yield from _ladder("decoder", names, numbered, depth)
    for level, name in enumerate(numbered):
        yield from conv(f"decoder.{name}.{names.larger}", f"decoder/up_{level}/conv")


def codes() -> tuple[Rule, ...]:
    """The rules of what stands between the ladders of a discrete codec."""
    book = Rule("quantize.embedding.weight", "quantiser/codebook")
    return (*product("quant_conv", "to_code"), *product("post_quant_conv", "from_code"), book)


def conv(name: str, path: str) -> tuple[Rule, Rule]:
    """Weight and bias of a convolution."""
    return layer(name, path, "o i h w -> h w i o")


def product(name: str, path: str, *, axes: str = CONVOLVED) -> tuple[Rule, Rule]:
    """Weight and bias of a product at every place."""
    return layer(name, path, f"o i{axes} -> i o")


def norm(name: str, path: str) -> tuple[Rule, ...]:
    """Scale and bias of a norm, whether it takes a latent or not."""
    return (
        *pairs.norm(name, path),
        *pairs.norm(f"{name}.norm_layer", f"{path}/norm"),
        *product(f"{name}.conv_y", f"{path}/scale"),
        *product(f"{name}.conv_b", f"{path}/shift"),
    )


def fixed_norm(name: str, path: str) -> tuple[Rule, ...]:
    """Of a norm whose statistics were measured once; a norm without them has the first two."""
    statistics = Rule(f"{name}.running_mean", f"{path}/mean"), Rule(f"{name}.running_var", f"{path}/variance")
    return (*pairs.norm(name, path), *statistics)


def block(name: str, path: str, names: Names) -> Iterator[Rule]:
    """A ResBlock."""
    for place, number in (("in", 1), ("out", 2)):
        yield from norm(f"{name}.norm{number}", f"{path}/norm_{place}")
        yield from conv(f"{name}.conv{number}", f"{path}/conv_{place}")
    yield from product(f"{name}.{names.shortcut}", f"{path}/shortcut")


def attention(name: str, path: str, names: Names) -> Iterator[Rule]:
    """A layer of attention and its norm."""
    yield from norm(names.before(name), f"{path}/norm")
    *qkv, out = names.qkvo
    for ours, theirs in zip("qkv", qkv):
        yield Rule(f"{name}.{theirs}.weight", f"{path}/{ours}/kernel", f"(h c) d{names.axes} -> d h c")
        yield Rule(f"{name}.{theirs}.bias", f"{path}/{ours}/bias", "(h c) -> h c")
    yield from layer(f"{name}.{out}", f"{path}/o", f"d (h c){names.axes} -> h c d")


def _ladder(side: str, names: Names, levels: Sequence[str], depth: int) -> Iterator[Rule]:
    """What both ways have. levels: their published names, the finest first."""
    yield from (*conv(f"{side}.conv_in", f"{side}/in"), *conv(f"{side}.conv_out", f"{side}/out"))
    yield from norm(f"{side}.{names.norm}", f"{side}/norm")
    for k, name in enumerate(names.middle):  # either kind of piece: a rule for what is not there does nothing
        for rules in (block, attention):
            yield from rules(f"{side}.{name}", f"{side}/middle_{k}", names)
    for level, name in enumerate(levels):
        for i in range(depth):
            yield from block(f"{side}.{name}.{names.block.format(i=i)}", f"{side}/level_{level}_block_{i}", names)
            at = f"{side}.{name}.{names.attention.format(i=i)}"
            yield from attention(at, f"{side}/level_{level}_attention_{i}", names)
