"""Distinct documents: none twice, in the order of the source, and no more than there are."""

from unified_jax.data.sources.shapes import Shapes, combinations
from unified_jax.data.sources.shapes.scene import World
from unified_jax.evals.distinct import Distinct


def test_every_scene_of_one_object_is_drawn_once():
    documents = Distinct(Shapes(split="held_out", tasks={"draw/1": 1}), 256)
    scenes = [document.info["scene"] for document in documents]
    assert len(scenes) == len(set(scenes)) == len(combinations(World(), "held_out"))


def test_no_question_about_the_same_picture_is_asked_twice():
    documents = Distinct(Shapes(split="held_out", tasks={"question/1": 1}), 60)
    asked = {(document.info["scene"], document[1].text) for document in documents}
    assert len(asked) == len(documents) == 60


def test_the_order_is_that_of_the_source():
    source = Shapes(split="held_out", tasks={"caption/2": 1})
    first = [document.info["scene"] for document in Distinct(source, 5)]
    assert first == [source[i].info["scene"] for i in range(5)]
