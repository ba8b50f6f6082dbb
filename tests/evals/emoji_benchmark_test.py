"""The emoji's grader of drawings: its own original is right, its nearest relatives are not."""

import numpy as np
import pytest

from unified_jax.data.document import Image
from unified_jax.data.sources.emoji import Emoji
from unified_jax.evals import emoji as evals


@pytest.fixture(scope="module")
def grade():
    return evals.nearest(16)


@pytest.fixture(scope="module")
def edits():
    return [Emoji(resolution=16, tasks={"edit": 1.0}, kinds=("skin tone",))[i] for i in range(8)]


def test_the_original_is_right_also_under_noise(grade, edits):
    rng = np.random.default_rng(0)
    for document in edits:
        pixels = document[-1].pixels
        assert grade(document, document[-1])
        noisy = np.clip(pixels + rng.normal(0, 8, pixels.shape), 0, 255)
        assert grade(document, Image(noisy.astype(np.uint8)))


def test_another_skin_tone_and_an_edit_that_changes_nothing_are_wrong(grade, edits):
    for document in edits:
        assert not grade(document, document[0])


def test_a_flat_picture_is_wrong(grade, edits):
    assert not any(grade(document, Image(np.full((16, 16, 3), 255, np.uint8))) for document in edits)


def test_benchmarks_share_no_picture_between_seen_and_never_seen():
    source = dict(resolution=16, holdout="combinations", styles=("noto",))
    sets = {b.name: b for b in evals.benchmarks(source, n=40, drawing={})}
    ids = {name: {b.documents[i].info["id"] for i in range(40)} for name, b in sets.items()}
    assert not ids["retrieved_seen"] & ids["retrieved_new"]
    assert not ids["name_seen"] & (ids["name_new"] | ids["edit_retrieved"])
