"""MAR against outputs of its official code on small random weights (tests/families/data/mar/README.md), and its codec,
which is none of that code's, against diffusers.
"""

import dataclasses
import json
import shutil
from pathlib import Path
from typing import Any

import jax
import jax.numpy as jnp
import kl16
import numpy as np
import pytest
import torch
from difference import worst_relative
from groups import masks_of, replay
from safetensors.numpy import load_file
from words import picture

import unified_jax as uj
from unified_jax.core.files import read_json
from unified_jax.core.hiding import hide
from unified_jax.core.sequence import Draft, Interleaved
from unified_jax.data.document import Document, Image, Text
from unified_jax.data.pack import Layout, pack
from unified_jax.interop.torch_file import open_torch_file
from unified_jax.models.mar_network import PATH, times_of
from unified_jax.objectives.masked_diffusion import MaskedDiffusion
from unified_jax.objectives.total import losses, total
from unified_jax.sampling import in_groups
from unified_jax.sampling.engine import Engine
from unified_jax.sampling.fill import Settings
from unified_jax.sampling.requests import Request

DATA = Path(__file__).parents[1] / "families/data/mar"
VERSION = "LTH14/mar fe470ac2"
TOLERANCE = 1e-4
SIZE, SLOTS, STEPS, SCALE = 36, 44, 6, 3.0


@dataclasses.dataclass(frozen=True)
class Subject:
    """want: arrays of the reference. vae: the codec as diffusers has it."""

    folder: Path
    model: Any
    params: Any
    want: Any
    vae: Any

    def drawing(self, i: int, *, latents: bool) -> Document:
        """A recorded class, and its picture or a blank one."""
        values = self.want["latents"][i].transpose(1, 2, 0) if latents else None
        return Document([Text(str(self.want["class"][i])), Image(target=True, values=values)])

    def packed(self) -> Interleaved:
        """The two pictures, one in a row."""
        plans = [self.model.plan(self.drawing(i, latents=True)) for i in range(2)]
        layout = Layout({"main": SLOTS}, {"image": SLOTS})
        return jax.tree.map(jnp.asarray, pack([[plan] for plan in plans], self.model.family.streams, layout))

    def run(self, function, *arrays):
        """function(module, arrays) with the parameters."""
        return jax.jit(lambda params, *x: self.model.apply({"params": params}, *x, method=function))(
            self.params, *arrays
        )


@pytest.fixture(scope="module")
def subject(tmp_path_factory) -> Subject:
    folder = tmp_path_factory.mktemp("mar")
    shutil.copy(DATA / "checkpoint.pth", folder)
    config = {"model_type": "mar", "mar": read_json(DATA / "config.json"), "vae": kl16.CONFIG}
    (folder / "config.json").write_text(json.dumps(config))
    vae = kl16.save(folder)
    model, params = uj.from_pretrained(folder)
    return Subject(folder, model, params, np.load(DATA / "reference.npz"), vae)


@pytest.fixture
def note(record_parity):
    def check(name: str, what: str, *pairs: tuple[np.ndarray, np.ndarray]) -> None:
        each = [worst_relative(np.asarray(got), want) for got, want in pairs]
        print(name, each)
        fields = dict(reference=VERSION, what=what, worst_relative=max(each), tolerance=TOLERANCE)
        record_parity(f"family:mar{name}", **fields)
        assert max(each) <= TOLERANCE

    return check


def hidden_of(mask: np.ndarray) -> np.ndarray:
    """The mask of entries, and the buffer, which is always there."""
    return np.pad(mask > 0, ((0, 0), (0, SLOTS - SIZE)))


def test_encoder_decoder_denoiser_and_loss(subject, note):
    want, clean = subject.want, subject.packed()
    assert clean.streams["image"].weight.sum(1).tolist() == [SIZE, SIZE]  # the buffer is not learned
    seq = hide(clean, "image", hidden=jnp.asarray(hidden_of(want["mask"])))
    values, wide = clean.streams["image"].values, lambda x: np.pad(x, ((0, 0), (0, SLOTS - SIZE), (0, 0)))
    times = jnp.asarray(np.pad((want["loss_times"].reshape(2, SIZE) + 1) / 1000, ((0, 0), (0, SLOTS - SIZE))))
    noise = jnp.asarray(wide(want["loss_noise"].reshape(2, SIZE, 4)))
    objective = MaskedDiffusion("image", path=PATH)

    def run(module, seq):
        output = module(seq)
        states = module.states(output, seq, "image")
        conditions = module.heads["image"].conditions(states, seq.streams["image"])
        at = lambda x: module.heads["image"].denoised(conditions, Draft(x, times))
        return states, conditions, at(values), at(PATH.corrupt(values, noise, jnp.maximum(times, 1e-3)))

    states, conditions, clean_output, output = (np.asarray(x) for x in subject.run(run, seq))
    shown = ~hidden_of(want["mask"])
    got = [np.concatenate([row[SIZE:], row[:SIZE][there[:SIZE]]]) for row, there in zip(states, shown)]
    target = objective.corrupt(jax.random.key(0), clean)[1].replace(output=noise, clean=values)
    draft = Draft(PATH.corrupt(values, noise, jnp.maximum(times, 1e-3)), times)
    each = np.eye(72, dtype=np.float32).reshape(72, 2, SIZE)
    each = jnp.asarray(np.pad(each, ((0, 0), (0, 0), (0, SLOTS - SIZE))))
    payload = seq.streams["image"].replace(draft=draft)
    terms = jax.vmap(lambda weight: objective.loss(jnp.asarray(output), target, payload.replace(weight=weight)).total)
    note(
        "",
        "encoder, decoder, denoiser and its two losses of two pictures of 36 latents, 27 of them hidden",
        (np.stack(got), want["encoded"]),
        (conditions[:, :SIZE], want["conditions"]),
        (clean_output[:, :SIZE].reshape(72, 8), want["head_output"]),
        (terms(each), want["loss_terms"]),
    )


def test_every_step_of_two_drawings(subject, note, monkeypatch):
    want, family = subject.want, subject.model.family
    masks = masks_of(want["orders"], STEPS)
    assert [(a & ~b).sum() for a, b in zip(masks, masks[1:])] == want["sample_counts"].tolist()
    rngs = [jax.random.key(i) for i in range(2)]
    keys = jnp.stack([jax.random.split(rng)[1] for rng in rngs])
    draws = {name: want[f"sample_{name}"] for name in ("start_noise", "step_noise")} | {"orders": want["orders"]}
    replay(monkeypatch, draws, keys=keys, masks=masks)
    documents = [subject.drawing(i, latents=False) for i in range(2)]
    other = Document([Text("9" if want["class"][0] != 9 else "8"), Image(target=True)])
    settings = Settings(steps=STEPS, guidance_scale=SCALE, image_temperature=0.95)
    engine = Engine(subject.model, subject.params, rows=6, capacity=64)
    requests = [Request(*each, settings) for each in zip([*documents, other], [*rngs, rngs[0]])]
    *made, changed = [each[-1].values for each in engine.generate(requests)]
    final = want["sampled_latents"].transpose(0, 2, 3, 1)
    with torch.no_grad():
        pixels = subject.vae.decode(torch.tensor(want["sampled_latents"]) / kl16.SCALE).sample.numpy()
    drawn = family.codec.decode(subject.params["codec"], np.stack(made))
    note(
        "-drawing",
        f"latents of two pictures guided in {STEPS} steps of groups, each of 10 levels, and the pictures",
        (np.stack(made), final),
        (drawn.transpose(0, 3, 1, 2), pixels),
    )
    assert worst_relative(changed, made[0]) > 0.01


def test_levels_that_are_visited(subject):
    levels = lambda steps: np.round(1000 * np.array(times_of(steps)[-2::-1])) - 1
    np.testing.assert_array_equal(levels("ddim10"), subject.want["gen_timesteps"])
    np.testing.assert_array_equal(levels("100"), subject.want["timesteps_100"])
    for steps, name in (("ddim10", "gen_betas"), ("100", "betas_100")):
        kept = np.asarray(PATH.at(jnp.asarray(times_of(steps)[::-1])).alpha, np.float64) ** 2
        np.testing.assert_allclose(1 - kept[1:] / kept[:-1], subject.want[name], rtol=2e-4, atol=1e-6)


def test_the_counts_of_published_runs():
    for entries, steps in ((256, 256), (256, 64), (4096, 32), (36, 9)):
        hidden, want = jnp.array([entries]), masks_of(np.arange(entries)[None], steps)
        for i in range(steps):
            hidden = in_groups.remaining(hidden, entries, passed=jnp.array([(i + 1) / steps], jnp.float32))
            assert hidden[0] == want[i + 1].sum(), (entries, steps, i)


def test_pixels_are_read_as_latents_of_the_codec(subject):
    pixels = np.stack([picture(i, 96, 96) for i in range(2)]).astype(np.float32) / 127.5 - 1
    with torch.no_grad():
        want = subject.vae.encode(torch.tensor(pixels.transpose(0, 3, 1, 2))).latent_dist.mean.numpy() * kl16.SCALE
    got = subject.model.family.codec.encode(subject.params["codec"], pixels)
    assert worst_relative(got, want.transpose(0, 2, 3, 1)) < TOLERANCE


def test_it_learns(subject):
    seq, objective = subject.packed(), MaskedDiffusion("image", path=PATH)

    @jax.jit
    @jax.value_and_grad
    def step(params):
        predict = lambda seq: subject.model.apply({"params": params}, seq, method="predict")
        return total(losses(predict, [objective], jax.random.key(0), seq), [objective])

    loss, slopes = step({name: x for name, x in subject.params.items() if name != "codec"})
    assert np.isfinite(loss)
    for path, slope in jax.tree_util.tree_leaves_with_path(slopes):
        name = jax.tree_util.keystr(path)
        still = "['k_main']['bias']" in name or "['none']" in name
        assert np.isfinite(slope).all() and (still or np.abs(slope).max() > 0), name


def test_written_back_the_tensors_are_the_published_ones(subject, tmp_path):
    uj.save_pretrained(tmp_path, subject.model, subject.params)
    files = {"checkpoint": ("checkpoint.pth", "model_ema."), "kl16": ("kl16.ckpt", "model.")}
    for stem, (file, before) in files.items():
        want, got = open_torch_file(subject.folder / file), load_file(tmp_path / f"{stem}.safetensors")
        assert {name.removeprefix(before) for name in want} == set(got)
        for name, values in got.items():
            np.testing.assert_array_equal(values, want[f"{before}{name}"].read(), err_msg=name)
    jax.tree.map(np.testing.assert_array_equal, uj.from_pretrained(tmp_path)[1], subject.params)


def test_what_cannot_be_drawn_is_refused(subject):
    with pytest.raises(ValueError, match="a class, a number from 0 to 9; found 'a cat'"):
        subject.model.plan([Text("a cat"), Image(target=True)])
    with pytest.raises(ValueError, match="one picture of a class"):
        subject.model.plan([Image(target=True)])
    with pytest.raises(ValueError, match="6 x 6 latents here, found \\(3, 6\\)"):
        subject.model.plan([Text("1"), Image(target=True, values=np.zeros((3, 6, 4)))])
