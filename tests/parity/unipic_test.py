"""Skywork UniPic against outputs of its official code on small random weights (``tests/families/data/unipic``)."""

import dataclasses
import json
import shutil
from pathlib import Path
from typing import Any

import jax
import jax.numpy as jnp
import kl16
import numpy as np
import PIL.Image
import pytest
import tokenizers
import torch
from difference import noting, worst_relative
from flax.traverse_util import flatten_dict, unflatten_dict
from groups import replay
from safetensors.numpy import load_file
from tokenizers import models, pre_tokenizers
from words import picture

import unified_jax as uj
from unified_jax.core.files import read_json
from unified_jax.core.hiding import hide
from unified_jax.data.chat import ChatTokenizer
from unified_jax.data.document import Document, Image, Text
from unified_jax.data.pack import Layout, pack
from unified_jax.data.plan import Span
from unified_jax.interop.torch_file import open_torch_file
from unified_jax.models.mar_network import PATH
from unified_jax.models.pretrained import build_published
from unified_jax.models.published_folder import read_beside
from unified_jax.models.unipic_script import Script
from unified_jax.nn.masked_picture import Buffered, GridPlaces
from unified_jax.objectives.masked_diffusion import MaskedDiffusion
from unified_jax.objectives.next_token import NextToken
from unified_jax.objectives.total import losses, total
from unified_jax.sampling import in_groups
from unified_jax.sampling.engine import Engine
from unified_jax.sampling.fill import Settings
from unified_jax.sampling.requests import Request

DATA = Path(__file__).parents[1] / "families/data/unipic"
VERSION = "SkyworkAI/UniPic 9e2a6091"
TOLERANCE = 1e-4
SIZE, SLOTS, PLACE = 36, 44, 105
NAMED = {"eos_token": "<|im_end|>"}
SPECIAL = ("<bos>", "<|im_end|>", "<|im_start|>")


@dataclasses.dataclass(frozen=True)
class Subject:
    """want: arrays of the reference."""

    folder: Path
    model: Any
    params: Any
    want: Any

    def text(self, ids: np.ndarray) -> Text:
        return Text(" ".join(f"w{i}" for i in ids), values=ids.astype(np.int32))

    def image(self, latents: np.ndarray) -> Image:
        """A recorded picture, which is latents [C H W] before their scale."""
        return Image(np.zeros((96, 96, 3), np.uint8), values=(kl16.SCALE * latents).transpose(1, 2, 0))

    def question(self) -> list:
        ids = self.want["und_ids"][0]
        first = int(np.argmax(ids == PLACE))
        shown = self.image(self.want["latents"][0])
        return [self.text(ids[:first]), shown, self.text(ids[first + SLOTS :]), Text(target=True)]

    def prompt(self, i: int) -> Text:
        return self.text(self.want["t2i_ids"][i][self.want["t2i_mask"][i] > 0])


@pytest.fixture(scope="module")
def unipic(tmp_path_factory) -> Subject:
    folder = tmp_path_factory.mktemp("unipic")
    shutil.copy(DATA / "pytorch_model.bin", folder)
    config = read_json(DATA / "config.json") | {"model_type": "unipic", "vae": kl16.CONFIG}
    (folder / "config.json").write_text(json.dumps(config))
    vocab = [*(f"w{i}" for i in range(100)), *SPECIAL, *(f"x{i}" for i in range(17))]
    backend = tokenizers.Tokenizer(models.WordLevel({word: i for i, word in enumerate(vocab)}, unk_token="w0"))
    backend.pre_tokenizer = pre_tokenizers.WhitespaceSplit()
    backend.add_special_tokens(list(SPECIAL))
    backend.save(str(folder / "tokenizer.json"))
    (folder / "tokenizer_config.json").write_text(json.dumps(NAMED))
    kl16.save(folder)
    return Subject(folder, *uj.from_pretrained(folder), np.load(DATA / "reference.npz"))


@pytest.fixture
def note(record_parity):
    return noting(record_parity, "family:unipic", reference=VERSION, tolerance=TOLERANCE)


def test_a_picture_that_is_read_and_its_greedy_text(unipic, note):
    want, document, family = unipic.want, unipic.question(), unipic.model.family
    given = [span for span in unipic.model.plan(document) if span.fill is None]
    written = Span((("text", want["und_tokens"][:-1].astype(np.int32)),))
    seq = pack([[[*given, written]]], family.streams, Layout({"main": 256}, {"text": 212, "image": SLOTS}))

    def run(module, seq):
        encoder, payload = module.embed["image"].encoder, seq.streams["image"]
        return encoder(payload), module.embed["image"].project(encoder(payload)), module(seq).hidden["main"]

    seq = jax.tree.map(jnp.asarray, seq)
    apply = jax.jit(lambda params: unipic.model.apply({"params": params}, seq, method=run))
    encoded, projected, hidden = (np.asarray(x) for x in apply(unipic.params))
    length = len(want["und_hidden"][0])
    logits = hidden[0, length - 1 : length + 127] @ np.asarray(unipic.params["embed_text"]["table"]).T
    note(
        "",
        f"a picture behind encoder and projection, states of {length} slots, logits of 128 greedy ids, all the same",
        (np.roll(encoded, SLOTS - SIZE, axis=1), want["encoded"]),
        (projected, want["projected"]),
        (hidden[:, :length], want["und_hidden"]),
        (logits, want["und_logits"]),
    )
    other_image, other_words = list(document), list(document)
    other_image[1] = unipic.image(-want["latents"][0])
    other_words[2] = unipic.text(document[2].values[::-1])
    engine = Engine(unipic.model, unipic.params, rows=4, capacity=256, chunks=(64,))
    requests = [
        Request(each, jax.random.key(0), Settings(max_tokens=128)) for each in (document, other_image, other_words)
    ]
    ids, *others = [each[-1].values for each in engine.generate(requests)]
    np.testing.assert_array_equal(ids, want["und_tokens"])
    assert not any(np.array_equal(ids, other) for other in others)


@dataclasses.dataclass(frozen=True)
class Run:
    """The recorded drawing of two pictures. masks: before every step and after the last [picture, slot]. values: of the
    entries before every step [picture, slot, C].
    """

    masks: list
    values: list

    @classmethod
    def of(cls, want: Any) -> "Run":
        masks, values, made = [*(want["t2i_masks"] > 0), np.zeros((2, SIZE), bool)], [np.zeros((2, SIZE, 4))], 0
        for before, after in zip(masks, masks[1:]):
            now = np.argwhere(before & ~after)
            values.append(values[-1].copy())
            values[-1][tuple(now.T)] = want["t2i_outputs"][made : made + len(now)]
            made += len(now)
        return cls(masks, [x.astype(np.float32) for x in values])


def test_what_is_known_of_every_entry_in_every_step(unipic, note):
    """Each step from the reference's entries: both branches of both pictures, prompts and all, in one batch."""
    want, family, run = unipic.want, unipic.model.family, Run.of(unipic.want)
    rows, hidden, asked = [], [], []
    for before, after, values in zip(run.masks, run.masks[1:], run.values):
        for branch, i in ((0, 0), (0, 1), (1, 0), (1, 1)):
            image = Image(target=True, values=values[i].reshape(6, 6, 4))
            rows.append([family.write(Document([unipic.prompt(branch), image]))])
            hidden.append(np.pad(before[i], (0, SLOTS - SIZE)))
            asked.append(before[i] & ~after[i])
    seq = pack(rows, family.streams, Layout({"main": 28 + SLOTS}, {"text": 28, "image": SLOTS}))
    seq = hide(jax.tree.map(jnp.asarray, seq), "image", hidden=jnp.asarray(np.stack(hidden)))

    def known(module, seq):
        states = module.states(module(seq), seq, "image")
        return module.heads["image"].conditions(states, seq.streams["image"])

    apply = jax.jit(lambda params: unipic.model.apply({"params": params}, seq, method=known))
    got = np.asarray(apply(unipic.params))[:, :SIZE]
    note(
        "-steps",
        "what is known of every entry that is drawn, in all 6 steps of two pictures, with the prompt and without",
        (np.concatenate([row[drawn] for row, drawn in zip(got, asked)]), want["t2i_conditions"]),
    )


def test_every_step_of_two_drawings(unipic, note, monkeypatch):
    """Each step from the reference's entries: the small network is so steep that rounding grows a hundredfold over
    the six, to 2.5e-3.
    """
    want, family, run = unipic.want, unipic.model.family, Run.of(unipic.want)
    rngs = [jax.random.key(i) for i in range(2)]
    keys = jnp.stack([jax.random.split(rng)[1] for rng in rngs])
    draws = {name: want[f"t2i_{name}"] for name in ("orders", "start_noise", "step_noise")}
    replay(monkeypatch, draws, keys=keys, masks=run.masks)
    counts = jnp.array([mask[0].sum() for mask in run.masks])
    starts = jnp.asarray(np.stack(run.values).repeat(2, 1))  # a request has two rows

    def led(seq, stream, *, hidden):
        values = seq.streams[stream].values.at[:4, :SIZE].set(starts[jnp.argmax(counts == hidden[0].sum())])
        return hide(seq.put(stream, values=values), stream, hidden=hidden)

    monkeypatch.setattr(in_groups, "hide", led)
    null = lambda document: Document([unipic.prompt(1), document[-1]])  # given as ids, as the prompt is
    model = unipic.model.clone(family=dataclasses.replace(family, null=null))
    blank, other = Image(target=True), unipic.text(unipic.prompt(0).values[::-1])
    engine = Engine(model, unipic.params, rows=6, capacity=128, chunks=(32,))
    settings = Settings(steps=6, guidance_scale=3.0, image_temperature=1.0)
    asked = zip((unipic.prompt(0), unipic.prompt(0), other), (*rngs, rngs[0]))
    made = engine.generate([Request([text, blank], rng, settings) for text, rng in asked])
    *drawn, changed = [each[-1].values for each in made]
    got, final = np.stack(drawn).reshape(2, SIZE, 4), run.values[-1]
    note(
        "-drawing",
        "latents of two pictures guided in 6 steps of groups, each of 10 levels and from the reference's entries",
        (got, final),
        (kl16.SCALE * want["t2i_latents"].transpose(0, 2, 3, 1), final.reshape(2, 6, 6, 4)),
    )
    assert worst_relative(changed, drawn[0]) > 0.01


def test_it_learns_to_draw_and_to_answer(unipic):
    """With one layer of everything, which compiles faster, and two pictures in a row."""
    config = read_json(unipic.folder / "config.json")
    config["mar"] |= {"encoder_depth": 1, "decoder_depth": 1, "diffloss_d": 1}
    config["llm"]["num_hidden_layers"] = 1
    model = build_published(config, read_beside(unipic.folder, config))
    family, flat = model.family, flatten_dict(unipic.params)
    left = {name for name in flat if name[0] == "codec" or name[-2][-2:] == "_1"}
    first = {name: x[:1] if "layer" in name else x for name, x in flat.items() if name not in left}
    shown, drawn = unipic.image(unipic.want["latents"][0]), unipic.image(-unipic.want["latents"][0])
    documents = [
        [shown, Text("w3 w4"), Text("w5 w6", target=True)],
        [Text("w1 w2"), dataclasses.replace(drawn, target=True)],
    ]
    plans = [family.write(Document(document)) for document in documents]
    seq = pack([plans], family.streams, Layout({"main": 160}, {"text": 64, "image": 2 * SLOTS}))
    seq = jax.tree.map(jnp.asarray, seq)
    assert seq.streams["image"].weight.sum() == SIZE  # neither the given picture nor the buffer
    objectives = [NextToken("text"), MaskedDiffusion("image", path=PATH)]

    @jax.jit
    @jax.value_and_grad
    def step(params):
        predict = lambda seq: model.apply({"params": params}, seq, method="predict")
        return total(losses(predict, objectives, jax.random.key(0), seq), objectives)

    loss, slopes = step(unflatten_dict(first))
    assert np.isfinite(loss)
    for path, slope in jax.tree_util.tree_leaves_with_path(slopes):
        name = jax.tree_util.keystr(path)
        still = "['k_main']['bias']" in name or "['classes']['table']" in name
        assert np.isfinite(slope).all() and (still or np.abs(slope).max() > 0), name


@pytest.mark.parametrize("grid", [(12, 12), (6, 6), (8, 5)])
def test_tables_of_places_are_resized_to_larger_pictures(grid):
    table, more = (np.random.default_rng(i).normal(size=(n, n, 3)).astype(np.float32) for i, n in enumerate((6, 2)))
    places = GridPlaces((6, 6), Buffered(grid, 2), 3, 2)
    got = np.asarray(places.apply({"params": {"grid": table, "more": more[:1]}}))
    large = torch.nn.functional.interpolate(torch.tensor(table).permute(2, 0, 1)[None], size=grid, mode="bilinear")
    np.testing.assert_allclose(got[:-2], large[0].permute(1, 2, 0).reshape(-1, 3).numpy(), atol=1e-5)
    np.testing.assert_array_equal(got[-2:], more[0])


class Letters(ChatTokenizer):
    """A tokenizer whose ids are the letters."""

    def encode(self, text: str, *, markup: bool = False) -> np.ndarray:
        return np.array([ord(letter) for letter in text], np.int32)

    def special_id(self, name: str) -> int:
        return ord("$")


def test_words_around_what_is_given(unipic):
    net = unipic.model.family.write.__self__.net
    write, shown = Script(Letters(None), net).write, unipic.image(unipic.want["latents"][0])
    said = lambda *parts, **info: "".join(
        "".join(map(chr, x)) if name == "text" and span.fill is None else f"[{name}]"
        for span in write(Document(parts, info))
        for name, x in span.parts
    )
    blank, end = Text(target=True), "<|im_end|>\n<|im_start|>assistant\n"
    assert said(shown, Text("What?"), blank) == f"<|im_start|>user\n[image]\nWhat?{end}[text]"
    turns = said(Text("Hi"), Text("Ho", target=True), Text("a"), shown, blank)
    assert turns == f"<|im_start|>user\nHi{end}Ho$\n<|im_start|>user\na\n[image]{end}[text]"
    draw = [Text("a cat"), Image(target=True)]
    assert said(*draw) == f"<|im_start|>user\nGenerate an image: a cat{end}[image]"
    assert said(*draw, unread=True) == f"<|im_start|>user\nGenerate an image.{end}[image]"
    with pytest.raises(ValueError, match="one picture of words alone"):
        write(Document([shown, *draw]))


def test_a_given_picture_lies_on_a_grey_square(unipic):
    """As ``image2text.py`` of the repository describes it."""
    pixels = picture(3, 50, 30)
    square = PIL.Image.new("RGB", (50, 50), (127, 127, 127))
    square.paste(PIL.Image.fromarray(pixels), (10, 0))
    got = unipic.model.family.reader.prepare(pixels)
    np.testing.assert_allclose(got, np.asarray(square.resize((96, 96)), np.float32) / 127.5 - 1, atol=1e-6)


def test_written_back_in_the_official_layout(unipic, tmp_path):
    uj.save_pretrained(tmp_path, unipic.model, unipic.params)
    want, got = open_torch_file(DATA / "pytorch_model.bin"), load_file(tmp_path / "pytorch_model.safetensors")
    unread = {f"siglip2_proj.{i}.{kind}" for i in (0, 2) for kind in ("weight", "bias")}
    assert set(want) - set(got) == unread | ({"llm.lm_head.weight"} & set(want))
    for name, values in got.items():
        np.testing.assert_array_equal(values, want[name].read(), err_msg=name)
    assert read_json(tmp_path / "config.json") == read_json(unipic.folder / "config.json")


def test_entries_of_several_latents_are_refused(unipic):
    config = read_json(unipic.folder / "config.json")
    with pytest.raises(ValueError, match="patch_size 2: a MAR is known with entries of one latent"):
        build_published(config | {"mar": config["mar"] | {"patch_size": 2}}, read_beside(unipic.folder, config))
