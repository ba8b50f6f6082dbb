"""BAGEL against outputs of its official code on small random weights (tests/families/data/bagel/README.md)."""

import dataclasses
import shutil
from functools import partial
from pathlib import Path
from typing import Any

import jax
import jax.numpy as jnp
import numpy as np
import pytest
import tokenizers
from difference import noting
from safetensors.numpy import load_file
from tokenizers import models, pre_tokenizers
from watched import Seen
from words import picture

import unified_jax as uj
from unified_jax.core.files import read_json
from unified_jax.core.sequence import Interleaved
from unified_jax.data.document import Image, Text
from unified_jax.data.pack import Layout, pack
from unified_jax.data.plan import Span, count, sizes
from unified_jax.models.bagel import DRAW, EDIT
from unified_jax.sampling.engine import Engine
from unified_jax.sampling.fill import Settings
from unified_jax.sampling.guidance import ClassifierFree
from unified_jax.sampling.guidance.classifier_free import nested
from unified_jax.sampling.guidance.correct import renormalise, renormalise_channels
from unified_jax.sampling.requests import Job, Request

DATA = Path(__file__).parents[1] / "families/data/bagel"
TOLERANCE = 1e-4
STEPS, SHIFT = 7, 3.0
FILES = ("config.json", "llm_config.json", "vit_config.json", "ema.safetensors", "ae.safetensors")
SPECIAL = ("<|im_start|>", "<|im_end|>", "<|vision_start|>", "<|vision_end|>")


@dataclasses.dataclass(frozen=True)
class Subject:
    """reference: the recorded arrays. forward: (params, batch) -> Output and predictions. encode: (codec's variables,
    pixels) -> posterior of latents. Both are jitted. engine: one for all, so that little compiles; its pictures from
    words alone are of 4 x 5 groups of latents. watched: the drawing fill of every guidance.
    """

    folder: Path
    model: Any
    params: Any
    reference: Any
    forward: Any
    encode: Any
    engine: Engine
    watched: dict = dataclasses.field(default_factory=dict)

    def watch(self, guidance: ClassifierFree) -> "Seen":
        """Draws with this guidance from now on; what then notes the steps."""
        if guidance not in self.watched:
            seen = Seen(guidance.pair, guidance.interval, guidance.correct, guidance.correct_text)
            fill = dataclasses.replace(self.model.family.fills["image"], guidance=seen, solver=seen)
            self.watched[guidance] = fill
        fill = self.watched[guidance]
        self.model.family.fills.update(image=fill, edit=fill)
        fill.guidance.found.clear()
        return fill.guidance

    def text(self, name: str) -> Text:
        return Text(" ".join(f"w{i}" for i in self.reference[name]))

    def image(self, name: str, noise: str | None = None) -> Image:
        """A recorded picture, which is no uint8 one, as the readers would have read it. noise: of its latents."""
        pixels = self.reference[name].transpose(1, 2, 0)
        (seen,) = self.model.family.reader.ways[0].codec.encode({}, pixels[None])
        codec = self.model.family.codec
        latents = self.posterior(name).mode()
        if noise is not None:
            std = np.exp(self.posterior(name).logvar / 2)
            latents = latents + std * self.reference[noise].transpose(0, 2, 3, 1)
        values = codec.group(np.asarray(codec.codec.module.scale.standardise(latents)))
        return Image(np.zeros(pixels.shape, np.uint8), values=(seen, values[0]))

    def posterior(self, name: str) -> Any:
        pixels = jnp.asarray(self.reference[name].transpose(1, 2, 0)[None])
        return self.encode({"params": self.params["codec"]}, pixels)

    def given(self, document: list) -> list[Span]:
        return [span for span in self.model.plan(document, self.params) if span.fill is None]

    def packed(self, *documents: list[Span]) -> Interleaved:
        streams, spans = self.model.family.streams, [span for document in documents for span in document]
        found = sizes(spans)
        room, drawn = {name: max(1, found.get(name, 0)) for name in streams}, found.get("image", 0)
        lanes = {"main": count(spans) - drawn, "picture": max(1, drawn)}
        return pack([list(documents)], streams, Layout(lanes, room))

    def hidden(self, document: list) -> dict[str, np.ndarray]:
        """States behind the last norm, [T D] of each lane."""
        output, _ = self.forward(self.params, self.packed(self.given(document)))
        return {lane: np.asarray(states[0]) for lane, states in output.hidden.items()}


@pytest.fixture(scope="module")
def bagel(tmp_path_factory) -> Subject:
    folder = tmp_path_factory.mktemp("bagel")
    for name in FILES:
        shutil.copy(DATA / name, folder)
    vocab = {word: i for i, word in enumerate([*(f"w{i}" for i in range(140)), *SPECIAL])}
    backend = tokenizers.Tokenizer(models.WordLevel(vocab, unk_token="w0"))
    backend.pre_tokenizer = pre_tokenizers.WhitespaceSplit()
    backend.add_special_tokens(list(SPECIAL))
    backend.save(str(folder / "tokenizer.json"))
    model, params = uj.from_pretrained(folder)

    def run(module, seq):
        output = module(seq)
        return output, module.read(output, seq)

    encode = jax.jit(partial(model.family.codec.codec.module.apply, method="encode"))
    forward = jax.jit(lambda params, seq: model.apply({"params": params}, seq, method=run))
    script = dataclasses.replace(model.family.write.__self__, grid=(4, 5))
    model = model.clone(family=dataclasses.replace(model.family, write=script.write))
    engine = Engine(model, params, rows=3, capacity=1024, chunks=(64,))
    return Subject(folder, model, params, np.load(DATA / "reference.npz"), forward, encode, engine)


@pytest.fixture
def note(record_parity):
    return noting(record_parity, "family:bagel", reference="ByteDance-Seed/Bagel 056b5fd5", tolerance=TOLERANCE)


def question(bagel: Subject) -> list:
    """Texts and pictures by turns, and a blank answer."""
    parts = [bagel.text("und_text_1"), bagel.image("pixels"), bagel.text("und_text_2"), bagel.image("pixels_second")]
    return [*parts, bagel.text("und_text_3"), Text(target=True)]


def test_a_context_with_pictures_and_its_greedy_text(bagel, note):
    reference, document = bagel.reference, question(bagel)
    written = Span((("text", reference["und_tokens"][1:-1].astype(np.int32)),))
    seq = bagel.packed([*bagel.given(document), written])
    output, _ = bagel.forward(bagel.params, seq)
    hidden, length = np.asarray(output.hidden["main"][0]), len(reference["und_hidden"])
    assert seq.lanes["main"].pos[0, length, 0] == reference["und_next_position"][0]
    logits = hidden[length:] @ np.asarray(bagel.params["heads_text"]["out"]["kernel"])
    note(
        "",
        f"states of {length} slots, two pictures among them, and logits of 128 greedy ids, all the same",
        (hidden[:length], reference["und_hidden"]),
        (logits, reference["und_logits"]),
    )
    (made,) = bagel.engine.generate([Request(document, jax.random.key(0), Settings(max_tokens=128))])
    np.testing.assert_array_equal(made[-1].values, reference["und_tokens"][1:])


def test_latents_and_contexts_of_drawing_and_editing(bagel, note):
    reference, posterior = bagel.reference, bagel.posterior("pixels")
    moments = np.concatenate([posterior.mean, posterior.logvar], -1).transpose(0, 3, 1, 2)
    drawing = bagel.hidden([bagel.text("t2i_text"), Image(target=True)])["main"]
    edit = bagel.hidden([bagel.image("pixels", "edit_posterior_noise"), bagel.text("edit_text"), Image(target=True)])
    latents, main = reference["edit_latent_hidden"], edit["main"]
    note(
        "-context",
        "the autoencoder's moments; states of a prompt, and of a picture to edit as latents and as patches",
        (moments, reference["ae_moments"]),
        (drawing, reference["t2i_context_hidden"]),
        (edit["picture"], latents[1:-1]),
        (main[:2], latents[[0, -1]]),
        (main[2:16], reference["edit_vit_hidden"]),
        (main[16:], reference["edit_text_hidden"]),
    )


CASES = {
    "t2i_global": (DRAW, 1.0),
    "t2i_channel": (ClassifierFree(nested, correct=partial(renormalise_channels, least=0.2)), 1.5),
    "edit_global": (ClassifierFree(nested, correct=renormalise), 2.0),
    "edit_text_channel": (EDIT, 2.0),
}


@pytest.mark.parametrize("case", CASES)
def test_every_step_of_a_drawing(bagel, note, monkeypatch, case):
    reference, (guidance, image_scale) = bagel.reference, CASES[case]
    edit = case.startswith("edit")
    noise = reference["noise_12x16" if edit else "noise_16x20"]
    monkeypatch.setattr(jax.random, "normal", lambda key, shape: jnp.asarray(noise).reshape(shape))
    seen = bagel.watch(guidance)
    document = [bagel.text("edit_text" if edit else "t2i_text"), Image(target=True)]
    if edit:
        document.insert(0, bagel.image("pixels", "edit_posterior_noise"))
    settings = Settings(steps=STEPS, shift=SHIFT, guidance_scale=4.0, image_guidance_scale=image_scale)
    (made,) = bagel.engine.generate([Request(document, jax.random.key(0), settings)])
    jax.effects_barrier()
    steps = sorted(seen.found, key=lambda step: -step[0][0])
    times, outputs, velocities, latents = (np.stack(x) for x in zip(*steps))
    values = made[-1].values
    pairs = [
        (np.concatenate([latents[:, 0], values.reshape(1, *noise.shape)]), reference[f"{case}_latents"]),
        (times[:, 0], reference[f"{case}_times"]),
        (velocities[:, 0], reference[f"{case}_velocities"]),
    ]
    branches = reference[f"{case}_branches"]
    run = np.abs(branches).max((2, 3)) > 0
    rows = [0, 1, 2 if settings.rows > 2 else 0]
    pairs.append((np.where(run[..., None, None], outputs[:, rows], 0), branches))
    (pixels,) = bagel.model.family.codec.decode(bagel.params["codec"], values[None])
    pairs.append((pixels.transpose(2, 0, 1), reference[f"{case}_pixels"]))
    note(f"-{case.replace('_', '-')}", f"all {STEPS} steps with guidance, every branch, and the picture", *pairs)


def test_training_forward_with_noised_and_clean_copies(bagel, note):
    reference = bagel.reference
    ids, latents = reference["train_ids"].astype(np.int32), reference["train_latents"]
    say = lambda start, stop: Span((("text", ids[start:stop]),))
    values = bagel.model.family.codec.group(latents.transpose(0, 2, 3, 1)).reshape(2, 12, 16)
    (seen,) = bagel.image("pixels").values[:1]

    def shown(stream, entries, at, **fields):
        parts = (("text", ids[at : at + 1]), (stream, entries), ("text", ids[at + 1 : at + 2]))
        return Span(parts, attend="full", grid=(3, 4), **fields)

    first = [say(0, 11), shown("vision", seen.reshape(12, -1), 11), say(13, 21)]
    noised = shown("image", values[0], 28, private=True, learn="image")
    second = [say(21, 28), noised, shown("image", values[1], 30, learn=False), say(32, 41)]
    seq = bagel.packed(first, second)
    clean, noise = jnp.asarray(seq.streams["image"].values), jnp.asarray(reference["train_noise"])[None]
    assert seq.streams["text"].weight[0, 28:32].max() == 0  # delimiters of a picture teach nothing
    time = jax.nn.sigmoid(jnp.asarray(reference["train_time_logits"]))[None].astype(jnp.float32)
    path = bagel.model.family.fills["image"].path
    output, predictions = bagel.forward(
        bagel.params, seq.put("image", values=path.corrupt(clean, noise, time), time=time)
    )
    places = np.setdiff1d(np.arange(77), reference["train_latent_slots"])
    hidden = np.zeros((77, 32), np.float32)
    hidden[places], hidden[reference["train_latent_slots"]] = output.hidden["main"][0], output.hidden["picture"][0]
    error = np.square(predictions["image"] - path.target(clean, noise, time))[0, :12]
    log_p = jax.nn.log_softmax(predictions["text"][0])
    learnt = np.isin(reference["train_text_slots"], reference["train_loss_slots"] + 1)
    ce = -log_p[np.flatnonzero(learnt), reference["train_labels"]]
    note(
        "-training",
        "a packed batch of two documents: states of 77 slots, squared errors, cross entropy",
        (hidden, reference["train_hidden"]),
        (error, reference["train_mse"]),
        (ce, reference["train_ce"]),
    )


def test_given_pictures_and_words_change_what_is_made(bagel):
    """Through the readers: uint8 pixels, resized."""
    pixels, words = [picture(i, 17, 21) for i in range(2)], [bagel.text("edit_text"), bagel.text("t2i_text")]
    bagel.watch(CASES["t2i_channel"][0])
    settings = Settings(steps=2, guidance_scale=4.0, image_guidance_scale=2.0, max_tokens=12)

    def made(*document):
        (done,) = bagel.engine.generate([Request([*document], jax.random.key(0), settings)])
        return done[-1]

    edits = [made(Image(pixels[i]), words[j], Image(target=True)).pixels for i, j in ((0, 0), (1, 0), (0, 1))]
    assert edits[0].shape == (16, 20, 3)  # whole groups of latents, nearly the picture's shape
    assert (edits[0] != edits[1]).any() and (edits[0] != edits[2]).any()
    texts = [made(Image(pixels[i]), words[j], Text(target=True)).values for i, j in ((0, 0), (1, 0), (0, 1))]
    assert not np.array_equal(texts[0], texts[1]) and not np.array_equal(texts[0], texts[2])


def test_written_back_in_the_official_layout(bagel, tmp_path):
    uj.save_pretrained(tmp_path, bagel.model, bagel.params)
    assert sorted(path.name for path in tmp_path.iterdir()) == sorted(
        [*FILES, "tokenizer.json", "tokenizer_config.json"]
    )
    for name in FILES:
        if name.endswith(".json"):
            assert read_json(tmp_path / name) == read_json(DATA / name)
            continue
        want, got = load_file(DATA / name), load_file(tmp_path / name)
        assert want.keys() == got.keys()
        for tensor in want:
            np.testing.assert_array_equal(got[tensor], want[tensor], err_msg=tensor)


def test_a_folder_without_one_of_its_files_is_refused(bagel, tmp_path):
    for missing, error, said in (
        ("ae.safetensors", FileNotFoundError, "no ae.safetensors"),
        ("vit_config.json", ValueError, "vit_config.json"),
    ):
        shutil.copytree(bagel.folder, tmp_path / missing)
        (tmp_path / missing / missing).unlink()
        with pytest.raises(error, match=said):
            uj.from_pretrained(tmp_path / missing)


def test_a_family_that_is_not_guided_by_pictures_says_so(bagel):
    request = Request([Text("w1"), Image(target=True)], jax.random.key(0), Settings(image_guidance_scale=2.0))
    with pytest.raises(ValueError, match="is not guided by pictures"):
        Job(0, request, dataclasses.replace(bagel.model.family, blind=None), bagel.params)
