"""VAR against outputs of its official code (``tests/families/data/var``), from its own files of weights.

The engine draws; where the reference drew, its noise takes the place of ours.
"""

import dataclasses
import json
import shutil
from collections.abc import Callable, Iterator
from pathlib import Path

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
from unified_jax.data.document import Document, Image, Text
from unified_jax.data.pack import Layout, pack
from unified_jax.interop.torch_file import open_torch_file
from unified_jax.models.family import UNREAD
from unified_jax.models.model import Model
from unified_jax.sampling.draw import Brushes
from unified_jax.sampling.engine import Engine
from unified_jax.sampling.fill import Settings
from unified_jax.sampling.requests import Request

DATA = Path(__file__).parents[1] / "families" / "data" / "var"
VERSION = "FoundationVision/VAR 78b95394"
TOLERANCE = 1e-4
CONFIG = read_json(DATA / "config.json")
COUNTS = np.square(CONFIG["var"]["patch_nums"])
# How the reference drew; its guidance is 1 below ours.
WAYS = {
    "var_sampled": dict(guidance_scale=2.5),
    "var_greedy": dict(guidance_scale=5.0, top_k=1),
    "var_shared_greedy": dict(guidance_scale=5.0, top_k=1),
}


@dataclasses.dataclass
class Odds:
    """Stands in the place of ``Brushes.odds``: notes the guided logits of every scale, and draws with the given noise,
    if there is any.

    noise: [batch, slots, vocabulary], Gumbel.
    """

    noise: np.ndarray | None = None
    logits: list = dataclasses.field(default_factory=list)

    def start(self, noise: np.ndarray | None) -> None:
        self.noise, self.logits = noise, []

    def __call__(self, brushes: Brushes, logits: jax.Array) -> jax.Array:
        like = jax.ShapeDtypeStruct(logits.shape, jnp.float32), jax.ShapeDtypeStruct((), bool)
        noise, drawn = io_callback(self._note, like, logits, ordered=True)
        odds = ODDS(brushes, logits)
        best = jnp.argmax(odds + noise, -1, keepdims=True) == jnp.arange(logits.shape[-1])
        return jnp.where(best | ~drawn, odds, -1e30)

    def _note(self, logits: jax.Array) -> tuple[np.ndarray, np.bool_]:
        first = sum(x.shape[1] for x in self.logits)
        self.logits.append(np.asarray(logits))
        if self.noise is None:
            return np.zeros(logits.shape, np.float32), np.bool_(False)
        noise = self.noise[:, first : first + logits.shape[1]]
        return np.repeat(noise, 2, axis=0).astype(np.float32), np.bool_(True)  # a request has two rows


ODDS = Brushes.odds


@dataclasses.dataclass(frozen=True)
class Loaded:
    """predict: logits [2 66 V] of the two pictures of a batch, compiled once. odds: what its engines choose from."""

    folder: Path
    model: Model
    params: dict
    predict: Callable
    odds: Odds

    def logits(self, classes: np.ndarray, codes: np.ndarray, *, unread: bool = False, a_row: int = 1) -> np.ndarray:
        """a_row: how many pictures each row of the batch packs."""
        plans = [
            self.model.plan(Document([Text(str(number)), Image(target=True, values=each)], {UNREAD: unread}))
            for number, each in zip(classes, codes.astype(np.int32))
        ]
        n = a_row * codes.shape[1]
        rows = [plans[i : i + a_row] for i in range(0, len(plans), a_row)]
        seq = pack(rows, self.model.family.streams, Layout({"main": n}, {"image": n}))
        return np.asarray(self.predict(self.params, seq)).reshape(*codes.shape, -1)


@pytest.fixture(scope="module")
def want() -> dict[str, np.ndarray]:
    with np.load(DATA / "reference.npz") as arrays:
        return dict(arrays)


@pytest.fixture(scope="module", params=("var", "var_shared"))
def kind(request) -> str:
    return request.param


@pytest.fixture(scope="module")
def loaded(kind, tmp_path_factory) -> Iterator[Loaded]:
    folder = tmp_path_factory.mktemp(kind)
    (folder / "config.json").write_text(json.dumps({"model_type": "var", "vae": CONFIG["vae"], "var": CONFIG[kind]}))
    shutil.copy(DATA / "vae.pth", folder)
    shutil.copy(DATA / f"{kind}.pth", folder / "var.pth")
    model, params = uj.from_pretrained(folder)
    predict = jax.jit(lambda params, seq: model.apply({"params": params}, seq, method="predict")["image"])
    odds = Odds()
    with pytest.MonkeyPatch.context() as patch:
        patch.setattr(Brushes, "odds", lambda brushes, logits: odds(brushes, logits))
        yield Loaded(folder, model, params, predict, odds)


def test_pictures_packed_in_one_row_do_not_see_each_other(loaded, kind, want):
    if kind == "var":
        apart, packed = (loaded.logits(want["class"], want["vae_codes"], a_row=n) for n in (1, 2))
        assert worst_relative(packed, apart) <= 1e-5


def guided(want: dict[str, np.ndarray], way: str) -> np.ndarray:
    """Logits that the reference chose from."""
    given, without = want[f"{way}_logits"]
    shares = np.repeat(np.arange(len(COUNTS)) / (len(COUNTS) - 1), COUNTS)[:, None]
    return given + shares * (WAYS[way]["guidance_scale"] - 1) * (given - without)


def ways_of(kind: str) -> list[str]:
    return [way for way in WAYS if way.rpartition("_")[0] == kind]


def test_logits_agree_at_every_code_with_and_without_the_class(loaded, kind, want, record_parity):
    worst = worst_relative(loaded.logits(want["class"], want["vae_codes"]), want[f"{kind}_forward_logits"])
    for way in ways_of(kind):
        given, without = (loaded.logits(want["class"], want[f"{way}_codes"], unread=unread) for unread in (False, True))
        worst = max(worst, worst_relative(np.stack([given, without]), want[f"{way}_logits"]))
    what = "logits of pictures of 66 codes in 5 scales, with the class and without"
    what += ", modulation shared by layers" * (kind == "var_shared")
    name = f"family:{kind.replace('_', '-')}"
    record_parity(name, reference=VERSION, what=what, worst_relative=worst, tolerance=TOLERANCE)
    assert worst <= TOLERANCE


def test_pictures_are_drawn_alike_in_every_scale(loaded, kind, want, record_parity):
    if kind == "var_shared":
        pytest.skip("the same loop; its logits with the class and without are compared above")
    engine, worst = Engine(loaded.model, loaded.params, rows=4), 0.0
    for way in ways_of(kind):
        loaded.odds.start(want["gumbel"] if way == "var_sampled" else None)
        requests = [
            Request([Text(str(number)), Image(target=True)], jax.random.key(i), Settings(**WAYS[way]))
            for i, number in enumerate(want["class"])
        ]
        made = [document[-1] for document in engine.generate(requests)]
        codes = np.stack([image.values for image in made])
        np.testing.assert_array_equal(codes, want[f"{way}_codes"])
        assert len(np.unique(codes)) > 5
        worst = max(worst, worst_relative(np.concatenate(loaded.odds.logits, 1)[::2], guided(want, way)))
        pixels = loaded.model.family.codec.decode(loaded.params["codec"], codes).clip(-1, 1)
        worst = max(worst, worst_relative(np.moveaxis((pixels + 1) / 2, -1, 1), want[f"{way}_pixels"]))
        np.testing.assert_array_equal(np.stack([image.pixels for image in made]), to_uint8(pixels))
    record_parity(
        f"family:{kind.replace('_', '-')}-drawing",
        reference=VERSION,
        what="guided logits of 5 scales, and pixels, of two pictures, drawn greedily or with given noise; codes alike",
        worst_relative=worst,
        tolerance=TOLERANCE,
    )
    assert worst <= TOLERANCE


def test_another_class_draws_another_picture_and_what_cannot_be_drawn_is_refused(loaded, kind, want):
    if kind == "var":
        draw = lambda number: [Text(number), Image(target=True)]
        loaded.odds.start(None)
        made = uj.generate_batch(loaded.model, loaded.params, [draw("3"), draw("3"), draw("4")], image_temperature=0.0)
        first, again, other = (document[-1].values for document in made)
        np.testing.assert_array_equal(first, again)
        assert (first != other).mean() > 0.2
    with pytest.raises(ValueError, match="a class, a number from 0 to 9; found 'a cat'"):
        loaded.model.plan([Text("a cat"), Image(target=True)])
    with pytest.raises(ValueError, match="one picture of a class"):
        loaded.model.plan([Image(target=True)])


def test_written_back_the_tensors_are_the_published_ones(loaded, kind, tmp_path):
    uj.save_pretrained(tmp_path, loaded.model, loaded.params)
    statistics = {"vae": {"quantize.ema_vocab_hit_SV"}, "var": set()}
    for stem, left_out in statistics.items():
        published, written = open_torch_file(loaded.folder / f"{stem}.pth"), load_file(tmp_path / f"{stem}.safetensors")
        assert set(published) - set(written) == left_out
        for name, values in written.items():
            np.testing.assert_array_equal(values, published[name].read(), err_msg=name)
            assert values.dtype == published[name].dtype
    again = uj.from_pretrained(tmp_path)[1]
    jax.tree.map(np.testing.assert_array_equal, again, loaded.params)
    assert read_json(tmp_path / "config.json") == read_json(loaded.folder / "config.json")
