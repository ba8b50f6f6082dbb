"""Names of the published video codecs of Wan and Qwen-Image, and the parameters of our causal ladders."""

from unified_jax.interop.pairs import layer
from unified_jax.interop.rules import Rule

CONV, FRAME, PRODUCT = "o i t h w -> t h w i o", "o i h w -> h w i o", "o i 1 1 1 -> i o"


def plain_rules(*, levels: int, depth: int) -> tuple[Rule, ...]:
    """Wan 2.1: the encoder's blocks and steps are one numbered row. depth: ResBlocks of a level of the encoder."""
    down = "encoder.down_blocks"
    rules = []
    for level in range(levels):
        row = level * (depth + 1)
        rules += _blocks([f"{down}.{row + i}" for i in range(depth)], f"encoder/level_{level}")
        rules += _step(f"{down}.{row + depth}", f"encoder/step_{level}")
        up = f"decoder.up_blocks.{levels - 1 - level}"
        rules += _blocks([f"{up}.resnets.{i}" for i in range(depth + 1)], f"decoder/level_{level}")
        rules += _step(f"{up}.upsamplers.0", f"decoder/step_{level - 1}")
    return (*rules, *_ENDS)


def bridged_rules(*, levels: int, depth: int) -> tuple[Rule, ...]:
    """Wan 2.2: every level of both ways holds its blocks and its step."""
    rules = []
    for level in range(levels):
        down, up = f"encoder.down_blocks.{level}", f"decoder.up_blocks.{levels - 1 - level}"
        rules += _blocks([f"{down}.resnets.{i}" for i in range(depth)], f"encoder/level_{level}")
        rules += _step(f"{down}.downsampler", f"encoder/step_{level}")
        rules += _blocks([f"{up}.resnets.{i}" for i in range(depth + 1)], f"decoder/level_{level}")
        rules += _step(f"{up}.upsampler", f"decoder/step_{level - 1}")
    return (*rules, *_ENDS)


def _block(name: str, path: str) -> list[Rule]:
    return [
        Rule(f"{name}.norm1.gamma", f"{path}/norm_in/scale", "c 1 1 1 -> c"),
        *layer(f"{name}.conv1", f"{path}/conv_in", CONV),
        Rule(f"{name}.norm2.gamma", f"{path}/norm_out/scale", "c 1 1 1 -> c"),
        *layer(f"{name}.conv2", f"{path}/conv_out", CONV),
        *layer(f"{name}.conv_shortcut", f"{path}/shortcut", PRODUCT),
    ]


def _blocks(names: list[str], path: str) -> list[Rule]:
    return [rule for i, name in enumerate(names) for rule in _block(name, f"{path}_block_{i}")]


def _step(name: str, path: str) -> list[Rule]:
    frame, time = f"{path}_0/frame/conv", f"{path}_1/conv"
    return [*layer(f"{name}.resample.1", frame, FRAME), *layer(f"{name}.time_conv", time, CONV)]


def _attention(name: str, path: str) -> list[Rule]:
    heads = [f"{path}/{each}" for each in "qkv"]
    return [
        Rule(f"{name}.norm.gamma", f"{path}/norm/scale", "c 1 1 -> c"),
        Rule(f"{name}.to_qkv.weight", tuple(f"{x}/kernel" for x in heads), "(three h c) d 1 1 -> three d h c"),
        Rule(f"{name}.to_qkv.bias", tuple(f"{x}/bias" for x in heads), "(three h c) -> three h c"),
        *layer(f"{name}.proj", f"{path}/o", "d (h c) 1 1 -> h c d"),
    ]


def _ends(way: str) -> list[Rule]:
    return [
        *layer(f"{way}.conv_in", f"{way}/in", CONV),
        *_block(f"{way}.mid_block.resnets.0", f"{way}/middle_0"),
        *_attention(f"{way}.mid_block.attentions.0", f"{way}/middle_1"),
        *_block(f"{way}.mid_block.resnets.1", f"{way}/middle_2"),
        Rule(f"{way}.norm_out.gamma", f"{way}/norm/scale", "c 1 1 1 -> c"),
        *layer(f"{way}.conv_out", f"{way}/out", CONV),
    ]


_ENDS = (
    *_ends("encoder"),
    *_ends("decoder"),
    *layer("quant_conv", "to_moments", PRODUCT),
    *layer("post_quant_conv", "from_latents", PRODUCT),
)
