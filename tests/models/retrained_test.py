"""A codec trained here is a folder that its system takes: every parameter at its place."""

import jax
import jax.numpy as jnp
import numpy as np
import pytest
import torch
from torch.distributions import Normal, kl_divergence

from configs.tokenizer.systems import CODECS
from unified_jax.models.pretrained import parameters, save_pretrained
from unified_jax.models.retrained import retrained
from unified_jax.train.experiment import Experiment


@pytest.mark.parametrize("name", CODECS)
def test_the_system_takes_it(name, tokenizer, tmp_path):
    model = retrained(tokenizer, CODECS[name]("debug").to_dict(), image_size=(24, 24))
    shapes = jax.eval_shape(lambda: parameters(model, jax.random.key(0)))
    rng = np.random.default_rng(0)
    params = jax.tree.map(lambda x: rng.normal(size=x.shape).astype(x.dtype), shapes)
    save_pretrained(tmp_path, model, params)
    experiment = Experiment.load(f"configs/{name}.py:debug", [f"codec.folder={tmp_path}"])
    given = experiment.given(experiment.model(tokenizer))
    jax.tree.map(np.testing.assert_array_equal, given, params)


@pytest.mark.parametrize("name", ["janusflow", "show_o2"])
def test_latents_are_charged_their_distance_from_the_normal_distribution(name, tokenizer):
    codec = retrained(tokenizer, CODECS[name]("debug").to_dict(), image_size=(24, 24), beta=0.5).codec
    rng, pixels = np.random.default_rng(0), jnp.linspace(-1, 1, 48).reshape(1, 4, 4, 3)
    shapes = jax.eval_shape(codec.init, jax.random.key(0), pixels)
    params = jax.tree.map(lambda x: jnp.asarray(0.3 * rng.normal(size=x.shape), x.dtype), shapes)
    made, drawn = codec.apply(params, pixels)
    posterior = codec.codec.apply(params, pixels, method="posterior")
    mean, deviation = (torch.tensor(np.asarray(x)) for x in (posterior.mean, np.exp(posterior.logvar / 2)))
    nats = kl_divergence(Normal(mean, deviation), Normal(0.0, 1.0)).sum(-1)
    np.testing.assert_allclose(drawn.penalty, 0.5 * nats, rtol=1e-4)
    np.testing.assert_array_equal(drawn.vectors, posterior.mean)
    np.testing.assert_allclose(made, codec.codec.apply(params, posterior.mean, method="draw"), rtol=1e-5, atol=1e-6)
    other, _ = codec.apply(params, pixels, rngs={"sample": jax.random.key(0)})
    assert np.abs(other - made).max() > 1e-3


def test_another_ones_is_refused(tokenizer, tmp_path):
    config = CODECS["janus"]("debug").to_dict() | {"num_embeddings": 16}
    model = retrained(tokenizer, config, image_size=(24, 24))
    shapes = jax.eval_shape(lambda: parameters(model, jax.random.key(0)))
    save_pretrained(tmp_path, model, jax.tree.map(lambda x: np.zeros(x.shape, x.dtype), shapes))
    experiment = Experiment.load("configs/janus.py:debug", [f"codec.folder={tmp_path}"])
    with pytest.raises(ValueError, match="its codec has other sizes than the system's"):
        experiment.given(experiment.model(tokenizer))
