"""The one mask rule against masks written slot by slot from what each paper says.

The slow masks know only what a slot *is* (its place in reading order, its image, its copy), never its ids.
"""

from collections.abc import Callable
from typing import NamedTuple

import jax
import jax.numpy as jnp
import numpy as np
from hypothesis import given
from hypothesis import strategies as st

from unified_jax.core.mask import visible
from unified_jax.core.sequence import Slots, join
from unified_jax.data.pack import Layout, Stream, offsets, pack
from unified_jax.data.plan import Span

SLOTS = 96
ONE_LANE = {"text": Stream("main"), "image": Stream("main")}
TWO_LANES = {"text": Stream("und"), "vit": Stream("und"), "vae": Stream("gen")}
see = jax.jit(visible)


class Slot(NamedTuple):
    """What a slot is. image: which picture it belongs to, None for text. copy: "noised", "clean" or "vit"."""

    image: int | None = None
    copy: str = ""


Sees = Callable[[list[Slot], int, int], bool]
Tagged = list[tuple[Span, Slot]]


def ids(n: int) -> np.ndarray:
    return np.ones(n, np.int32)


def words(n: int, **options) -> Span:
    return Span((("text", ids(n)),), **options)


def written(documents: list[Tagged], streams) -> tuple[np.ndarray, list[list[int]], list[list[Slot]]]:
    """The mask of one packed row; for every document its flat slots and what they are, in reading order."""
    lanes = sorted({stream.lane for stream in streams.values()})
    layout = Layout({lane: SLOTS for lane in lanes}, {name: SLOTS for name in streams})
    seq = pack([[[span for span, _ in document] for document in documents]], streams, layout)
    start, used = offsets(layout.capacity), dict.fromkeys(streams, 0)
    flat, slots = [], []
    for document in documents:
        flat.append([])
        slots.append([])
        for span, slot in document:
            for name, values in span.parts:
                at = seq.streams[name].slot[0, used[name] : used[name] + len(values)]
                flat[-1] += [start[streams[name].lane] + int(i) for i in at]
                slots[-1] += [slot] * len(values)
                used[name] += len(values)
    joined = jax.tree.map(jnp.asarray, join(seq.lanes))
    return np.asarray(see(joined, joined))[0], flat, slots


def slow(documents: list[list[Slot]], flat: list[list[int]], total: int, sees: Sees) -> np.ndarray:
    """One document never sees another; empty slots neither see nor are seen."""
    mask = np.zeros((total, total), bool)
    for slots, at in zip(documents, flat):
        for q in range(len(slots)):
            for k in range(len(slots)):
                mask[at[q], at[k]] = sees(slots, q, k)
    return mask


def assert_mask(documents: list[Tagged], streams, sees: Sees) -> None:
    fast, flat, slots = written(documents, streams)
    np.testing.assert_array_equal(fast, slow(slots, flat, len(fast), sees))


# What the papers say.


def causal(slots: list[Slot], q: int, k: int) -> bool:
    """Every token attends to itself and to what precedes it."""
    return k <= q


def prefix_lm(slots: list[Slot], q: int, k: int) -> bool:
    """PaliGemma, 2407.07726: full attention on image and prompt (the prefix), causal on the suffix."""
    in_prefix = lambda i: slots[i].copy == "prefix"
    return in_prefix(k) or (not in_prefix(q) and k <= q)


def images_whole(slots: list[Slot], q: int, k: int) -> bool:
    """Transfusion, 2408.11039, 3.2: causal attention for every element, bidirectional within each image.

    Show-o's omni-attention, 2408.12528, 3.2, says the same of its image tokens.
    """
    return k <= q or (slots[q].image is not None and slots[q].image == slots[k].image)


def bagel(slots: list[Slot], q: int, k: int) -> bool:
    """BAGEL, 2505.14683, 2.2: noised VAE tokens serve only their own denoising, nobody else sees them; text and later
    pictures see the clean VAE and the ViT tokens of what precedes; each copy is bidirectional in itself.
    """
    if slots[q].image is not None and (slots[q].image, slots[q].copy) == (slots[k].image, slots[k].copy):
        return True
    return k <= q and slots[k].copy != "noised"


def everything(slots: list[Slot], q: int, k: int) -> bool:
    """DiT, LLaDA: full attention."""
    return True


def next_scale(slots: list[Slot], q: int, k: int) -> bool:
    """VAR, 2404.02905, 3.2: a token map sees itself and all coarser maps."""
    return slots[k].image <= slots[q].image


def block_diffusion(slots: list[Slot], q: int, k: int) -> bool:
    """BD3-LM, 2503.09573, 3.2: noised blocks see themselves and earlier clean blocks; clean blocks see clean blocks
    up to their own.
    """
    if slots[k].copy == "noised":
        return slots[q].copy == "noised" and slots[q].image == slots[k].image
    return slots[k].image < slots[q].image or (slots[q].copy == "clean" and slots[q].image == slots[k].image)


# Random documents of each kind: lists of (span, what its slots are).

few = st.integers(1, 4)


@st.composite
def packed(draw, document) -> list[Tagged]:
    return draw(st.lists(document, min_size=1, max_size=3))


causal_lm = st.lists(few, min_size=1, max_size=3).map(lambda sizes: [(words(n), Slot()) for n in sizes])


@st.composite
def pali_gemma(draw) -> Tagged:
    prefix = Span((("image", ids(draw(few))), ("text", ids(draw(few)))), attend="full")
    return [(prefix, Slot(copy="prefix")), (words(draw(few)), Slot(copy="suffix"))]


@st.composite
def interleaved(draw) -> Tagged:
    kinds = draw(st.lists(st.sampled_from(["text", "image"]), min_size=1, max_size=4))
    spans = []
    for number, kind in enumerate(kinds):
        if kind == "text":
            spans.append((words(draw(few)), Slot()))
        else:
            spans.append((Span((("image", ids(draw(few))),), attend="full"), Slot(image=number)))
    return spans


@st.composite
def bagel_story(draw) -> Tagged:
    spans = []
    for number, size in enumerate(draw(st.lists(few, min_size=1, max_size=2))):
        block = lambda stream, n: (("text", ids(1)), (stream, ids(n)), ("text", ids(1)))  # <boi> ... <eoi>
        spans.append((words(draw(few)), Slot()))
        spans.append((Span(block("vae", size), attend="full", private=True), Slot(number, "noised")))
        spans.append((Span(block("vae", size), attend="full"), Slot(number, "clean")))
        spans.append((Span(block("vit", draw(few)), attend="full"), Slot(number, "vit")))
    return spans


full = few.map(lambda n: [(Span((("text", ids(n)), ("image", ids(n))), attend="full"), Slot())])
scales = st.lists(few, min_size=1, max_size=3).map(
    lambda sizes: [(Span((("image", ids(n)),), attend="full"), Slot(image=i)) for i, n in enumerate(sizes)]
)
noisy_and_clean = st.lists(few, min_size=1, max_size=2).map(
    lambda sizes: [
        (words(n, attend="full", private=copy == "noised"), Slot(i, copy))
        for i, n in enumerate(sizes)
        for copy in ("noised", "clean")
    ]
)


@given(packed(causal_lm))
def test_causal_language_model(documents):
    assert_mask(documents, ONE_LANE, causal)


@given(packed(pali_gemma()))
def test_prefix_language_model(documents):
    assert_mask(documents, ONE_LANE, prefix_lm)


@given(packed(interleaved()))
def test_transfusion_and_show_o_in_one_lane(documents):
    assert_mask(documents, ONE_LANE, images_whole)


@given(packed(interleaved()))
def test_images_in_a_lane_of_their_own_change_nothing(documents):
    assert_mask(documents, {"text": Stream("txt"), "image": Stream("img")}, images_whole)


@given(packed(bagel_story()))
def test_bagel(documents):
    assert_mask(documents, TWO_LANES, bagel)


@given(packed(full))
def test_full_attention(documents):
    assert_mask(documents, ONE_LANE, everything)


@given(packed(scales))
def test_next_scale_prediction(documents):
    assert_mask(documents, ONE_LANE, next_scale)


@given(packed(noisy_and_clean))
def test_block_diffusion(documents):
    assert_mask(documents, ONE_LANE, block_diffusion)


@given(st.lists(few, min_size=1, max_size=4), st.integers(0, 2**31))
def test_block_diffusion_as_the_noisy_half_beside_the_clean_half_in_any_physical_order(sizes, seed):
    slots = [Slot(i, copy) for copy in ("noised", "clean") for i, n in enumerate(sizes) for _ in range(n)]
    block = [2 * slot.image + (slot.copy == "clean") for slot in slots]
    private = [slot.copy == "noised" for slot in slots]
    order = np.random.default_rng(seed).permutation(len(slots))
    at = [np.argsort(order).tolist()]
    mask = by_hand(np.array(block)[order], np.array(private)[order])
    np.testing.assert_array_equal(mask, slow([slots], at, SLOTS, block_diffusion))


def by_hand(block: np.ndarray, private: np.ndarray) -> np.ndarray:
    """The mask of one document of the given ids, then empty slots."""
    pad = (0, SLOTS - len(block))
    doc = jnp.asarray(np.pad(np.ones(len(block), np.int32), pad))[None]
    block, private = jnp.asarray(np.pad(block, pad))[None], jnp.asarray(np.pad(private, pad))[None]
    slots = Slots(doc, block, private, jnp.zeros((1, SLOTS, 3), jnp.int32))
    return np.asarray(see(slots, slots))[0]


@given(packed(st.one_of(causal_lm, interleaved(), full)), st.integers(0, 2))
def test_a_packed_document_has_the_mask_it_has_alone(documents, index):
    index %= len(documents)
    mask, flat, _ = written(documents, ONE_LANE)
    alone, at, _ = written([documents[index]], ONE_LANE)
    np.testing.assert_array_equal(mask[np.ix_(flat[index], flat[index])], alone[np.ix_(at[0], at[0])])


@given(packed(st.one_of(interleaved(), bagel_story())))
def test_no_slot_sees_another_document(documents):
    streams = {**TWO_LANES, "image": Stream("gen")}
    mask, flat, _ = written(documents, streams)
    for i, ours in enumerate(flat):
        for j, theirs in enumerate(flat):
            if i != j:
                assert not mask[np.ix_(ours, theirs)].any()


@given(packed(interleaved()))
def test_every_written_slot_sees_itself_and_empty_slots_neither_see_nor_are_seen(documents):
    mask, flat, _ = written(documents, ONE_LANE)
    used = np.zeros(len(mask), bool)
    used[sum(flat, [])] = True
    np.testing.assert_array_equal(np.diag(mask), used)
    assert not mask[~used].any() and not mask[:, ~used].any()


def test_queries_and_keys_of_different_length_are_ruled_alike():
    """What a cache asks: new slots against committed ones."""
    mask, *_ = written([[(words(5), Slot()), (words(4, attend="full", private=True), Slot())]], ONE_LANE)
    slots = pack([[[words(5), words(4, attend="full", private=True)]]], ONE_LANE, Layout({"main": SLOTS}, {"text": 9}))
    whole = jax.tree.map(jnp.asarray, slots.lanes["main"])
    tail = jax.tree.map(lambda x: x[:, 6:9], whole)
    np.testing.assert_array_equal(np.asarray(visible(tail, whole))[0], mask[6:9])


def test_rows_of_a_batch_are_ruled_apart():
    layout = Layout({"main": 6}, {"text": 6, "image": 6})
    seq = pack([[[words(3)]], [[words(3, attend="full")]]], ONE_LANE, layout)
    slots = jax.tree.map(jnp.asarray, seq.lanes["main"])
    mask = np.asarray(visible(slots, slots))
    np.testing.assert_array_equal(mask[0, :3, :3], np.tril(np.ones((3, 3), bool)))
    assert mask[1, :3, :3].all()


def test_a_window_hides_what_is_far_away_but_never_part_of_the_own_picture():
    spans = [words(4), words(6, attend="full"), words(4)]
    seq = pack([[spans]], ONE_LANE, Layout({"main": SLOTS}, {"text": 14}))
    slots = jax.tree.map(jnp.asarray, seq.lanes["main"])
    index = [0, 1, 2, 3, *[4] * 6, 5, 6, 7, 8]  # a picture takes one place in the sequence
    for window in (1, 2, 3, 100):
        found = np.asarray(visible(slots, slots, window))[0, :14, :14]
        for q, k in np.ndindex(14, 14):
            picture = q in range(4, 10) and k in range(4, 10)
            assert found[q, k] == (picture or 0 <= index[q] - index[k] < window), (window, q, k)
