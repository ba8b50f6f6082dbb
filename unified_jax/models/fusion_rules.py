"""What the files of ``fusion.py`` call the parameters between patches and states; nobody has published any."""

from collections.abc import Iterator, Mapping
from typing import Any

from unified_jax.interop.pairs import dense, layer, norm
from unified_jax.interop.rules import Rule


def linear_rules() -> Iterator[Rule]:
    """Of the affine maps."""
    yield from dense("patch_in", "embed_image/in")
    yield from dense("time_embedder.0", "embed_image/time_in")
    yield from dense("time_embedder.2", "embed_image/time_out")
    yield from dense("patch_out", "heads_image/out")


def unet_rules(config: Mapping[str, Any]) -> Iterator[Rule]:
    """Of the halves of a U-Net."""
    levels, depth = len(config["block_out_channels"]), config["layers_per_block"]
    down, up = "embed_image/down", "heads_image/up"
    yield from dense("unet_down.time_embedder.0", f"{down}/time/up")
    yield from dense("unet_down.time_embedder.2", f"{down}/time/down")
    yield from _conv("unet_down.conv_in", f"{down}/in")
    yield from dense("unet_down.proj_out", "embed_image/in")
    yield from dense("unet_up.proj_in", "heads_image/out")
    yield from norm("unet_up.norm_out", f"{up}/norm")
    yield from _conv("unet_up.conv_out", f"{up}/out")
    for level in range(levels):
        if level:
            yield from _conv(f"unet_down.levels.{level}.downsample", f"{down}/down_{level}/conv")
            yield from _conv(f"unet_up.levels.{level}.upsample", f"{up}/up_{level}/conv")
        for name, path, blocks in (("unet_down", down, depth), ("unet_up", up, depth + 1)):
            for i in range(blocks):
                yield from _block(f"{name}.levels.{level}.resnets.{i}", f"{path}/level_{level}_block_{i}")


def _block(name: str, path: str) -> Iterator[Rule]:
    for number, which in enumerate(("in", "out"), 1):
        yield from norm(f"{name}.norm{number}", f"{path}/norm_{which}")
        yield from _conv(f"{name}.conv{number}", f"{path}/conv_{which}")
    yield from dense(f"{name}.conv_shortcut", f"{path}/shortcut")


def _conv(name: str, path: str) -> tuple[Rule, Rule]:
    return layer(name, path, "o i p q -> p q i o")
