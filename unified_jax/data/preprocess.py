"""Preprocessing: a picture as a published encoder wants it, from its ``preprocessor_config.json``.

    resize, crop, rescale, normalise: uint8 [H W 3] -> float32 [h w 3], (pixels / 255 - mean) / std

Resizing is Pillow's, which antialiases, as in the published processors that the encoders were trained with.
"""

import dataclasses
from collections.abc import Callable, Mapping, Sequence
from pathlib import Path
from typing import Any

import numpy as np
from PIL import Image

from unified_jax.core.files import read_json
from unified_jax.core.types import Float, Shaped
from unified_jax.data.picture_size import Size, most_patches, size_of

Step = Callable[[np.ndarray], np.ndarray]


@dataclasses.dataclass(frozen=True)
class Resize:
    """To the size that ``size`` gives for (height, width)."""

    size: Size
    filter: Image.Resampling

    def __call__(self, pixels: Shaped[np.ndarray, "H W 3"]) -> Shaped[np.ndarray, "h w 3"]:
        height, width = self.size(*pixels.shape[:2])
        return np.asarray(Image.fromarray(pixels).resize((width, height), self.filter))


@dataclasses.dataclass(frozen=True)
class CenterCrop:
    """The middle; black around what is smaller."""

    height: int
    width: int

    def __call__(self, pixels: Shaped[np.ndarray, "H W 3"]) -> Shaped[np.ndarray, "h w 3"]:
        cut = np.zeros((self.height, self.width, pixels.shape[-1]), pixels.dtype)
        rows, columns = (_overlap(*sides) for sides in zip(pixels.shape, cut.shape[:2]))
        cut[rows[1], columns[1]] = pixels[rows[0], columns[0]]
        return cut


@dataclasses.dataclass(frozen=True)
class Affine:
    """(pixels * factor - mean) / std, float32."""

    factor: float
    mean: tuple[float, ...] = (0.0, 0.0, 0.0)
    std: tuple[float, ...] = (1.0, 1.0, 1.0)

    def __call__(self, pixels: Shaped[np.ndarray, "H W 3"]) -> Float[np.ndarray, "H W 3"]:
        mean, std = np.asarray(self.mean, np.float32), np.asarray(self.std, np.float32)
        return (pixels.astype(np.float32) * np.float32(self.factor) - mean) / std


@dataclasses.dataclass(frozen=True)
class Preprocess:
    """The steps in order."""

    steps: Sequence[Step]

    def __call__(self, pixels: np.ndarray) -> Float[np.ndarray, "h w 3"]:
        """Raises ValueError for anything but uint8 [H W 3], which is what ``read_picture`` gives."""
        if pixels.dtype != np.uint8 or pixels.ndim != 3 or pixels.shape[-1] != 3 or not pixels.size:
            raise ValueError(f"a picture must be uint8 [height width 3], found {pixels.dtype}{list(pixels.shape)}")
        for step in self.steps:
            pixels = step(pixels)
        return pixels


def open_preprocess(folder: str | Path) -> Preprocess:
    """Of the ``preprocessor_config.json`` in a folder. Raises FileNotFoundError, or ValueError as ``preprocess_of``."""
    path = Path(folder) / "preprocessor_config.json"
    if not path.is_file():
        raise FileNotFoundError(f"{folder}: it has no {path.name}")
    return preprocess_of(read_json(path))


def preprocess_of(config: Mapping[str, Any]) -> Preprocess:
    """Of the fields of a ``preprocessor_config.json``; what it leaves out is its kind's own default.

    Raises ValueError for a kind, a size or a step that is not known.
    """
    kind = _kind(config)
    if kind not in DEFAULTS:
        raise ValueError(f"unknown image processor {kind!r}; known are {', '.join(DEFAULTS)}")
    config = {**DEFAULTS[kind], **{key: value for key, value in config.items() if value is not None}}
    if config.get("do_pad"):
        raise ValueError("do_pad true: no known image processor pads pictures")
    steps: list[Step] = []
    if config["do_resize"]:
        steps.append(Resize(_target(config), Image.Resampling(config["resample"])))
    if config.get("do_center_crop"):
        steps.append(CenterCrop(*size_of(config["crop_size"], square=True)(0, 0)))
    factor = config["rescale_factor"] if config["do_rescale"] else 1.0
    normalised = (
        dict(mean=_each(config["image_mean"]), std=_each(config["image_std"])) if config["do_normalize"] else {}
    )
    return Preprocess((*steps, Affine(factor, **normalised)))


def _kind(config: Mapping[str, Any]) -> Any:
    """The processor's name without what says which implementation of it, or how early, wrote the file."""
    found = config.get("image_processor_type", config.get("feature_extractor_type"))
    if not isinstance(found, str):
        return found
    return found.removesuffix("Fast").removesuffix("Pil").replace("FeatureExtractor", "ImageProcessor")


def _target(config: Mapping[str, Any]) -> Size:
    if "max_num_patches" in config:
        return most_patches(config["max_num_patches"], config["patch_size"])
    return size_of(config["size"], square=config["default_to_square"])


def _each(value: float | Sequence[float]) -> tuple[float, ...]:
    return (value,) * 3 if isinstance(value, int | float) else tuple(value)


def _overlap(side: int, wanted: int) -> tuple[slice, slice]:
    """Where the middle ``wanted`` of ``side`` is cut from, and where it lies in what is cut."""
    if side >= wanted:
        start = (side - wanted) // 2
        return slice(start, start + wanted), slice(0, wanted)
    # Of an odd rest the larger half lies in front, as in the published processors.
    start = -((side - wanted) // 2)
    return slice(0, side), slice(start, start + side)


CLIP_MEAN, CLIP_STD = (0.48145466, 0.4578275, 0.40821073), (0.26862954, 0.26130258, 0.27577711)
HALF = (0.5, 0.5, 0.5)
COMMON = {"do_resize": True, "do_rescale": True, "rescale_factor": 1 / 255, "do_normalize": True}
BICUBIC, BILINEAR = int(Image.Resampling.BICUBIC), int(Image.Resampling.BILINEAR)
CLIP = COMMON | {
    "resample": BICUBIC,
    "size": {"shortest_edge": 224},
    "default_to_square": False,
    "do_center_crop": True,
    "crop_size": {"height": 224, "width": 224},
    "image_mean": CLIP_MEAN,
    "image_std": CLIP_STD,
}
SIGLIP = COMMON | {
    "resample": BICUBIC,
    "size": {"height": 224, "width": 224},
    "default_to_square": False,
    "image_mean": HALF,
    "image_std": HALF,
}
DEFAULTS: Mapping[str, Mapping[str, Any]] = {
    "BitImageProcessor": CLIP,
    "BlipImageProcessor": SIGLIP
    | {
        "size": {"height": 384, "width": 384},
        "default_to_square": True,
        "image_mean": CLIP_MEAN,
        "image_std": CLIP_STD,
    },
    "CLIPImageProcessor": CLIP,
    "Siglip2ImageProcessor": COMMON
    | {"resample": BILINEAR, "patch_size": 16, "max_num_patches": 256, "image_mean": HALF, "image_std": HALF},
    "SiglipImageProcessor": SIGLIP,
}
