"""generate: the cache never changes what is written, blanks are filled in order, shapes compile once."""

import jax
import jax.numpy as jnp
import numpy as np
import pytest

from unified_jax.data.document import Document, Image, Text
from unified_jax.data.pack import Layout, pack
from unified_jax.data.tokenizer import Tokenizer
from unified_jax.models.pretrained import parameters
from unified_jax.models.transfusion import transfusion
from unified_jax.sampling.draw import draw as draw_loop
from unified_jax.sampling.generate import generate, generate_batch
from unified_jax.sampling.prefill import prefill
from unified_jax.sampling.write import write as write_loop

WORDS = ["red green blue circle square what colour is it", "a large red circle and a small blue square"]


@pytest.fixture(scope="module")
def system():
    """A tiny Transfusion whose weights are large enough for outputs to vary."""
    tokenizer = Tokenizer.train(WORDS, 300)
    model = transfusion(tokenizer, width=32, depth=2, num_heads=2, hidden=64, patch=4, image_size=(8, 8), unroll=2)
    params = parameters(model, jax.random.key(0))
    leaves, tree = jax.tree.flatten(params)
    keys = jax.random.split(jax.random.key(1), len(leaves))
    return model, jax.tree.unflatten(tree, [x + 0.3 * jax.random.normal(k, x.shape) for x, k in zip(leaves, keys)])


def picture(seed: int) -> Image:
    return Image(np.random.default_rng(seed).integers(0, 256, (8, 8, 3), np.uint8))


def full_forward(model, params, document, *, slots: int = 96) -> tuple:
    """Predictions for a whole document at once, without a cache."""
    layout = Layout({"main": slots}, {"text": slots - 32, "image": 32})
    seq = pack([[model.family.plan(document)]], model.family.streams, layout)
    return jax.tree.map(np.asarray, model.apply({"params": params}, seq, method="predict")), seq


def test_greedy_text_with_cache_equals_recomputing_everything(system):
    model, params = system
    special = model.family.tokenizer.special
    prompt = [picture(0), Text("what colour is it")]
    made = generate(model, params, [*prompt, Text(target=True)], max_tokens=24)
    ids: list[int] = []
    for _ in range(24):
        # One wrong id stands where the next is predicted: the prediction must not see it.
        document = [*prompt, Text("", target=True, values=np.array([*ids, 7], np.int32))]
        predictions, seq = full_forward(model, params, document)
        answer = np.flatnonzero(seq.streams["text"].weight[0])
        ids.append(int(predictions["text"][0, answer[len(ids)]].argmax()))
        if ids[-1] == special["<eos>"]:
            ids.pop()
            break
    np.testing.assert_array_equal(made[2].values, ids)
    assert len(ids) > 3


def test_five_hundred_ids_written_against_the_cache_are_those_of_one_forward_pass(system):
    model, params = system
    table = params["embed_text"]["table"]
    # A row of zeros has logit 0, which is never the largest: nothing ends the text.
    params = {**params, "embed_text": {"table": table.at[model.family.tokenizer.special["<eos>"]].set(0.0)}}
    prompt = [picture(0), Text("what colour is it")]
    ids = generate(model, params, [*prompt, Text(target=True)], max_tokens=512)[2].values
    document = [*prompt, Text("", target=True, values=ids)]
    predictions, seq = full_forward(model, params, document, slots=640)
    answer = np.flatnonzero(seq.streams["text"].weight[0])[:512]
    assert len(ids) == 512 and len(set(ids.tolist())) > 20
    logits = predictions["text"][0, answer]
    best = logits.max(-1)
    # Where two ids are all but tied, round-off may choose either.
    assert np.max(best - logits[np.arange(512), ids]) < 1e-3 * np.abs(best).max()


def test_a_batch_of_unlike_documents_equals_each_alone(system):
    model, params = system
    documents = [
        [Text("red"), Text(target=True)],
        [picture(1), Text("what colour is it"), Text(target=True)],
        [picture(2), picture(3), Text(target=True)],
    ]
    together = generate_batch(model, params, documents, max_tokens=12)
    for document, made in zip(documents, together):
        alone = generate(model, params, document, max_tokens=12)
        np.testing.assert_array_equal(alone.targets[0].values, made.targets[0].values)


def test_swapping_the_image_changes_the_caption(system):
    model, params = system
    write = lambda seed: generate(model, params, [picture(seed), Text(target=True)], max_tokens=12)[1].values
    assert len({tuple(write(seed)) for seed in range(4)}) > 1


def test_swapping_the_prompt_changes_the_picture_and_the_same_key_repeats_it(system):
    model, params = system
    draw = lambda text: generate(model, params, [Text(text), Image(target=True)], steps=3).targets[0].pixels
    np.testing.assert_array_equal(draw("red circle"), draw("red circle"))
    assert (draw("red circle") != draw("blue square")).any()


def test_guidance_of_one_is_the_conditioned_prediction_and_more_moves_away_from_the_null(system):
    model, params = system
    draw = lambda scale: (
        generate(model, params, [Text("red circle"), Image(target=True)], steps=2, guidance_scale=scale)
        .targets[0]
        .values
    )
    plain, barely, strong = draw(1.0), draw(1.0 + 1e-6), draw(3.0)
    np.testing.assert_allclose(plain, barely, atol=1e-3)
    assert np.abs(strong - plain).max() > 1e-2


def test_text_after_a_drawn_picture_sees_the_clean_picture(system):
    model, params = system
    prompt = Text("a red circle")
    made = generate(model, params, [prompt, Image(target=True), Text(target=True)], steps=3, max_tokens=6)
    image, answer = made.targets
    # What the model says when the finished picture is given to it in the same place, as in training.
    document = [prompt, image, Text("", target=True, values=np.array([*answer.values, 7], np.int32))]
    predictions, seq = full_forward(model, params, document)
    learned = np.flatnonzero(seq.streams["text"].weight[0])[1:]  # the first learned entry is <boi>
    np.testing.assert_array_equal(predictions["text"][0, learned[: len(answer.values)]].argmax(-1), answer.values)


def test_nothing_compiles_again_after_warm_up(system):
    model, params = system
    rng = np.random.default_rng(0)
    say = lambda n: Text(" ".join(rng.choice(["red", "blue", "circle", "square"], n)))

    def requests(count: int):
        for _ in range(count):
            yield [[say(rng.integers(1, 9)), Image(target=True)] for _ in range(2)]
            yield [[picture(int(rng.integers(99))), say(rng.integers(1, 9)), Text(target=True)] for _ in range(2)]

    settings = dict(steps=2, max_tokens=8, guidance_scale=2.0)
    for documents in requests(4):
        generate_batch(model, params, documents, **settings)
    programs = lambda: [loop._cache_size() for loop in (prefill, write_loop, draw_loop)]
    compiled = programs()
    for documents in requests(20):
        generate_batch(model, params, documents, **settings)
    assert programs() == compiled


def test_max_tokens_bounds_the_text_and_sampling_follows_the_key(system):
    model, params = system
    prompt = [Text("red"), Text(target=True)]
    write = lambda seed, **kw: generate(model, params, prompt, rng=jax.random.key(seed), max_tokens=5, **kw)[1].values
    assert len(write(0, temperature=3.0)) <= 5
    np.testing.assert_array_equal(write(0, temperature=3.0), write(0, temperature=3.0))
    assert len({tuple(write(seed, temperature=3.0)) for seed in range(5)}) > 1


@pytest.mark.parametrize(
    ("document", "settings", "words"),
    [
        ([Text("red")], {}, "nothing to generate"),
        ([Text("  "), Image(target=True)], {}, "part 0: empty text"),
        ([Image(np.zeros((0, 8, 3), np.uint8)), Text(target=True)], {}, "zero size"),
        ([Image(np.zeros((6, 8, 3), np.uint8)), Text(target=True)], {}, "multiples of 4"),
        ([Text("red"), Image(target=True)], {"steps": 0}, "steps must be 1 or more"),
        ([Text("red"), Image(target=True)], {"stpes": 3}, "unknown setting 'stpes'"),
        ([Text("red"), Text(target=True)], {"temperature": -1.0}, "temperature must be 0 or more"),
        ([Text("red"), Text(target=True)], {"temperature": 1.0, "top_p": 0.0}, "top_p must lie in"),
    ],
)
def test_bad_requests_are_named(system, document, settings, words):
    with pytest.raises(ValueError, match=words):
        generate(*system, document, **settings)


def test_generating_leaves_the_prompt_alone(system):
    document = Document([Text("red"), Image(target=True)], {"id": 3})
    made = generate(*system, document, steps=1)
    assert document[1].pixels is None and made.info == {"id": 3}
    assert made[1].pixels.shape == (8, 8, 3) and made[1].pixels.dtype == np.uint8
    assert jnp.isfinite(made[1].values).all()
