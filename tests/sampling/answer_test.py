"""An open answer: the model decides when it draws and when it ends; the rest is as if its parts had been fixed."""

import dataclasses

import jax
import jax.numpy as jnp
import numpy as np
import pytest

from unified_jax.data.document import Answer, BadRecord, Document, Image, Text
from unified_jax.data.pack import Layout, pack
from unified_jax.data.plan import count
from unified_jax.models.chameleon import chameleon
from unified_jax.models.pretrained import parameters
from unified_jax.models.transfusion import transfusion
from unified_jax.sampling.draw import draw
from unified_jax.sampling.engine import Engine
from unified_jax.sampling.fill import Settings
from unified_jax.sampling.prefill import prefill
from unified_jax.sampling.requests import Request
from unified_jax.sampling.write import write

BODY = dict(width=16, depth=1, num_heads=2, hidden=16, image_size=(8, 8))
CODEC = dict(patch=2, width=8, multipliers=(1, 2), depth=1, code=dict(kind="nearest", size=24, width=4))
SYSTEMS = {
    "transfusion": lambda tokenizer: transfusion(tokenizer, patch=4, **BODY),
    "chameleon": lambda tokenizer: chameleon(tokenizer, codec=CODEC, **BODY),
}
PROMPT = Text("a red circle")
KEY = jax.random.key(7)
SETTINGS = Settings(steps=2, max_tokens=40, max_images=2)


@pytest.fixture(scope="module", params=SYSTEMS)
def system(request, tokenizer):
    """A tiny model whose weights are large enough for outputs to vary, and which draws in the middle of its answer."""
    model = SYSTEMS[request.param](tokenizer)
    rng = np.random.default_rng(2)
    vary = lambda x: x + np.asarray(0.6 * rng.normal(size=x.shape), x.dtype)
    params = parameters(model, jax.random.key(0))
    params = {name: x if name == "codec" else jax.tree.map(vary, x) for name, x in params.items()}
    ids = ask(serve(model, params), PROMPT, Text(target=True))[-1].values.tolist()
    at = next(i for i in range(3, len(ids)) if ids.index(ids[i]) == i and ids[i] not in tokenizer.special.values())
    return model, saying_instead(params, ids[at], tokenizer.special["<boi>"])


@pytest.fixture(scope="module")
def engine(system) -> Engine:
    return serve(*system)


def serve(model, params, *, capacity: int = 128) -> Engine:
    """An engine of the one shape that all tests share."""
    return Engine(model, params, rows=4, capacity=capacity, chunks=(64,))


def saying_instead(params, word: int, other: int):
    """The same model with the rows of two ids exchanged: where it said one, it says the other."""
    table = params["embed_text"]["table"]
    return {**params, "embed_text": {"table": table.at[jnp.array([word, other])].set(table[jnp.array([other, word])])}}


def ask(engine: Engine, *parts, settings: Settings = SETTINGS, **fields) -> Document:
    asked = Request(parts, KEY, dataclasses.replace(settings, **fields))
    return engine.generate([asked])[0]


def kinds(document: Document) -> str:
    return " ".join(type(part).__name__ for part in document.targets)


@pytest.mark.parametrize("scale", [1.0, 2.5])
def test_an_answer_is_the_document_whose_parts_the_caller_had_fixed(engine, scale):
    made = ask(engine, PROMPT, Answer(), guidance_scale=scale)
    assert kinds(made).startswith("Text Image Text Image") and not any(isinstance(part, Answer) for part in made)
    fixed = ask(engine, PROMPT, *(part.blank() for part in made.targets), guidance_scale=scale)
    *sure, last = zip(made.targets, fixed.targets)
    for one, other in sure:
        np.testing.assert_allclose(one.values, other.values, atol=1e-5)
    # Alone, the last text may have as many ids as all of them together.
    np.testing.assert_allclose(last[0].values, last[1].values[: len(last[0].values)], atol=1e-5)


def test_another_prompt_has_another_answer(engine):
    one, other = (ask(engine, Text(text), Answer()) for text in ("a red circle", "a red circle it"))
    same = lambda a, b: type(a) is type(b) and np.array_equal(a.values, b.values)
    assert not all(map(same, one.targets, other.targets))


def test_the_cache_after_an_answer_is_that_of_a_full_forward(system):
    model, params = system
    engine = serve(model, params)
    made = ask(engine, PROMPT, Answer(), guidance_scale=2.5)
    assert "Image" in kinds(made)
    streams, forward = model.family.streams, jax.jit(model.apply)
    for row, document in enumerate((made, model.family.null(made))):
        spans = [span for span in model.family.write(document) if not span.private]
        seq = pack([[spans]], streams, Layout({"main": 128}, dict.fromkeys(streams, 128)))
        whole = forward({"params": params}, seq).kv
        n = int(engine._cache.length[row])
        # Neither the end nor, where the limit was met, the last id has been run.
        assert count(spans) - 2 <= n < count(spans)
        for ours, theirs in zip(engine._cache.kv, whole):
            np.testing.assert_allclose(ours[:, row, :, :n], theirs[:, 0, :, :n], atol=2e-4)


@pytest.mark.parametrize("limit", [0, 1, 2, 3])
def test_there_are_at_most_so_many_pictures(engine, limit):
    made = ask(engine, PROMPT, Answer(), max_images=limit)
    assert kinds(made).split().count("Image") == limit


@pytest.mark.parametrize("limit", [1, 5, 9])
def test_all_texts_together_have_at_most_so_many_ids(engine, limit):
    whole, made = (ask(engine, PROMPT, Answer(), max_tokens=n) for n in (40, limit))
    ids = lambda document: [i for part in document.targets if isinstance(part, Text) for i in part.values.tolist()]
    assert ids(made) == ids(whole)[:limit]


def test_a_stop_string_ends_the_whole_answer(engine):
    free = ask(engine, PROMPT, Answer())
    word = free[1].text[1:3]
    stopped = ask(engine, PROMPT, Answer(), stop=(word,))
    assert kinds(stopped) == "Text" and stopped[1].text == free[1].text[: free[1].text.index(word)]


def test_an_answer_may_begin_with_a_picture(system, tokenizer):
    model, params = system
    first = int(ask(serve(model, params), PROMPT, Answer())[1].values[0])
    eager = serve(model, saying_instead(params, first, tokenizer.special["<boi>"]))
    assert kinds(ask(eager, PROMPT, Answer(), max_images=1)).startswith("Image")


def test_an_answer_ends_before_what_its_row_cannot_hold(system):
    model, params = system
    text = ask(serve(model, params), PROMPT, Answer())[1]
    slots = count(model.family.write(Document([PROMPT, text]))) + SETTINGS.max_tokens - len(text.values) + 1
    tight = ask(serve(model, params, capacity=slots), PROMPT, Answer())
    np.testing.assert_array_equal(tight[1].values, text.values)
    assert kinds(tight).split().count("Image") < 2


def test_parts_given_after_an_answer_follow_it(engine):
    made = ask(engine, PROMPT, Answer(), Text("what"), Text(target=True), max_images=1, max_tokens=12)
    given = ask(engine, *made[:-1], Text(target=True), max_tokens=12)
    np.testing.assert_array_equal(made[-1].values, given[-1].values)


def mixed(n: int) -> list[Request]:
    """Answers, texts and drawings of different lengths under different settings."""
    rng = np.random.default_rng(n)
    wants = [[Answer()], [Text(target=True)], [Image(target=True)], [Image(target=True), Answer()]]
    say = lambda: Text(" ".join(rng.choice(["a", "red", "circle"], rng.integers(1, 6))))
    return [
        Request(
            [say(), *wants[i % 4]],
            jax.random.key(i),
            dataclasses.replace(
                SETTINGS, guidance_scale=[1.0, 2.0][i % 3 == 0], max_images=i % 3, max_tokens=5 + 6 * (i % 4)
            ),
        )
        for i in range(n)
    ]


def test_among_others_an_answer_is_what_it_is_alone_and_is_told_as_it_comes(engine):
    asked, heard = mixed(10), {}
    together = engine.generate(asked, on_part=lambda i, part: heard.setdefault(i, []).append(part))
    for i, (request, made) in enumerate(zip(asked, together)):
        alone = engine.generate([request])[0]
        assert kinds(alone) == kinds(made)
        for one, other in zip(alone.targets, made.targets):
            np.testing.assert_allclose(one.values, other.values, atol=1e-4)
        texts = [part.text for part in made.targets if isinstance(part, Text)]
        assert "".join(part.text for part in heard[i] if isinstance(part, Text)) == "".join(texts)
        pictures = [part for part in made.targets if isinstance(part, Image)]
        assert [part for part in heard[i] if isinstance(part, Image)] == pictures
    assert len({kinds(made) for made in together}) > 3


def test_no_answer_compiles_anything_after_warm_up(engine):
    engine.warm_up([Request([PROMPT, part], KEY) for part in (Text(target=True), Image(target=True))])
    programs = lambda: [loop._cache_size() for loop in (prefill, write, draw)]
    compiled = programs()
    engine.generate(mixed(24))
    assert programs() == compiled


def test_an_open_answer_is_nothing_to_learn_from(system):
    with pytest.raises(BadRecord, match="part 1: an open answer has nothing to learn from"):
        system[0].family.check(Document([PROMPT, Answer()]))


def test_a_negative_number_of_pictures_is_refused():
    with pytest.raises(ValueError, match="max_images must be 0 or more, found -1"):
        Settings(max_images=-1)


def test_what_opens_a_picture_and_what_ends_the_answer_are_learned_from_the_text_before(system, tokenizer):
    family, special = system[0].family, tokenizer.special
    picture = Image(np.zeros((8, 8, 3), np.uint8), target=True)
    document = [PROMPT, Text("red", target=True), picture, Text("it", target=True)]
    layout = Layout({"main": 96}, dict.fromkeys(family.streams, 96))
    seq = pack([[family.plan(document, system[1])]], family.streams, layout)
    ids, slot, read, learned = (
        getattr(seq.streams["text"], x)[0].tolist() for x in ("values", "slot", "read", "weight")
    )
    last = ids.index(special["<boi>"]) - 1
    assert ids[last] == tokenizer.encode("red")[-1] and ids[last + 2 :].count(special["<eos>"]) == 1
    for after, before in (
        (last + 1, last),  # whether to draw
        (ids.index(special["<eoi>"]) + 1, ids.index(special["<eoi>"])),  # what to say of the picture
        (ids.index(special["<eos>"]), ids.index(special["<eos>"]) - 1),  # whether to end
    ):
        assert learned[after] == 1 and read[after] == slot[before]
