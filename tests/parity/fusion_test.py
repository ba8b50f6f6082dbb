"""Transfusion and LlamaFusion by their papers' equations, around transformers' Llama and a mask written slot by slot.

There is no code of either. The reference is ``LlamaModel`` over embedded words and patches, document by document, and
the mask that figure 4 of Transfusion shows. LlamaFusion with copied weights must say the same.
"""

import dataclasses
import math
from functools import partial
from typing import Any

import jax
import jax.numpy as jnp
import numpy as np
import optax
import pytest
import torch
import transformers
from difference import worst_relative
from ml_collections import ConfigDict
from words import chat_tokenizer, picture, words

import unified_jax as uj
from configs import common, transfusion
from unified_jax.core.files import read_json
from unified_jax.core.mask import visible
from unified_jax.core.paths import path_name
from unified_jax.core.sequence import join, offsets
from unified_jax.data.document import Document, Image, Text
from unified_jax.data.pack import Layout, pack
from unified_jax.data.plan import Span
from unified_jax.models.fusion import SCHEDULES
from unified_jax.models.mixture import TEXT_SIDE, grown
from unified_jax.models.pretrained import build_published, from_pretrained, parameters, save_pretrained
from unified_jax.objectives.total import losses, total
from unified_jax.sampling.solvers.solve import Denoiser, Interval
from unified_jax.train.optim import optimizer

SIDE, PATCH, BOI, EOI = 8, 4, 4, 5
ENTRIES = (SIDE // PATCH) ** 2
TOLERANCE = 1e-4
STREAMS = ("text", "image", "shown")
LANES = {"transfusion": ("main", "main"), "llamafusion": ("main", "picture")}  # of words and of pictures


def documents() -> list[Document]:
    """One with a picture that words follow and one that ends it, and one of a given picture."""
    drawn = [Image(picture(i, SIDE, SIDE), target=True) for i in (0, 1)]
    first = [Text(words(0, 5)), drawn[0], Text(words(1, 4), target=True), drawn[1]]
    return [Document(first), Document([Image(picture(2, SIDE, SIDE)), Text(words(2, 3), target=True)])]


@dataclasses.dataclass(frozen=True)
class Place:
    """One slot as the paper has it. picture: which one of the document it is of, None for a word."""

    stream: str
    picture: int | None = None
    value: int = 0


def places(document: Document) -> list[Place]:
    """The document in reading order, from what the paper says of it."""
    found: list[Place] = []
    for i, part in enumerate(document):
        if isinstance(part, Text):
            found += [Place("text", value=int(each)) for each in chat_tokenizer().encode(part.text)]
        else:
            final = i == len(document) - 1
            patches = [Place("image" if final else "shown", picture=i)] * ENTRIES
            found += [Place("text", value=BOI), *patches, *([] if final else [Place("text", value=EOI)])]
    return found


def sees(slots: list[Place]) -> np.ndarray:
    """Causal, or patches of one picture."""
    n = range(len(slots))
    same = lambda q, k: slots[q].picture is not None and slots[q].picture == slots[k].picture
    return np.array([[k <= q or same(q, k) for k in n] for q in n])


@dataclasses.dataclass(frozen=True)
class Subject:
    """model, params, seq: ours, of one packed row that is noised. said: its predictions."""

    model: Any
    params: Any
    clean: Any
    seq: Any
    said: dict[str, np.ndarray]


@pytest.fixture(scope="module")
def llama() -> torch.nn.Module:
    torch.manual_seed(0)
    sizes = dict(hidden_size=32, intermediate_size=48, num_hidden_layers=2, num_attention_heads=4)
    config = transformers.LlamaConfig(**sizes, num_key_value_heads=2, vocab_size=128, attn_implementation="eager")
    model = transformers.LlamaForCausalLM(config).float().eval()
    with torch.no_grad():
        for weight in model.parameters():
            weight.add_(0.2 * torch.randn_like(weight))
    return model


@pytest.fixture(scope="module")
def folder(llama, tmp_path_factory):
    folder = tmp_path_factory.mktemp("llama")
    llama.save_pretrained(folder)
    return folder


def config(kind: str, text: dict, **fields: Any) -> dict:
    sizes = dict(patch_size=PATCH, image_size=SIDE, boi_token_id=BOI, eoi_token_id=EOI)
    return dict(model_type=kind, text_config=text, **sizes) | fields


@pytest.fixture(scope="module")
def subjects(folder) -> dict[str, Subject]:
    text, (_, language) = read_json(folder / "config.json"), uj.from_pretrained(folder)
    rng, objectives = np.random.default_rng(0), transfusion.objectives(transfusion.get_config("debug"))
    found = {}
    for kind, begins in (("transfusion", dict(language)), ("llamafusion", grown(language))):
        model = build_published(config(kind, text), chat_tokenizer())
        shapes = jax.eval_shape(lambda model=model: parameters(model, jax.random.key(0)))
        drawn = {name: shapes[name] for name in ("embed_image", "heads_image")}
        if not found:  # both have the same
            between = jax.tree.map(lambda x: jnp.asarray(0.3 * rng.normal(size=x.shape), x.dtype), drawn)
        params = begins | between
        assert jax.tree.map(jnp.shape, params) == jax.tree.map(jnp.shape, shapes)
        spans = [model.plan(document) for document in documents()]
        capacity = dict.fromkeys(LANES[kind], 40)
        room = {"text": 24, "image": 8, "shown": 12}
        clean = pack([spans], model.family.streams, Layout(capacity, room))
        seq = jax.tree.map(jnp.asarray, clean)
        for i, objective in enumerate(objectives):
            seq, _ = objective.corrupt(jax.random.key(i), seq)
        said = jax.jit(partial(model.apply, method="predict"))({"params": params}, seq)
        found[kind] = Subject(model, params, clean, seq, jax.tree.map(np.asarray, said))
    return found


def embedded(subject: Subject, place: Place, entry: int) -> np.ndarray:
    """A word's row of the table, or in(patch + time_out(silu(time_in(waves))))."""
    if place.stream == "text":
        return np.asarray(subject.params["embed_text"]["table"])[place.value]
    layers = jax.tree.map(partial(np.asarray, dtype=np.float64), subject.params["embed_image"])
    affine = lambda name, x: x @ layers[name]["kernel"] + layers[name]["bias"]
    payload = subject.seq.streams[place.stream]
    angle = 1000.0 * float(payload.time[0, entry]) * 10_000.0 ** (-np.arange(128) / 128)
    hidden = affine("time_in", np.concatenate([np.cos(angle), np.sin(angle)]))
    return affine("in", np.asarray(payload.values[0, entry]) + affine("time_out", hidden / (1 + np.exp(-hidden))))


def expected(subject: Subject, llama: torch.nn.Module) -> dict[str, np.ndarray]:
    """What the equations say of every entry, each document by itself: logits of words, noise of patches."""
    used, found = dict.fromkeys(STREAMS, 0), {stream: [] for stream in STREAMS}
    for document in documents():
        slots, states = places(document), []
        for place in slots:
            states.append(embedded(subject, place, used[place.stream]))
            used[place.stream] += 1
        mask = torch.tensor(np.where(sees(slots), 0.0, -np.inf), dtype=torch.float32)[None, None]
        with torch.no_grad():
            inputs = torch.tensor(np.array(states), dtype=torch.float32)[None]
            hidden = llama.model(inputs_embeds=inputs, attention_mask=mask).last_hidden_state[0]
            logits = llama.lm_head(hidden).numpy()
        head = subject.params["heads_image"]["out"]
        noise = hidden.numpy() @ np.asarray(head["kernel"]) + np.asarray(head["bias"])
        for i, place in enumerate(slots):
            # The first word is predicted by nothing.
            found[place.stream].append(noise[i] if place.picture is not None else logits[i - 1] if i else None)
    return found


@pytest.fixture(scope="module")
def reference(subjects, llama) -> dict[str, list]:
    return expected(subjects["transfusion"], llama)


@pytest.mark.parametrize("kind", LANES)
def test_words_and_noise_are_those_of_the_equations(kind, subjects, reference, record_parity):
    worst = 0.0
    for stream, wanted in reference.items():
        got = subjects[kind].said[stream][0]
        pairs = [(got[i], each) for i, each in enumerate(wanted) if each is not None]
        worst = max(worst, worst_relative(*map(np.array, zip(*pairs))))
    what = {"transfusion": "words and noise, packed", "llamafusion": "the same, its two halves alike"}
    reference = f"transformers {transformers.__version__}, LlamaModel, mask and patches by the paper"
    record_parity(f"family:{kind}", reference=reference, what=what[kind], worst_relative=worst, tolerance=TOLERANCE)
    assert worst <= TOLERANCE


def test_two_halves_of_the_same_weights_are_one(subjects):
    for stream, wanted in subjects["transfusion"].said.items():
        learned = np.asarray(subjects["transfusion"].seq.streams[stream].weight) > 0
        assert worst_relative(subjects["llamafusion"].said[stream][learned], wanted[learned]) <= 1e-6


@pytest.mark.parametrize("kind", LANES)
def test_the_mask_is_causal_or_within_a_picture(kind, subjects):
    seq, words_in, drawn_in = subjects[kind].clean, *LANES[kind]
    start = offsets({lane: slots.capacity for lane, slots in seq.lanes.items()})
    lane, used, flat, slow = {"text": words_in}, dict.fromkeys(STREAMS, 0), [], []
    for document in documents():
        slots = places(document)
        slow.append(sees(slots))
        for place in slots:
            at = seq.streams[place.stream].slot[0, used[place.stream]]
            flat.append(start[lane.get(place.stream, drawn_in)] + int(at))
            used[place.stream] += 1
    slots = join(seq.lanes)
    got = np.asarray(visible(slots, slots))[0][np.ix_(flat, flat)]
    first = len(slow[0])
    np.testing.assert_array_equal(got[:first, :first], slow[0])
    np.testing.assert_array_equal(got[first:, first:], slow[1])
    assert not got[:first, first:].any() and not got[first:, :first].any()


def test_words_alone_have_the_language_model_s_logits(folder, subjects):
    (model, params), fused, said = uj.from_pretrained(folder), subjects["llamafusion"], {}
    for name, each, tree in (("alone", model, params), ("fused", fused.model, fused.params)):
        streams, ids = each.family.streams, chat_tokenizer().encode(words(5, 20))
        capacity = {"main": 20} | ({"picture": 4} if name == "fused" else {})
        spans = [Span((("text", ids),))]
        room = {stream: 20 if stream == "text" else 0 for stream in streams}
        seq = jax.tree.map(jnp.asarray, pack([[spans]], streams, Layout(capacity, room)))
        said[name] = np.asarray(jax.jit(partial(each.apply, method="predict"))({"params": tree}, seq)["text"])
    np.testing.assert_allclose(said["fused"], said["alone"], atol=1e-6, rtol=1e-6)


def test_noise_is_added_along_the_cosine(subjects):
    """x_t = sqrt(abar) x + sqrt(1 - abar) e (eq. 2), abar = f(t) / f(0), f the squared cosine of arXiv:2102.09672."""
    _, image, shown = transfusion.objectives(transfusion.get_config("debug"))
    clean = jax.tree.map(jnp.asarray, subjects["transfusion"].clean)
    for objective in (image, shown):
        seq, noise = objective.corrupt(jax.random.key(3), clean)
        now, before = seq.streams[objective.stream], clean.streams[objective.stream]
        level = np.asarray(now.time, np.float64) * 1000
        f = lambda t: np.cos((t / 1000 + 0.008) / 1.008 * np.pi / 2) ** 2
        signal = (f(level) / f(0.0))[..., None]
        wanted = np.sqrt(signal) * np.asarray(before.values) + np.sqrt(1 - signal) * np.asarray(noise)
        learned = np.asarray(before.weight) > 0
        assert learned.sum() == ENTRIES and (level[learned] == level[learned][0]).all()
        np.testing.assert_allclose(np.asarray(now.values)[learned], wanted[learned], atol=1e-4)
        np.testing.assert_array_equal(np.asarray(now.values)[~learned], np.asarray(before.values)[~learned])


def test_pictures_that_words_follow_have_half_the_noise():
    _, image, shown = transfusion.objectives(transfusion.get_config("debug"))
    levels = [1000 * np.asarray(each.time(jax.random.key(0), (20_000,))) for each in (shown, image)]
    np.testing.assert_allclose([(x.min(), x.max()) for x in levels], [(1, 500), (1, 1000)], atol=1e-3)


def test_the_loss_is_words_and_five_times_the_noise(subjects):
    """Eq. 4; of the pictures, a fifth have words behind them."""
    subject, rng = subjects["transfusion"], jax.random.key(7)
    objectives, clean = (
        transfusion.objectives(transfusion.get_config("debug")),
        jax.tree.map(jnp.asarray, subject.clean),
    )
    said = subject.said
    parts = losses(lambda shown: jax.tree.map(jnp.asarray, said), objectives, rng, clean)
    text = clean.streams["text"]
    logits = said["text"].astype(np.float64)
    chosen = np.take_along_axis(logits, np.asarray(text.values)[..., None], -1)[..., 0]
    surprise = (np.log(np.exp(logits).sum(-1)) - chosen)[np.asarray(text.weight) > 0].mean()
    error = {}
    for i, stream in enumerate(("image", "shown"), 1):
        _, noise = objectives[i].corrupt(jax.random.fold_in(rng, i), clean)
        learned = np.asarray(clean.streams[stream].weight) > 0
        error[stream] = np.square(said[stream] - np.asarray(noise))[learned].mean()
    wanted = surprise + 5.0 * (0.8 * error["image"] + 0.2 * error["shown"])
    assert math.isclose(float(total(parts, objectives)), wanted, rel_tol=1e-5)


def test_a_step_leaves_the_language_model_as_it_is_and_moves_the_rest(subjects):
    subject, objectives = subjects["llamafusion"], transfusion.objectives(transfusion.get_config("debug"))
    clean = jax.tree.map(jnp.asarray, subject.clean)
    c = ConfigDict(common.adamw())
    c.freeze = TEXT_SIDE
    tx = optimizer(c)

    @jax.jit
    def step(params):
        def loss(params):
            predict = lambda shown: subject.model.apply({"params": params}, shown, method="predict")
            return total(losses(predict, objectives, jax.random.key(0), clean), objectives)

        updates, _ = tx.update(jax.grad(loss)(params), tx.init(params), params)
        return optax.apply_updates(params, updates)

    after = step(subject.params)
    pairs = zip(jax.tree_util.tree_leaves_with_path(subject.params), jax.tree.leaves(after))
    moved = {path_name(path): bool((x != y).any()) for (path, x), y in pairs}
    begins = ("embed_text", "heads_text")
    assert moved == {name: not (name.startswith(begins) or "_main" in name) for name in moved}


def test_what_comes_before_a_picture_and_the_picture_itself_matter(subjects):
    subject = subjects["llamafusion"]
    run = jax.jit(partial(subject.model.apply, method="predict"))
    values = subject.seq.streams["text"].values.at[0, 1].add(1)
    other = run({"params": subject.params}, subject.seq.put("text", values=values))
    shown = subject.seq.streams["shown"].values.at[0, 0].add(1.0)
    redrawn = run({"params": subject.params}, subject.seq.put("shown", values=shown))
    change = lambda said, stream: np.abs(np.asarray(said[stream]) - subject.said[stream])[0].max(-1)
    assert change(other, "image")[:ENTRIES].min() > 1e-4 and change(redrawn, "image")[:ENTRIES].min() > 1e-4
    assert change(redrawn, "text")[:6].max() == 0 and change(redrawn, "text")[7:10].min() > 1e-4
    assert change(redrawn, "shown")[ENTRIES : 2 * ENTRIES].max() == 0  # of the other document


def test_the_first_step_from_noise_is_not_lost_to_an_error():
    """An error of a hundredth of the noise is one of 200 times the data at the first level, which is held within 4."""
    path, solver = SCHEDULES["squaredcos_cap_v2"]
    x = jnp.asarray(np.random.default_rng(0).normal(size=(1, 8)), jnp.float32)
    denoiser = Denoiser(lambda x, point: 0.99 * x, path)
    here, there = path.at(jnp.ones(1)), path.at(jnp.full(1, 0.996))
    ends = Interval(here, there, left=250, count=250, noise=None)
    got = solver.step(solver.init(x, here), denoiser=denoiser, interval=ends).x
    clean = np.clip((x - here.sigma * 0.99 * x) / here.alpha, -4, 4)
    ratio = here.alpha / there.alpha
    beta = here.sigma**2 - (ratio * there.sigma) ** 2
    wanted = (there.alpha * beta * clean + ratio * there.sigma**2 * x) / here.sigma**2
    np.testing.assert_allclose(got, wanted, atol=1e-4)


UNET = dict(block_out_channels=[8, 12], layers_per_block=1)


def test_the_halves_of_a_u_net_take_each_picture_by_itself_and_are_saved(folder, tmp_path):
    text = read_json(folder / "config.json")
    with pytest.raises(ValueError, match="a U-Net of 2 levels has patches of 2, not 4"):
        build_published(config("llamafusion", text, unet_config=UNET), chat_tokenizer())
    model = build_published(config("llamafusion", text, unet_config=UNET, patch_size=2), chat_tokenizer())
    shapes, rng = jax.eval_shape(lambda: parameters(model, jax.random.key(0))), np.random.default_rng(1)
    params = jax.tree.map(lambda x: jnp.asarray(0.3 * rng.normal(size=x.shape), x.dtype), shapes)
    save_pretrained(tmp_path, model, params)
    _, read = from_pretrained(tmp_path)
    jax.tree.map(np.testing.assert_array_equal, read, params)

    pictures = [model.plan([Image(picture(i, SIDE, SIDE), target=True)]) for i in (0, 1)]
    layout = Layout({"main": 2, "picture": 40}, {"text": 2, "image": 35, "shown": 3})
    rows = pack([pictures, pictures[:1], pictures[1:]], model.family.streams, layout)
    seq = rows.put("image", time=np.full(rows.streams["image"].time.shape, 0.3, np.float32))

    said = jax.jit(partial(model.apply, method="predict"))({"params": params}, seq)["image"]
    np.testing.assert_allclose(said[0, :16], said[1, :16], atol=1e-4)
    np.testing.assert_allclose(said[0, 16:32], said[2, :16], atol=1e-4)
    assert np.abs(said[1, :16] - said[2, :16]).max() > 1e-2 and not np.asarray(said[:, 32:]).any()
