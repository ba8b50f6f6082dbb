"""The emoji source: determinism, layouts, splits that do not leak, instructions that determine their result."""

import collections
import itertools
import pickle

import grain
import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from unified_jax.data.document import Image, Text, check
from unified_jax.data.sources import emoji_assets as assets
from unified_jax.data.sources import emoji_splits as splits
from unified_jax.data.sources import emoji_text as text
from unified_jax.data.sources.emoji import BACKGROUNDS, TASKS, Emoji

LAYOUTS = {
    "draw": [(Text, False), (Image, True)],
    "caption": [(Image, False), (Text, True)],
    "keywords": [(Image, False), (Text, False), (Text, True)],
    "question": [(Image, False), (Text, False), (Text, True)],
    "edit": [(Image, False), (Text, False), (Image, True)],
}


def _parts(document):
    return [(part.target, part.text if isinstance(part, Text) else part.pixels.tolist()) for part in document]


def _same(first, second):
    return first.info == second.info and _parts(first) == _parts(second)


def test_assets_are_the_shared_data_and_carry_their_licences():
    assert len(assets.records()) == 3476 and len(assets.edits()) == 21970
    assert {style: assets.pictures(style).shape[0] for style in assets.STYLES} == {
        "noto": 3476,
        "fluent": 3126,
        "noto_v1": 2061,
    }
    assert not assets.pictures("noto").flags.writeable
    for owner in ("Google", "Microsoft", "Cal Henderson", "Miles Johnson", "Unicode"):
        assert owner in assets.notice()


def test_decoding_happens_once_per_process():
    assert assets.pictures("noto") is assets.pictures("noto")


@pytest.mark.parametrize("style", assets.STYLES)
def test_no_picture_is_shown_under_two_names(style):
    shown = [assets.pictures(style)[row].tobytes() for row in assets.rows(style).values()]
    assert len(set(shown)) == len(shown)


@pytest.mark.parametrize("resolution", [64, 32, 16])
@given(row=st.integers(0, 3475), colour=st.sampled_from(sorted(BACKGROUNDS)))
def test_small_pictures_are_box_means_of_the_composite(resolution, row, colour):
    pixels = assets.pictures("noto")[row].astype(np.float64)
    alpha, background = pixels[..., 3:] / 255, np.array(BACKGROUNDS[colour], np.float64)
    composite = pixels[..., :3] * alpha + background * (1 - alpha)
    factor = 64 // resolution
    wanted = composite.reshape(resolution, factor, resolution, factor, 3).mean((1, 3))
    sprite = assets.sprite("noto", list(assets.records())[row], resolution=resolution)
    # Four roundings to whole levels lie between: premultiplication, two passes of the filter, the composite.
    assert np.abs(assets.composite(sprite, BACKGROUNDS[colour]) - wanted).max() <= 2


@pytest.mark.parametrize("resolution", [1, 20, 100, 256])
def test_any_resolution(resolution):
    document = Emoji(tasks={"caption": 1}, resolution=resolution)[0]
    assert check(document)[0].pixels.shape == (resolution, resolution, 3)


@pytest.mark.parametrize("task", TASKS)
def test_layout_and_info_of_every_task(task):
    source = Emoji(tasks={task: 1}, resolution=16, styles=assets.STYLES)
    for index in range(50):
        document = check(source[index])
        assert [(type(part), part.target) for part in document] == LAYOUTS[task]
        assert document.info["task"] == task
        assert document.info["caption"] == assets.records()[document.info["id"]].caption
        assert document.info["style"] in assets.STYLES
        assert document.info["kind"] or task not in ("question", "edit")


@settings(max_examples=15, deadline=None)
@given(seed=st.integers(0, 2**32), fraction=st.floats(0, 1, exclude_max=True))
def test_a_document_is_a_function_of_seed_and_index(seed, fraction):
    fields = dict(
        seed=seed, resolution=8, split="held_out", backgrounds=tuple(BACKGROUNDS), styles=("noto_v1", "fluent")
    )
    source, again = Emoji(**fields), pickle.loads(pickle.dumps(Emoji(**fields)))
    index = int(fraction * len(source))
    assert _same(source[index], again[index])


def test_seeds_differ():
    first, second = (Emoji(seed=seed, resolution=8) for seed in (0, 1))
    assert [first[i].info for i in range(8)] != [second[i].info for i in range(8)]


def test_weights_are_kept():
    source = Emoji(tasks={"draw": 3, "question": 1, "caption": 0}, resolution=4)
    seen = collections.Counter(source[index].info["task"] for index in range(800))
    assert set(seen) == {"draw", "question"}
    assert 0.68 < seen["draw"] / 800 < 0.82


@pytest.mark.parametrize("task", ["draw", "edit"])
def test_one_pass_shows_everything_once(task):
    source = Emoji(tasks={task: 1}, split="held_out", resolution=4)
    shown = [
        (document.info["id"], document.info.get("before")) for document in map(source.__getitem__, range(len(source)))
    ]
    assert len(set(shown)) == len(shown)


def test_length_repeats_and_ends():
    source = Emoji(tasks={"draw": 1}, split="held_out", holdout="new", styles=("noto_v1",), length=30, resolution=4)
    assert source[0].info == source[11].info
    for index in (30, -1):
        with pytest.raises(IndexError, match="30 documents"):
            source[index]


def test_grain_reads_it():
    dataset = grain.MapDataset.source(Emoji(resolution=8)).shuffle(seed=1).to_iter_dataset()
    first = list(itertools.islice(dataset, 5))
    for document, again in zip(first, itertools.islice(dataset, 5)):
        assert _same(document, again)


@pytest.mark.parametrize("style", assets.STYLES)
def test_every_instruction_determines_the_result(style):
    results = collections.defaultdict(set)
    for edit in assets.edits():
        if {edit.before, edit.after} <= assets.rows(style).keys():
            results[edit.before, text.instruction(edit.kind, assets.records()[edit.after])].add(edit.after)
    assert all(len(after) == 1 for after in results.values())


@pytest.mark.parametrize(
    ("kind", "caption", "expected"),
    [
        ("skin tone", "woman singer: dark skin tone", "make the skin tone dark"),
        ("skin tone", "woman singer", "make the skin tone the default yellow"),
        ("gender", "man judge", "make it a man"),
        ("gender", "women wrestling", "make them women"),
        ("gender", "singer", "make the gender neutral"),
        ("hair", "woman: medium skin tone, red hair", "give it red hair"),
        ("hair", "woman: medium skin tone", "give it the default hair"),
        ("age", "old woman: light skin tone", "make it an old woman"),
        ("role", "man astronaut", "make it a man astronaut"),
        ("facing direction", "man running: facing right", "turn it to face right"),
        ("colour: square", "white large square", "make the square white"),
        ("colour: book", "closed book", "make the book red"),
        ("clock time", "three o’clock", "set the clock to three o’clock"),
        ("arrow direction", "up-left arrow", "turn the arrow to point up-left"),
        ("hand direction", "backhand index pointing up: dark skin tone", "turn the hand to point up"),
        ("shape (same colour)", "black large square", "make it a square of the same colour"),
        ("human face <-> cat face", "crying face", "make it a human face"),
    ],
)
def test_instructions(kind, caption, expected):
    after = next(record for record in assets.records().values() if record.caption == caption)
    assert text.instruction(kind, after) == expected


def test_unknown_instruction_names_the_kinds():
    with pytest.raises(ValueError, match="unknown kind of edit 'paint'.*skin tone"):
        text.instruction("paint", assets.records()["2796"])


def test_words_name_style_and_background_only_where_they_vary():
    caption = lambda **fields: Emoji(tasks={"draw": 1}, resolution=8, **fields)[0]
    plain = caption()
    assert plain[0].text == plain.info["caption"]
    varied = caption(styles=("noto", "fluent"), backgrounds=("beige", "grey"))
    assert varied[0].text.startswith(f"{varied.info['caption']} in the {varied.info['style']} style on a ")
    assert caption(styles=("noto", "fluent"), holdout="style")[0].text.count("style") == 0


def test_both_pictures_of_an_edit_share_the_background():
    source = Emoji(tasks={"edit": 1}, kinds=["colour: heart"], backgrounds=("pink", "black"), resolution=32)
    for index in range(20):
        before, _, after = source[index]
        np.testing.assert_array_equal(before.pixels[0, 0], after.pixels[0, 0])


def test_questions_ask_about_what_the_record_knows():
    of = lambda caption: next(record for record in assets.records().values() if record.caption == caption)
    assert [kind for kind, _, _ in text.questions(of("minus"))] == ["group"]
    assert text.questions(of("two-thirty"))[-1].answer == "two-thirty"
    couple = of("kiss: woman, woman, medium-dark skin tone, medium-light skin tone")
    assert text.questions(couple)[-1].answer == "medium-dark and medium-light"
    assert text.questions(of("minus"), background="pink")[-1].answer == "pink"


@pytest.mark.parametrize("holdout", splits.HOLDOUTS)
def test_splits_part_the_pictures_and_no_training_pair_shows_a_held_out_one(holdout):
    train, held_out = (
        set(splits.pictures(split, holdout=holdout, styles=assets.STYLES)) for split in ("train", "held_out")
    )
    assert train.isdisjoint(held_out)
    assert len(train | held_out) == sum(len(assets.rows(style)) for style in assets.STYLES)
    for split in splits.SPLITS:
        source = Emoji(split=split, holdout=holdout, styles=assets.STYLES, tasks={"edit": 1}, resolution=2)
        for index in range(300):
            info = source[index].info
            assert ((info["style"], info["id"]) in held_out) == (split == "held_out")
            assert split == "held_out" or (info["style"], info["before"]) in train


def test_random_holds_out_the_same_ids_in_every_style():
    noto, fluent = (
        {id for _, id in splits.pictures("held_out", holdout="random", styles=[s])} for s in ("noto", "fluent")
    )
    assert 0.04 < len(noto) / 3476 < 0.06
    assert noto & assets.rows("fluent").keys() == fluent


@pytest.mark.parametrize("style", assets.STYLES)
def test_combinations_hold_out_only_the_meeting_of_a_base_and_a_tone(style):
    train, held_out = (
        [assets.records()[id] for _, id in splits.pictures(split, holdout="combinations", styles=[style])]
        for split in ("train", "held_out")
    )
    toned = [record for record in train if record.tones]
    assert all(record.tones for record in held_out)
    assert 0.15 < len(held_out) / (len(held_out) + len(toned)) < 0.25
    assert {record.base for record in held_out} <= {record.base for record in toned}
    assert {record.tones for record in held_out} <= {record.tones for record in toned}


def test_combinations_leave_every_base_a_tone_however_many_are_held_out(monkeypatch):
    monkeypatch.setattr(splits, "_COMBINATION_FRACTION", 1.0)
    train = [assets.records()[id] for _, id in splits.pictures("train", holdout="combinations", styles=["noto"])]
    toned = {record.base for record in assets.records().values() if record.tones}
    assert {record.base for record in train if record.tones} == toned


def test_new_and_style_holdouts():
    new = splits.pictures("held_out", holdout="new", styles=["noto"])
    assert {assets.records()[id].version for _, id in new} == {13.0, 13.1, 14.0, 15.0, 15.1, 16.0}
    assert {style for style, _ in splits.pictures("train", holdout="style", styles=["fluent", "noto"])} == {"fluent"}


@pytest.mark.parametrize(
    ("fields", "message"),
    [
        ({"styles": ["blob"]}, "unknown emoji style 'blob': choose among noto, fluent, noto_v1"),
        ({"split": "test"}, "unknown emoji split 'test': choose among train, held_out"),
        ({"holdout": "all"}, "unknown emoji holdout 'all': choose among random, combinations, new, style"),
        ({"tasks": {"sing": 1}}, "unknown emoji task 'sing': choose among draw, caption, keywords, question, edit"),
        ({"kinds": ["paint"]}, "unknown emoji kind of edit 'paint': choose among skin tone, gender"),
        ({"backgrounds": ["mauve"]}, "unknown emoji background 'mauve': choose among white"),
        ({"tasks": {"draw": 0}}, "weights must not be negative, nor all zero"),
        ({"tasks": {"draw": 2, "edit": -1}}, "weights must not be negative"),
        ({"tasks": {"draw": float("nan")}}, "weights must not be negative"),
        ({"holdout": "style"}, "needs two styles or more"),
        ({"kinds": ["clock time"], "holdout": "new", "split": "held_out"}, "no emoji for task 'edit'"),
        ({"resolution": 0}, "resolution must be at least 1"),
        ({"length": 0}, "length must be at least 1"),
        ({"seed": -1}, "seed must be at least 0"),
        ({"styles": []}, "styles must name at least one"),
    ],
)
def test_errors_name_what_is_allowed(fields, message):
    with pytest.raises(ValueError, match=message):
        Emoji(**fields)
