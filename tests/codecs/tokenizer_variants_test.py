"""Every quantiser that the tokenizer's config names trains in the common loop, at the same number of bits."""

import math

import jax
import jax.numpy as jnp
import numpy as np
import pytest

from configs.tokenizer import shapes
from unified_jax.codecs.quantisers.table import find_quantiser
from unified_jax.train.experiment import Experiment
from unified_jax.train.loop import train


@pytest.mark.parametrize("name", shapes.CODES)
def test_a_place_has_nine_bits(name):
    quantiser = find_quantiser(shapes.CODES[name])
    assert math.log2(quantiser.size) * math.prod(quantiser.shape) == 9


def test_moving_averages_are_kept_up_by_the_common_loop(tmp_path):
    flags = ["steps=3", "log_every=1", "test_size=1", "packing.rows=8", "model.codec.width=8", "optimizer.warmup=0"]
    trained = train(Experiment.load("configs/tokenizer/shapes.py:moving", flags), tmp_path)
    state = trained.params["codec"]["quantiser"]
    assert np.isfinite(jax.tree.leaves(trained.params)[0]).all()
    # Counts start at 1 and fall by a hundredth a step, or a little less as the schedule says; what was chosen grows.
    assert 0.96 < float(state["counts"].min()) < 0.995 and float(state["counts"].max()) > 1
    assert not jnp.allclose(state["sums"].std(), 1.0, atol=1e-4)
