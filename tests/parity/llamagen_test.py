"""LlamaGen against outputs of its official code (``tests/families/data/llamagen``), from its own files of weights.

The engine draws; what it is about to choose from is looked at in every step, and where the reference drew, its noise
takes the place of ours.
"""

import dataclasses
import json
import shutil
from collections.abc import Callable
from functools import partial
from pathlib import Path
from typing import Any

import jax
import jax.numpy as jnp
import numpy as np
import pytest
from difference import worst_relative
from jax.experimental import io_callback
from safetensors.numpy import load_file

import unified_jax as uj
from unified_jax.codecs.base import to_uint8
from unified_jax.core.files import read_json
from unified_jax.data.chat import ChatTokenizer
from unified_jax.data.document import Document, Image, Text
from unified_jax.data.pack import Layout, pack
from unified_jax.data.plan import count
from unified_jax.interop.torch_file import open_torch_file
from unified_jax.models.pretrained import build_published
from unified_jax.sampling import write
from unified_jax.sampling.choose import keep_top_k, keep_top_p
from unified_jax.sampling.engine import Engine
from unified_jax.sampling.fill import Settings
from unified_jax.sampling.requests import Request

DATA = Path(__file__).parents[1] / "families" / "data" / "llamagen"
VERSION = "FoundationVision/LlamaGen ce98ec41"
TOLERANCE = 1e-4
SCALE = {"c2i": 3.0, "t2i": 2.5}
SIZES = [(12, 12, 768, 111), (24, 16, 1024, 343), (36, 20, 1280, 775)]  # B, L, XL: layers, heads, width, millions
SAMPLED = dict(image_temperature=0.9, top_k=40, top_p=0.95)


@dataclasses.dataclass
class Steps:
    """Stands in ``choose``'s place: notes logits [B V] of every step, and draws with the given noise, if there is any.

    noise: [steps, batch, vocabulary], Gumbel.
    """

    logits: list = dataclasses.field(default_factory=list)
    noise: np.ndarray | None = None

    def start(self, noise: np.ndarray | None = None) -> None:
        self.logits, self.noise = [], noise

    def choose(self, keys: jax.Array, logits: jax.Array, **options: Any) -> jax.Array:
        like = jax.ShapeDtypeStruct(logits.shape, jnp.float32), jax.ShapeDtypeStruct((), bool)
        noise, drawn = io_callback(self._note, like, logits, ordered=True)
        warm = logits / jnp.maximum(options["temperature"], 1e-4)[:, None]
        kept = keep_top_p(keep_top_k(warm, options["top_k"]), options["top_p"])
        ids = jnp.argmax(kept + noise, -1).astype(jnp.int32)
        return jnp.where(drawn, ids, CHOOSE(keys, logits, **options))

    def _note(self, logits: Any) -> tuple[np.ndarray, np.bool_]:
        self.logits.append(np.asarray(logits))
        if self.noise is None:
            return np.zeros(logits.shape, np.float32), np.bool_(False)
        noise = self.noise[len(self.logits) - 1]
        return np.repeat(noise, 2, axis=0).astype(np.float32), np.bool_(True)  # a request has two rows


CHOOSE = write.choose


@dataclasses.dataclass(frozen=True)
class Loaded:
    """One decoder with its tokenizer. predict: logits of all codes, compiled once. engine: one that tells its steps."""

    kind: str
    folder: Any
    model: Any
    params: Any
    predict: Callable
    engine: Engine
    steps: Steps

    def draw(self, conditions: list[Text], noise: np.ndarray | None = None, **settings: Any) -> list[Image]:
        self.steps.start(noise)
        settings = Settings(guidance_scale=SCALE[self.kind], **settings)
        asked = [Request([text, Image(target=True)], jax.random.key(i), settings) for i, text in enumerate(conditions)]
        return [made[-1] for made in self.engine.generate(asked)]

    def logits(self, condition: Text, codes: np.ndarray, **info: Any) -> np.ndarray:
        """Of every code of a picture, all at once."""
        side = round(len(codes) ** 0.5)
        document = Document([condition, Image(target=True, values=codes.reshape(side, side))], info)
        spans, streams = self.model.family.write(document), self.model.family.streams
        seq = pack([[spans]], streams, Layout({"main": count(spans)}, {"condition": 120, "image": len(codes)}))
        return np.asarray(self.predict(self.params, seq))[0]


@pytest.fixture(scope="module")
def reference() -> dict[str, np.ndarray]:
    with np.load(DATA / "reference.npz") as arrays:
        return dict(arrays)


@pytest.fixture(scope="module", params=("c2i", "t2i"))
def loaded(request, tmp_path_factory) -> Loaded:
    folder, kind, config = tmp_path_factory.mktemp("llamagen"), request.param, read_json(DATA / "config.json")
    published = {"model_type": "llamagen", "vq": config["vq"], kind: config[kind]}
    (folder / "config.json").write_text(json.dumps(published))
    for name in ("vq.pt", f"{kind}.pt"):
        shutil.copy(DATA / name, folder)
    model, params = uj.from_pretrained(folder)
    predict = jax.jit(lambda params, seq: model.apply({"params": params}, seq, method="predict")["image"])
    steps, engine = Steps(), Engine(model, params, rows=4, capacity=192, chunks=(128,))
    with pytest.MonkeyPatch.context() as patch:
        patch.setattr(write, "choose", steps.choose)
        yield Loaded(kind, folder, model, params, predict, engine, steps)


def conditions(kind: str, reference: dict[str, np.ndarray], *, mask: bool = True) -> list[Text]:
    if kind == "c2i":
        return [Text(str(number)) for number in reference["c2i_class"]]
    kept = reference["t2i_mask"].astype(bool) if mask else np.ones_like(reference["t2i_mask"], bool)
    return [Text("a caption", values=x[keep]) for x, keep in zip(reference["t2i_caption"], kept)]


def test_the_tokenizer_agrees(loaded, reference, record_parity):
    if loaded.kind == "t2i":
        pytest.skip("the same tokenizer")
    codec, params = loaded.model.family.codec, loaded.params["codec"]
    pixels = jnp.asarray(reference["vq_pixels"].transpose(0, 2, 3, 1))

    def network(module, pixels):
        drawn, quantised = module(pixels)
        return module.latents(pixels), quantised.codes, module.quantiser.lookup(quantised.codes), drawn

    run = jax.jit(partial(codec.module.apply, method=network))
    latent, codes, vectors, drawn = run({"params": params}, pixels)
    np.testing.assert_array_equal(np.reshape(codes, (2, -1)), reference["vq_codes"])
    names = ("vq_latent", "vq_quantised", "vq_reconstruction")
    worst = max(
        worst_relative(np.moveaxis(np.asarray(x), -1, 1), reference[name])
        for name, x in zip(names, (latent, vectors, drawn))
    )
    record_parity(
        "family:llamagen-tokenizer",
        reference=VERSION,
        what="latents, vectors and reconstruction of two pictures; 72 codes, all the same",
        worst_relative=worst,
        tolerance=TOLERANCE,
    )
    assert worst <= TOLERANCE and len(np.unique(codes)) > 5


def test_logits_agree_at_every_code(loaded, reference, record_parity):
    kind = loaded.kind
    got = [
        loaded.logits(condition, np.append(codes, 0))
        for condition, codes in zip(conditions(kind, reference, mask=False), reference[f"{kind}_forward_codes"])
    ]
    worst = worst_relative(np.stack(got), reference[f"{kind}_forward_logits"])
    record_parity(
        f"family:llamagen-{kind}",
        reference=VERSION,
        what="logits of two pictures of 36 codes",
        worst_relative=worst,
        tolerance=TOLERANCE,
    )
    assert worst <= TOLERANCE


@pytest.mark.parametrize("way", ("greedy", "sampled"))
def test_a_picture_is_drawn_alike_in_every_step(loaded, reference, record_parity, way):
    kind, want = loaded.kind, reference[f"{loaded.kind}_{way}_logits"]
    settings = {"greedy": dict(image_temperature=0.0), "sampled": SAMPLED | dict(noise=reference[f"{kind}_gumbel"])}
    given = conditions(kind, reference)
    made = loaded.draw(given, **settings[way])
    codes = np.stack([image.values.reshape(-1) for image in made])
    np.testing.assert_array_equal(codes, reference[f"{kind}_{way}_codes"])
    assert len(np.unique(codes)) > 5

    with_condition, without = want[:, 0], want[:, 1]
    guided = without + SCALE[kind] * (with_condition - without)
    steps = np.stack(loaded.steps.logits).reshape(36, 2, 2, -1)  # of each request, the conditioned row, then the null
    worst = max(worst_relative(steps[:, :, 0], guided), worst_relative(steps[:, :, 1], without))
    whole = [loaded.logits(text, own) for text, own in zip(given, codes)]
    null = [loaded.logits(text, own, unread=True) for text, own in zip(given, codes)]
    worst = max(worst, worst_relative(np.stack(whole, 1), with_condition), worst_relative(np.stack(null, 1), without))

    drawn = loaded.model.family.codec.decode(loaded.params["codec"], codes.reshape(2, 6, 6))
    worst = max(worst, worst_relative(drawn.transpose(0, 3, 1, 2), reference[f"{kind}_{way}_pixels"]))
    record_parity(
        f"family:llamagen-{kind}-{way}",
        reference=VERSION,
        what=f"logits of 36 steps, conditioned, null and guided {SCALE[kind]}, and pixels; codes all the same",
        worst_relative=worst,
        tolerance=TOLERANCE,
    )
    assert worst <= TOLERANCE
    np.testing.assert_array_equal(np.stack([image.pixels for image in made]), to_uint8(drawn))


def test_another_condition_draws_another_picture(loaded, reference):
    first, second = conditions(loaded.kind, reference)
    alike = loaded.draw([first, first], image_temperature=0.0)
    other = loaded.draw([second, second], image_temperature=0.0)
    np.testing.assert_array_equal(alike[0].values, alike[1].values)
    assert (alike[0].values != other[0].values).mean() > 0.2


def test_written_back_the_tensors_are_the_published_ones(loaded, tmp_path):
    uj.save_pretrained(tmp_path, loaded.model, loaded.params)
    for stem in ("vq", loaded.kind):
        published = open_torch_file(DATA / f"{stem}.pt")
        written = load_file(tmp_path / f"{stem}.safetensors")
        assert {f"model.{name}" for name in written} == set(published)
        for name, values in written.items():
            np.testing.assert_array_equal(values, published[f"model.{name}"].read())
    again = uj.from_pretrained(tmp_path)[1]
    jax.tree.map(np.testing.assert_array_equal, again, loaded.params)
    assert read_json(tmp_path / "config.json") == read_json(loaded.folder / "config.json")


def test_what_cannot_be_drawn_is_refused_in_one_line(loaded, reference):
    wrong = Text("a cat") if loaded.kind == "c2i" else Text("a cat", values=np.zeros((121, 16), np.float32))
    message = {"c2i": "a class, a number from 0 to 9; found 'a cat'", "t2i": r"\[1 to 120, 16\]; found \(121, 16\)"}
    with pytest.raises(ValueError, match=message[loaded.kind]):
        loaded.draw([wrong])
    right = conditions(loaded.kind, reference)[0]
    with pytest.raises(ValueError, match="one picture after one text"):
        loaded.model.family.write(Document([right, right, Image(target=True)]))
    both = read_json(loaded.folder / "config.json") | {"c2i": {}, "t2i": {}}
    with pytest.raises(ValueError, match="describes one decoder, 'c2i' or 't2i'; found c2i and t2i"):
        build_published(both, ChatTokenizer(None))


def test_published_sizes_have_the_published_number_of_parameters():
    for depth, heads, width, millions in SIZES:
        decoder = dict(n_layer=depth, n_head=heads, dim=width, block_size=256, cls_token_num=1)
        config = {"model_type": "llamagen", "vq": {}, "c2i": decoder}
        model = build_published(config, ChatTokenizer(None))
        seq = pack([[]], model.family.streams, model.family.smallest)
        shapes = jax.eval_shape(partial(model.init, method="predict"), jax.random.key(0), seq)
        assert abs(sum(x.size for x in jax.tree.leaves(shapes)) / 1e6 - millions) < 0.6
