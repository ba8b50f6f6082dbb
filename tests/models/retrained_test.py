"""A codec trained here is a folder that its system takes: every parameter at its place."""

import jax
import numpy as np
import pytest

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


def test_another_ones_is_refused(tokenizer, tmp_path):
    config = CODECS["janus"]("debug").to_dict() | {"num_embeddings": 16}
    model = retrained(tokenizer, config, image_size=(24, 24))
    shapes = jax.eval_shape(lambda: parameters(model, jax.random.key(0)))
    save_pretrained(tmp_path, model, jax.tree.map(lambda x: np.zeros(x.shape, x.dtype), shapes))
    experiment = Experiment.load("configs/janus.py:debug", [f"codec.folder={tmp_path}"])
    with pytest.raises(ValueError, match="its codec has other sizes than the system's"):
        experiment.given(experiment.model(tokenizer))
