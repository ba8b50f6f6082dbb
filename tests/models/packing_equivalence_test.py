"""One model, many ways to lay a document out: packed, alone, piece by piece against a cache. All must agree."""

from functools import partial

import jax
import jax.numpy as jnp
import numpy as np
import pytest

from unified_jax.core.cache import commit, empty
from unified_jax.data.document import Document, Image, Text
from unified_jax.data.pack import Layout, pack
from unified_jax.data.plan import Span, count, skip
from unified_jax.models.transfusion import transfusion

SIZE, SLOTS, TOLERANCE = 16, 64, dict(atol=3e-5, rtol=1e-4)
LAYOUT = Layout({"main": SLOTS}, {"text": 48, "image": 16})


def picture(seed: int, target: bool = False) -> Image:
    return Image(np.random.default_rng(seed).integers(0, 256, (SIZE, SIZE, 3), dtype=np.uint8), target=target)


DRAWING = Document([Text("draw a red circle"), picture(0, target=True), Text("done", target=True)])
QUESTION = Document([picture(1), Text("what colour?"), Text("blue", target=True)])


class Runner:
    """A tiny model whose every parameter matters, and its compiled functions."""

    def __init__(self, tokenizer):
        self.model = transfusion(
            tokenizer, width=32, depth=2, num_heads=4, num_kv_heads=2, hidden=48, patch=8, image_size=(SIZE, SIZE)
        )
        seq = self.pack([[DRAWING]])
        shapes = jax.eval_shape(lambda: self.model.init(jax.random.key(0), seq, method="predict")["params"])
        rng = np.random.default_rng(0)
        # Nothing zero and nothing one: a head or a norm at its start would hide differences.
        scale = lambda x: 0.5 if x.ndim < 2 else 0.6 / np.sqrt(x.shape[-2])
        self.params = jax.tree.map(lambda x: jnp.asarray(scale(x) * rng.normal(size=x.shape), x.dtype), shapes)
        self._predict = jax.jit(lambda params, seq: self.model.apply({"params": params}, seq, method="predict"))
        self._extend = jax.jit(self._run)

    def plan(self, document) -> list[Span]:
        return self.model.family.plan(document)

    def pack(self, rows, layout=LAYOUT):
        plans = [[self.plan(document) for document in documents] for documents in rows]
        return jax.tree.map(jnp.asarray, pack(plans, self.model.family.streams, layout))

    def predict(self, seq) -> dict[str, np.ndarray]:
        return jax.tree.map(np.asarray, self._predict(self.params, seq))

    def _run(self, params, seq, cache):
        def run(module, seq, cache):
            output = module(seq, cache)
            return module.read(output, seq), output.kv, output.slots

        return self.model.apply({"params": params}, seq, cache, method=run)

    def extend(self, seq, cache):
        return self._extend(self.params, seq, cache)

    def alone(self, document) -> dict[str, np.ndarray]:
        """Predictions of every entry of one document by itself."""
        predictions, sizes = (
            self.predict(self.pack([[document]])),
            Span(sum((s.parts for s in self.plan(document)), ())),
        )
        return {name: predictions[name][0, : sizes.sizes().get(name, 0)] for name in predictions}


@pytest.fixture(scope="module")
def runner(tokenizer) -> Runner:
    return Runner(tokenizer)


def assert_close(found, expected):
    for name in expected:
        np.testing.assert_allclose(found[name], expected[name], **TOLERANCE)


def assert_differ(found, expected):
    assert np.abs(found - expected).max() > 1e-2


def test_two_documents_packed_in_one_row_are_predicted_as_each_alone(runner):
    packed = runner.predict(runner.pack([[DRAWING, QUESTION]]))
    first, second = runner.alone(DRAWING), runner.alone(QUESTION)
    for name in packed:
        n, m = len(first[name]), len(second[name])
        np.testing.assert_allclose(packed[name][0, :n], first[name], **TOLERANCE)
        np.testing.assert_allclose(packed[name][0, n : n + m], second[name], **TOLERANCE)


def test_rows_of_a_batch_do_not_touch_each_other(runner):
    both = runner.predict(runner.pack([[DRAWING], [QUESTION]]))
    for b, document in enumerate([DRAWING, QUESTION]):
        for name, expected in runner.alone(document).items():
            np.testing.assert_allclose(both[name][b, : len(expected)], expected, **TOLERANCE)


def test_padding_changes_nothing(runner):
    wide = runner.predict(runner.pack([[QUESTION]], Layout({"main": 80}, {"text": 60, "image": 20})))
    for name, expected in runner.alone(QUESTION).items():
        np.testing.assert_allclose(wide[name][0, : len(expected)], expected, **TOLERANCE)


# Swapping what is given must change what is predicted.


def learned(runner, document, stream) -> np.ndarray:
    seq = runner.pack([[document]])
    return runner.predict(seq)[stream][np.asarray(seq.streams[stream].weight) > 0]


def test_another_picture_gives_another_answer(runner):
    other = Document([picture(2), *QUESTION[1:]])
    assert_differ(learned(runner, other, "text"), learned(runner, QUESTION, "text"))


def test_another_prompt_gives_another_picture(runner):
    other = Document([Text("draw a blue square"), *DRAWING[1:]])
    assert_differ(learned(runner, other, "image"), learned(runner, DRAWING, "image"))


def test_another_noise_level_gives_another_picture(runner):
    seq = runner.pack([[DRAWING]])
    later = seq.put("image", time=seq.streams["image"].time + 0.5)
    assert_differ(runner.predict(later)["image"][0, :4], runner.predict(seq)["image"][0, :4])


def test_patches_of_a_picture_see_each_other_and_know_their_place(runner):
    seq = runner.pack([[DRAWING]])
    values, before = seq.streams["image"].values, runner.predict(seq)["image"][0, :4]
    changed = runner.predict(seq.put("image", values=values.at[0, 3].add(1.0)))["image"][0, :4]
    assert_differ(changed[0], before[0])  # the last patch reaches the first
    swapped = runner.predict(seq.put("image", values=values.at[0, :2].set(values[0, 1::-1])))["image"][0, :4]
    assert_differ(swapped[:2][::-1], before[:2])


def test_the_noised_copy_reaches_no_text_and_no_clean_copy(runner):
    seq = runner.pack([[DRAWING]])
    noised = seq.put("image", values=seq.streams["image"].values.at[0, :4].add(3.0))
    before, after = runner.predict(seq), runner.predict(noised)
    np.testing.assert_allclose(after["text"], before["text"], **TOLERANCE)
    np.testing.assert_allclose(after["image"][0, 4:8], before["image"][0, 4:8], **TOLERANCE)
    assert_differ(after["image"][0, :4], before["image"][0, :4])


def test_later_text_reaches_nothing_before_it(runner):
    other = Document([*DRAWING[:2], Text("never", target=True)])
    a, b = runner.predict(runner.pack([[DRAWING]])), runner.predict(runner.pack([[other]]))
    start = count(runner.plan(Document(DRAWING[:1]))) + 2  # <bos> prompt <turn> <boi>
    np.testing.assert_allclose(a["text"][0, :start], b["text"][0, :start], **TOLERANCE)
    np.testing.assert_allclose(a["image"][0, :8], b["image"][0, :8], **TOLERANCE)


# Piece by piece against a cache.


def pieces(runner, document, cuts: list[int], slots: int = 24):
    """The document cut after so many entries, each piece a batch of ``slots`` slots."""
    layout, spans = Layout({"main": slots}, {"text": slots, "image": 8}), runner.plan(document)
    for start, end in zip([0, *cuts], [*cuts, count(spans)]):
        cursor, rest = skip(spans, start)
        yield jax.tree.map(
            jnp.asarray, pack([[head(rest, end - start)]], runner.model.family.streams, layout, cursors=[cursor])
        )


def head(spans: list[Span], entries: int) -> list[Span]:
    """The first entries of a plan; a causal span of one stream may be cut."""
    kept = []
    for span in spans:
        n = min(count([span]), entries)
        ((stream, values),) = span.parts
        if n:
            kept.append(Span(((stream, values[:n]),), span.attend, span.private, span.learn, span.grid))
        entries -= n
    return kept


def blank_cache(runner, seq, capacity=128):
    return empty(jax.eval_shape(partial(runner._run, runner.params), seq, None)[1], capacity)


def by_pieces(runner, document, cuts) -> tuple[dict[str, list], object]:
    """For every entry that reads a slot of its own piece: {stream: [(entry, prediction)]}, and the cache."""
    cache, done, found = None, {"text": 0, "image": 0}, {"text": [], "image": []}
    for number, seq in enumerate(pieces(runner, document, cuts)):
        cache = blank_cache(runner, seq) if cache is None else cache
        predictions, kv, slots = runner.extend(seq, cache)
        cache, first = commit(cache, kv, slots), number > 0
        for name, payload in seq.streams.items():
            n = int((payload.slot < seq.lanes["main"].capacity).sum())
            for entry in range(n):
                # A piece's first causal entry is predicted by the piece before it, so here by nothing.
                itself = payload.read[0, entry] == payload.slot[0, entry]
                if not (first and itself and name == "text"):
                    found[name].append((done[name] + entry, np.asarray(predictions[name][0, entry])))
            done[name] += n
    return found, cache


@pytest.mark.parametrize("cuts", [[1], [5, 21], [21, 25, 29], [3, 9, 20, 29]], ids=str)
def test_prefill_in_pieces_equals_the_whole_document_at_once(runner, cuts):
    spans = runner.plan(DRAWING)
    edges = np.cumsum([count([span]) for span in spans])
    full = [(a, b) for a, b, s in zip([0, *edges], edges, spans) if s.attend == "full"]
    cuts = [c if not any(a < c < b for a, b in full) else next(b for a, b in full if a < c < b) for c in cuts]
    whole, (found, _) = runner.alone(DRAWING), by_pieces(runner, DRAWING, sorted({int(c) for c in cuts}))
    for name, entries in found.items():
        assert len(entries) >= len(whole[name]) - len(cuts)
        for entry, prediction in entries:
            np.testing.assert_allclose(prediction, whole[name][entry], **TOLERANCE)


def test_a_discarded_step_leaves_no_trace_in_what_follows(runner):
    """Denoise the picture a few times without committing, then go on with the clean one."""
    spans = runner.plan(DRAWING)
    at = count(spans[: next(i for i, span in enumerate(spans) if span.private)])
    prompt, noised, rest = pieces(runner, DRAWING, [at, at + 4])
    cache = commit(blank_cache(runner, prompt), *runner.extend(prompt, blank_cache(runner, prompt))[1:])
    before = jax.tree.map(np.array, cache)
    expected = runner.extend(rest, cache)[0]
    for seed in range(2):
        noise = jax.random.normal(jax.random.key(seed), noised.streams["image"].values.shape)
        runner.extend(noised.put("image", values=noise), cache)
    jax.tree.map(np.testing.assert_array_equal, jax.tree.map(np.array, cache), before)
    assert_close(runner.extend(rest, cache)[0], expected)
    # Had the noised copy been committed, it would still be seen by nobody: it is private.
    kept = commit(cache, *runner.extend(noised, cache)[1:])
    n = int((np.asarray(rest.streams["text"].slot) < 24).sum())
    np.testing.assert_allclose(runner.extend(rest, kept)[0]["text"][0, 1:n], expected["text"][0, 1:n], **TOLERANCE)


def test_a_prediction_is_read_from_the_predecessor_in_another_stream_as_decoding_step_by_step_does(runner):
    """Janus: the first code of a picture is predicted from <boi>, in the text stream; so are ids after the picture."""
    codes = np.random.default_rng(0).normal(size=(3, 192)).astype(np.float32)
    ids = np.array([5, 9, 3], np.int32)
    spans = [Span((("text", ids),)), Span((("image", codes),)), Span((("text", ids + 1),))]
    streams = runner.model.family.streams
    whole = runner.predict(jax.tree.map(jnp.asarray, pack([[spans]], streams, LAYOUT)))
    for stream, entry, length in [("image", 0, 3), ("image", 2, 5), ("text", 3, 6), ("text", 5, 8)]:
        # Everything before the entry, and a stand-in of other content at its place.
        flat = [("text", i) for i in ids] + [("image", c) for c in codes] + [("text", i) for i in ids + 1]
        stand_in = ("image", np.zeros(192, np.float32)) if stream == "image" else ("text", np.int32(1))
        shown = [*flat[:length], stand_in]
        step = [Span(((name, np.asarray([value])),)) for name, value in shown]
        found = runner.predict(jax.tree.map(jnp.asarray, pack([[step]], streams, LAYOUT)))
        np.testing.assert_allclose(found[stream][0, entry], whole[stream][0, entry], **TOLERANCE)
