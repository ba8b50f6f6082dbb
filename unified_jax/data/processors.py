"""The published image processors by name: the fields they have where a file is silent, and how they read them.

whole picture                       resize, crop                    CLIP, DINOv2 (Bit), BLIP, Chameleon
whole picture, whatever its shape   resize                          SigLIP
in proportion                       resize to a number of patches   SigLIP 2, Emu3, Qwen2-VL
in proportion, in a square          resize, pad                     Janus, as its repository too; LLaVA pads first
smaller where it is too large       resize, pad to whole patches    Fuyu
small, and large in tiles           tiles                           LLaVA-OneVision
"""

import dataclasses
from collections.abc import Callable, Mapping, Sequence
from functools import partial
from typing import Any

from PIL import Image

from unified_jax.data.picture_size import Size, at_most, longest_edge, most_patches, size_of, whole_blocks
from unified_jax.data.picture_steps import CenterCrop, PadBehind, PadSquare, Resize, Step, Tiles

Fields = Mapping[str, Any]


def plain(config: Fields) -> list[Step]:
    """Resize, crop. Raises ValueError for a processor that is to pad, which none of this kind does."""
    if config.get("do_pad"):
        raise ValueError("do_pad true: no known image processor of this kind pads pictures")
    return [*resize(config), *crop(config)]


def pad_first(config: Fields) -> list[Step]:
    """A square, resize, crop."""
    return [*square(config), *resize(config), *crop(config)]


def pad_last(config: Fields) -> list[Step]:
    """Resize so that the longer side fits, a square."""
    size = partial(longest_edge, size=_side(config), least=config["min_size"])
    return [*resize(config, size), *square(config)]


def pad_last_to(config: Fields) -> list[Step]:
    """The same, of a config that gives the side of the square alone."""
    side = config["image_size"]
    return pad_last({**config, "size": {"height": side, "width": side}})


def pad_behind(config: Fields) -> list[Step]:
    """No larger than a size, then whole patches."""
    step, most = (size_of(config[key], square=True)(0, 0) for key in ("patch_size", "size"))
    padding = [PadBehind(step, config["padding_value"])] if config["do_pad"] else []
    return [*resize(config, partial(at_most, size=most)), *padding]


def patches(config: Fields) -> list[Step]:
    """At most so many patches."""
    return resize(config, most_patches(config["max_num_patches"], config["patch_size"]))


def blocks(config: Fields) -> list[Step]:
    """Whole blocks, their pixels between two numbers. Padding is of the pictures of a batch, which are apart here."""
    size = config["size"]
    least, most = (config.get(f"{edge}_pixels", size.get(name)) for edge, name in EDGES)
    block = config["spatial_factor"] if "spatial_factor" in config else config["patch_size"] * config["merge_size"]
    return resize(config, partial(whole_blocks, block=block, least=least, most=most))


def tiles(config: Fields) -> list[Step]:
    """Any resolution of ``image_grid_pinpoints``. Raises ValueError for one that is not whole tiles."""
    side, resolutions = _side(config), tuple(map(tuple, config["image_grid_pinpoints"]))
    if unfit := [size for size in resolutions if size[0] % side or size[1] % side]:
        raise ValueError(f"image_grid_pinpoints {list(unfit[0])}: not whole tiles of {side}x{side}")
    return [Tiles(side, resolutions, Image.Resampling(config["resample"]))]


def resize(config: Fields, size: Size | None = None) -> list[Step]:
    """To ``size``, or else to what the config says; nothing where it says no."""
    if not config["do_resize"]:
        return []
    size = size or size_of(config["size"], square=config["default_to_square"])
    return [Resize(size, Image.Resampling(config["resample"]))]


def crop(config: Fields) -> list[Step]:
    """The middle, where the config says so."""
    return [CenterCrop(*size_of(config["crop_size"], square=True)(0, 0))] if config.get("do_center_crop") else []


def square(config: Fields) -> list[Step]:
    """Around the picture the mean colour, where the config says so."""
    return [PadSquare(tuple(int(255 * x) for x in config["image_mean"]))] if config["do_pad"] else []


def _side(config: Fields) -> int:
    """Of a square. Raises ValueError for a size of unequal sides."""
    height, width = size_of(config["size"], square=True)(1, 1)
    if height != width:
        raise ValueError(f"size {config['size']}: height and width must be the same")
    return height


@dataclasses.dataclass(frozen=True)
class Processor:
    """steps: of a config that is complete, without rescaling and normalising. defaults: of its fields."""

    steps: Callable[[Fields], Sequence[Step]]
    defaults: Fields


EDGES = (("min", "shortest_edge"), ("max", "longest_edge"))
CLIP_MEAN, CLIP_STD = (0.48145466, 0.4578275, 0.40821073), (0.26862954, 0.26130258, 0.27577711)
HALF = (0.5, 0.5, 0.5)
BICUBIC, BILINEAR, LANCZOS = map(int, (Image.Resampling.BICUBIC, Image.Resampling.BILINEAR, Image.Resampling.LANCZOS))
COMMON = {
    "do_resize": True,
    "do_rescale": True,
    "rescale_factor": 1 / 255,
    "do_normalize": True,
    "resample": BICUBIC,
    "default_to_square": False,
    "image_mean": CLIP_MEAN,
    "image_std": CLIP_STD,
}
CLIP = COMMON | {
    "size": {"shortest_edge": 224},
    "do_center_crop": True,
    "crop_size": {"height": 224, "width": 224},
}
SIGLIP = COMMON | {"size": {"height": 224, "width": 224}, "image_mean": HALF, "image_std": HALF}
BLIP = COMMON | {"size": {"height": 384, "width": 384}, "default_to_square": True}
CHAMELEON = COMMON | {
    "resample": LANCZOS,
    "size": {"shortest_edge": 512},
    "do_center_crop": True,
    "crop_size": {"height": 512, "width": 512},
    "rescale_factor": 0.0078,
    "image_mean": (1.0, 1.0, 1.0),
    "image_std": (1.0, 1.0, 1.0),
}
FUYU = COMMON | {
    "resample": BILINEAR,
    "size": {"height": 1080, "width": 1920},
    "do_pad": True,
    "padding_value": 1.0,
    "patch_size": {"height": 30, "width": 30},
    "image_mean": HALF,
    "image_std": HALF,
}
JANUS = COMMON | {"size": {"height": 384, "width": 384}, "min_size": 14, "do_pad": True}
EMU3 = COMMON | {"size": {}, "min_pixels": 512 * 512, "max_pixels": 1024 * 1024, "spatial_factor": 8}
QWEN2_VL = COMMON | {
    "size": {"shortest_edge": 56 * 56, "longest_edge": 28 * 28 * 1280},
    "patch_size": 14,
    "merge_size": 2,
}
ONEVISION = COMMON | {
    "size": {"height": 384, "width": 384},
    "image_grid_pinpoints": [(384 * rows, 384 * columns) for rows in range(1, 7) for columns in range(1, 7)],
}
SIGLIP2 = COMMON | {
    "resample": BILINEAR,
    "patch_size": 16,
    "max_num_patches": 256,
    "image_mean": HALF,
    "image_std": HALF,
}
PROCESSORS: Mapping[str, Processor] = {
    "BitImageProcessor": Processor(plain, CLIP),
    "BlipImageProcessor": Processor(plain, BLIP),
    "ChameleonImageProcessor": Processor(plain, CHAMELEON),
    "CLIPImageProcessor": Processor(plain, CLIP),
    "Emu3ImageProcessor": Processor(blocks, EMU3),
    "FuyuImageProcessor": Processor(pad_behind, FUYU),
    "JanusImageProcessor": Processor(pad_last, JANUS),
    "LlavaImageProcessor": Processor(pad_first, CLIP | {"do_pad": False}),
    "LlavaOnevisionImageProcessor": Processor(tiles, ONEVISION),
    "Qwen2VLImageProcessor": Processor(blocks, QWEN2_VL),
    "Siglip2ImageProcessor": Processor(patches, SIGLIP2),
    "SiglipImageProcessor": Processor(plain, SIGLIP),
    "VLMImageProcessor": Processor(pad_last_to, JANUS),
}
