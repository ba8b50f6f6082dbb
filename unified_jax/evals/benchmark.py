"""Benchmark: documents with known answers, and a grader; one score with its interval."""

import dataclasses
from collections.abc import Callable, Mapping, Sequence
from typing import Any

import jax

from unified_jax.data.document import Document, Part
from unified_jax.data.guard import Source
from unified_jax.evals.interval import Score, proportion
from unified_jax.sampling.generate import generate_batch


@dataclasses.dataclass(frozen=True)
class Benchmark:
    """name: the score's name. title: what the report calls it.

    documents: with their targets filled in by the truth. grade(truth document, produced part) -> right or wrong, or a
    measure where ``score`` makes one figure of measures.
    settings: how to generate, fields of ``sampling.fill.Settings``. quick: how many documents suffice while training.
    make(model, params, prompts, rng=..., **settings) -> documents with their blanks filled.
    """

    name: str
    title: str
    documents: Source
    grade: Callable[[Document, Part], bool | float]
    settings: Mapping[str, Any] = dataclasses.field(default_factory=dict)
    quick: int = 32
    make: Callable[..., Sequence[Document]] = generate_batch
    score: Callable[[Sequence[float]], Score] = proportion


@dataclasses.dataclass(frozen=True)
class Result:
    """A benchmark's outcome: every document as generated, whether it was right or how it measured, and the score."""

    benchmark: Benchmark
    outputs: Sequence[Document]
    correct: Sequence[bool | float]
    score: Score


def same_text(truth: Document, part: Part) -> bool:
    """Grades a text: right when it is the truth to the letter."""
    return part.text == truth.targets[0].text


def run(benchmark: Benchmark, model: Any, params: Any, *, limit: int | None = None, seed: int = 0) -> Result:
    """Has an answer made to every document (the first ``limit``) and grades it."""
    documents = [benchmark.documents[i] for i in range(len(benchmark.documents))[: limit or None]]
    prompts = [document.prompt() for document in documents]
    outputs = benchmark.make(model, params, prompts, rng=jax.random.key(seed), **benchmark.settings)
    correct = [benchmark.grade(truth, made.targets[0]) for truth, made in zip(documents, outputs)]
    return Result(dataclasses.replace(benchmark, documents=documents), outputs, correct, benchmark.score(correct))
