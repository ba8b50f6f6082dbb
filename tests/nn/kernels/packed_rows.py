"""Rows of packed interleaved documents, made at random, for the tests of the kernels."""

import numpy as np

from unified_jax.core.sequence import Slots


def packed(rng: np.random.Generator, documents: list[list[tuple[str, int]]], *, length: int) -> Slots:
    """One row [1 T] of documents, each a list of (kind, slots); what does not fit is cut off, the tail stays empty.

    kind: "text" counts block ids up; "clean" is one image, "noised" the same as a private copy, whose place in the
      sequence the next span takes again.
    """
    doc, block, private, index = (np.zeros(length, np.int32) for _ in range(4))
    start = 0
    for number, spans in enumerate(documents, 1):
        next_block, next_index = 0, int(rng.integers(0, 3))
        for kind, size in spans:
            here = slice(start, min(start + size, length))
            n = here.stop - here.start
            doc[here], private[here] = number, kind == "noised"
            block[here] = next_block + (np.arange(n) if kind == "text" else 0)
            index[here] = next_index + np.arange(n)
            next_block += n if kind == "text" else 1
            next_index += 0 if kind == "noised" else n
            start = here.stop
    pos = np.stack([index, np.zeros_like(index), np.zeros_like(index)], -1)
    return Slots(doc[None], block[None], private[None].astype(bool), pos[None])


def random_documents(rng: np.random.Generator, *, count: int, text: int, image: int) -> list[list[tuple[str, int]]]:
    """``count`` documents of up to three texts of at most ``text`` slots, each followed by no image, a clean one, a
    noised one, or both copies."""
    choices = [[], ["clean"], ["noised"], ["noised", "clean"]]
    documents = []
    for _ in range(count):
        spans = []
        for _ in range(rng.integers(1, 4)):
            spans.append(("text", int(rng.integers(1, text + 1))))
            spans += [(kind, image) for kind in choices[rng.integers(4)]]
        documents.append(spans)
    return documents


def random_rows(rng: np.random.Generator, *, batch: int, length: int, text: int = 20, image: int = 16) -> Slots:
    """``batch`` rows of random documents."""
    documents = [random_documents(rng, count=6, text=text, image=image) for _ in range(batch)]
    rows = [packed(rng, some, length=length) for some in documents]
    return Slots(*(np.concatenate([getattr(row, name) for row in rows]) for name in ("doc", "block", "private", "pos")))


def sixty_four_documents(rng: np.random.Generator, *, length: int = 32768, image: int = 1024) -> Slots:
    """64 packed documents that fill one row: all have text, some an image as a clean, a noised, or both copies."""
    images = [[] for _ in range(64)]
    room = length // image * 5 // 8  # the rest is text
    while room:
        kinds = [["clean"], ["noised"], ["noised", "clean"]][rng.integers(3)]
        if len(kinds) <= room:
            images[rng.integers(64)] += kinds
            room -= len(kinds)
    left = length - image * sum(map(len, images))
    cuts = np.sort(rng.choice(np.arange(1, left), 63, replace=False))
    texts = np.diff(np.concatenate([[0], cuts, [left]]))
    documents = []
    for text, kinds in zip(texts, images, strict=True):
        before = int(rng.integers(1, text + 1))
        spans = [("text", before), *((kind, image) for kind in kinds), ("text", int(text) - before)]
        documents.append(spans)
    return packed(rng, documents, length=length)
