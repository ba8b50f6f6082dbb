"""NextToken: the cross-entropy of the learned entries and of no others."""

import jax
import jax.numpy as jnp
import numpy as np
import pytest

from unified_jax.core.sequence import Interleaved, Payload
from unified_jax.objectives.next_token import NextToken

V = 7


@pytest.fixture
def payload() -> Payload:
    ids = jnp.array([[1, 4, 2, 6], [0, 3, 5, 5]], jnp.int32)
    weight = jnp.array([[0.0, 1, 1, 0], [0, 1, 2, 1]])
    return Payload(values=ids, slot=ids, read=ids, unit=ids, time=jnp.zeros((2, 4)), weight=weight)


def logits(seed: int = 0) -> jax.Array:
    return jnp.asarray(np.random.default_rng(seed).normal(size=(2, 4, V)), jnp.float32)


def test_nothing_is_corrupted_and_the_target_is_the_entries_themselves(payload, getkey):
    seq = Interleaved({}, {"text": payload})
    shown, target = NextToken("text").corrupt(getkey(), seq)
    assert shown is seq and target is payload.values


def test_the_loss_is_the_weighted_sum_of_minus_log_p(payload):
    sums = NextToken("text").loss(logits(), payload.values, payload)
    log_p = np.log(np.asarray(jax.nn.softmax(logits(), -1)))
    expected = -sum(payload.weight[b, n] * log_p[b, n, payload.values[b, n]] for b in range(2) for n in range(4))
    assert float(sums.total) == pytest.approx(float(expected), rel=1e-5)
    assert float(sums.count) == 6


def test_certainty_of_the_right_answer_costs_nothing(payload):
    exact = 1000 * jax.nn.one_hot(payload.values, V)
    assert NextToken("text").loss(exact, payload.values, payload).total == 0


def test_the_minimum_for_a_mixed_truth_is_its_entropy(payload):
    """Two answers seen equally often: no constant prediction costs less than log 2."""
    ids = jnp.array([[1, 2]], jnp.int32)
    zeros, ones = jnp.zeros((1, 2), jnp.int32), jnp.ones((1, 2))
    seen = Payload(values=ids, slot=zeros, read=zeros, unit=zeros, time=0 * ones, weight=ones)
    best = jnp.full((1, 2, V), -1e9).at[..., 1:3].set(0.0)
    mean = lambda x: float(NextToken("text").loss(x, ids, seen).total) / 2
    assert mean(best) == pytest.approx(np.log(2), rel=1e-5)
    assert mean(best.at[..., 1].add(0.3)) > mean(best) < mean(best.at[..., 0].add(1e9))


def test_entries_of_weight_0_have_no_influence_and_get_no_gradient(payload):
    unlearned = (payload.weight == 0)[..., None]
    loss = lambda x: NextToken("text").loss(x, payload.values, payload).total
    assert loss(jnp.where(unlearned, 50.0 * logits(1), logits())) == loss(logits())
    grad = jax.grad(loss)(logits())
    assert not jnp.where(unlearned, grad, 0).any()
    assert (jnp.abs(grad).max(-1) > 0)[payload.weight > 0].all()
