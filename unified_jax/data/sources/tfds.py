"""Any dataset that TensorFlow Datasets has prepared on disk as ArrayRecord, as documents; TensorFlow is not needed.

    source = Tfds(
        "coco_captions", data_dir="/data", split="train",
        to_document=DocumentFrom([ImageFrom("image"), TextFrom("caption", target=True)], info=["id"]),
    )

``tensorflow_datasets`` is imported by this module and ``emoji_tfds`` only, so nobody else needs it installed.
"""

import dataclasses
import operator
import os
from collections.abc import Callable, Mapping, Sequence
from typing import Any

import numpy as np
import tensorflow_datasets as tfds

from unified_jax.data.document import BadRecord, Document, Image, Text

Example = Mapping[str, Any]


@dataclasses.dataclass(frozen=True)
class TextFrom:
    """A text part read from a feature; a list of texts is joined by ", "; ``names`` turns a class number into text."""

    feature: str
    target: bool = False
    names: Sequence[str] | None = None

    def __call__(self, example: Example) -> Text:
        value = _feature(example, self.feature)
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
    """An image part read from a uint8 feature [height width 3], or [height width 1], whose grey is repeated."""

    feature: str
    target: bool = False

    def __call__(self, example: Example) -> Image:
        pixels = np.asarray(_feature(example, self.feature))
        if pixels.dtype != np.uint8 or pixels.ndim != 3 or pixels.shape[-1] not in (1, 3):
            raise BadRecord(f"feature {self.feature!r}: not a picture but {pixels.dtype}{list(pixels.shape)}")
        return Image(np.broadcast_to(pixels, (*pixels.shape[:2], 3)), target=self.target)


@dataclasses.dataclass(frozen=True)
class DocumentFrom:
    """The common ``to_document``: parts in reading order, each read from a feature or the same in every document.

    parts: TextFrom, ImageFrom, or a Text or Image as it is. info: features to copy into the document's info.
    facts: what else the info says, the same for every document.
    Raises ValueError for a feature the dataset lacks, BadRecord for a value that is not what the part needs.
    """

    parts: Sequence[TextFrom | ImageFrom | Text | Image]
    info: Sequence[str] = ()
    facts: Mapping[str, Any] = dataclasses.field(default_factory=dict)

    def __call__(self, example: Example) -> Document:
        parts = [part if isinstance(part, Text | Image) else part(example) for part in self.parts]
        return Document(parts, {**{name: _plain(_feature(example, name)) for name in self.info}, **self.facts})


class Tfds:
    """A random-access source over one split of a prepared dataset.

    name: the dataset as TFDS names it, "name", "name/config" or "name/config:1.0.0". data_dir: where it was prepared.
    split: a TFDS split, slices included: "train", "train[:90%]".
    to_document: what one example, a dict of numpy values, says; a DocumentFrom, or any function (a
      picklable one if Grain is to read in several processes).
    shuffle: a seed for the order of the documents, which training wants: data on disk are often sorted by class. None
      keeps the order on disk.

    Raises FileNotFoundError if the dataset is not on disk, ValueError for a split it lacks or a file format that
    cannot be read at random, each saying what to do. Nothing is ever downloaded or prepared by reading.
    """

    def __init__(
        self,
        name: str,
        *,
        data_dir: str | os.PathLike,
        split: str,
        to_document: Callable[[Example], Document],
        shuffle: int | None = None,
    ):
        self._description = f"Tfds({name!r}, data_dir={str(data_dir)!r}, split={split!r})"
        self._to_document = to_document
        self._examples = _examples(name, data_dir=os.fspath(data_dir), split=split)
        self._order = None if shuffle is None else np.random.default_rng(shuffle).permutation(len(self._examples))

    def __len__(self) -> int:
        return len(self._examples)

    def __getitem__(self, index: int) -> Document:
        index = operator.index(index)
        if not 0 <= index < len(self):
            raise IndexError(f"index {index} is outside a source of {len(self)} documents")
        return self._to_document(self._examples[index if self._order is None else int(self._order[index])])

    def __repr__(self) -> str:
        return self._description


def _examples(name: str, *, data_dir: str, split: str) -> Sequence[Example]:
    advice = f"tfds.builder({name!r}, data_dir={data_dir!r}, file_format='array_record').download_and_prepare()"
    try:
        builder = tfds.builder(name, data_dir=data_dir)
    except tfds.core.DatasetNotFoundError:
        raise FileNotFoundError(f"no dataset {name!r} under {data_dir!r}; prepare it once: {advice}") from None
    except ValueError as error:
        raise ValueError(f"TFDS cannot open {name!r}: {str(error).splitlines()[0]}") from error
    if not builder.is_prepared():
        raise FileNotFoundError(f"dataset {name!r} is not prepared under {data_dir!r}; prepare it once: {advice}")
    try:
        return builder.as_data_source(split=split)
    except NotImplementedError:
        found = builder.info.file_format.value
        raise ValueError(
            f"dataset {name!r} is on disk as {found}, not ArrayRecord; prepare it anew: {advice}"
        ) from None
    except ValueError as error:
        splits = ", ".join(builder.info.splits)
        raise ValueError(f"dataset {name!r} has no split {split!r}; it has {splits}") from error


def _feature(example: Example, name: str) -> Any:
    if name not in example:
        raise ValueError(f"the dataset has no feature {name!r}; it has {', '.join(example)}")
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
