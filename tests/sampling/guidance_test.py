"""Guidance and its corrections against their formulas, conditioned rows first."""

from functools import partial

import jax.numpy as jnp
import numpy as np
import pytest
from table_model import brushes

from unified_jax.core.noise import Rectified, VariancePreserving
from unified_jax.core.noise.prediction import CLEAN, NOISE
from unified_jax.sampling.guidance import ClassifierFree, guide
from unified_jax.sampling.guidance.classifier_free import nested, two_conditions, within
from unified_jax.sampling.guidance.correct import renormalise, renormalise_channels, rescale, threshold
from unified_jax.sampling.guidance.networks import autoguided, classifier_guided, thresholded

CONDITIONED = jnp.float32(np.random.default_rng(0).normal(size=(3, 4, 2)))
NULL = jnp.float32(np.random.default_rng(1).normal(size=(3, 4, 2)))
BOTH = jnp.concatenate([CONDITIONED, NULL])
TWINS = jnp.array([3, 4, 5, 3, 4, 5])  # the row without the condition


@pytest.mark.parametrize("scale", [0.0, 0.5, 3.0, 7.5])
def test_guidance_is_the_formula(scale):
    expected = (1 - scale) * NULL + scale * CONDITIONED
    np.testing.assert_allclose(guide(BOTH, scale, null=TWINS)[:3], expected, atol=1e-5)


def test_scale_1_is_the_conditioned_prediction_and_scale_0_the_null_one():
    np.testing.assert_allclose(guide(BOTH, 1.0, null=TWINS)[:3], CONDITIONED, atol=1e-6)
    np.testing.assert_array_equal(guide(BOTH, 0.0, null=TWINS)[:3], NULL)


def test_a_row_that_names_itself_is_not_changed_whatever_its_neighbours():
    scale = jnp.array([5.0, 2.0, 7.0, 1.0, 0.0, 3.0])
    alone = guide(BOTH, scale, null=jnp.array([0, 4, 2, 3, 4, 5]))
    np.testing.assert_array_equal(alone[jnp.array([0, 2, 3, 4, 5])], BOTH[jnp.array([0, 2, 3, 4, 5])])
    np.testing.assert_allclose(alone[1], NULL[1] + 2 * (CONDITIONED[1] - NULL[1]), atol=1e-5)


def test_rows_that_agree_stay_whatever_the_scale():
    agreed = jnp.concatenate([CONDITIONED, CONDITIONED])
    np.testing.assert_allclose(guide(agreed, 9.0, null=TWINS)[:3], CONDITIONED, atol=1e-5)


def test_two_conditions_is_the_formula_of_instruct_pix2pix():
    neither, text = np.float32(0.3) * NULL, np.array([7.5, 1.0, 2.0], np.float32)[:, None, None]
    pair = partial(two_conditions, CONDITIONED, NULL, without_image=neither)
    found = pair(text_scale=jnp.array([7.5, 1.0, 2.0]), image_scale=1.5)
    np.testing.assert_allclose(found, neither + 1.5 * (NULL - neither) + text * (CONDITIONED - NULL), atol=1e-5)
    np.testing.assert_allclose(pair(text_scale=1.0, image_scale=1.0), CONDITIONED, atol=1e-6)
    np.testing.assert_array_equal(pair(text_scale=3.0, image_scale=1.0), guide(BOTH, 3.0, null=TWINS)[:3])
    shrunk = renormalise_channels(guide(BOTH, 4.0, null=TWINS), BOTH)[:3]
    found = pair(text_scale=4.0, image_scale=1.5, correct_text=renormalise_channels)
    np.testing.assert_allclose(found, shrunk + 0.5 * (NULL - neither), atol=1e-5)


def test_nested_conditions_guide_by_text_then_by_the_picture():
    without_image = np.float32(0.3) * NULL
    arguments = dict(without_image=without_image, text_scale=4.0, image_scale=1.5)
    text = NULL + 4.0 * (CONDITIONED - NULL)
    found = nested(CONDITIONED, NULL, **arguments)
    np.testing.assert_allclose(found, without_image + 1.5 * (text - without_image), atol=1e-5)
    shrunk = text * np.minimum(1, np.linalg.norm(CONDITIONED, axis=-1) / np.linalg.norm(text, axis=-1))[..., None]
    found = nested(CONDITIONED, NULL, **arguments, correct_text=renormalise_channels)
    np.testing.assert_allclose(found, without_image + 1.5 * (shrunk - without_image), atol=1e-5)


def test_the_interval_is_open_below_and_closed_above():
    t = jnp.array([0.2, 0.4, 0.41, 0.9, 1.0])
    np.testing.assert_array_equal(within(3.0, t, (0.4, 0.9)), [1.0, 1.0, 3.0, 3.0, 1.0])


def test_rescaling_all_the_way_restores_every_samples_deviation():
    guided = 5.0 * CONDITIONED + 1.0
    found = np.asarray(rescale(guided, CONDITIONED, amount=1.0))
    np.testing.assert_allclose(found.std((1, 2)), CONDITIONED.std((1, 2)), rtol=1e-4)
    half = 0.5 * found + 0.5 * guided
    np.testing.assert_allclose(rescale(guided, CONDITIONED, amount=0.5), half, rtol=1e-4)


def test_renormalisation_shrinks_each_sample_by_itself_and_never_grows():
    guided = CONDITIONED * np.array([4.0, 0.5, 2.0], np.float32)[:, None, None]
    found = renormalise(guided, CONDITIONED)
    np.testing.assert_allclose(found[0], CONDITIONED[0], rtol=1e-4)
    np.testing.assert_allclose(found[1], guided[1], rtol=1e-4)
    np.testing.assert_allclose(renormalise(guided, CONDITIONED, least=0.75)[0], 3.0 * CONDITIONED[0], rtol=1e-4)
    # A neighbour has no say, unlike in a norm over the batch.
    np.testing.assert_allclose(found[2:], renormalise(guided[2:], CONDITIONED[2:]), rtol=1e-6)


def test_renormalisation_of_channels_is_by_entry():
    guided = CONDITIONED * np.array([[3.0], [1.0], [0.5], [2.0]], np.float32)
    found = np.asarray(renormalise_channels(guided, CONDITIONED))
    np.testing.assert_allclose(found[:, [0, 1, 3]], CONDITIONED[:, [0, 1, 3]], rtol=1e-4)
    np.testing.assert_allclose(found[:, 2], guided[:, 2], rtol=1e-4)


def test_dynamic_thresholding_is_the_quantile_of_imagen():
    clean = jnp.concatenate([0.3 * CONDITIONED[:1], 5.0 * CONDITIONED[1:]])
    found = threshold(clean, quantile=0.75)
    for before, after in zip(clean, np.asarray(found)):
        s = max(np.quantile(np.abs(before), 0.75), 1.0)
        np.testing.assert_allclose(after, np.clip(before, -s, s) / s, rtol=1e-5)


def test_a_pictures_guidance_leaves_unguided_rows_as_they_are():
    rule = ClassifierFree(interval=(0.3, 1.0), correct=renormalise)
    null, scale, t = jnp.array([3, 1, 5, 3, 4, 5]), jnp.full(6, 4.0), jnp.array([0.5, 0.5, 0.2, 0.5, 0.5, 0.2])
    found = rule(BOTH, scale, null=null, t=t)
    np.testing.assert_array_equal(found[jnp.array([1, 3, 4, 5])], BOTH[jnp.array([1, 3, 4, 5])])
    np.testing.assert_allclose(found[0], renormalise(guide(BOTH, 4.0, null=null), BOTH)[0], atol=1e-6)
    np.testing.assert_allclose(found[2], BOTH[2], rtol=1e-4)  # its time is outside of the interval


def test_a_picture_is_guided_by_the_text_and_then_by_the_given_pictures():
    rule, scale = ClassifierFree(nested, correct_text=renormalise_channels), jnp.full(6, 4.0)
    null, blind = jnp.array([3, 1, 2, 3, 4, 5]), jnp.array([4, 1, 2, 3, 4, 5])
    found = rule(BOTH, scale, null=null, t=jnp.full(6, 0.5), image_scale=scale / 2, blind=blind)
    np.testing.assert_array_equal(found[1:], BOTH[1:])
    text = renormalise_channels(guide(BOTH, 4.0, null=null), BOTH)[0]
    np.testing.assert_allclose(found[0], BOTH[4] + 2.0 * (text - BOTH[4]), atol=1e-5)


def test_rows_of_a_batch_are_guided_by_two_conditions_each_by_its_scales():
    """Rows 0 to 2 are one request: with all, without its text, with neither; row 3 is another that is not guided."""
    own, rows = jnp.arange(6), BOTH
    null, blind, scale = own.at[0].set(1), own.at[0].set(2), jnp.array([4.0, 1, 1, 4.0, 1, 1])
    expected = rows[2] + 1.5 * (rows[1] - rows[2]) + 4.0 * (rows[0] - rows[1])
    found = ClassifierFree()(rows, scale, null=null, t=jnp.full(6, 0.5), image_scale=jnp.full(6, 1.5), blind=blind)
    ids = brushes(6, steps=1, null=null, blind=blind, scale=scale, image_scale=jnp.full(6, 1.5)).guided(rows)
    for guided in (found, ids):
        np.testing.assert_allclose(guided[0], expected, atol=1e-5)
        np.testing.assert_array_equal(guided[1:], rows[1:])


def test_auto_guidance_leads_away_from_the_weaker_network():
    strong, weak = (lambda x, point: 2 * x), (lambda x, point: x + point.t)
    found = autoguided(strong, weak, scale=3.0)(jnp.ones(2), Rectified().at(jnp.float32(0.5)))
    np.testing.assert_allclose(found, 1.5 + 3.0 * (2.0 - 1.5))


@pytest.mark.parametrize("prediction", ["noise", "v", "clean", "velocity"])
def test_classifier_guidance_of_exact_networks_draws_the_posterior(prediction):
    """Data ~ N(0, 1) and a class with p(y = 1 | x_t) proportional to exp(b x_t): with variance one at every time, the
    score of the posterior is that of the prior plus b, so the noise is estimated at sigma (x_t - b).
    """
    path, b, x = VariancePreserving(prediction), 0.8, jnp.array([[0.5], [-1.0]])
    t = jnp.array([0.3, 0.3])
    point = path.at(t)

    def prior(x, point):
        at = point.over(x)
        data, noise = path.output.row(at)
        return data * at.alpha * x + noise * at.sigma * x

    network = classifier_guided(prior, lambda x, t: b * x[:, 0], path=path, scale=1.0)
    found = path.read(network(x, point), x, t=t, to=NOISE)
    np.testing.assert_allclose(found, point.sigma[:, None] * (x - b), atol=1e-4)


def test_a_thresholded_network_predicts_thresholded_data():
    path, x, t = VariancePreserving("v"), jnp.asarray(CONDITIONED), jnp.full(3, 0.4)
    network = lambda x, point: 3.0 * x - 1.0
    read = lambda network: path.read(network(x, path.at(t)), x, t=t, to=CLEAN)
    np.testing.assert_allclose(read(thresholded(network, path=path)), threshold(read(network)), atol=1e-4)
