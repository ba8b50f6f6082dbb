"""MMaDA against outputs of its official code (``tests/families/data/mmada``), from its own files.

The engine draws and answers; where the reference drew, its noise takes the place of ours.
"""

import dataclasses
import json
import shutil
from collections.abc import Callable, Iterable
from pathlib import Path

import jax
import jax.numpy as jnp
import numpy as np
import pytest
import tokenizers
from difference import worst_relative
from recorded import recorded
from safetensors.numpy import load_file
from tokenizers import models, pre_tokenizers
from words import picture

import unified_jax as uj
from unified_jax.core.files import read_json
from unified_jax.data.chat import ChatTokenizer
from unified_jax.data.document import Document, Image, Text
from unified_jax.data.pack import Layout, pack
from unified_jax.data.plan import Span, count
from unified_jax.models.family import UNREAD
from unified_jax.models.mmada import HIDDEN, LONGEST
from unified_jax.models.model import Model
from unified_jax.models.pretrained import build_published
from unified_jax.sampling.engine import Engine
from unified_jax.sampling.fill import Refine, Settings
from unified_jax.sampling.requests import Request
from unified_jax.sampling.unmask import share, uncover

DATA = Path(__file__).parents[1] / "families" / "data" / "mmada"
VERSION = "Gen-Verse/MMaDA 3cdb8709"
TOLERANCE = 1e-4
CONFIG = read_json(DATA / "config.json")
ID = CONFIG["tiny_special_tokens"]
FIRST, CODES, GRID, PLACES = ID["tokenizer_length"], CONFIG["codebook_size"], (5, 5), 25
HEADERS = {"<|start_header_id|>": 104, "<|end_header_id|>": 105, "<|eot_id|>": 106}
# Of every answer: where it begins in a row of the reference, and how it was written.
ANSWERED = {
    "mmu": (48, dict(steps=32, max_tokens=64, block=16)),
    "mmu_guided": (48, dict(steps=16, max_tokens=32, block=16, guidance_scale=2.0)),
    "text_sampled": (16, dict(steps=4, max_tokens=16, block=8, temperature=0.8)),
}
ROWS, CAPACITY = 96, 112  # of all forward passes, so that one program serves them


def words() -> tokenizers.Tokenizer:
    """As many words as the reference's tokenizer had, those that it names at their places."""
    special = {"sot": "<s>", "eot": "</s>", "mask": "<mask>"}
    named = {special.get(name, name): id for name, id in ID.items() if name != "tokenizer_length"} | HEADERS
    vocab = {f"w{i}": i for i in range(FIRST) if i not in named.values()} | named
    backend = tokenizers.Tokenizer(models.WordLevel(vocab, unk_token="w0"))
    backend.pre_tokenizer = pre_tokenizers.WhitespaceSplit()
    backend.add_special_tokens(list(named))
    return backend


@dataclasses.dataclass(frozen=True)
class Release:
    """want: arrays of the reference. forward: (params, batch) -> logits of the whole vocabulary at every slot."""

    folder: Path
    want: dict
    model: Model
    params: dict
    forward: Callable

    def drawing(self, row: np.ndarray) -> list[Span]:
        """The plan of a row that draws."""
        return self.model.plan(drawing(row))

    def answering(self, row: np.ndarray, start: int, *, unread: bool = False) -> list[Span]:
        """The plan of a row that answers, some of which is masks; without the end that a learned answer has."""
        said = Text("said", values=row[start:], target=True)
        (span,) = self.model.plan(Document([*asked(row[:start]), said], {UNREAD: unread}))
        *given, (stream, values) = span.parts
        return [dataclasses.replace(span, parts=(*given, (stream, values[:-1])))]

    def logits(self, plans: Iterable[list[Span]]) -> list[np.ndarray]:
        """[T V] of each."""
        plans, streams = list(plans), self.model.family.streams
        rows = [[plan] for plan in plans] + [[]] * (ROWS - len(plans))
        seq = pack(rows, streams, Layout({"main": CAPACITY}, dict.fromkeys(streams, CAPACITY)))
        seq = seq.put("text", read=np.tile(np.arange(CAPACITY, dtype=np.int32), (ROWS, 1)))
        found = np.asarray(self.forward(self.params, seq))
        return [found[i, : count(plan)] for i, plan in enumerate(plans)]


@pytest.fixture(scope="module")
def release(tmp_path_factory) -> Release:
    folder = tmp_path_factory.mktemp("mmada")
    for name in ("config.json", "model.safetensors"):
        shutil.copy(DATA / name, folder)
    shutil.copytree(DATA.parent / "showo" / "magvitv2", folder / "magvitv2")
    words().save(str(folder / "tokenizer.json"))
    (folder / "tokenizer_config.json").write_text(json.dumps({"bos_token": "<s>", "eos_token": "</s>"}))
    model, params = uj.from_pretrained(folder)
    with np.load(DATA / "reference.npz") as arrays:
        want = dict(arrays)
    predict = jax.jit(lambda params, seq: model.apply({"params": params}, seq, method="predict")["text"])
    return Release(folder, want, model, params, predict)


def codes_of(ids: np.ndarray) -> np.ndarray:
    """Codes and masks as their stream has them."""
    return np.where(ids == ID["mask"], HIDDEN, ids - FIRST)


def image(ids: np.ndarray, **fields) -> Image:
    return Image(values=codes_of(ids).reshape(GRID).astype(np.int32), **fields)


def drawing(row: np.ndarray) -> list:
    """The document of a row that draws: its text, and the picture in it."""
    text = row[int(np.argmax(row == ID["<|t2i|>"])) + 2 : -PLACES - 3]
    drawn = image(row[-PLACES - 1 : -1], target=True)
    return [Text("given", values=text), drawn] if len(text) else [drawn]


def asked(row: np.ndarray) -> list:
    """What a row of ids asks: a picture, if it begins with one, and words."""
    if row[0] != ID["<|mmu|>"]:
        return [Text("given", values=row)]
    seen = image(row[2 : 2 + PLACES], pixels=picture(0, 10, 10))
    return [seen, Text("given", values=row[3 + PLACES :])]


def test_logits_agree_at_every_slot(release, record_parity):
    want, rows = release.want, release.want["forward_ids"]
    pairs = [
        (logits[int(np.argmax(row == ID["<|t2i|>"])) :], release.drawing(row))
        for row, logits in zip(rows, want["forward_logits"])
    ]
    for kind, (start, _) in ANSWERED.items():
        row = want[f"{kind}_step_ids"][0]
        for branch, logits in enumerate(want[f"{kind}_first_logits"]):
            pairs.append((logits, release.answering(row, start, unread=branch == 1)))
    got = release.logits(plan for _, plan in pairs)
    worst = max(worst_relative(ours, theirs) for ours, (theirs, _) in zip(got, pairs))
    slots = sum(len(theirs) for theirs, _ in pairs)
    what = f"logits of {slots} slots: two drawings half masked, three answers all masked, one prompt masked too"
    record_parity("family:mmada", reference=VERSION, what=what, worst_relative=worst, tolerance=TOLERANCE)
    assert worst <= TOLERANCE


def test_every_pass_of_a_drawing_agrees(release, record_parity):
    want, ids = release.want["t2i_logits"], release.want["t2i_step_ids"]
    steps = len(want)
    shown = [(s, branch, b) for s in range(steps) for branch in range(2) for b in range(2)]
    null = lambda row: np.concatenate([release.want["t2i_null_ids"][0][: -PLACES - 1], row[-PLACES - 1 :]])
    plans = [release.drawing(null(ids[s, b]) if branch else ids[s, b]) for s, branch, b in shown]
    got = [x[-PLACES - 1 : -1, FIRST : FIRST + CODES] for x in release.logits(plans)]
    worst = worst_relative(np.stack(got).reshape(want.shape), want)
    what = f"logits of the codes in all {steps} passes, with and without the prompt"
    record_parity("family:mmada-t2i", reference=VERSION, what=what, worst_relative=worst, tolerance=TOLERANCE)
    assert worst <= TOLERANCE

    process, codes = release.model.family.fills["image"].process, codes_of(ids[..., -PLACES - 1 : -1])
    for s, (given, without) in enumerate(want):
        tokens, confidence = (jnp.asarray(release.want[f"t2i_gumbel_{x}"][s]) for x in ("tokens", "confidence"))
        t, left = jnp.float32(1 - s / steps), jnp.float32(1 - (s + 1) / steps)
        for b, logits in enumerate(jnp.asarray(without + 2.5 * (given - without))):
            z = jnp.asarray(codes[s, b], jnp.int32)
            made = process.uncover(z, logits, ids=tokens[b], order=confidence[b], t=t, s=left)
            np.testing.assert_array_equal(made, codes[s + 1, b] if s + 1 < steps else release.want["t2i_codes"][b])


@pytest.mark.parametrize("kind", ANSWERED)
def test_every_pass_of_an_answer_agrees(release, kind):
    start, settings = ANSWERED[kind]
    *rows, _ = ids = release.want[f"{kind}_step_ids"]
    n, scale = settings["max_tokens"], settings.get("guidance_scale", 1.0)
    logits = np.stack(release.logits(release.answering(row, start) for row in rows))[:, start : start + n]
    if scale != 1.0:
        hidden = (release.answering(row, start, unread=True) for row in rows)
        null = np.stack(release.logits(hidden))[:, start : start + n]
        logits = null + scale * (logits - null)
    noise = np.zeros_like(logits)
    if temperature := settings.get("temperature"):
        noise = -temperature * np.log(-np.log(release.want["text_uniform"][:, start:]))
    for i, row in enumerate(rows):
        until, left = share(i, n=n, block=jnp.int32(settings["block"]), steps=jnp.int32(settings["steps"]))
        chosen = jnp.asarray((logits[i] + noise[i]).argmax(-1), jnp.int32)
        z = jnp.asarray(row[start:], jnp.int32)
        made = uncover(z, jnp.asarray(logits[i]), chosen, mask=ID["mask"], until=until, count=left)
        np.testing.assert_array_equal(made, ids[i + 1][start:])


def test_the_engine_draws_the_same_pictures_and_others_for_others_words(release, record_parity):
    want, family = release.want, release.model.family
    noise = [want["t2i_gumbel_tokens"]] * 2, [want["t2i_gumbel_confidence"]] * 2
    starts = np.tile(codes_of(want["t2i_step_ids"][0][:, -PLACES - 1 : -1]), (2, 1)).astype(np.int32)
    process = recorded(family.fills["image"].process, starts=starts, tokens=noise[0], confidence=noise[1])
    family = dataclasses.replace(family, fills={**family.fills, "image": Refine("image", process)})
    texts = [drawing(row)[0] for row in want["t2i_ids"]]
    texts += [Text("other", values=text.values[::-1]) for text in texts]
    settings = Settings(steps=6, guidance_scale=2.5)
    requests = [Request([x, Image(target=True)], jax.random.key(i), settings) for i, x in enumerate(texts)]
    engine = Engine(release.model.clone(family=family), release.params, rows=8)
    made = [document[-1] for document in engine.generate(requests)]
    codes = np.stack([x.values.reshape(-1) for x in made])
    different = int((codes[:2] != want["t2i_codes"]).sum())
    record_parity(
        "family:mmada-drawing",
        reference=VERSION,
        what="two guided pictures of 25 codes; share of codes that differ",
        worst_relative=different / codes[:2].size,
        tolerance=0.0,
    )
    assert different == 0 and len(np.unique(codes[:2])) > 5
    assert (codes[2:] != codes[:2]).any(1).all()
    assert made[0].pixels.shape == (10, 10, 3)


def test_the_engine_answers_the_same_and_follows_picture_and_words(release, record_parity):
    rows = {kind: release.want[f"{kind}_step_ids"] for kind in ("mmu", "mmu_guided")}
    prompts, settings = [asked(row[0][:48]) for row in rows.values()], [ANSWERED[kind][1] for kind in rows]
    seen, said = prompts[0]
    prompts += [[image(FIRST + (seen.values + 1) % CODES, pixels=seen.pixels), said]]
    prompts += [[seen, Text("other", values=said.values[::-1])], [said]]
    # The last has as many slots as the guided one, though neither prompt nor answer is as long.
    prompts += [asked(release.want["text_sampled_step_ids"][0][:16])]
    settings += [settings[0]] * 4
    requests = [
        Request([*prompt, Text(target=True)], jax.random.key(0), Settings(**own))
        for prompt, own in zip(prompts, settings)
    ]
    engine = Engine(release.model, release.params, rows=8)
    answer, guided, *others = [document[-1].values for document in engine.generate(requests)]
    want, want_guided = (row[-1][48:] for row in rows.values())
    ends = np.flatnonzero(np.isin(want, [ID["eot"], HEADERS["<|eot_id|>"]]))
    assert not ends.size and len(np.unique(want)) > 5  # nothing of it is cut
    record_parity(
        "family:mmada-answer",
        reference=VERSION,
        what="greedy answers of 64 and, guided, 32 ids in 4 and 2 blocks; share of ids that differ",
        worst_relative=float(np.mean([*(answer != want), *(guided != want_guided)])),
        tolerance=0.0,
    )
    np.testing.assert_array_equal(answer, want)
    np.testing.assert_array_equal(guided, want_guided)
    assert all(not np.array_equal(answer, other) for other in others)


def test_an_answer_ends_where_the_model_ends_it(release):
    """The first word of the greedy answer is made an end."""
    start, settings = ANSWERED["mmu"]
    want = release.want["mmu_step_ids"][-1][start:]
    family = release.model.family
    fill = dataclasses.replace(family.fills["text"], stop=(int(want[2]),))
    model = release.model.clone(family=dataclasses.replace(family, fills={**family.fills, "text": fill}))
    prompt = [*asked(release.want["mmu_ids"][0]), Text(target=True), Text(target=True)]
    first, second = uj.generate(model, release.params, prompt, **settings)[-2:]
    np.testing.assert_array_equal(first.values, want[:2])
    assert second.values is not None


def test_written_back_the_files_hold_the_same_tensors(release, tmp_path):
    uj.save_pretrained(tmp_path, release.model, release.params)
    want, got = load_file(DATA / "model.safetensors"), load_file(tmp_path / "model.safetensors")
    assert got.keys() == want.keys()
    for name, tensor in want.items():
        np.testing.assert_array_equal(got[name], tensor, err_msg=name)
    for name in ("config.json", "magvitv2/config.json"):
        assert read_json(tmp_path / name) == read_json(release.folder / name)
    _, again = uj.from_pretrained(tmp_path)
    jax.tree.map(np.testing.assert_array_equal, again, release.params)


def test_prompts_are_those_of_the_release(release):
    family, tokenizer = release.model.family, release.model.family.tokenizer
    parts = lambda document, **info: [
        (name, values.tolist()) for span in family.write(Document(document, info)) for name, values in span.parts
    ]
    codes = np.arange(PLACES, dtype=np.int32).reshape(GRID)
    start, end = [ID["<|t2i|>"], ID["sot"]], [ID["eot"], ID["<|soi|>"]]
    drawn = [("image", [0] * PLACES), ("prompt", [ID["<|eoi|>"]])]
    assert parts([Text("w1 w2"), Image(target=True)]) == [("prompt", [*start, 1, 2, *end]), *drawn]
    assert parts([Text("w1 w2"), Image(target=True)], unread=True) == [("prompt", [*start, *end]), *drawn]
    ((_, cut), *_) = parts([Text("w1 " * 600), Image(target=True)])
    assert len(cut) == LONGEST + 1 and cut[-2:] == end
    seen = [("prompt", [ID["<|mmu|>"], ID["<|soi|>"]]), ("image", codes.reshape(-1).tolist())]
    seen += [("prompt", [ID["<|eoi|>"]]), ("prompt", [1])]
    assert parts([Image(values=codes), Text("w1"), Text(target=True)]) == [*seen, ("text", [0])]
    hidden = [("prompt", [ID["mask"]] * (PLACES + 4)), ("text", [0])]
    assert parts([Image(values=codes), Text("w1"), Text(target=True)], unread=True) == hidden
    learned = parts([Image(values=codes), Text("w1"), Text("w2", target=True)])
    assert learned == [*seen, ("text", [2, *tokenizer.stop[:1]])]
    with pytest.raises(ValueError, match="draws one picture after texts"):
        parts([Text("w1"), Image(values=codes), Text(target=True)])


def test_what_cannot_be_read_is_refused_in_one_line(release):
    with pytest.raises(ValueError, match=r"no tokenizer\.json"):
        build_published(CONFIG, ChatTokenizer(None))
    with pytest.raises(ValueError, match="block_type 'sequential'.* 'llama'"):
        build_published({**CONFIG, "block_type": "sequential"}, release.model.family.tokenizer)
