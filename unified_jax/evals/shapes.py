"""Benchmarks of the shapes world: drawings read back exactly, captions parsed, answers compared."""

from collections.abc import Mapping
from typing import Any

from unified_jax.data.document import Document, Part
from unified_jax.data.sources.shapes import Shapes, World, parse_caption
from unified_jax.data.sources.shapes.numbered import Numbered
from unified_jax.evals.benchmark import Benchmark, same_text
from unified_jax.evals.distinct import Distinct
from unified_jax.evals.graders.shapes import grade


def benchmarks(world: World, *, n: int, drawing: Mapping[str, Any], seed: int = 1) -> tuple[Benchmark, ...]:
    """The scores of the demo, on combinations held out of training.

    n: most documents of each benchmark, all different: there are only so many scenes of one object, 86 in the default
      world. drawing: settings of the pictures.
    """

    def held_out(name: str, title: str, tasks: Mapping[str, float], **settings: Any) -> Benchmark:
        source = Shapes(world=world, split="held_out", tasks=tasks, seed=seed)
        return Benchmark(name, title, Distinct(source, n), GRADES[next(iter(tasks)).partition("/")[0]](world), settings)

    never = "combinations never trained on"
    return (
        held_out("caption_exact", f"one object, {never}", {"caption/1": 1}),
        held_out("image_exact", f"one object, {never}", {"draw/1": 1}, **drawing),
        held_out("answer_exact", f"one object, {never}", {"question/1": 1}),
        held_out("caption_exact_two", f"two objects, {never}", {"caption/2": 1}),
        held_out("image_exact_two", f"two objects, {never}", {"draw/2": 1}, **drawing),
        held_out("answer_exact_two", f"two objects, {never}", {"question/2": 1}),
        held_out("edit_exact", f"edits, {never}", {"edit/1": 1, "edit/2": 2}, **drawing),
    )


def numbered(world: World, *, n: int, drawing: Mapping[str, Any], seed: int = 1) -> tuple[Benchmark, ...]:
    """The score of a system that draws scenes by their number: of those trained on, as a number says nothing else."""
    source = Distinct(Numbered(Shapes(world=world, tasks={"draw/1": 1}, seed=seed)), n)
    return (Benchmark("image_exact", "one object, by its number", source, _drawn(world), drawing),)


def _drawn(world: World):
    return lambda truth, part: grade(truth.info["scene"], part.pixels, world)


def _described(world: World):
    def right(truth: Document, part: Part) -> bool:
        return parse_caption(part.text, world) == truth.info["scene"]

    return right


GRADES = {"draw": _drawn, "edit": _drawn, "caption": _described, "question": lambda world: same_text}
