"""Benchmarks of the emoji: names written to the letter, and drawings nearest to their own original of all there are."""

import functools
from collections.abc import Callable, Mapping, Sequence
from typing import Any

import numpy as np

from unified_jax.core.types import Float
from unified_jax.data.document import Document, Part
from unified_jax.data.sources import emoji_assets as assets
from unified_jax.data.sources.emoji import BACKGROUNDS, Emoji
from unified_jax.evals.benchmark import Benchmark, same_text


def benchmarks(
    source: Mapping[str, Any], *, n: int, drawing: Mapping[str, Any], seed: int = 1
) -> tuple[Benchmark, ...]:
    """source: fields of ``Emoji`` that training and test share. n: documents of each benchmark.

    drawing: how to draw, fields of ``sampling.fill.Settings``.
    """

    def documents(split: str, task: str) -> Emoji:
        return Emoji(**{**source, "split": split, "tasks": {task: 1.0}, "seed": seed, "length": n})

    seen, new = "emoji seen in training", "combinations never seen"
    retrieved = nearest(documents("train", "draw").resolution)
    return (
        Benchmark("retrieved_seen", seen, documents("train", "draw"), retrieved, drawing),
        Benchmark("retrieved_new", new, documents("held_out", "draw"), retrieved, drawing),
        Benchmark("name_seen", seen, documents("train", "caption"), same_text),
        Benchmark("name_new", new, documents("held_out", "caption"), same_text),
        Benchmark("edit_retrieved", "results never seen", documents("held_out", "edit"), retrieved, drawing),
    )


def nearest(resolution: int) -> Callable[[Document, Part], bool]:
    """Grades a drawing: right when, of all pictures of its style, its own original has the least squared error.

    All pictures: those trained on, other skin tones of the same person, and what an edit started from, so that
    handing the picture back unchanged is wrong. Chance is one in some thousands.
    """
    gallery = functools.cache(functools.partial(_gallery, resolution))

    def right(truth: Document, part: Part) -> bool:
        ids, pictures = gallery(truth.info["style"], truth.info["background"])
        error = np.square(pictures - part.pixels.reshape(1, -1)).sum(-1)
        return ids[int(error.argmin())] == truth.info["id"]

    return right


def _gallery(resolution: int, style: str, background: str) -> tuple[Sequence[str], Float[np.ndarray, "N P"]]:
    """Ids and pixels of all pictures of a style."""
    ids, colour = tuple(assets.rows(style)), BACKGROUNDS[background]
    pictures = [assets.composite(assets.sprite(style, id, resolution=resolution), colour) for id in ids]
    return ids, np.stack(pictures).reshape(len(ids), -1).astype(np.float32)
