"""The engine: neighbours, order, chunks, storage and sharding change no result; settings are data; texts stop."""

import dataclasses

import jax
import jax.monitoring
import jax.numpy as jnp
import numpy as np
import pytest

from unified_jax.core.storage import Int8, Plain
from unified_jax.data.document import Document, Image, Text
from unified_jax.data.pack import Layout, pack
from unified_jax.data.tokenizer import Tokenizer
from unified_jax.models.pretrained import parameters
from unified_jax.models.transfusion import transfusion
from unified_jax.sampling.engine import Engine
from unified_jax.sampling.fill import Settings
from unified_jax.sampling.requests import Request
from unified_jax.sampling.schedule import PATIENCE
from unified_jax.train.sharding import make_mesh, shardings

WORDS = ["red", "green", "blue", "circle", "square", "large"]
CAPACITY = 128


@pytest.fixture(scope="module")
def system():
    """A tiny Transfusion whose weights are large enough for outputs to vary."""
    model = transfusion(
        Tokenizer.train([" ".join(WORDS)], 300), width=16, depth=1, num_heads=2, hidden=16, patch=4, image_size=(8, 8)
    )
    params = parameters(model, jax.random.key(0))
    rng = np.random.default_rng(1)
    return model, jax.tree.map(lambda x: x + np.asarray(0.3 * rng.normal(size=x.shape), x.dtype), params)


@pytest.fixture(scope="module")
def engine(system) -> Engine:
    return Engine(*system, rows=4, capacity=CAPACITY, chunks=(16, 64))


@pytest.fixture(scope="module")
def compilations():
    """How many programs have been compiled so far, as a function."""
    count = []
    listen = lambda name, seconds, **_: count.append(name) if name.endswith("backend_compile_duration") else None
    jax.monitoring.register_event_duration_secs_listener(listen)
    return lambda: len(count)


def picture(seed: int) -> Image:
    return Image(np.random.default_rng(seed).integers(0, 256, (8, 8, 3), np.uint8))


def request(rng: np.random.Generator) -> Request:
    """One of four kinds of document, of any length, under settings of its own."""
    say = Text(" ".join(rng.choice(WORDS, rng.integers(1, 12))))
    document = [
        [say, Text(target=True)],
        [say, Image(target=True)],
        [picture(int(rng.integers(99))), say, Text(target=True)],
        [say, Image(target=True), Text(target=True)],
    ][rng.integers(4)]
    settings = Settings(
        steps=int(rng.integers(1, 6)),
        shift=float(rng.uniform(1, 3)),
        guidance_scale=float(rng.choice([1.0, 2.0, 3.5])),
        temperature=float(rng.choice([0.0, 0.7, 2.0])),
        top_k=[None, 3, 20][rng.integers(3)],
        top_p=[None, 0.5, 0.9][rng.integers(3)],
        max_tokens=int(rng.integers(1, 9)),
    )
    return Request(document, jax.random.key(int(rng.integers(1000))), settings)


def requests(n: int, seed: int) -> list[Request]:
    rng = np.random.default_rng(seed)
    return [request(rng) for _ in range(n)]


def made(document) -> np.ndarray:
    """Everything generated, as one row of numbers."""
    return np.concatenate([np.ravel(part.values) for part in document.targets])


def assert_same(found, expected, atol=1e-4):
    assert len(found) == len(expected)
    for one, other in zip(found, expected):
        np.testing.assert_allclose(made(one), made(other), atol=atol, rtol=1e-4)


def test_two_hundred_random_requests_compile_nothing_after_warm_up(engine, compilations):
    engine.warm_up(
        [Request([Text("red"), part], jax.random.key(0)) for part in (Text(target=True), Image(target=True))]
    )
    before, served = compilations(), 0
    assert before > 3
    rng = np.random.default_rng(6)
    while served < 200:
        batch = [request(rng) for _ in range(rng.integers(1, 25))]
        engine.generate(batch)
        served += len(batch)
    assert compilations() == before


def test_neither_order_nor_neighbours_change_a_result(engine):
    asked = requests(12, seed=0)
    together = engine.generate(asked)
    assert_same(engine.generate(asked[::-1])[::-1], together)
    assert_same([engine.generate([one])[0] for one in asked], together)
    assert len({made(one).tobytes() for one in together}) > 9


def test_a_lone_drawing_is_not_left_behind_a_stream_of_texts(engine):
    ends, settings = [], Settings(max_tokens=64, temperature=3.0, steps=2)
    asked = [Request([Text("red"), Text(target=True)], jax.random.key(i), settings) for i in range(30)]
    asked.insert(3, Request([Text("red"), Image(target=True)], jax.random.key(99), settings))
    engine.generate(asked, on_part=lambda i, part: ends.append(i))
    # Three rows write in the meantime and tell of it at every tick; the fourth is passed over by few ticks.
    assert ends.index(3) <= 3 * (PATIENCE + 1)


def test_a_long_prompt_in_chunks_equals_the_whole_at_once(system, engine):
    prompt = [Text(" ".join(WORDS * 2)), picture(0), Text(" ".join(WORDS)), Image(target=True), Text(target=True)]
    asked = [Request(prompt, jax.random.key(0), Settings(steps=2, max_tokens=6))]
    whole = engine.generate(asked)
    # Four slots hold the picture exactly, and everything else only in parts.
    assert_same(Engine(*system, rows=1, capacity=CAPACITY, chunks=(4,)).generate(asked), whole)


@pytest.mark.parametrize("storage", [Plain(jnp.bfloat16), Int8()], ids=["bfloat16", "int8"])
def test_rounded_caches_draw_nearly_the_same_picture(system, engine, storage):
    asked = [Request([Text("red circle"), Image(target=True)], jax.random.key(0), Settings(steps=2))]
    exact = made(engine.generate(asked)[0])
    error = np.abs(made(Engine(*system, rows=1, capacity=64, storage=storage).generate(asked)[0]) - exact)
    assert 0 < error.max() < 0.05 * np.abs(exact).max()


def test_a_sharded_engine_makes_the_same(system, engine):
    model, params = system
    mesh = make_mesh({"fsdp": 4, "tensor": 2})
    placed = jax.device_put(params, shardings(params, mesh))
    asked = requests(3, seed=7)
    assert_same(Engine(model, placed, rows=4, capacity=CAPACITY, mesh=mesh).generate(asked), engine.generate(asked))


def test_a_text_ends_before_a_stop_string_and_what_follows_does_not_see_beyond(engine):
    prompt, settings = [Text("red circle"), Text(target=True)], Settings(max_tokens=16, temperature=3.0)
    free = engine.generate([Request(prompt, jax.random.key(0), settings)])[0][1].text
    at = next(i for i in range(3, len(free) - 1) if free.index(free[i : i + 2]) == i)
    stopping = dataclasses.replace(settings, stop=(free[at : at + 2],))
    prompt = [*prompt, Text("blue"), Text(target=True)]
    stopped = engine.generate([Request(prompt, jax.random.key(0), stopping)])[0]
    assert stopped[1].text == free[:at]
    # The second text draws from what the first left of the key.
    given = Request([prompt[0], stopped[1], *prompt[2:]], jax.random.split(jax.random.key(0))[0], stopping)
    np.testing.assert_array_equal(engine.generate([given])[0][3].values, stopped[3].values)


def test_what_the_callback_hears_adds_up_to_the_result(engine):
    asked, heard = requests(8, seed=8), {}
    asked.append(Request([Text("blue"), Text(target=True)], jax.random.key(0), Settings(max_tokens=60)))
    done = engine.generate(asked, on_part=lambda i, part: heard.setdefault(i, []).append(part))
    for i, document in enumerate(done):
        texts = [part for part in document.targets if isinstance(part, Text)]
        told = [part for part in heard[i] if isinstance(part, Text)]
        assert "".join(part.text for part in told) == "".join(part.text for part in texts)
        assert sum(len(part.values) for part in told) == sum(len(part.values) for part in texts)
        pictures = [part for part in heard[i] if isinstance(part, Image)]
        assert all(one is other for one, other in zip(pictures, [p for p in document.targets if isinstance(p, Image)]))
    assert len(heard[8]) > 2  # a long text comes in pieces


@pytest.mark.parametrize(
    ("document", "settings", "words"),
    [
        (
            [Text("red " * 99), Text(target=True)],
            {},
            "request 0 needs .* slots .* a row of the cache has 128",
        ),
        ([Text("red"), Text(target=True)], {"max_tokens": 500}, "lower max_tokens or raise capacity"),
        ([Text("red"), Text(target=True)], {"stop": ("",)}, "stop must be a tuple of strings that are not empty"),
    ],
)
def test_what_cannot_be_served_is_named(engine, document, settings, words):
    with pytest.raises(ValueError, match=words):
        engine.generate([Request(document, jax.random.key(0), Settings(**settings))])


def test_a_guided_request_needs_two_rows(system):
    guided = Request([Text("red"), Image(target=True)], jax.random.key(0), Settings(guidance_scale=2.0))
    with pytest.raises(ValueError, match="takes 2 rows, the engine has 1"):
        Engine(*system, rows=1, capacity=64).generate([guided])


def test_a_guided_picture_after_a_guided_text_is_the_plain_loop_without_a_cache(system, engine):
    """Both versions read the text that the conditioned one wrote, and both denoise the same picture."""
    (model, params), key, steps, scale = system, jax.random.key(3), 3, 2.5
    asked = [Text("red circle"), Text(target=True), Image(target=True)]
    _, text, drawn = engine.generate([Request(asked, key, Settings(steps=steps, guidance_scale=scale, max_tokens=6))])[
        0
    ]
    after_text, _ = jax.random.split(key)
    x = jax.random.normal(jax.random.split(after_text)[1], (4, 48))
    layout = Layout({"main": 72}, {"text": 64, "image": 8})  # the picture twice: noised, then clean for what follows
    predict = jax.jit(lambda seq: model.apply({"params": params}, seq, method="predict")["image"])
    for t in [1.0, 2 / 3, 1 / 3]:
        document = Document([asked[0], text, Image(values=np.asarray(x).reshape(2, 2, 48), target=True)])
        plans = [[model.family.write(version)] for version in (document, model.family.null(document))]
        seq = pack(plans, model.family.streams, layout)
        time = np.repeat(np.array([[t, 0]] * 2, np.float32), 4, 1)
        clean, null = predict(seq.put("image", time=time))[:, :4]
        x = x - (x - (null + scale * (clean - null))) / t / steps
    np.testing.assert_allclose(drawn.values.reshape(4, 48), x, atol=2e-3 * float(jnp.abs(x).max()))
