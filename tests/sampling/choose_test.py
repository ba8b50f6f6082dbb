"""Choosing: the sampled frequencies are those that numpy computes from the definitions."""

from functools import partial

import jax
import jax.numpy as jnp
import numpy as np
import pytest
import scipy.stats

from unified_jax.sampling.choose import choose, keep_top_k, keep_top_p

LOGITS = np.array([1.0, 2.5, 2.5, -1.0, 0.3, 2.0, 2.5, -3.0, 0.3])  # three share the top, two the middle
DRAWS = 4000


def softmax(x):
    e = np.exp(x - x.max())
    return e / e.sum()


def expected(logits, *, temperature=1.0, top_k=None, top_p=None, allowed=None) -> np.ndarray:
    """Probabilities by the definitions, one token after another from the likeliest; of equal ones the lowest id."""
    p = softmax(np.where(allowed if allowed is not None else True, logits / temperature, -np.inf))
    order = sorted(range(len(p)), key=lambda i: (-p[i], i))
    if top_k is not None:
        order = order[:top_k]
        p = np.where(np.isin(np.arange(len(p)), order), p, 0) / p[order].sum()
    if top_p is not None:
        kept, mass = [], 0.0
        for i in order:
            if mass >= top_p:
                break
            kept, mass = [*kept, i], mass + p[i]
        p = np.where(np.isin(np.arange(len(p)), kept), p, 0)
    return p / p.sum()


def draw(logits, seed=0, **options) -> np.ndarray:
    options = {k: jnp.asarray(v) if k == "allowed" else v for k, v in options.items()}
    rows = jnp.tile(jnp.asarray(logits, jnp.float32), (DRAWS, 1))
    return np.asarray(choose(jax.random.key(seed), rows, **options))


ODD = np.arange(9) % 2 == 1


@pytest.mark.parametrize(
    "options",
    [
        {},
        {"temperature": 0.5},
        {"temperature": 3.0},
        {"top_k": 2},
        {"top_k": 5},
        {"top_k": 50},
        {"top_p": 0.3},
        {"top_p": 0.8},
        {"top_p": 1.0},
        {"allowed": ODD},
        {"temperature": 2.0, "top_k": 6, "top_p": 0.7},
        {"temperature": 2.0, "top_k": 3, "top_p": 0.9, "allowed": ODD},
    ],
    ids=str,
)
def test_frequencies_follow_the_definition(options):
    p, drawn = expected(LOGITS, **options), np.bincount(draw(LOGITS, **options), minlength=9)
    possible = p > 0
    assert not drawn[~possible].any()
    assert scipy.stats.chisquare(drawn[possible], DRAWS * p[possible]).pvalue > 1e-4


def kept(logits) -> set[int]:
    return set(np.flatnonzero(np.asarray(logits) > -1e29).tolist())


@pytest.mark.parametrize("k", range(1, 10))
def test_exactly_k_stay_though_logits_tie(k):
    assert kept(keep_top_k(jnp.asarray(LOGITS), k)) == set(np.argsort(-LOGITS, kind="stable")[:k].tolist())


def test_exactly_k_of_all_equal_logits_stay():
    assert kept(keep_top_k(jnp.zeros(9), 4)) == {0, 1, 2, 3}


@pytest.mark.parametrize(
    "p, stay", [(0.1, {1}), (0.49, {1}), (0.51, {1, 2}), (0.79, {1, 2}), (0.81, {0, 1, 2}), (1.0, {0, 1, 2, 3})]
)
def test_the_token_that_crosses_the_threshold_stays_and_no_other_after_it(p, stay):
    assert kept(keep_top_p(jnp.log(jnp.array([0.15, 0.5, 0.3, 0.05])), p)) == stay


@pytest.mark.parametrize("keep", [partial(keep_top_k, k=3), partial(keep_top_p, p=0.6)])
def test_what_stays_keeps_its_logit_in_every_row_of_a_batch(keep):
    rows = jnp.asarray(np.random.default_rng(0).normal(size=(2, 3, 9)), jnp.float32)
    cut = keep(rows)
    for i, j in np.ndindex(2, 3):
        np.testing.assert_array_equal(cut[i, j], keep(rows[i, j]))
    assert ((cut == rows) | (cut < -1e29)).all()


def test_temperature_0_takes_the_likeliest_and_the_lowest_of_equals():
    assert set(draw(LOGITS, temperature=0.0).tolist()) == {1}
    assert set(draw(LOGITS, temperature=0.0, allowed=~np.isin(np.arange(9), [1, 2])).tolist()) == {6}


def test_low_temperature_approaches_greedy():
    assert set(draw([0.0, 1.0, 0.9], temperature=1e-3).tolist()) == {1}


def test_forbidden_ids_are_never_drawn_even_if_likeliest():
    logits = np.where(ODD, 0.0, 1e4)
    assert set(draw(logits, allowed=ODD).tolist()) == {1, 3, 5, 7}


def test_rows_are_drawn_independently_and_keys_matter():
    first, again, other = draw(LOGITS), draw(LOGITS), draw(LOGITS, seed=1)
    assert (first == again).all() and (first != other).any() and len(set(first.tolist())) > 1


@pytest.mark.parametrize(
    "options, message",
    [
        ({"temperature": -1.0}, "temperature must be 0 or more, found -1"),
        ({"top_k": 0}, "top_k must be 1 or more, found 0"),
        ({"top_p": 0.0}, r"top_p must lie in \(0, 1\], found 0"),
        ({"top_p": 1.5}, r"top_p must lie in \(0, 1\], found 1.5"),
    ],
)
def test_impossible_settings_are_refused(options, message):
    with pytest.raises(ValueError, match=message):
        choose(jax.random.key(0), jnp.zeros((1, 4)), **options)
