"""What texts cost: the loss of training, document by document; and a config's files, given wrongly, in one line."""

from functools import partial

import jax
import jax.numpy as jnp
import numpy as np
import pytest

from unified_jax.data.document import Document, Image, Text
from unified_jax.data.pack import Layout, pack
from unified_jax.evals.benchmark import run
from unified_jax.evals.told import benchmark
from unified_jax.models.pretrained import from_pretrained
from unified_jax.objectives.next_token import NextToken
from unified_jax.objectives.total import losses
from unified_jax.train.experiment import Experiment

EXAMPLE = "configs/finetune/example"


def test_texts_cost_the_loss_of_each_document(root):
    model, params = from_pretrained(root / EXAMPLE / "model")
    documents = [Document([Text("a"), Text("a large red circle", target=True)]), Document([Text("blue", target=True)])]
    drawn = Document([Text("red"), Image(np.zeros((12, 12, 3), np.uint8), target=True)])
    result = run(benchmark("nats", "", [drawn, *documents], n=5), model, params)
    with pytest.raises(ValueError, match="nats: none of 1 documents begins its answer with a text"):
        benchmark("nats", "", [drawn], n=5)
    predict = jax.jit(partial(lambda seq: model.apply({"params": params}, seq, method="predict")))
    for document, nats in zip(documents, result.correct):
        seq = pack([[model.plan(document)]], model.family.streams, Layout({"main": 32}, {"text": 32, "image": 0}))
        sums = losses(predict, (NextToken("text"),), jax.random.key(0), jax.tree.map(jnp.asarray, seq))["text"]
        np.testing.assert_allclose(nats, sums.total / sums.count, rtol=1e-5)
    assert result.score.value == pytest.approx(np.mean(result.correct)) and result.correct[0] != result.correct[1]


@pytest.mark.parametrize(
    ("overrides", "words"),
    [
        (["checkpoint="], "which model"),
        (["documents="], "which documents"),
        (["parts=({'sound': 'wav'},)"], "has none of image, text and say"),
    ],
)
def test_a_config_without_its_files_says_so(overrides, words):
    experiment = Experiment.load("configs/finetune/documents.py:debug", overrides)
    with pytest.raises(ValueError, match=words):
        experiment.model(None)
        experiment.data()
