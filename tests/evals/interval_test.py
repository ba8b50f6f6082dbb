"""Intervals: Student's over repetitions, as a statistics package computes it."""

import math

import numpy as np
import pytest
import scipy.stats

from unified_jax.evals.interval import mean


def test_the_mean_of_repetitions_has_students_interval():
    values = [0.91, 0.84, 0.88]
    score = mean(values)
    low, high = scipy.stats.t.interval(0.95, 2, loc=np.mean(values), scale=scipy.stats.sem(values))
    assert (score.value, score.n) == (pytest.approx(np.mean(values)), 3)
    assert (score.low, score.high) == (pytest.approx(low), pytest.approx(high))


def test_no_repetition_is_refused():
    with pytest.raises(ValueError, match="no values"):
        mean([])


def test_one_repetition_has_a_value_and_no_interval():
    score = mean([0.5])
    assert score.value == 0.5 and math.isnan(score.low) and math.isnan(score.high)
