"""Benchmarks of the emoji: names written, and drawings that must be nearest to their own original."""

from collections.abc import Mapping
from typing import Any

import numpy as np

from unified_jax.data.document import Document, Part
from unified_jax.data.guard import Source
from unified_jax.data.sources.emoji import Emoji
from unified_jax.evals.benchmark import Benchmark, same_text


def benchmarks(
    source: Mapping[str, Any], *, n: int, drawing: Mapping[str, Any], gallery: int = 100, seed: int = 1
) -> tuple[Benchmark, ...]:
    """source: fields of ``Emoji`` that training and test share. gallery: how many pictures each drawing must be told
    apart from, drawn at random from the same split; chance is 1 / gallery.
    """

    def documents(split: str, task: str) -> Emoji:
        return Emoji(**{**source, "split": split, "tasks": {task: 1.0}, "seed": seed, "length": n})

    def drawn(name: str, title: str, shown: Emoji) -> Benchmark:
        return Benchmark(name, title, shown, _nearest(shown, gallery, seed), drawing)

    seen, new = "emoji seen in training", "combinations never seen"
    return (
        drawn("retrieved_seen", seen, documents("train", "draw")),
        drawn("retrieved_new", new, documents("held_out", "draw")),
        Benchmark("name_seen", seen, documents("train", "caption"), same_text),
        Benchmark("name_new", new, documents("held_out", "caption"), same_text),
        drawn("edit_retrieved", "edits never seen", documents("held_out", "edit")),
    )


def _nearest(documents: Source, gallery: int, seed: int):
    """Right when, of the truth and ``gallery`` - 1 other originals, the truth is nearest in mean squared pixels."""
    originals = _originals(documents)

    def right(truth: Document, part: Part) -> bool:
        rng = np.random.default_rng([seed, _digest(truth.info["id"])])
        others = [name for name in sorted(originals) if name != truth.info["id"]]
        chosen = rng.permutation(len(others))[: gallery - 1]
        own = _distance(part.pixels, truth.targets[0].pixels)
        return all(own < _distance(part.pixels, originals[others[i]]) for i in chosen)

    return right


def _originals(documents: Source) -> dict[str, np.ndarray]:
    pictures = (documents[i] for i in range(len(documents)))
    return {document.info["id"]: document.targets[0].pixels for document in pictures if document.targets}


def _distance(a: np.ndarray, b: np.ndarray) -> float:
    return float(np.square(a.astype(np.float32) - b).mean())


def _digest(name: str) -> int:
    return int.from_bytes(name.encode()[-8:], "big")
