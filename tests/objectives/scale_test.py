"""Scales: nothing before the start, then the ratio of two gradients that are taken here one by one."""

import dataclasses

import jax
import jax.numpy as jnp
import numpy as np
import pytest

from unified_jax.objectives.scale import scales
from unified_jax.objectives.total import Sums, total


@dataclasses.dataclass(frozen=True)
class Plain:
    stream: str
    weight: float = 1.0

    def corrupt(self, rng, seq):
        return seq, None

    def loss(self, prediction, target, payload):
        return Sums(prediction, jnp.float32(1))


@dataclasses.dataclass(frozen=True)
class Late(Plain):
    start: int = 0
    layer: str = ""
    name: str = "late"


PARAMS = {
    "net": {"first": {"kernel": jnp.array([[0.5, -1.0], [2.0, 0.3]])}, "last": {"kernel": jnp.array([1.5, -0.7])}}
}
X = jnp.array([[1.0, 2.0], [-1.0, 0.5], [0.2, 0.1]])


def own(params):
    y = jnp.tanh(X @ params["net"]["first"]["kernel"]) @ params["net"]["last"]["kernel"]
    return jnp.sin(3 * y).sum()


def other(params):
    y = jnp.tanh(X @ params["net"]["first"]["kernel"]) @ params["net"]["last"]["kernel"]
    return jnp.square(y - 1).sum()


def parts(params):
    return {"image": Sums(other(params), jnp.float32(4)), "late": Sums(own(params), jnp.float32(2))}


COUNTS = {"image": jnp.float32(4), "late": jnp.float32(2)}


def find(objective, step: int):
    objectives = (Plain("image", weight=3.0), objective)
    return scales(objectives, parts, PARAMS, step=jnp.int32(step), counts=COUNTS)


@pytest.mark.parametrize("layer", ["first", "last"])
def test_the_ratio_is_of_the_gradients_at_the_layer(layer):
    norm = lambda f: np.linalg.norm(jax.grad(f)(PARAMS)["net"][layer]["kernel"])
    expected = norm(lambda p: 3 * other(p) / 4) / (norm(lambda p: own(p) / 2) + 1e-4)
    found = find(Late("image", weight=9.0, layer=f"net/{layer}/kernel"), 0)
    assert set(found) == {"late"} and float(found["late"]) == pytest.approx(expected, 1e-5)


def test_nothing_counts_before_its_start():
    late = Late("image", start=5, layer="net/last/kernel")
    assert float(find(late, 4)["late"]) == 0 < float(find(late, 5)["late"])
    assert [float(find(Late("image", start=5), step)["late"]) for step in (4, 5)] == [0.0, 1.0]


def test_the_total_is_scaled_and_no_gradient_flows_through_a_scale():
    objectives = (Plain("image"), Late("image", weight=0.5, layer="net/last/kernel"))

    def loss(params):
        found = scales(objectives, parts, params, step=jnp.int32(0), counts=COUNTS)
        return total(parts(params), objectives, COUNTS, found)

    scale = scales(objectives, parts, PARAMS, step=jnp.int32(0), counts=COUNTS)["late"]
    fixed = lambda params: other(params) / 4 + scale * 0.5 * own(params) / 2
    for a, b in zip(jax.tree.leaves(jax.grad(loss)(PARAMS)), jax.tree.leaves(jax.grad(fixed)(PARAMS))):
        np.testing.assert_allclose(a, b, rtol=1e-5)


def test_a_layer_that_is_not_there_is_named():
    with pytest.raises(ValueError, match="no layer 'net/lost/kernel': net has first, last"):
        find(Late("image", layer="net/lost/kernel"), 0)
