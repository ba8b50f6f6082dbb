"""Examples: named values, as a data set stores them, and the common way from them to a document.

    DocumentFrom([ImageFrom("picture"), Text("What is this?"), TextFrom("name", target=True)], info=["id"])

A picture may be stored as pixels, as the bytes of a file, as {"bytes", "path"} (Hugging Face's layout), or as a path.
"""

import dataclasses
import io
import operator
from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Any

import numpy as np

from unified_jax.core.types import Shaped
from unified_jax.data.document import BadRecord, Document, Image, Text
from unified_jax.data.picture import read_picture

Example = Mapping[str, Any]


@dataclasses.dataclass(frozen=True)
class TextFrom:
    """A text part read from a feature; a list of texts is joined by ", "; ``names`` turns a class number into text."""

    feature: str
    target: bool = False
    names: Sequence[str] | None = None

    def __call__(self, example: Example) -> Text:
        value = _feature(example, self.feature)
        if value is None:
            raise BadRecord(f"feature {self.feature!r} is empty")
        if self.names is not None:
            value = self._name(value)
        return Text(_text(value), target=self.target)

    def _name(self, value: Any) -> str:
        number = operator.index(value)
        if not 0 <= number < len(self.names):
            raise BadRecord(f"feature {self.feature!r}: class {number} is outside the {len(self.names)} names")
        return self.names[number]


@dataclasses.dataclass(frozen=True)
class ImageFrom:
    """An image part read from a feature, in any form of ``pixels_of``. folder: where its paths begin."""

    feature: str
    target: bool = False
    folder: str | Path = ""

    def __call__(self, example: Example) -> Image:
        try:
            pixels = pixels_of(_feature(example, self.feature), example, folder=self.folder)
        except BadRecord as error:
            raise BadRecord(f"feature {self.feature!r}: {error}") from None
        return Image(pixels, target=self.target)


@dataclasses.dataclass(frozen=True)
class DocumentFrom:
    """The common ``to_document``: parts in reading order, each read from a feature or the same in every document.

    parts: TextFrom, ImageFrom, or a Text or Image as it is. info: features to copy into the document's info.
    facts: what else the info says, the same for every document.
    Raises BadRecord for a feature that is missing, or a value that is not what the part needs.
    """

    parts: Sequence[TextFrom | ImageFrom | Text | Image]
    info: Sequence[str] = ()
    facts: Mapping[str, Any] = dataclasses.field(default_factory=dict)

    def __call__(self, example: Example) -> Document:
        parts = [part if isinstance(part, Text | Image) else part(example) for part in self.parts]
        return Document(parts, {**{name: _plain(_feature(example, name)) for name in self.info}, **self.facts})


def pixels_of(value: Any, example: Example, *, folder: str | Path) -> Shaped[np.ndarray, "H W 3"]:
    """A stored picture as uint8 [H W 3].

    value: uint8 [H W 3], or [H W 1], whose grey is repeated; a picture file's bytes; {"bytes", "path"}, either of
      which may be missing; the name of another value of the example that is one of these; or a path from ``folder``.
    Raises BadRecord for anything else, and for a picture that is missing or damaged.
    """
    if isinstance(value, Mapping):
        value = value.get("bytes") or value.get("path")
    if isinstance(value, str) and isinstance(example.get(value), bytes):
        value = example[value]
    if isinstance(value, str | bytes):
        return _read(_Named(value) if isinstance(value, bytes) else Path(folder, value))
    pixels = np.asarray(value)
    if pixels.dtype != np.uint8 or pixels.ndim != 3 or pixels.shape[-1] not in (1, 3):
        raise BadRecord(f"not a picture but {pixels.dtype}{list(pixels.shape)}")
    return np.broadcast_to(pixels, (*pixels.shape[:2], 3))


class _Named(io.BytesIO):
    """The bytes of a file, with what messages call it."""

    name = "the picture"

    def __repr__(self) -> str:
        return self.name


def _read(source: Path | io.BytesIO) -> Shaped[np.ndarray, "H W 3"]:
    try:
        return read_picture(source)
    except (FileNotFoundError, ValueError) as error:
        raise BadRecord(str(error)) from None


def _feature(example: Example, name: str) -> Any:
    if name not in example:
        raise BadRecord(f"there is no feature {name!r}; it has {', '.join(example)}")
    return example[name]


def _plain(value: Any) -> Any:
    """Bytes and numpy scalars, at any depth of sequences, as Python's own values."""
    if isinstance(value, bytes):
        return value.decode()
    if isinstance(value, np.ndarray | np.generic):
        return _plain(value.tolist())
    return [_plain(item) for item in value] if isinstance(value, list | tuple) else value


def _text(value: Any) -> str:
    value = _plain(value)
    return ", ".join(map(str, value)) if isinstance(value, list) else str(value)
