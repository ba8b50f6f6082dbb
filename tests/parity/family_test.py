"""Published systems of text and pictures against transformers: the same random weights, float32, the same folder.

The reference is given what its own processor makes of the conversation, we are given the conversation. Both must see
the same ids and pictures, and say the same.
"""

import dataclasses
from collections.abc import Callable
from typing import Any

import jax
import numpy as np
import pytest
import torch
from alignment import CASES as ALIGNMENT
from difference import worst_relative
from families import CASES, SCALE, Case
from words import picture, words

import unified_jax as uj
from unified_jax.core.files import read_json
from unified_jax.data.document import Image, Text
from unified_jax.data.pack import Layout, pack
from unified_jax.data.plan import count
from unified_jax.models.published_folder import read_beside
from unified_jax.sampling.engine import Engine
from unified_jax.sampling.fill import Settings
from unified_jax.sampling.requests import Request

NEW = 128
TOLERANCE = 1e-4
DRAWING = [Text(words(3, 40)), Image(target=True)]


@dataclasses.dataclass(frozen=True)
class Pair:
    """One set of weights on both sides. forward: (params, batch) -> logits at every slot, compiled once. engine: of one
    size of chunk, so that little compiles.
    """

    case: Case
    reference: Any
    processor: Any
    document: list
    inputs: dict
    model: Any
    params: Any
    forward: Callable
    engine: Engine

    def generate(self, document: list, **settings: Any) -> Any:
        """The last part of the document, filled in."""
        (made,) = self.engine.generate([Request(document, jax.random.key(0), Settings(**settings))])
        return made[-1]

    def ours(self, document: list, params: Any = None) -> np.ndarray:
        """Logits at every slot of a document, [T V]."""
        spans = [span for span in self.model.plan(document, self.params) if span.fill is None]
        length = count(spans)
        streams = self.model.family.streams
        seq = pack([[spans]], streams, Layout({"main": length}, dict.fromkeys(streams, length)))
        seq = seq.put("text", read=np.arange(length, dtype=np.int32)[None])
        return np.asarray(self.forward(self.params if params is None else params, seq))[0]


@pytest.fixture(scope="module", params=[*CASES, *ALIGNMENT], ids=lambda case: case.name)
def pair(request, tmp_path_factory) -> Pair:
    folder, case = tmp_path_factory.mktemp(request.param.name), request.param
    reference, processor = case.reference(), case.processor()
    case.save(folder, reference, processor)
    model, params = uj.from_pretrained(folder)
    predict = jax.jit(lambda params, seq: model.apply({"params": params}, seq, method="predict")["text"])
    engine = Engine(model, params, rows=2, capacity=2048, chunks=(1024,))
    return Pair(case, reference, processor, case.document(), case.inputs(processor), model, params, predict, engine)


def test_logits_agree_at_every_slot(pair, record_parity):
    want, got = _logits(pair.reference, pair.inputs), pair.ours(pair.document)
    chosen = want > -1e30  # the reference puts ids that may not be chosen at the least float
    worst = worst_relative(got[chosen], want[chosen])
    record_parity(
        f"family:{pair.case.name}",
        reference=pair.case.version,
        what=f"logits of {len(want)} slots, pictures among them: {pair.case.order.count(None)}",
        worst_relative=worst,
        tolerance=TOLERANCE,
    )
    assert len(want) >= 500 and worst <= TOLERANCE


def test_greedy_text_is_the_same(pair):
    with torch.no_grad():
        made = pair.reference.generate(**pair.inputs, max_new_tokens=NEW, do_sample=False)
    want = made[0, -NEW:].numpy()
    got = pair.generate(pair.document, max_tokens=NEW).values
    np.testing.assert_array_equal(got, want)
    assert len(np.unique(want)) > 5, "ids that hardly vary show little"


def test_a_guided_picture_is_drawn_code_by_code_alike(pair, record_parity):
    if pair.case.draw is None:
        pytest.skip("it draws no pictures")
    with torch.no_grad():
        want = pair.case.draw(pair.reference, pair.processor, DRAWING[0].text)
    made = pair.generate(DRAWING, guidance_scale=SCALE, image_temperature=0.0)
    levels = int(np.abs(made.pixels.astype(int) - want.pixels).max())
    record_parity(
        f"family:{pair.case.name}-drawing",
        reference=pair.case.version,
        what=f"a picture of {want.ids.size} codes with guidance {SCALE}, all the same; worst grey level of 255",
        worst_relative=levels / 255,
        tolerance=1 / 255,
    )
    np.testing.assert_array_equal(made.values.reshape(-1), want.ids)
    assert levels <= 1 and len(np.unique(want.ids)) > 5


def test_another_word_or_picture_changes_what_follows(pair):
    before = pair.ours(pair.document)[-1]
    for i, part in enumerate(pair.document[:-1]):
        other = (
            Text(words(9, len(part.text.split())))
            if isinstance(part, Text)
            else Image(picture(9, *part.pixels.shape[:2]))
        )
        changed = pair.ours([*pair.document[:i], other, *pair.document[i + 1 :]])[-1]
        assert worst_relative(changed, before) > 1e-3


def test_written_back_the_reference_reads_the_same_model(pair, tmp_path):
    uj.save_pretrained(tmp_path, pair.model, pair.params)
    again = type(pair.reference).from_pretrained(tmp_path).eval()
    for name, weight in pair.reference.state_dict().items():
        torch.testing.assert_close(again.state_dict()[name], weight, rtol=0, atol=0)
    for name, content in pair.model.family.published.files.items():
        assert read_json(tmp_path / name) == content
    assert read_beside(tmp_path, {}).tokenizer.special == pair.model.family.tokenizer.special


def _logits(reference: Any, inputs: dict) -> np.ndarray:
    with torch.no_grad():
        return reference(**inputs).logits[0].numpy()
