"""The packaged emoji: records, edit pairs and pictures with alpha in three drawing styles.

Sources and licences are in ``assets/emoji/NOTICE`` and ``assets/emoji/licences``. Everything read here is immutable
and kept for the life of the process; a style's pictures are decoded on first use (57 MB for noto, the largest).
"""

import dataclasses
import functools
import gzip
import hashlib
import importlib.resources
import io
import json
import lzma
import threading
from collections.abc import Mapping
from types import MappingProxyType

import numpy as np
import PIL.Image

_FILES = {"noto": "noto_64", "fluent": "fluent_flat_64", "noto_v1": "noto_v1_64"}
_TONES = {"1F3FB": "light", "1F3FC": "medium-light", "1F3FD": "medium", "1F3FE": "medium-dark", "1F3FF": "dark"}
# Two keycaps without their sign, and an arrow for the word UP.
_MISDRAWN = {"noto_v1": ("0023-20E3", "002A-20E3", "1F199")}
_DECODING = threading.Lock()  # Grain's reader threads ask for the first picture all at once: decode it once

STYLES = tuple(_FILES)
SIZE = 64  # pixels on a side, as stored


@dataclasses.dataclass(frozen=True)
class Record:
    """What is known about one emoji.

    id: its code points, "1F469-1F3FD". base: the id of the same picture without skin tone.
    caption: its unique English name. tags: search keywords. category, subcategory: Unicode's groups.
    version: the emoji version that added it.
    """

    id: str
    base: str
    caption: str
    tags: tuple[str, ...]
    category: str
    subcategory: str
    version: float

    @property
    def tones(self) -> tuple[str, ...]:
        """The skin tones, one per person who has one. Read from the id: "medium-light" as a word has two readings."""
        return tuple(_TONES[point] for point in self.id.split("-") if point in _TONES)


@dataclasses.dataclass(frozen=True)
class Edit:
    """A pair of pictures that differ in one respect, ``kind``: the ids before and after."""

    kind: str
    before: str
    after: str


def _asset(name: str) -> bytes:
    return (importlib.resources.files(__package__) / "assets" / "emoji" / name).read_bytes()


def _json(name: str):
    return json.loads(gzip.decompress(_asset(name)))


def notice() -> str:
    """Where the pictures and words come from and under which licences: to be carried with any copy of them."""
    return _asset("NOTICE").decode()


@functools.cache
def records() -> Mapping[str, Record]:
    """Every record by id, in the order of the file."""
    return MappingProxyType({row["id"]: _record(**row) for row in _json("records.json.gz")})


def _record(*, tone: str, tags: list[str], version: str, **fields: str) -> Record:
    del tone  # ambiguous for couples; see Record.tones
    return Record(tags=tuple(tags), version=float(version), **fields)


@functools.cache
def edits() -> tuple[Edit, ...]:
    """Every edit pair of every kind; both ids have records."""
    return tuple(Edit(kind, *pair) for kind, pairs in _json("edits.json.gz").items() for pair in pairs)


@functools.cache
def rows(style: str) -> Mapping[str, int]:
    """Id -> row in ``pictures(style)``, of the pictures worth showing. Raises ValueError for an unknown style.

    A picture that an earlier id has too, pixel for pixel, is left out: noto_v1 draws many a "person" as the "man",
    and such a pair would be an edit without effect and could straddle two splits.
    """
    drawings = pictures(style)
    ids = records() if style == "noto" else _json(f"{_FILES[style]}.ids.json.gz")
    shown = {}
    for row, id in enumerate(ids):
        if id not in _MISDRAWN.get(style, ()):
            shown.setdefault(hashlib.blake2b(drawings[row], digest_size=16).digest(), (id, row))
    return MappingProxyType(dict(shown.values()))


@functools.cache
def _decode(style: str) -> np.ndarray:
    pixels = np.load(io.BytesIO(lzma.decompress(_asset(f"{_FILES[style]}.npy.xz"))))
    pixels.setflags(write=False)
    return pixels


def pictures(style: str) -> np.ndarray:
    """All pictures of a style: uint8 [N 64 64 4], straight alpha, read-only. Raises ValueError for an unknown style."""
    if style not in _FILES:
        raise ValueError(f"unknown emoji style {style!r}: choose among {', '.join(STYLES)}")
    with _DECODING:
        return _decode(style)


def sprite(style: str, id: str, *, resolution: int = SIZE) -> np.ndarray:
    """One picture with its colours multiplied by its alpha, ready to composite: uint8 [resolution resolution 4].

    Smaller than 64 pixels by a box filter, larger by a bicubic one, both of premultiplied colours so that
    transparent pixels do not bleed. Raises ValueError for an unknown style, KeyError for an id the style lacks.
    """
    image = PIL.Image.fromarray(pictures(style)[rows(style)[id]]).convert("RGBa")
    if resolution != SIZE:
        resampling = PIL.Image.Resampling.BOX if resolution < SIZE else PIL.Image.Resampling.BICUBIC
        image = image.resize((resolution, resolution), resampling)
    return np.asarray(image)


def composite(sprite: np.ndarray, background: tuple[int, int, int]) -> np.ndarray:
    """A premultiplied sprite, uint8 [H W 4], over a flat sRGB colour: uint8 [H W 3]."""
    uncovered = 255 - sprite[..., 3:].astype(np.uint16)
    behind = (uncovered * np.asarray(background, np.uint16) + 127) // 255
    # Bicubic overshoot and rounding can exceed white.
    return np.minimum(sprite[..., :3] + behind, 255).astype(np.uint8)
