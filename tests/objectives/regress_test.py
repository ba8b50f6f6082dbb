"""Regression of embeddings: the distances by hand, over learned entries alone."""

import jax
import jax.numpy as jnp
import numpy as np
import pytest

from unified_jax.core.sequence import Interleaved, Payload
from unified_jax.objectives.regress import Regress, cosine, squared

IDS = jnp.zeros((1, 3), jnp.int32)
X = jnp.array([[[3.0, 4.0], [1.0, 0.0], [0.0, 2.0]]])
GUESS = jnp.array([[[4.0, 3.0], [9.0, 9.0], [0.0, -1.0]]])
SEQ = Interleaved({}, {"image": Payload(X, IDS, IDS, IDS, jnp.zeros((1, 3)), jnp.array([[1.0, 0.0, 2.0]]))})


@pytest.mark.parametrize("distance, costs", [(squared, (1.0, 4.5)), (cosine, (1 - 24 / 25, 2.0))])
def test_the_loss_is_the_weighed_sum_of_the_distances(distance, costs):
    objective = Regress("image", distance=distance)
    shown, target = objective.corrupt(jax.random.key(0), SEQ)
    assert shown is SEQ
    sums = objective.loss(GUESS, target, shown.streams["image"])
    assert float(sums.total) == pytest.approx(costs[0] + 2 * costs[1], rel=1e-5) and sums.count == 3
    assert float(objective.loss(X, target, shown.streams["image"]).total) == pytest.approx(0, abs=1e-6)


def test_the_cosine_of_a_zero_embedding_has_a_gradient():
    gradient = jax.grad(lambda x: cosine(x, jnp.ones(2)))(jnp.zeros(2))
    assert np.isfinite(gradient).all()
