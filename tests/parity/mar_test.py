"""MAR against outputs of its official code on small random weights (tests/families/data/mar/README.md), and its codec,
which is none of that code's, against diffusers.
"""

import dataclasses
import json
import math
import shutil
from pathlib import Path
from typing import Any

import jax
import jax.numpy as jnp
import kl16
import numpy as np
import pytest
import torch
from difference import noting, worst_relative
from groups import masks_of, replay
from safetensors.numpy import load_file
from words import picture

import unified_jax as uj
from unified_jax.core.files import read_json
from unified_jax.core.hiding import hide
from unified_jax.core.sequence import Draft, Interleaved
from unified_jax.data.chat import ChatTokenizer
from unified_jax.data.document import Document, Image, Text
from unified_jax.data.pack import Layout, pack
from unified_jax.interop.torch_file import open_torch_file
from unified_jax.models.mar_network import PATH, times_of
from unified_jax.models.pretrained import build_published, parameters
from unified_jax.objectives.learned_variance import Target, squared_and_bound
from unified_jax.sampling import in_groups
from unified_jax.sampling.engine import Engine
from unified_jax.sampling.fill import Settings
from unified_jax.sampling.requests import Request
from unified_jax.sampling.work import Work

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
    return noting(record_parity, "family:mar", reference=VERSION, tolerance=TOLERANCE)


def test_encoder_decoder_denoiser_and_loss(subject, note):
    want, clean = subject.want, subject.packed()
    assert clean.streams["image"].weight.sum(1).tolist() == [SIZE, SIZE]  # the buffer is not learned
    wide = lambda x: jnp.asarray(np.pad(x, ((0, 0), (0, SLOTS - SIZE), *[(0, 0)] * (x.ndim - 2))))
    mask, values = wide(want["mask"] > 0), clean.streams["image"].values
    noise, times = wide(want["loss_noise"].reshape(2, SIZE, 4)), wide((want["loss_times"].reshape(2, SIZE) + 1) / 1000)

    def run(module, seq):
        seq = hide(seq, "image", hidden=mask)
        states = module.states(module(seq), seq, "image")
        conditions = module.heads["image"].conditions(states, seq.streams["image"])
        at = lambda x: module.heads["image"].denoised(conditions, Draft(x, times))
        x_t = PATH.corrupt(values, noise, times)
        error = squared_and_bound(PATH, at(x_t), Target(noise, values), x_t=x_t, t=times, bound=0.001)
        return states, conditions, at(values), error

    apply = jax.jit(lambda params: subject.model.apply({"params": params}, clean, method=run))
    states, conditions, output, error = (np.asarray(x) for x in apply(subject.params))
    got = [np.concatenate([row[SIZE:], row[:SIZE][hidden == 0]]) for row, hidden in zip(states, want["mask"])]
    note(
        "",
        "encoder, decoder, denoiser and its two losses of two pictures of 36 latents, 27 of them hidden",
        (np.stack(got), want["encoded"]),
        (conditions[:, :SIZE], want["conditions"]),
        (output[:, :SIZE].reshape(72, 8), want["head_output"]),
        (error[:, :SIZE].reshape(72), want["loss_terms"]),
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
    for steps, name, betas in (("ddim10", "gen_timesteps", "gen_betas"), ("100", "timesteps_100", "betas_100")):
        levels = np.round(1000 * np.array(times_of(steps)[::-1])).astype(int)
        np.testing.assert_array_equal(levels[1:] - 1, subject.want[name])
        kept = np.cumprod(1 - np.array([0.0, *PATH.betas]))[levels]
        np.testing.assert_allclose(1 - kept[1:] / kept[:-1], subject.want[betas], rtol=1e-5)


def test_the_largest_has_as_many_parameters_as_published():
    """943M in the table of models in the README of the repository."""
    sizes = dict(embed_dim=1280, depth=20, num_heads=16)
    ends = {f"{end}_{field}": x for end in ("encoder", "decoder") for field, x in sizes.items()}
    config = {"model_type": "mar", "mar": dict(diffloss_d=12, diffloss_w=1536, **ends)}
    model = build_published(config, ChatTokenizer(None))
    shapes = jax.eval_shape(lambda: parameters(model, jax.random.key(0)))
    count = sum(math.prod(x.shape) for name, tree in shapes.items() if name != "codec" for x in jax.tree.leaves(tree))
    assert abs(count / 943e6 - 1) < 1e-3


def test_every_entry_is_denoised_once(subject):
    work = subject.model.family.fills["image"].work(SLOTS, Settings(steps=STEPS))
    assert work == Work(slots=6 * SLOTS, entries=6 * SLOTS, reads=SIZE * 10, pairs=6 * SLOTS**2)


def test_the_counts_of_published_runs():
    follow = jax.jit(in_groups.remaining, static_argnums=1)
    for entries, steps in ((256, 256), (256, 64), (4096, 32), (36, 9)):
        hidden, want = np.array([entries]), masks_of(np.arange(entries)[None], steps)
        for i in range(steps):
            hidden = np.asarray(follow(hidden, entries, passed=np.array([(i + 1) / steps], np.float32)))
            assert hidden[0] == want[i + 1].sum(), (entries, steps, i)


def test_pixels_are_read_as_latents_of_the_codec(subject):
    pixels = np.stack([picture(i, 96, 96) for i in range(2)]).astype(np.float32) / 127.5 - 1
    with torch.no_grad():
        want = subject.vae.encode(torch.tensor(pixels.transpose(0, 3, 1, 2))).latent_dist.mean.numpy() * kl16.SCALE
    got = subject.model.family.codec.encode(subject.params["codec"], pixels)
    assert worst_relative(got, want.transpose(0, 2, 3, 1)) < TOLERANCE


def test_written_back_the_tensors_are_the_published_ones(subject, tmp_path):
    uj.save_pretrained(tmp_path, subject.model, subject.params)
    files = {"checkpoint": ("checkpoint.pth", "model_ema."), "kl16": ("kl16.ckpt", "model.")}
    for stem, (file, before) in files.items():
        want, got = open_torch_file(subject.folder / file), load_file(tmp_path / f"{stem}.safetensors")
        assert {name.removeprefix(before) for name in want} == set(got)
        for name, values in got.items():
            np.testing.assert_array_equal(values, want[f"{before}{name}"].read(), err_msg=name)


def test_what_cannot_be_drawn_is_refused(subject):
    with pytest.raises(ValueError, match="a class, a number from 0 to 9; found 'a cat'"):
        subject.model.plan([Text("a cat"), Image(target=True)])
    with pytest.raises(ValueError, match="one picture of a class"):
        subject.model.plan([Image(target=True)])
    with pytest.raises(ValueError, match="6 x 6 latents here, found \\(3, 6\\)"):
        subject.model.plan([Text("1"), Image(target=True, values=np.zeros((3, 6, 4)))])
