"""JanusFlow against outputs of its official code on small random weights (tests/families/data/janusflow/README.md), and
its codec of latents, which is none of that code's, against diffusers.
"""

import dataclasses
import json
import shutil
from collections.abc import Callable
from pathlib import Path
from typing import Any

import diffusers
import jax
import jax.numpy as jnp
import numpy as np
import PIL.Image
import pytest
import tokenizers
import torch
from difference import noting, worst_relative
from flax.traverse_util import flatten_dict, unflatten_dict
from learning import check_learns
from safetensors.numpy import load_file
from tokenizers import models, pre_tokenizers
from watched import Seen
from words import picture

import unified_jax as uj
from unified_jax.core.files import read_json
from unified_jax.core.sequence import Interleaved
from unified_jax.data.document import Document, Image, Text
from unified_jax.data.pack import Layout, pack
from unified_jax.data.plan import Span
from unified_jax.models.pretrained import build_published
from unified_jax.models.published_folder import read_beside
from unified_jax.sampling.engine import Engine
from unified_jax.sampling.fill import Settings
from unified_jax.sampling.requests import Request

DATA = Path(__file__).parents[1] / "families/data/janusflow"
VERSION = "deepseek-ai/Janus 1daa72fa"
TOLERANCE = 1e-4
STEPS, SCALE, SIDE = 10, 3.0, 4
NAMED = {"bos_token": "<bos>", "eos_token": "<eos>"}
SPECIAL = (*NAMED.values(), "<pad>", "<begin_of_image>", "<end_of_image>", "<image_placeholder>")
PICTURES = {
    "image_processor_type": "VLMImageProcessor",
    "image_size": 16,
    "min_size": 2,
    "image_mean": [0.5] * 3,
    "image_std": [0.5] * 3,
    "background_color": [127] * 3,
}
ROOM = {"text": 640, "begin": 2, "vision": 32, "image": 34}  # of all forward passes, so that one program serves them


@dataclasses.dataclass(frozen=True)
class Subject:
    """want: arrays of the reference. forward: (params, batch) -> states behind the last norm [B T D]. vae: the codec as
    diffusers has it.
    """

    folder: Path
    model: Any
    params: Any
    want: Any
    forward: Callable
    vae: Any

    def text(self, ids: np.ndarray) -> Text:
        return Text(" ".join(f"w{i}" for i in ids), values=ids)

    def image(self, i: int) -> Image:
        """A recorded picture, which is no uint8 one, as the reader would have read it."""
        pixels = self.want["pixels"][i].transpose(1, 2, 0)
        (values,) = self.model.family.reader.codec.encode({}, pixels[None])
        return Image(np.zeros(pixels.shape, np.uint8), values=values)

    def question(self) -> list:
        """Texts and pictures by turns, and a blank answer."""
        ids, (first, second) = self.want["und_ids"][0], np.flatnonzero(self.want["und_ids"][0] == 103)
        after = [at + 2 + SIDE * SIDE for at in (first, second)]
        texts = [self.text(ids[part]) for part in (slice(1, first), slice(after[0], second), slice(after[1], None))]
        return [texts[0], self.image(0), texts[1], self.image(1), texts[2], Text(target=True)]

    def drawing(self, latents: np.ndarray | None = None) -> Document:
        """The recorded prompt and a picture: of these latents [C H W], or a blank one."""
        values = None if latents is None else self.model.family.codec.group(latents.transpose(1, 2, 0)[None])[0]
        return Document([self.text(self.want["gen_ids"][1:-1]), Image(target=True, values=values)])

    def packed(self, *plans: list[Span]) -> Interleaved:
        layout = Layout({"main": 640}, ROOM)
        return pack([[plan] for plan in (*plans, *[[]] * (4 - len(plans)))], self.model.family.streams, layout)

    def latents(self, values: np.ndarray) -> np.ndarray:
        """[... 1 + N P] of a stream -> [... C H W]."""
        x = values[..., 1:, :].reshape(*values.shape[:-2], SIDE, SIDE, 2, 2, 4)
        return np.moveaxis(x.swapaxes(-4, -3).reshape(*values.shape[:-2], 2 * SIDE, 2 * SIDE, 4), -1, -3)


@pytest.fixture(scope="module")
def janus(tmp_path_factory) -> Subject:
    folder = tmp_path_factory.mktemp("janusflow")
    for name in ("config.json", "model.safetensors"):
        shutil.copy(DATA / name, folder)
    vocab = [*(f"w{i}" for i in range(100)), *SPECIAL, *(f"x{i}" for i in range(14))]
    backend = tokenizers.Tokenizer(models.WordLevel({word: i for i, word in enumerate(vocab)}, unk_token="w0"))
    backend.pre_tokenizer = pre_tokenizers.WhitespaceSplit()
    backend.add_special_tokens(list(SPECIAL))
    backend.save(str(folder / "tokenizer.json"))
    (folder / "tokenizer_config.json").write_text(json.dumps(NAMED))
    (folder / "preprocessor_config.json").write_text(json.dumps(PICTURES))
    vae = codec()
    vae.save_pretrained(folder / "vae")
    model, params = uj.from_pretrained(folder)
    forward = jax.jit(lambda params, seq: model.apply({"params": params}, seq).hidden["main"])
    return Subject(folder, model, params, np.load(DATA / "reference.npz"), forward, vae)


def codec() -> diffusers.AutoencoderKL:
    """A small random one, of two levels, so that 16 pixels are 8 latents."""
    torch.manual_seed(0)
    kinds = dict(down_block_types=["DownEncoderBlock2D"] * 2, up_block_types=["UpDecoderBlock2D"] * 2)
    sizes = dict(block_out_channels=[8, 8], layers_per_block=1, norm_num_groups=4, scaling_factor=0.13025)
    return diffusers.AutoencoderKL(latent_channels=4, **kinds, **sizes).eval()


@pytest.fixture
def note(record_parity):
    return noting(record_parity, "family:janusflow", reference=VERSION, tolerance=TOLERANCE)


def test_a_context_with_pictures_and_its_greedy_text(janus, note):
    want, document = janus.want, janus.question()
    given = [span for span in janus.model.plan(document) if span.fill is None]
    written = Span((("text", want["und_tokens"][:-1]),))
    hidden = np.asarray(janus.forward(janus.params, janus.packed([*given, written])))[0]
    length = len(want["und_hidden"])
    logits = hidden[length - 1 : length + 127] @ np.asarray(janus.params["heads_text"]["out"]["kernel"])
    pixels = want["pixels"].transpose(0, 2, 3, 1)
    features = janus.model.apply(
        {"params": janus.params}, pixels, method=lambda m, x: m.embed["vision"].encoder(x).states
    )
    note(
        "",
        f"features of two pictures, states of {length} slots, and logits of 128 greedy ids, all the same",
        (features, want["und_features"]),
        (hidden[:length], want["und_hidden"]),
        (logits, want["und_logits"]),
    )
    other_image, other_words = list(document), list(document)
    other_image[1], other_words[4] = janus.image(1), janus.text(document[4].values[::-1].copy())
    settings = Settings(max_tokens=128)
    engine = Engine(janus.model, janus.params, rows=4, capacity=640, chunks=(64,))
    made = engine.generate(
        [Request(each, jax.random.key(0), settings) for each in (document, other_image, other_words)]
    )
    ids, *others = [each[-1].values for each in made]
    np.testing.assert_array_equal(ids, want["und_tokens"])
    assert not any(np.array_equal(ids, other) for other in others)


def test_states_of_a_drawing_with_and_without_its_prompt(janus, note):
    want, family, noise = janus.want, janus.model.family, janus.want["gen_latents"][0]
    documents = [janus.drawing(noise[i]) for i in range(2)]
    seq = janus.packed(*[family.write(version(x)) for version in (lambda x: x, family.null) for x in documents])
    seq = seq.put("image", time=np.ones_like(seq.streams["image"].time))
    hidden = np.asarray(janus.forward(janus.params, seq))[:, :42]
    seen = [0, *range(25, 42)]  # of the null prompt: nobody sees what padding becomes
    entries = family.codec.group(noise.transpose(0, 2, 3, 1))
    encoded, told = janus.model.apply(
        {"params": janus.params}, jnp.asarray(entries), jnp.ones(2), method=lambda m, *x: m.embed["image"].encoder(*x)
    )
    note(
        "-context",
        "the map and the time that enter, states of a prompt and a picture of noise, and without the prompt",
        (np.moveaxis(np.asarray(encoded), -1, 1), want["gen_encoded_0"]),
        (told[:1], want["gen_time_embedding_0"]),
        (hidden[:2], want["gen_hidden_0"][:2]),
        (hidden[2:, seen], want["gen_hidden_0"][2:, seen]),
    )


def test_every_step_of_two_drawings(janus, note, monkeypatch):
    want, family = janus.want, janus.model.family
    rngs = [jax.random.key(i) for i in range(2)]
    keys = jnp.stack([jax.random.key_data(jax.random.split(rng)[1]) for rng in rngs])
    start = family.codec.group(want["gen_latents"][0].transpose(0, 2, 3, 1)).reshape(2, SIDE * SIDE, -1)
    start = jnp.pad(jnp.asarray(start), ((0, 0), (1, 0), (0, 0)))

    def recorded(key, shape):
        return start[jnp.argmax((keys == jax.random.key_data(key)).all(-1))]

    monkeypatch.setattr(jax.random, "normal", recorded)
    seen = Seen()
    fill = dataclasses.replace(family.fills["image"], guidance=seen, solver=seen)
    model = janus.model.clone(family=dataclasses.replace(family, fills={**family.fills, "image": fill}))
    engine = Engine(model, janus.params, rows=8, capacity=64, chunks=(32,))
    settings = Settings(steps=STEPS, guidance_scale=SCALE)
    other = Document([janus.text(want["gen_ids"][1:-1][::-1].copy()), Image(target=True)])
    documents, rngs = [janus.drawing(), janus.drawing(), other], [*rngs, rngs[0]]
    made = engine.generate([Request(*each, settings) for each in zip(documents, rngs)])
    jax.effects_barrier()
    times, outputs, _, x = (np.stack(each) for each in zip(*sorted(seen.found, key=lambda step: -step[0][0])))
    final = [family.codec.group(x.transpose(1, 2, 0)[None])[0] for x in want["gen_latents"][-1]]
    with torch.no_grad():
        pixels = janus.vae.decode(torch.tensor(want["gen_latents"][-1]) / 0.13025).sample.numpy()
    drawn = family.codec.decode(janus.params["codec"], np.stack([each[-1].values for each in made[:2]]))
    note(
        "-drawing",
        f"two guided drawings: both branches and the latents of all {STEPS} steps, and the pictures",
        (1000 * (1 - times[:, 0]), want["gen_times"]),
        (janus.latents(outputs[:, [0, 2]]), want["gen_velocities"][:, 0]),
        (janus.latents(outputs[:, [1, 3]]), want["gen_velocities"][:, 1]),
        (janus.latents(x[:, [0, 2]]), want["gen_latents"][:-1]),
        (np.stack([each[-1].values for each in made[:2]]), np.stack(final)),
        (drawn.transpose(0, 3, 1, 2), pixels),
    )
    assert worst_relative(made[2][-1].values, made[0][-1].values) > 0.01


def test_pixels_are_read_as_latents_of_the_codec(janus):
    pixels = np.stack([picture(i, 16, 16) for i in range(2)]).astype(np.float32) / 127.5 - 1
    with torch.no_grad():
        want = janus.vae.encode(torch.tensor(pixels.transpose(0, 3, 1, 2))).latent_dist.mean.numpy() * 0.13025
    got = janus.model.family.codec.encode(janus.params["codec"], pixels)
    assert worst_relative(got, janus.model.family.codec.group(want.transpose(0, 2, 3, 1))) < TOLERANCE


def test_a_given_picture_is_fitted_in_a_square(janus):
    """As the repository's image processor describes it: the longer side fits, the rest is the mean colour."""
    pixels = picture(3, 20, 14)
    square = PIL.Image.new("RGB", (16, 16), (127, 127, 127))
    square.paste(PIL.Image.fromarray(pixels).resize((11, 16), PIL.Image.Resampling.BICUBIC), (2, 0))
    got = janus.model.family.reader.prepare(pixels)
    np.testing.assert_allclose(got, np.asarray(square, np.float32) / 127.5 - 1, atol=1e-6)


def test_it_learns_to_draw_and_to_answer(janus):
    """With one layer and no blocks, which compile faster; those are learned in tests/nn/convnext_test.py."""
    config = read_json(janus.folder / "config.json")
    config["language_config"]["num_hidden_layers"] = 1
    for end in ("enc", "dec"):
        config[f"vision_gen_{end}_config"]["params"]["layers_in_middle"] = 0
    model = build_published(config, read_beside(janus.folder, config))
    family, flat = model.family, flatten_dict(janus.params)
    first = {name: x[:1] if name[:2] == ("backbone", "layer") else x for name, x in flat.items()}
    left = {name for name in flat if name[0] == "codec" or "block_0" in name or "block_1" in name}
    params = unflatten_dict({name: x for name, x in first.items() if name not in left})
    drawn = Image(picture(2, 16, 16), target=True)
    documents = [[Text("w1 w2"), drawn], [Image(picture(3, 20, 14)), Text("w3 w4"), Text("w5", target=True)]]
    plans = [model.plan(document, janus.params) for document in documents]
    room = {"text": 64, "begin": 1, "vision": 16, "image": 17}
    seq = jax.tree.map(jnp.asarray, pack([plans], family.streams, Layout({"main": 98}, room)))
    assert seq.streams["image"].weight.sum() == 16  # what tells the time is not learned
    # Nobody reads the pool, and keys' biases do nothing.
    check_learns(model, params, seq, still=lambda name: "pool" in name or "['k_main']['bias']" in name)


def test_words_around_what_is_given(janus):
    write = janus.model.family.write
    said = lambda spans: " ".join(
        janus.model.family.tokenizer.decode(x) if name == "text" else name for span in spans for name, x in span.parts
    )
    asked = Document([janus.image(0), Text("w7"), Text("w8", target=True), Text("w9"), Text(target=True)])
    spans = write(asked)
    assert [span.sizes() for span in spans[2:4]] == [{"begin": 1}, {"vision": 16}]
    assert said(spans[:2]) and spans[-1].fill == "text"
    learned = [x.tolist() for span in spans for _, x in span.parts if span.learn and span.fill is None]
    assert learned == [[8, 101]]
    with pytest.raises(ValueError, match="one picture, the last part"):
        write(Document([Text("w1"), janus.drawing(janus.want["gen_latents"][0][0])[1], Text(target=True)]))


def test_written_back_in_the_official_layout(janus, tmp_path):
    uj.save_pretrained(tmp_path, janus.model, janus.params)
    for name in ("model.safetensors", "vae/diffusion_pytorch_model.safetensors"):
        want, got = load_file(janus.folder / name), load_file(tmp_path / name)
        assert want.keys() == got.keys()
        for tensor in want:
            np.testing.assert_array_equal(got[tensor], want[tensor], err_msg=tensor)
    for name in ("config.json", "preprocessor_config.json", "vae/config.json"):
        assert read_json(tmp_path / name) == read_json(janus.folder / name)


def test_a_folder_that_is_not_as_published_is_refused(janus, tmp_path):
    shutil.copytree(janus.folder, tmp_path / "a")
    (tmp_path / "a/vae/config.json").unlink()
    with pytest.raises(ValueError, match="needs vae/config.json"):
        uj.from_pretrained(tmp_path / "a")
    config = read_json(janus.folder / "config.json")
    config["vision_gen_enc_config"]["params"]["stride"] = 4
    shutil.copy(janus.folder / "vae/config.json", tmp_path / "a/vae/config.json")
    (tmp_path / "a/config.json").write_text(json.dumps(config))
    with pytest.raises(ValueError, match="found 4, 2, 2 and padding 0"):
        uj.from_pretrained(tmp_path / "a")
