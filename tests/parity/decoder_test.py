"""Published decoders against transformers: the same random weights, float32, through the published file layout.

Every case is compared over whole sequences, in what it writes greedily with and without a KV cache, sharded over
eight simulated devices, and after it was written back and read by the reference.
"""

import dataclasses
from collections.abc import Callable
from typing import Any

import jax
import numpy as np
import pytest
import torch
from decoders import CASES, SIZES, Case

from unified_jax.data.document import Text
from unified_jax.data.pack import Layout, pack
from unified_jax.data.plan import Span
from unified_jax.models.pretrained import from_pretrained, save_pretrained
from unified_jax.sampling.generate import generate_batch
from unified_jax.train.sharding import make_mesh, shardings

ROWS, LENGTH, NEW = 2, 520, 128
TOLERANCE = 1e-4


@dataclasses.dataclass(frozen=True)
class Pair:
    """One set of weights on both sides. forward: (params, ids [B LENGTH]) -> logits [B LENGTH V], compiled once."""

    case: Case
    reference: torch.nn.Module
    model: Any
    params: Any
    forward: Callable

    def expected(self, ids: np.ndarray) -> np.ndarray:
        return _logits(self.reference, ids)


@pytest.fixture(scope="module", params=CASES, ids=lambda case: case.name)
def pair(request, tmp_path_factory) -> Pair:
    folder = tmp_path_factory.mktemp(request.param.name)
    reference = request.param.reference()
    reference.save_pretrained(folder)
    model, params = from_pretrained(folder)
    predict = jax.jit(lambda params, seq: model.apply({"params": params}, seq, method="predict")["text"])
    return Pair(request.param, reference, model, params, lambda params, ids: predict(params, _sequence(model, ids)))


@pytest.fixture(scope="module")
def ids() -> np.ndarray:
    return np.random.default_rng(0).integers(5, SIZES["vocab_size"], (ROWS, LENGTH)).astype(np.int32)


def test_logits_agree_at_every_position(pair, ids, record_parity):
    want, got = pair.expected(ids), np.asarray(pair.forward(pair.params, ids))
    worst = worst_relative(got, want)
    worst_position = max(worst_relative(got[:, t], want[:, t]) for t in range(LENGTH))
    record_parity(
        f"decoder:{pair.case.name}",
        reference=pair.case.version,
        what=f"logits of {ROWS} x {LENGTH} ids",
        worst_relative=worst,
        worst_position=worst_position,
        tolerance=TOLERANCE,
    )
    assert max(worst, worst_position) <= TOLERANCE


def test_greedy_ids_are_the_same_with_and_without_a_cache(pair, ids):
    prompts = ids[:, : LENGTH - NEW]
    settings = dict(max_new_tokens=NEW, do_sample=False, pad_token_id=0)
    want = pair.reference.generate(torch.tensor(prompts, dtype=torch.long), **settings).numpy()[:, -NEW:]
    documents = [[Text("ids", values=row), Text(target=True)] for row in prompts]
    made = generate_batch(pair.model, pair.params, documents, max_tokens=NEW)
    cached = np.stack([document[-1].values for document in made])
    np.testing.assert_array_equal(cached, want)
    # Without a cache, each id is the most probable of those that may be chosen, which one run over the result shows.
    whole = np.concatenate([prompts, want], 1).astype(np.int32)
    logits = np.where(pair.expected(whole) > -1e30, pair.forward(pair.params, whole), -np.inf)
    np.testing.assert_array_equal(logits[:, -NEW - 1 : -1].argmax(-1), want)
    assert len(np.unique(want)) > 5, "ids that hardly vary show little"


def test_eight_devices_give_the_same_logits(pair, ids):
    mesh = make_mesh({"data": 2, "fsdp": 2, "tensor": 2})
    placed = jax.device_put(pair.params, shardings(pair.params, mesh))
    assert any(not leaf.sharding.is_fully_replicated for leaf in jax.tree.leaves(placed))
    got = np.asarray(pair.forward(placed, ids))
    assert worst_relative(got, pair.expected(ids)) <= TOLERANCE


def test_written_back_the_reference_reads_the_same_model(pair, ids, tmp_path):
    save_pretrained(tmp_path, pair.model, pair.params)
    again = type(pair.reference).from_pretrained(tmp_path).eval()
    np.testing.assert_array_equal(_logits(again, ids[:1, :64]), pair.expected(ids[:1, :64]))


def worst_relative(got: np.ndarray, want: np.ndarray) -> float:
    """max |got - want| / max |want|, over the ids that may be chosen: the reference puts the others at -infinity."""
    allowed = want > -1e30
    return float(np.abs(got - want)[allowed].max() / np.abs(want[allowed]).max())


def _logits(reference: torch.nn.Module, ids: np.ndarray) -> np.ndarray:
    with torch.no_grad():
        return reference(input_ids=torch.tensor(ids, dtype=torch.long)).logits.numpy()


def _sequence(model, ids: np.ndarray):
    """Rows of given ids, with the logits read at every id itself."""
    length = ids.shape[1]
    rows = [[[Span((("text", row),))]] for row in ids]
    seq = pack(rows, model.family.streams, Layout({"main": length}, {"text": length}))
    return seq.put("text", read=np.broadcast_to(np.arange(length, dtype=np.int32), ids.shape))
