"""draw: any solver and guidance of the fill; a picture's noise is its own, whatever its neighbours."""

import dataclasses

import jax
import numpy as np
import pytest

from unified_jax.data.document import Image, Text
from unified_jax.data.tokenizer import Tokenizer
from unified_jax.models.pretrained import parameters
from unified_jax.models.transfusion import PATH, transfusion
from unified_jax.sampling.engine import Engine
from unified_jax.sampling.fill import Integrate, Settings
from unified_jax.sampling.guidance import ClassifierFree
from unified_jax.sampling.guidance.correct import renormalise
from unified_jax.sampling.requests import Request
from unified_jax.sampling.solvers.ancestral import Ddim
from unified_jax.sampling.solvers.dpm import Dpm


@pytest.fixture(scope="module")
def engine_of():
    """(fields of the fill) -> a tiny Transfusion that draws with them."""
    model = transfusion(
        Tokenizer.train(["red circle"], 300), width=16, depth=1, num_heads=2, hidden=16, patch=4, image_size=(8, 8)
    )
    params = parameters(model, jax.random.key(0))
    rng = np.random.default_rng(1)
    params = jax.tree.map(lambda x: x + np.asarray(0.3 * rng.normal(size=x.shape), x.dtype), params)

    def make(**fields) -> Engine:
        fills = {**model.family.fills, "image": Integrate("image", PATH, **fields)}
        family = dataclasses.replace(model.family, fills=fills)
        return Engine(model.clone(family=family), params, rows=4, capacity=64, chunks=(16,))

    return make


def request(seed: int, **settings) -> Request:
    return Request([Text("red"), Image(target=True)], jax.random.key(seed), Settings(**settings))


def drawn(engine: Engine, *requests: Request) -> list[np.ndarray]:
    return [document[-1].values for document in engine.generate(requests)]


@pytest.fixture(scope="module")
def stochastic(engine_of) -> Engine:
    return engine_of(solver=Ddim(1.0), guidance=ClassifierFree(correct=renormalise))


def test_a_stochastic_picture_is_that_of_its_key_whatever_its_neighbours(stochastic):
    asked = request(1, steps=4, guidance_scale=2.0)
    alone, together = drawn(stochastic, asked)[0], drawn(stochastic, request(2, steps=6), asked)[1]
    np.testing.assert_allclose(together, alone, atol=1e-4)
    assert np.abs(alone - drawn(stochastic, request(3, steps=4, guidance_scale=2.0))[0]).max() > 0.1


def test_the_solver_of_the_fill_is_the_one_that_draws(engine_of, stochastic):
    """One step of any of them is the estimated data at pure noise; more steps differ."""
    engines = stochastic, engine_of(solver=Dpm())
    both = lambda steps: [drawn(engine, request(1, steps=steps))[0] for engine in engines]
    np.testing.assert_allclose(*both(1), atol=1e-4)
    assert np.abs(np.subtract(*both(4))).max() > 0.01


def test_an_edit_is_guided_by_its_text_and_by_its_picture_as_instruct_pix2pix_is(engine_of):
    """One step ends at the guided estimate of the data, which mixes those of three drawings."""
    engine, words = engine_of(), Text("red")
    before = Image(np.random.default_rng(0).integers(0, 256, (8, 8, 3), np.uint8))

    def ends(*given, **settings):
        return Request([*given, Image(target=True)], jax.random.key(1), Settings(steps=1, **settings))

    both, image, neither = drawn(engine, ends(before, words), ends(before), ends())
    found = drawn(engine, ends(before, words, guidance_scale=3.0, image_guidance_scale=1.5))[0]
    np.testing.assert_allclose(found, neither + 1.5 * (image - neither) + 3.0 * (both - image), atol=1e-4)
    assert np.abs(both - image).max() > 0.01 < np.abs(image - neither).max()
