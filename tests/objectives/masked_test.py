"""Masked tokens and discrete diffusion as objectives: how many entries are hidden, which, and what is counted."""

from functools import partial

import jax
import jax.numpy as jnp
import numpy as np
import pytest
import scipy.stats

from unified_jax.core.discrete import Absorbing, Uniform
from unified_jax.core.masking import cosine, linear
from unified_jax.core.sequence import Interleaved, Payload
from unified_jax.objectives.discrete_diffusion import DiscreteDiffusion
from unified_jax.objectives.masked import Masked

B, N, V, MASK = 64, 16, 5, 5
UNIT = jnp.tile(jnp.array([0] * 6 + [1] * 4 + [2] * 5 + [0], jnp.int32), (B, 1))  # the last entry is padding
WEIGHT = jnp.tile(jnp.array([1.0] * 6 + [0.0] * 4 + [1.0] * 5 + [0.0]), (B, 1))  # unit 1 is context
LEARNED = np.asarray(WEIGHT[0]) > 0


@pytest.fixture(scope="module")
def seq() -> Interleaved:
    ids = jnp.asarray(np.random.default_rng(0).integers(0, V, (B, N)), jnp.int32)
    payload = Payload(values=ids, slot=UNIT, read=UNIT, unit=UNIT, time=jnp.zeros((B, N)), weight=WEIGHT)
    return Interleaved({}, {"image": payload, "text": payload})


def corrupted(objective, seq, seed=0):
    shown, target = jax.jit(objective.corrupt)(jax.random.key(seed), seq)
    return shown.streams["image"], target


@pytest.mark.parametrize("ratio", [linear, cosine])
def test_every_learned_unit_hides_its_share_and_context_hides_none(seq, ratio):
    payload, _ = corrupted(Masked("image", MASK, ratio=ratio), seq)
    hidden = np.asarray(payload.values == MASK)
    assert not hidden[:, ~LEARNED].any() and (np.asarray(payload.time)[:, ~LEARNED] == 0).all()
    for unit, size in ((0, 6), (2, 5)):
        inside = LEARNED & (np.asarray(UNIT[0]) == unit)
        time = np.asarray(payload.time)[:, inside]
        assert (time == time[:, :1]).all()
        share = np.asarray(ratio(jnp.asarray(time[:, 0])))
        np.testing.assert_array_equal(hidden[:, inside].sum(1), np.maximum(np.ceil(share * size), 1))
    assert len(set(np.asarray(payload.time)[:, LEARNED].ravel().tolist())) == 2 * B


def test_the_loss_is_over_hidden_entries_alone(seq):
    objective = Masked("image", MASK)
    payload, target = corrupted(objective, seq)
    hidden = np.asarray(payload.values == MASK)
    np.testing.assert_array_equal(payload.weight, hidden)
    logits = jax.random.normal(jax.random.key(1), (B, N, V))
    sums = objective.loss(logits, target, payload)
    nats = -np.take_along_axis(np.asarray(jax.nn.log_softmax(logits)), np.asarray(target)[..., None], -1)[..., 0]
    assert float(sums.total) == pytest.approx(nats[hidden].sum(), rel=1e-5) and sums.count == hidden.sum()
    elsewhere = jnp.where(hidden[..., None], logits, 99.0)
    assert objective.loss(elsewhere, target, payload).total == pytest.approx(float(sums.total))


def test_which_entries_are_hidden_is_chance():
    zeros, n = jnp.zeros((4000, 4), jnp.int32), 4000
    payload = Payload(zeros, slot=zeros, read=zeros, unit=zeros, time=zeros + 0.0, weight=zeros + 1.0)
    half = Masked("image", MASK, ratio=linear, time=lambda rng, shape: jnp.full(shape, 0.5))
    shown, _ = corrupted(half, Interleaved({}, {"image": payload}))
    pairs = np.asarray(shown.values == MASK) @ (1 << np.arange(4))
    kinds = [3, 5, 9, 6, 10, 12]  # two of four
    counts = np.array([(pairs == kind).sum() for kind in kinds])
    assert counts.sum() == n and scipy.stats.chisquare(counts).pvalue > 1e-3


@pytest.mark.parametrize("process", [Absorbing(MASK), Uniform(V)])
def test_the_bound_is_divided_by_all_learned_entries(seq, process):
    objective = DiscreteDiffusion("image", process)
    payload, target = corrupted(objective, seq)
    np.testing.assert_array_equal(target.clean, seq.streams["image"].values)
    np.testing.assert_array_equal(payload.values, target.shown)
    np.testing.assert_array_equal(payload.values[:, ~LEARNED], target.clean[:, ~LEARNED])
    assert (np.asarray(payload.values)[:, LEARNED] != np.asarray(target.clean)[:, LEARNED]).mean() > 0.2
    logits = jax.random.normal(jax.random.key(1), (B, N, V))
    sums = objective.loss(logits, target, payload)
    each = partial(process.cost, z=target.shown, t=payload.time)(logits, target.clean)
    assert sums.count == WEIGHT.sum() and float(sums.total) == pytest.approx(float((each * WEIGHT).sum()), rel=1e-5)


@pytest.mark.parametrize("process", [Absorbing(MASK), Uniform(V)])
def test_a_network_that_knows_nothing_pays_what_a_uniform_guess_costs(process):
    """The masked bound of p = 1 / V is log V whatever the data; a uniform process, which shows the data to a network
    that does not look, is a looser bound, so it costs no less.
    """
    n = 40_000
    zeros = jnp.zeros((n, 1), jnp.int32)
    payload = Payload(zeros, slot=zeros, read=zeros, unit=zeros, time=zeros + 0.0, weight=zeros + 1.0)
    objective = DiscreteDiffusion("image", process)
    shown, target = corrupted(objective, Interleaved({}, {"image": payload}))
    sums = objective.loss(jnp.zeros((n, 1, V)), target, shown)
    found = float(sums.total / sums.count)
    assert found == pytest.approx(np.log(V), rel=0.1) if isinstance(process, Absorbing) else found > np.log(V)


def test_only_the_named_stream_changes(seq):
    for objective in (Masked("image", MASK), DiscreteDiffusion("image", Uniform(V))):
        shown, _ = objective.corrupt(jax.random.key(0), seq)
        assert shown.streams["text"] is seq.streams["text"]
