"""Preprocessing: a picture as a published encoder wants it, from its ``preprocessor_config.json``.

    resize, crop, rescale, normalise: uint8 [H W 3] -> float32 [h w 3], (pixels / 255 - mean) / std

Some make several pictures of one, [N h w 3]: ``processors.py`` says which.
"""

import dataclasses
from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Any

import numpy as np

from unified_jax.core.files import read_json
from unified_jax.core.types import Float
from unified_jax.data.picture_steps import Affine, Step
from unified_jax.data.processors import PROCESSORS


@dataclasses.dataclass(frozen=True)
class Preprocess:
    """The steps in order."""

    steps: Sequence[Step]

    def __call__(self, pixels: np.ndarray) -> Float[np.ndarray, "*N h w 3"]:
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
    if kind not in PROCESSORS:
        raise ValueError(f"unknown image processor {kind!r}; known are {', '.join(PROCESSORS)}")
    processor = PROCESSORS[kind]
    config = {**processor.defaults, **{key: value for key, value in config.items() if value is not None}}
    factor = config["rescale_factor"] if config["do_rescale"] else 1.0
    normalised = (
        dict(mean=_each(config["image_mean"]), std=_each(config["image_std"])) if config["do_normalize"] else {}
    )
    return Preprocess((*processor.steps(config), Affine(factor, **normalised)))


def _kind(config: Mapping[str, Any]) -> Any:
    """The processor's name without what says which implementation of it, or how early, wrote the file."""
    found = config.get("image_processor_type", config.get("feature_extractor_type"))
    if not isinstance(found, str):
        return found
    return found.removesuffix("Fast").removesuffix("Pil").replace("FeatureExtractor", "ImageProcessor")


def _each(value: float | Sequence[float]) -> tuple[float, ...]:
    return (value,) * 3 if isinstance(value, int | float) else tuple(value)
