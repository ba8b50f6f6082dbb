"""Any dataset that TensorFlow Datasets has prepared on disk as ArrayRecord, as documents; TensorFlow is not needed.

    source = Tfds(
        "coco_captions", data_dir="/data", split="train",
        to_document=DocumentFrom([ImageFrom("image"), TextFrom("caption", target=True)], info=["id"]),
    )

``tensorflow_datasets`` is imported by this module and ``emoji_tfds`` only, so nobody else needs it installed.
"""

import operator
import os
from collections.abc import Callable, Sequence

import numpy as np
import tensorflow_datasets as tfds

from unified_jax.data.document import Document
from unified_jax.data.sources.example import Example


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
