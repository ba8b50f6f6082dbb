"""Codes are counted over all steps between two logs."""

import math

import jax.numpy as jnp
import pytest

from unified_jax.train.usage import Usage


def test_counts_of_several_steps_are_added_up():
    usage = Usage()
    steps = [{"codes": jnp.array([[2.0, 0, 0, 0]]), "loss": 1.0}, {"codes": jnp.array([[0.0, 2, 0, 0]])}]
    for metrics in steps:
        usage.add(metrics)
    assert steps == [{"loss": 1.0}, {}]  # no table of counts is logged
    assert usage.read() == {"codes/usage": 0.5, "codes/perplexity": pytest.approx(2.0)}
    assert usage.read() == {}


def test_several_quantisers_of_a_place_are_averaged():
    usage = Usage()
    usage.add({"codes": jnp.array([[1.0, 1, 1, 1], [6.0, 2, 0, 0]])})
    entropy = -(0.75 * math.log(0.75) + 0.25 * math.log(0.25))
    expected = {"codes/usage": 0.75, "codes/perplexity": (4 + math.exp(entropy)) / 2}
    assert usage.read() == pytest.approx(expected, rel=1e-6)


def test_a_model_without_codes_reports_none():
    usage = Usage()
    usage.add({"loss": 1.0})
    assert usage.read() == {}
