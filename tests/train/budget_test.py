"""A time budget follows the machine's speed, and a resumed run repeats what was decided before."""

import pytest

from unified_jax.train.budget import Budget


def ran(budget, seconds_at, *, start=0, until=10_000, every=20):
    """Reviews every ``every`` steps until the budget is used up -> {step: decision}."""
    decisions, step = {}, start
    while step < min(budget.steps(step), until):
        step += every
        decisions[step] = budget.review(step, seconds_at(step))
    return decisions


def test_without_minutes_the_steps_are_those_of_the_config(tmp_path):
    budget = Budget(tmp_path / "steps.json", steps=70, minutes=0.0)
    assert set(ran(budget, lambda step: 1000.0 * step).values()) == {70}
    assert not (tmp_path / "steps.json").exists()


@pytest.mark.parametrize(
    "seconds_at",
    [
        lambda step: 30 + 0.25 * step,  # compiling first
        lambda step: 0.25 * step if step < 400 else 100 + 0.5 * (step - 400),  # twice as slow after a while
        lambda step: 0.5 * step if step < 400 else 200 + 0.2 * (step - 400),
    ],
)
def test_training_ends_when_the_minutes_do(tmp_path, seconds_at):
    decisions = ran(Budget(tmp_path / "steps.json", steps=100_000, minutes=5.0), seconds_at)
    last = max(decisions)
    assert abs(seconds_at(decisions[last]) - 300) < 15


def test_a_run_never_has_more_steps_than_its_config(tmp_path):
    budget = Budget(tmp_path / "steps.json", steps=500, minutes=60.0)
    assert max(ran(budget, lambda step: 0.1 * step).values()) == 500


def test_a_run_that_is_late_stops_at_once(tmp_path):
    budget = Budget(tmp_path / "steps.json", steps=500, minutes=1.0)
    budget.review(20, 30.0)
    assert budget.review(40, 61.0) == 40


def test_a_resumed_run_repeats_its_decisions(tmp_path):
    path = tmp_path / "steps.json"
    first = ran(Budget(path, steps=10_000, minutes=5.0), lambda step: 0.3 * step, until=400)
    again = ran(Budget(path, steps=10_000, minutes=5.0), lambda step: 40 + 0.9 * step, start=200, until=600)
    assert {step: again[step] for step in range(220, 401, 20)} == {step: first[step] for step in range(220, 401, 20)}
    assert again[max(again)] < first[400]
