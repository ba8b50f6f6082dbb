"""Shortcut and MeanFlow: the exact average velocity of Gaussian data is what they regress to; targets by hand."""

import jax
import jax.numpy as jnp
import numpy as np
import pytest

from unified_jax.core.noise import Point, Rectified
from unified_jax.core.sequence import Interleaved, Payload
from unified_jax.objectives.mean_flow import MeanFlow
from unified_jax.objectives.shortcut import Shortcut
from unified_jax.objectives.total import losses
from unified_jax.sampling.solvers.jump import Jump
from unified_jax.sampling.solvers.solve import solve

MEAN, STD = 0.4, 0.5


def batch(rows: int, units: int) -> Interleaved:
    """Rows of units of two entries; the last unit is context."""
    unit = jnp.broadcast_to(jnp.repeat(jnp.arange(units), 2), (rows, 2 * units))
    x = MEAN + STD * jax.random.normal(jax.random.key(5), (*unit.shape, 1))
    weight = (unit < units - 1).astype(jnp.float32)
    return Interleaved({}, {"image": Payload(x, slot=unit, read=unit, unit=unit, time=0 * weight, weight=weight)})


def exact(x, t, r):
    """(x_t - x_r) / (t - r) along the flow of Gaussian data, which keeps quantiles; the velocity where r = t."""
    spread = lambda t: jnp.sqrt(((1 - t) * STD) ** 2 + t**2)
    ahead = (1 - r) * MEAN + spread(r) / spread(t) * (x - (1 - t) * MEAN)
    velocity = -MEAN + (t - (1 - t) * STD**2) / spread(t) ** 2 * (x - (1 - t) * MEAN)
    apart = jnp.abs(t - r) > 1e-4
    return jnp.where(apart, (x - ahead) / jnp.where(apart, t - r, 1.0), velocity)


def predict(seq: Interleaved):
    payload = seq.streams["image"]
    return {"image": exact(payload.values, payload.time[..., None], payload.until[..., None])}


@pytest.mark.parametrize("objective", [MeanFlow("image"), Shortcut("image")], ids=lambda o: type(o).__name__)
def test_times_are_by_unit_ordered_and_context_stays_clean(objective):
    seq = batch(40, 6)
    shown, _ = objective.corrupt(jax.random.key(0), seq)
    payload, clean, learned = (
        shown.streams["image"],
        seq.streams["image"].values,
        np.asarray(seq.streams["image"].weight) > 0,
    )
    np.testing.assert_array_equal(payload.time[:, ::2], payload.time[:, 1::2])
    np.testing.assert_array_equal(payload.until[:, ::2], payload.until[:, 1::2])
    assert (payload.until <= payload.time).all() and (payload.time[learned] > 0).all() and (payload.time <= 1).all()
    np.testing.assert_array_equal(payload.values[~learned], clean[~learned])
    share = np.asarray(payload.until == payload.time)[learned].mean()
    assert share == pytest.approx(0.75, abs=0.08)


def test_shortcut_steps_are_powers_of_two_from_a_multiple():
    payload = Shortcut("image", halvings=4, flow=0.0).corrupt(jax.random.key(0), batch(40, 6))[0].streams["image"]
    learned = np.asarray(payload.weight) > 0
    step, t = np.asarray(payload.time - payload.until)[learned], np.asarray(payload.time)[learned]
    assert set(step.tolist()) == {1.0, 0.5, 0.25, 0.125}
    np.testing.assert_array_equal(t / step, np.round(t / step))


def test_two_exact_halves_make_the_exact_step():
    objective, seq = Shortcut("image", halvings=9, flow=0.0), batch(20, 6)
    shown, target = objective.corrupt(jax.random.key(0), seq)
    value = objective.bootstrap(lambda s: predict(s)["image"], shown, target).value
    payload, step = shown.streams["image"], predict(shown)["image"]
    learned = np.asarray(payload.weight) > 0
    longer = learned & np.asarray(payload.time - payload.until > 1.5 / 256)
    np.testing.assert_allclose(value[longer], step[longer], atol=1e-3)
    # The shortest halves are crossed with the velocity where they begin.
    np.testing.assert_allclose(value[learned], step[learned], atol=2e-2)


def test_a_shortcut_of_no_length_learns_the_velocity_of_the_path():
    objective, seq = Shortcut("image", flow=1.0), batch(3, 4)
    shown, target = objective.corrupt(jax.random.key(0), seq)
    value = objective.bootstrap(lambda s: predict(s)["image"], shown, target).value
    payload = shown.streams["image"]
    np.testing.assert_allclose(seq.streams["image"].values + payload.time[..., None] * value, payload.values, atol=1e-5)


def test_the_mean_flow_target_is_the_identity_by_finite_differences():
    u = lambda x, t, r: jnp.sin(2 * x + t) * (1 + r) + t**2
    network = lambda s: u(
        *(s.streams["image"].values, s.streams["image"].time[..., None], s.streams["image"].until[..., None])
    )
    objective, seq = MeanFlow("image", flow=0.0), batch(3, 4)
    shown, target = objective.corrupt(jax.random.key(0), seq)
    payload, v, h = shown.streams["image"], target.velocity, 1e-2
    t, r = payload.time[..., None], payload.until[..., None]
    change = (u(payload.values + h * v, t + h, r) - u(payload.values - h * v, t - h, r)) / (2 * h)
    learned = np.asarray(payload.weight) > 0
    value = objective.bootstrap(network, shown, target).value
    np.testing.assert_allclose(value[learned], (v - (t - r) * change)[learned], atol=2e-3)


def test_the_exact_average_velocity_is_the_mean_of_mean_flow_targets():
    """Residuals of the least-squares solution average to 0, also when multiplied by what it may depend on."""
    objective, seq = (
        MeanFlow("image", flow=0.3, time=lambda rng, s: jax.random.uniform(rng, s, minval=0.05)),
        batch(4000, 3),
    )
    shown, target = objective.corrupt(jax.random.key(0), seq)
    payload = shown.streams["image"]
    value = objective.bootstrap(lambda s: predict(s)["image"], shown, target).value
    residual = ((value - predict(shown)["image"])[..., 0] * payload.weight)[:, ::2]
    for factor in (jnp.ones_like(payload.time), payload.values[..., 0], payload.time, payload.until):
        terms = np.asarray(residual * factor[:, ::2])[:, :2].ravel()
        assert abs(terms.mean()) < 4 * terms.std() / np.sqrt(len(terms))


def test_the_weight_of_an_error_has_no_gradient_and_the_target_none():
    objective, seq = MeanFlow("image"), batch(3, 4)
    shown, target = objective.corrupt(jax.random.key(0), seq)
    target = target.replace(value=target.velocity)
    loss = lambda prediction: objective.loss(prediction, target, shown.streams["image"]).total
    gradient = jax.grad(loss)(target.value + 0.5)[0, 0, 0]
    assert float(gradient) == pytest.approx(2 * 0.5 / (0.25 + 1e-3), rel=1e-4)
    through = lambda scale: objective.bootstrap(lambda s: scale * predict(s)["image"], shown, target).value.sum()
    assert jax.grad(through)(1.0) == 0


@pytest.mark.parametrize("objective", [MeanFlow("image"), Shortcut("image")], ids=lambda o: type(o).__name__)
def test_entries_of_weight_0_have_no_influence(objective):
    seq = batch(2, 3)
    cost = lambda seq: losses(predict, (objective,), jax.random.key(0), seq)["image"]
    other = seq.put(
        "image", values=jnp.where(seq.streams["image"].weight[..., None] > 0, seq.streams["image"].values, 9.0)
    )
    assert cost(seq).total == cost(other).total and cost(seq).count == 8


@pytest.mark.parametrize("times", [[1.0, 0.0], [1.0, 0.6, 0.5, 0.0]])
def test_jumps_along_the_exact_average_velocity_follow_the_flow(times):
    noise = jnp.linspace(-2, 2, 9)[:, None]

    def network(x, point: Point):
        point = point.over(x)
        return exact(x, point.t, point.until)

    found = solve(network, noise, t=jnp.array(times), path=Rectified(), solver=Jump())
    np.testing.assert_allclose(found, MEAN + STD * noise, atol=1e-5)
