"""Mogao by what its paper says, and its two halves with the same weights against one dense stack."""

import dataclasses
from functools import partial
from typing import Any

import jax
import jax.numpy as jnp
import numpy as np
import pytest
from difference import worst_relative
from words import tokenizer, words

from unified_jax.core.mask import visible
from unified_jax.core.sequence import join
from unified_jax.data.chat import ChatTokenizer
from unified_jax.data.document import Document, Image, Text
from unified_jax.data.pack import Layout, pack
from unified_jax.data.plan import count
from unified_jax.models.mixture import grown
from unified_jax.models.pretrained import build_published, from_pretrained, parameters, save_pretrained
from unified_jax.models.published import Beside
from unified_jax.nn.norm import RMSNorm

TOLERANCE = 1e-6
ADDED = ("<|im_start|>", "<|im_end|>", "<|vision_start|>", "<|vision_end|>")
FILES = {
    "llm_config.json": dict(
        model_type="qwen2",
        vocab_size=128,
        hidden_size=24,
        intermediate_size=40,
        num_hidden_layers=2,
        num_attention_heads=2,
        num_key_value_heads=1,
        hidden_act="silu",
        rms_norm_eps=1e-6,
        rope_theta=1e4,
        max_position_embeddings=512,
    ),
    "vit_config.json": dict(
        model_type="siglip_vision_model",
        hidden_size=16,
        intermediate_size=24,
        num_hidden_layers=2,
        num_attention_heads=2,
        image_size=32,
        patch_size=8,
        hidden_act="gelu_pytorch_tanh",
        layer_norm_eps=1e-6,
    ),
}
VAE = dict(ch=4, ch_mult=(1, 1), num_res_blocks=1, z_channels=2, norm_num_groups=2, downsample=2, resolution=16)
CONFIG = dict(model_type="mogao", max_latent_size=4, vit_max_num_patch_per_side=4, vae_config=VAE)
SEEN, DRAWN = (2, 3), (3, 2)  # rows and columns of a picture as patches, and as latents


def chat() -> ChatTokenizer:
    backend = tokenizer().backend_tokenizer
    backend.add_special_tokens(list(ADDED))
    return ChatTokenizer(backend)


def document() -> Document:
    """A picture, words about it, and its edit."""
    rng, pixels = np.random.default_rng(0), np.zeros((8, 8, 3), np.uint8)
    latents = lambda: rng.normal(size=(*DRAWN, 8)).astype(np.float32)
    given = Image(pixels, values=(rng.normal(size=(*SEEN, 192)).astype(np.float32), latents()))
    edit = Image(pixels, target=True, values=latents())
    return Document([given, Text(words(0, 4)), edit])


@dataclasses.dataclass(frozen=True)
class Subject:
    """seq: the document, noised to one time. names: what each flat slot is of. said: predictions."""

    model: Any
    params: Any
    seq: Any
    names: list[str]
    run: Any
    said: dict[str, np.ndarray]


@pytest.fixture(scope="module")
def subject() -> Subject:
    model = build_published(CONFIG, Beside(chat(), files=FILES))
    shapes, rng = jax.eval_shape(lambda: parameters(model, jax.random.key(0))), np.random.default_rng(1)
    params = jax.tree.map(lambda x: jnp.asarray(0.3 * rng.normal(size=x.shape), x.dtype), shapes)
    spans = model.plan(document())
    layout = Layout({"main": 12, "picture": 18}, {"text": 12, "vision": 6, "image": 12})
    assert count(spans) == 30
    seq = jax.tree.map(jnp.asarray, pack([[spans]], model.family.streams, layout))
    images = seq.streams["image"]
    seq = seq.put("image", time=jnp.where(images.weight > 0, 0.4, 0.0))

    def run(module, seq):
        output = module(seq)
        return output.hidden, module.read(output, seq)

    run = jax.jit(partial(model.apply, method=run))
    names = ["begin", "end", "start", *["word"] * 4, "stop", *["begin", "end"] * 2]
    names = [*names, *["seen"] * 6, *["latents"] * 6, *["noised"] * 6]
    return Subject(model, params, seq, names, run, run({"params": params}, seq)[1])


def test_pictures_stand_behind_each_other_and_go_on_in_rows_and_columns(subject):
    """One index for each word, one for a picture and its delimiters, and as many more as its longer side after it."""
    index = {lane: np.asarray(slots.pos)[0] for lane, slots in subject.seq.lanes.items()}
    words_at = [0, 0, 3, 4, 5, 6, 7, 8, 9, 9, 12, 12]
    np.testing.assert_array_equal(index["main"], [[i, 0, 0] for i in words_at])
    grid = lambda start, rows, columns: [[start, r, c] for r in range(rows) for c in range(columns)]
    np.testing.assert_array_equal(index["picture"], [*grid(0, *SEEN), *grid(9, *DRAWN), *grid(12, *DRAWN)])


def test_frequencies_are_dealt_to_sequence_rows_and_columns(subject):
    """Pair k of a head of 12 channels turns by 10000^(-k / 6) times axis k mod 3 of (i, i + r, i + c)."""
    rotation = subject.model.backbone.rope(jnp.array([[[7, 0, 0], [9, 2, 1]]]))
    turned = np.array([[7, 7, 7], [9, 11, 10]])
    angle = np.array([[10_000 ** (-k / 6) * place[k % 3] for k in range(6)] for place in turned])
    np.testing.assert_allclose(rotation.cos[0], np.cos(angle), atol=1e-5)
    np.testing.assert_allclose(rotation.sin[0], np.sin(angle), atol=1e-5)


def test_words_see_patches_and_what_is_drawn_sees_everything(subject):
    slots = join(subject.seq.lanes)
    sees, name = np.asarray(visible(slots, slots))[0], np.array(subject.names)
    word, noised = np.flatnonzero(name == "word"), np.flatnonzero(name == "noised")
    assert sees[np.ix_(word, np.flatnonzero(name == "seen"))].all()
    assert not sees[np.ix_(word, np.flatnonzero((name == "latents") | (name == "noised")))].any()
    assert sees[noised].all()
    assert not sees[np.ix_(np.flatnonzero((name == "latents") | (name == "seen")), noised)].any()
    np.testing.assert_array_equal(sees[np.ix_(word, word)], np.tri(4, dtype=bool))


def test_two_halves_of_the_same_weights_are_one_dense_stack(subject, record_parity):
    """Norms told nothing yet, as they begin."""
    stack, params = subject.model.backbone, subject.params["backbone"]
    dense = stack.clone(block=partial(stack.block, route=dict.fromkeys(("main", "picture"), "main"), pre_norm=RMSNorm))
    alone = {name: x for name, x in params["layer"].items() if name.endswith("_main")}
    twice = grown({"layer": alone, "norm_main": params["norm_main"]})
    for norm in ("attn_norm_picture", "mlp_norm_picture"):
        still = jax.tree.map(jnp.zeros_like, params["layer"][norm]["modulation"])
        twice["layer"][norm] = {"norm": twice["layer"][norm], "modulation": still}
    assert jax.tree.map(jnp.shape, twice) == jax.tree.map(jnp.shape, params)
    rng, slots = np.random.default_rng(2), join(subject.seq.lanes)
    xs = {lane: jnp.asarray(rng.normal(size=(1, x.capacity, 24)), jnp.float32) for lane, x in subject.seq.lanes.items()}
    told = {"picture": jnp.asarray(rng.normal(size=(1, 18, 24)), jnp.float32)}
    got, _ = jax.jit(stack.apply)({"params": twice}, xs, slots=slots, condition=told)
    own = {"layer": alone, "norm_main": params["norm_main"]}
    want, _ = jax.jit(dense.apply)({"params": own}, xs, slots=slots)
    worst = max(worst_relative(np.asarray(got[lane]), np.asarray(want[lane])) for lane in xs)
    reference = "one dense stack over all slots"
    what = "its two halves with the same weights"
    record_parity("family:mogao", reference=reference, what=what, worst_relative=worst, tolerance=TOLERANCE)
    assert worst <= TOLERANCE


def test_norms_of_pictures_are_told_the_time_and_words_are_not(subject):
    params = {"params": subject.params}
    (before, said), (after, later) = (
        subject.run(params, seq)
        for seq in (subject.seq, subject.seq.put("image", time=2 * subject.seq.streams["image"].time))
    )
    change = jnp.abs(after["picture"] - before["picture"])[0].max(-1)
    assert change[-6:].min() > 1e-4 and not change[:12].any()
    assert jnp.abs(later["image"] - said["image"])[0, -6:].min() > 0
    np.testing.assert_array_equal(after["main"][0, :8], before["main"][0, :8])


def test_words_and_pictures_given_change_what_is_drawn(subject):
    params, streams = {"params": subject.params}, subject.seq.streams
    for name, entry in (("text", 4), ("vision", 1), ("image", 2)):
        values = streams[name].values.at[0, entry].add(1)
        _, said = subject.run(params, subject.seq.put(name, values=values))
        assert jnp.abs(said["image"] - subject.said["image"])[0, -6:].max() > 1e-6


def test_guidance_is_by_pictures_and_then_by_words(subject):
    """v(0, 0) + s_i (v(0, I) - v(0, 0)) + s_t (v(T, I) - v(0, I)), and who is not given what."""
    family, asked = subject.model.family, document()
    rng = np.random.default_rng(4)
    both, pictures, neither = rng.normal(size=(3, 6, 8)).astype(np.float32)
    same = jnp.arange(3)
    got = family.fills["edit"].guidance(
        jnp.stack([both, pictures, neither]),
        jnp.full(3, 4.0),
        null=same.at[0].set(1),
        t=jnp.full(3, 0.5),
        image_scale=jnp.full(3, 1.5),
        blind=same.at[0].set(2),
    )
    np.testing.assert_allclose(got[0], neither + 1.5 * (pictures - neither) + 4 * (both - pictures), atol=1e-5)
    streams = lambda document: {stream for span in family.write(document) for stream, _ in span.parts}
    words_of = lambda document: sum(len(x) for span in family.write(document) for s, x in span.parts if s == "text")
    assert streams(family.null(asked)) == {"text", "vision", "image"} and words_of(family.null(asked)) == 6
    assert streams(family.blind(asked)) == {"text", "image"} and words_of(family.blind(asked)) == 2
    assert family.write(family.blind(asked))[-1].grid == DRAWN


def test_it_is_saved_in_the_folder_of_bagel(subject, tmp_path):
    save_pretrained(tmp_path, subject.model, subject.params)
    _, read = from_pretrained(tmp_path)
    jax.tree.map(np.testing.assert_array_equal, read, subject.params)
