"""A loss that is not finite changes nothing, is named, and stops the run or is skipped."""

from functools import partial

import jax
import jax.numpy as jnp
import numpy as np
import pytest

from configs import common
from unified_jax.data.document import Document, Image, Text
from unified_jax.data.pack import Layout, pack
from unified_jax.data.tokenizer import Tokenizer
from unified_jax.models.pretrained import parameters
from unified_jax.models.transfusion import PATH, transfusion
from unified_jax.objectives.flow import Flow
from unified_jax.objectives.next_token import NextToken
from unified_jax.train.loop import BadStep, _name_bad
from unified_jax.train.optim import optimizer
from unified_jax.train.state import create
from unified_jax.train.step import train_step


@pytest.fixture(scope="module")
def setting():
    model = transfusion(Tokenizer.train(["red"], 300), width=16, depth=1, num_heads=2, hidden=16, image_size=(8, 8))
    tx = optimizer(common.adamw())
    step = partial(
        train_step, model=model, objectives=(NextToken("text"), Flow("image", path=PATH)), tx=tx, ema_decay=0.9
    )
    picture = Image(np.full((8, 8, 3), 200, np.uint8), target=True)
    spans = model.family.plan(Document([Text("red"), picture]))
    seq = pack([[spans]], model.family.streams, Layout({"main": 16}, {"text": 12, "image": 1}))
    seq = jax.tree.map(lambda x: jnp.asarray(x)[None], seq)
    return create(parameters(model, jax.random.key(0)), tx), seq, step


def poisoned(seq):
    image = seq.streams["image"]
    return seq.put("image", values=image.values.at[0, 0, 0, 0].set(jnp.nan))


@pytest.mark.parametrize("skip_bad", [False, True])
def test_a_bad_step_leaves_the_parameters_alone(setting, skip_bad):
    state, seq, step = setting
    step = jax.jit(partial(step, skip_bad=skip_bad))
    good, _ = step(state, seq, jax.random.key(1))
    bad, metrics = step(good, poisoned(seq), jax.random.key(1))
    after, _ = step(bad, seq, jax.random.key(1))
    same = lambda a, b: all(jax.tree.leaves(jax.tree.map(lambda x, y: bool((x == y).all()), a, b)))
    assert not np.isfinite(metrics["loss"])
    assert same(good.params, bad.params) and same(good.ema, bad.ema) and same(good.opt_state, bad.opt_state)
    assert int(bad.bad_step) == 1 and int(bad.skipped) == 1 and int(bad.step) == 2
    # Skipping goes on with the next step; stopping freezes the state until the loop notices.
    assert same(after.params, bad.params) is not skip_bad


def test_the_loop_names_the_step(setting):
    state, seq, step = setting
    bad, _ = jax.jit(step)(state, poisoned(seq), jax.random.key(0))
    with pytest.raises(BadStep, match="step 0 is not finite"):
        _name_bad(bad, "stop")
    _name_bad(bad, "skip")
