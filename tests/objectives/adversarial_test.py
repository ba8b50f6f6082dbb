"""The games, R1 and LeCam as the papers write them; distillation against loops over places."""

import jax.numpy as jnp
import numpy as np
import pytest

from unified_jax.core.alignment import Alignment
from unified_jax.core.sequence import Payload
from unified_jax.core.verdict import Verdict
from unified_jax.objectives.adversarial import GAMES, Fool, Tell
from unified_jax.objectives.distil import Distil
from unified_jax.objectives.judged import Judged

RNG = np.random.default_rng(0)
REAL, MADE = RNG.normal(size=(2, 2, 3, 3)).astype(np.float32)
WEIGHT = np.array([[1.0, 1, 0], [0, 2, 2]], np.float32)  # the second picture counts twice


@pytest.fixture
def payload() -> Payload:
    ids = jnp.zeros((2, 3), jnp.int32)
    return Payload(jnp.zeros((2, 3, 4)), ids, ids, ids, jnp.zeros((2, 3)), weight=jnp.asarray(WEIGHT))


@pytest.fixture
def verdict() -> Verdict:
    one = lambda x: jnp.asarray(x, jnp.float32)
    return Verdict(one(REAL), one(MADE), one(MADE), one([3.0, 5.0]), one(0.25), one(-0.5), one(0.0))


def average(each: np.ndarray) -> float:
    """Of a figure for each picture, as the weights say."""
    return float((each * [2, 4]).sum() / 6)


def value(sums) -> float:
    return float(sums.total / sums.count)


def each(x: np.ndarray) -> np.ndarray:
    return x.mean((1, 2))


HAND = {
    "hinge": (np.maximum(0, 1 - REAL) / 2 + np.maximum(0, 1 + MADE) / 2, -MADE),
    "logistic": (
        -np.log(1 / (1 + np.exp(-REAL))) / 2 - np.log(1 - 1 / (1 + np.exp(-MADE))) / 2,
        np.log1p(np.exp(-MADE)),
    ),
}


@pytest.mark.parametrize("name", GAMES)
def test_both_sides_of_a_game(name, verdict, payload):
    critic, maker = HAND[name]
    assert value(Tell("image", game=GAMES[name]).loss(verdict, None, payload)) == pytest.approx(
        average(each(critic)), 1e-5
    )
    assert value(Fool("image", game=GAMES[name]).loss(verdict, None, payload)) == pytest.approx(
        average(each(maker)), 1e-5
    )


def test_r1_and_lecam_are_added_to_the_critics_side(verdict, payload):
    plain = value(Tell("image").loss(verdict, None, payload))
    slope = value(Tell("image", slope=10.0).loss(verdict, None, payload)) - plain
    assert slope == pytest.approx(10 / 2 * average(np.array([3.0, 5.0])), 1e-5)
    usual = value(Tell("image", usual=2.0).loss(verdict, None, payload)) - plain
    by_hand = each((REAL + 0.5) ** 2) + each((MADE - 0.25) ** 2)
    assert usual == pytest.approx(2 * average(by_hand), 1e-5)


def test_a_judges_distance_is_averaged_over_pictures(payload):
    objective = Judged("image", reads="some-network")
    assert objective.name == "some-network"
    assert value(objective.loss(jnp.array([1.0, 4.0]), None, payload)) == pytest.approx(3.0)


def cosine(a: np.ndarray, b: np.ndarray) -> float:
    return float(a @ b / np.linalg.norm(a) / np.linalg.norm(b))


def test_distillation_by_hand(payload):
    z, f = RNG.normal(size=(2, 2, 3, 5)).astype(np.float32)
    near, apart, expected = 0.4, 0.3, []
    for ours, theirs in zip(z, f):
        places = [max(0.0, 1 - near - cosine(a, b)) for a, b in zip(ours, theirs)]
        pairs = [
            max(0.0, abs(cosine(ours[i], ours[j]) - cosine(theirs[i], theirs[j])) - apart)
            for i in range(3)
            for j in range(3)
        ]
        expected.append(np.mean(places) + np.mean(pairs))
    objective = Distil("image", near=near, apart=apart)
    found = objective.loss(Alignment(jnp.asarray(z), jnp.asarray(f)), None, payload)
    assert value(found) == pytest.approx(average(np.array(expected)), 1e-5)
