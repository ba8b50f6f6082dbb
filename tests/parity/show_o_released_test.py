"""Show-o as it was released against outputs of its official code (``tests/families/data/showo``), from its own files.

The engine draws; its process takes the noise that the reference drew in the place of its own.
"""

import dataclasses
from collections.abc import Callable
from functools import partial
from pathlib import Path

import jax
import jax.numpy as jnp
import numpy as np
import pytest
from difference import worst_relative
from recorded import recorded
from safetensors.numpy import load_file
from words import chat_tokenizer, picture

import unified_jax as uj
from unified_jax.codecs.base import to_float, to_uint8
from unified_jax.core.files import read_json
from unified_jax.core.mask import visible
from unified_jax.data.document import Document, Image, Text
from unified_jax.data.pack import Layout, pack
from unified_jax.data.plan import count
from unified_jax.interop.torch_file import open_torch_file
from unified_jax.models.model import Model
from unified_jax.models.pretrained import build_published
from unified_jax.models.published import Beside
from unified_jax.models.show_o_released import ADDED, LONGEST, QUESTION
from unified_jax.sampling.engine import Engine
from unified_jax.sampling.fill import Refine, Settings
from unified_jax.sampling.requests import Request

DATA = Path(__file__).parents[1] / "families" / "data" / "showo"
VERSION = "showlab/Show-o 45a5a2de"
TOLERANCE = 1e-4
WORDS, GRID, CODES = 100, (5, 5), 32
ID = {name: WORDS + i for i, name in enumerate(ADDED)}
FIRST, PLACES = WORDS + len(ADDED), GRID[0] * GRID[1]
DRAWN = {"t2i": dict(steps=6, guidance_scale=3.0), "inpaint": dict(steps=4, guidance_scale=2.5)}
ROWS, CAPACITY = 24, 192  # of all forward passes, so that one program serves them


@dataclasses.dataclass(frozen=True)
class Release:
    """want: arrays of the reference. forward: (params, batch) -> logits of the whole vocabulary at every slot."""

    want: dict
    model: Model
    params: dict
    forward: Callable

    def logits(self, documents: list[list]) -> list[np.ndarray]:
        """[T V] of each."""
        plans = [self.model.plan(document) for document in documents]
        streams = self.model.family.streams
        rows = [[plan] for plan in plans] + [[]] * (ROWS - len(plans))
        seq = pack(rows, streams, Layout({"main": CAPACITY}, dict.fromkeys(streams, CAPACITY)))
        seq = seq.put("text", read=np.tile(np.arange(CAPACITY, dtype=np.int32), (ROWS, 1)))
        found = np.asarray(self.forward(self.params, seq))
        return [found[i, : count(plan)] for i, plan in enumerate(plans)]


@pytest.fixture(scope="module")
def release() -> Release:
    model, params = uj.from_pretrained(DATA)
    with np.load(DATA / "reference.npz") as arrays:
        want = {name: arrays[name] for name in arrays.files}
    predict = jax.jit(lambda params, seq: model.apply({"params": params}, seq, method="predict")["text"])
    return Release(want, model, params, predict)


def without_pads(row: np.ndarray) -> int:
    """Where a row of the reference begins."""
    return int(np.argmax(row == ID["t2i"]))


def drawing(row: np.ndarray, codes: np.ndarray | None = None) -> list:
    """The document of a row: its text, and the picture in it or these codes."""
    text = row[without_pads(row) + 2 : -PLACES - 3]
    codes = row[-PLACES - 1 : -1] - FIRST if codes is None else codes
    picture = Image(target=True, values=codes.reshape(GRID).astype(np.int32))
    return [Text("given", values=text), picture] if len(text) else [picture]


def question(row: np.ndarray) -> list:
    """The document of a row that asks about a picture."""
    codes, text = row[2 : 2 + PLACES] - FIRST, row[2 + PLACES + 2 :]
    return [Image(picture(0, 10, 10), values=codes.reshape(GRID).astype(np.int32)), Text("given", values=text)]


def test_codec_agrees(release, record_parity):
    want, module, params = release.want, release.model.family.codec.module, {"params": release.params["codec"]}
    pixels = want["vq_pixels"].transpose(0, 2, 3, 1)
    latents = jax.jit(partial(module.apply, method="latents"))(params, pixels)
    drawn = release.model.family.codec.decode(release.params["codec"], want["vq_codes"].reshape(2, *GRID))
    worst = max(
        worst_relative(np.asarray(latents), want["vq_latent"].transpose(0, 2, 3, 1)),
        worst_relative(drawn, want["vq_reconstruction"].transpose(0, 2, 3, 1)),
    )
    what = "MAGVIT-v2 latents and reconstruction of two pictures, codes the same"
    record_parity("family:show-o-codec", reference=VERSION, what=what, worst_relative=worst, tolerance=TOLERANCE)
    codes = release.model.family.codec.encode(release.params["codec"], pixels)
    np.testing.assert_array_equal(codes.reshape(2, -1), want["vq_codes"])
    assert worst <= TOLERANCE


def test_logits_agree_at_every_slot(release, record_parity):
    rows, want = release.want["forward_ids"], release.want["forward_logits"]
    pairs = [(logits[without_pads(row) :], drawing(row)) for row, logits in zip(rows, want)]
    pairs.append((release.want["mmu_prompt_logits"][0], question(release.want["mmu_ids"][0])))
    said = release.want["mmu_tokens"]
    image, asked = question(release.want["mmu_ids"][0])
    answered = [image, Text("given", values=np.concatenate([asked.values, said[:-1]]))]
    pairs.append((np.concatenate([pairs[-1][0][:-1], release.want["mmu_logits"]]), answered))
    got = release.logits([document for _, document in pairs])
    worst = max(worst_relative(ours, theirs) for ours, (theirs, _) in zip(got, pairs))
    slots = sum(len(theirs) for theirs, _ in pairs[:2]) + len(pairs[-1][0])
    what = f"logits of {slots} slots: two drawings half masked, a question and its answer"
    record_parity("family:show-o", reference=VERSION, what=what, worst_relative=worst, tolerance=TOLERANCE)
    assert worst <= TOLERANCE


@pytest.mark.parametrize("kind", ["t2i_ids", "t2i_null_ids"])
def test_the_same_slots_are_seen(release, kind):
    allowed = release.want["t2i_allowed"].reshape(2, 2, *release.want["t2i_allowed"].shape[1:])
    for row, seen in zip(release.want[kind], allowed[int(kind == "t2i_null_ids")]):
        start, streams = without_pads(row), release.model.family.streams
        plan = release.model.plan(drawing(row))
        layout = Layout({"main": count(plan)}, dict.fromkeys(streams, count(plan)))
        slots = pack([[plan]], streams, layout).lanes["main"]
        np.testing.assert_array_equal(visible(slots, slots)[0], seen[start:, start:])
        np.testing.assert_array_equal(slots.pos[0, :, 0], np.arange(len(row) - start))


@pytest.mark.parametrize("kind", DRAWN)
def test_every_step_agrees(release, record_parity, kind):
    rows, want, steps = release.want[f"{kind}_step_ids"], release.want[f"{kind}_logits"], DRAWN[kind]["steps"]
    codes = (rows[..., -PLACES - 1 : -1] - FIRST).astype(np.int32)
    branches = (rows[0], release.want["t2i_null_ids"])
    documents = [drawing(branch[b], codes[s, b]) for s in range(steps) for branch in branches for b in range(2)]
    got = np.stack([x[-PLACES - 1 : -1, FIRST : FIRST + CODES] for x in release.logits(documents)]).reshape(want.shape)
    worst = worst_relative(got, want)
    what = f"{kind}: logits of the codes in all {steps} passes, with and without the prompt"
    record_parity(f"family:show-o-{kind}", reference=VERSION, what=what, worst_relative=worst, tolerance=TOLERANCE)
    assert worst <= TOLERANCE

    process, scale = release.model.family.fills["image"].process, DRAWN[kind]["guidance_scale"]
    for s, (given, without) in enumerate(want):
        tokens, confidence = (jnp.asarray(release.want[f"{kind}_gumbel_{x}"][s]) for x in ("tokens", "confidence"))
        t, left = jnp.float32(1 - s / steps), jnp.float32(1 - (s + 1) / steps)
        for b, logits in enumerate(jnp.asarray(without + scale * (given - without))):
            made = process.uncover(jnp.asarray(codes[s, b]), logits, ids=tokens[b], order=confidence[b], t=t, s=left)
            kept = codes[s + 1, b] if s + 1 < steps else release.want[f"{kind}_codes"][b]
            np.testing.assert_array_equal(made, kept)


def test_the_engine_draws_the_same_pictures(release, record_parity):
    want, kinds = release.want, [kind for kind in DRAWN for _ in range(2)]
    process = recorded(
        release.model.family.fills["image"].process,
        starts=np.concatenate([want[f"{kind}_step_ids"][0][:, -PLACES - 1 : -1] - FIRST for kind in DRAWN]),
        tokens=[want[f"{kind}_gumbel_tokens"] for kind in DRAWN],
        confidence=[want[f"{kind}_gumbel_confidence"] for kind in DRAWN],
    )
    family = release.model.family
    family = dataclasses.replace(family, fills={**family.fills, "image": Refine("image", process)})
    rows = [row for kind in DRAWN for row in want[f"{kind}_step_ids"][0]]
    requests = [
        Request([*drawing(row)[:-1], Image(target=True)], jax.random.key(i), Settings(**DRAWN[kind]))
        for i, (kind, row) in enumerate(zip(kinds, rows))
    ]
    engine = Engine(release.model.clone(family=family), release.params, rows=8, capacity=64, chunks=(32,))
    made = [document[-1] for document in engine.generate(requests)]
    codes = np.concatenate([want[f"{kind}_codes"] for kind in DRAWN])
    pixels = np.concatenate([want[f"{kind}_pixels"] for kind in DRAWN]).transpose(0, 2, 3, 1)
    levels = max(int(np.abs(x.pixels.astype(int) - to_uint8(y)).max()) for x, y in zip(made, pixels))
    record_parity(
        "family:show-o-drawing",
        reference=VERSION,
        what="four guided pictures, two around known codes, all codes the same; worst grey level of 255",
        worst_relative=levels / 255,
        tolerance=1 / 255,
    )
    np.testing.assert_array_equal(np.stack([x.values.reshape(-1) for x in made]), codes)
    assert levels <= 1 and len(np.unique(codes)) > 5


def test_greedy_answer_is_the_same_and_follows_picture_and_words(release):
    row, want = release.want["mmu_ids"][0], release.want["mmu_tokens"]
    image, asked = question(row)
    other_codes = Image(image.pixels, values=(image.values + 1) % CODES)
    documents = [[image, asked], [other_codes, asked], [image, Text("other", values=asked.values[::-1])]]
    settings = Settings(max_tokens=len(want))
    requests = [Request([*document, Text(target=True)], jax.random.key(0), settings) for document in documents]
    engine = Engine(release.model, release.params, rows=4, capacity=256, chunks=(64,))
    got, *others = [document[-1].values for document in engine.generate(requests)]
    np.testing.assert_array_equal(got, want)
    assert len(np.unique(want)) > 5 and all(not np.array_equal(got, other) for other in others)


def test_another_prompt_draws_otherwise(release):
    row = release.want["t2i_ids"][0]
    text, image = drawing(row)
    before, after = release.logits([[text, image], [Text("other", values=text.values[::-1]), image]])
    assert worst_relative(after[-PLACES:], before[-PLACES:]) > 1e-3


def test_a_given_picture_is_read_as_the_release_does(release):
    family, pixels = release.model.family, picture(1, 10, 10)
    (document,) = family.encode([[Image(pixels), Text("what")]], release.params)
    want = family.codec.encode(release.params["codec"], to_float(pixels)[None])[0]
    np.testing.assert_array_equal(document[0].values, want)
    (document,) = family.encode([[Image(picture(1, 30, 24)), Text("what")]], release.params)
    assert document[0].values.shape == GRID


def test_written_back_the_files_hold_the_same_tensors(release, tmp_path):
    uj.save_pretrained(tmp_path, release.model, release.params)
    for stem in ("pytorch_model", "magvitv2/pytorch_model"):
        want = open_torch_file(DATA / f"{stem}.bin")
        got = load_file(tmp_path / f"{stem}.safetensors")
        assert got.keys() == want.keys()
        for name, tensor in want.items():
            np.testing.assert_array_equal(got[name], tensor.read(), err_msg=name)
            assert got[name].dtype == tensor.dtype
    for name in ("config.json", "phi/config.json", "magvitv2/config.json"):
        assert read_json(tmp_path / name) == read_json(DATA / name)
    _, again = uj.from_pretrained(tmp_path)
    jax.tree.map(np.testing.assert_array_equal, again, release.params)


def test_prompts_are_those_of_the_release():
    tokenizer = chat_tokenizer()
    files = {name: read_json(DATA / name) for name in ("phi/config.json", "magvitv2/config.json")}
    family = build_published(read_json(DATA / "config.json"), Beside(tokenizer, files=files)).family
    ids = lambda document: [values.tolist() for span in family.write(Document(document)) for _, values in span.parts]
    codes = np.arange(PLACES, dtype=np.int32).reshape(GRID)
    long = " ".join(["w1"] * 200)
    sot = eot = 98
    picture = [[ID["soi"]], [0] * PLACES, [ID["eoi"]]]
    assert ids([Text("w1 w2"), Image(target=True)]) == [[ID["t2i"], sot, *tokenizer.encode("w1 w2"), eot], *picture]
    assert ids([Image(target=True)]) == [[ID["t2i"], sot, eot], *picture]
    (cut, *_) = ids([Text(long), Image(target=True)])
    assert len(cut) == LONGEST and cut[-1] == eot
    assert ids([Image(values=codes), Text("w1"), Text("w2", target=True), Text("w3"), Text(target=True)]) == [
        [ID["mmu"], ID["soi"]],
        codes.reshape(-1).tolist(),
        [ID["eoi"]],
        [sot, *tokenizer.encode(QUESTION.format("w1"))],
        [*tokenizer.encode("w2"), eot],
        tokenizer.encode(QUESTION.format("w3")).tolist(),
        [0],
    ]
    with pytest.raises(ValueError, match="draws one picture after texts"):
        ids([Text("w1"), Image(values=codes), Text(target=True)])
    with pytest.raises(ValueError, match="w_clip_vit true"):
        build_published({**read_json(DATA / "config.json"), "w_clip_vit": True}, tokenizer)
    with pytest.raises(ValueError, match=r"no phi/config\.json"):
        build_published(read_json(DATA / "config.json"), tokenizer)
