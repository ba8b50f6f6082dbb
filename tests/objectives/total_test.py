"""The total: every stream divided by its own count, over all micro-batches alike."""

import dataclasses

import flax.linen as nn
import jax
import jax.numpy as jnp
import numpy as np
import optax
import pytest

from unified_jax.core.sequence import Interleaved, Payload
from unified_jax.objectives.next_token import NextToken
from unified_jax.objectives.total import Sums, losses, total
from unified_jax.train.state import create
from unified_jax.train.step import train_step

V, P, N = 5, 3, 6


@dataclasses.dataclass(frozen=True)
class Regress:
    """A squared error without any randomness."""

    stream: str
    weight: float = 1.0

    def corrupt(self, rng, seq):
        return seq, seq.streams[self.stream].values

    def loss(self, prediction, target, payload):
        loss = jnp.square(prediction - target).mean(-1)
        return Sums((loss * payload.weight).sum(), payload.weight.sum())


class Tiny(nn.Module):
    """Predicts each entry of a stream from the entry before it: enough to have gradients."""

    @nn.compact
    def predict(self, seq):
        text, image = seq.streams["text"], seq.streams["image"]
        before = nn.Embed(V, 4, name="table")(jnp.roll(text.values, 1, 1))
        return {
            "text": nn.Dense(V, name="text")(before),
            "image": nn.Dense(P, name="image")(jnp.roll(image.values, 1, 1)),
        }


def batch(rows: int, seed: int = 0) -> Interleaved:
    """Rows with very different numbers of learned entries."""
    rng = np.random.default_rng(seed)
    ids = jnp.zeros((rows, N), jnp.int32)
    weight = lambda: jnp.asarray(rng.random((rows, N)) < np.linspace(0.1, 0.9, rows)[:, None], jnp.float32)
    make = lambda values: Payload(values, slot=ids, read=ids, unit=ids, time=ids * 1.0, weight=weight())
    text = make(jnp.asarray(rng.integers(0, V, (rows, N)), jnp.int32))
    return Interleaved({}, {"text": text, "image": make(jnp.asarray(rng.normal(size=(rows, N, P)), jnp.float32))})


OBJECTIVES = (NextToken("text", weight=0.7), Regress("image", weight=2.0))


def sums(**values) -> dict[str, Sums]:
    return {name: Sums(jnp.float32(a), jnp.float32(b)) for name, (a, b) in values.items()}


def test_each_stream_is_divided_by_its_own_count_and_weighted():
    assert float(total(sums(text=(6, 3), image=(10, 4)), OBJECTIVES)) == pytest.approx(0.7 * 2 + 2.0 * 2.5)


def test_more_entries_of_one_stream_do_not_lessen_the_other():
    few, many = sums(text=(6, 3), image=(10, 4)), sums(text=(6, 3), image=(1000, 400))
    assert total(few, OBJECTIVES) == total(many, OBJECTIVES)


def test_an_absent_stream_adds_nothing():
    assert float(total(sums(text=(6, 3), image=(0, 0)), OBJECTIVES)) == pytest.approx(1.4)


def test_counts_of_the_whole_batch_take_the_place_of_the_parts_own():
    counts = {"text": jnp.float32(30), "image": jnp.float32(40)}
    found = total(sums(text=(6, 3), image=(10, 4)), OBJECTIVES, counts)
    assert float(found) == pytest.approx(0.7 * 6 / 30 + 2.0 * 10 / 40)


def test_losses_show_the_model_what_the_objectives_made_and_keep_each_stream_apart(getkey):
    @dataclasses.dataclass(frozen=True)
    class Doubled(Regress):
        def corrupt(self, rng, seq):
            values = seq.streams[self.stream].values
            return seq.put(self.stream, values=2 * values), values

    shown = {}

    def predict(seq):
        shown["image"] = seq.streams["image"].values
        return {"text": jnp.zeros((4, N, V)), "image": seq.streams["image"].values / 2}

    seq = batch(4)
    found = losses(predict, (OBJECTIVES[0], Doubled("image")), getkey(), seq)
    np.testing.assert_array_equal(shown["image"], 2 * seq.streams["image"].values)
    assert found["image"].total == 0
    assert float(found["text"].total / found["text"].count) == pytest.approx(np.log(V), rel=1e-5)


def test_every_objective_draws_its_own_randomness():
    drawn = []

    @dataclasses.dataclass(frozen=True)
    class Noisy(Regress):
        def corrupt(self, rng, seq):
            drawn.append(float(jax.random.normal(rng)))
            return super().corrupt(rng, seq)

    seq = batch(2)
    losses(
        lambda seq: {n: s.values for n, s in seq.streams.items()},
        (Noisy("image"), Noisy("image")),
        jax.random.key(0),
        seq,
    )
    assert drawn[0] != drawn[1]


@pytest.fixture(scope="module")
def steps():
    """One update from the same eight rows: as one batch, as two and as four micro-batches."""
    model, tx, seq = Tiny(), optax.sgd(0.1), batch(8)
    params = model.init(jax.random.key(0), seq, method="predict")["params"]
    split = lambda m: jax.tree.map(lambda x: x.reshape(m, 8 // m, *x.shape[1:]), seq)
    step = jax.jit(
        lambda state, seq: train_step(
            state, seq, jax.random.key(1), model=model, objectives=OBJECTIVES, tx=tx, ema_decay=0.9
        )
    )
    return params, {m: step(create(params, tx), split(m)) for m in (1, 2, 4)}


@pytest.mark.parametrize("micro", [2, 4])
def test_accumulated_micro_batches_equal_one_big_batch(micro, steps):
    params, made = steps
    (state, metrics), (expected, expected_metrics) = made[micro], made[1]
    close = lambda a, b: np.testing.assert_allclose(a, b, rtol=1e-5, atol=1e-6)
    jax.tree.map(close, state.params, expected.params)
    assert set(metrics) == set(expected_metrics)
    jax.tree.map(close, metrics, expected_metrics)
    assert max(jax.tree.leaves(jax.tree.map(lambda a, b: float(jnp.abs(a - b).max()), state.params, params))) > 1e-3


def test_the_loss_of_a_step_is_the_total_of_its_streams(steps):
    metrics = steps[1][1][1]
    assert float(metrics["loss"]) == pytest.approx(
        0.7 * float(metrics["loss/text"]) + 2.0 * float(metrics["loss/image"]), rel=1e-5
    )
