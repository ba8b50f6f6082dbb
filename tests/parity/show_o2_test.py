"""Show-o2 against outputs of its official code on small random weights (tests/families/data/showo2/README.md), and the
codec of its latents against diffusers.
"""

import dataclasses
import shutil
from collections.abc import Callable
from pathlib import Path
from typing import Any

import diffusers
import jax
import jax.numpy as jnp
import numpy as np
import pytest
import tokenizers
import torch
from difference import noting, worst_relative
from flax.traverse_util import flatten_dict, unflatten_dict
from learning import check_learns
from safetensors.numpy import load_file
from tokenizers import models, pre_tokenizers
from watched import Seen
from words import picture

import unified_jax as uj
from unified_jax.core.files import read_json
from unified_jax.core.mask import visible
from unified_jax.core.sequence import Interleaved
from unified_jax.data.document import Document, Image, Text
from unified_jax.data.pack import Layout, pack
from unified_jax.interop.torch_file import open_torch_file
from unified_jax.models.pretrained import build_published
from unified_jax.models.published_folder import read_beside
from unified_jax.sampling.engine import Engine
from unified_jax.sampling.fill import Settings
from unified_jax.sampling.requests import Request
from unified_jax.sampling.solvers.euler import Euler

DATA = Path(__file__).parents[1] / "families/data/showo2"
VERSION = "showlab/Show-o 45a5a2de"
TOLERANCE = 1e-4
TIMES, SHIFT, SCALE, GRID = 10, 3.0, 4.0, (4, 4)
CONFIGS = ("config.json", "llm/config.json", "siglip/config.json", "diffusion_head/config.json")
SPECIAL = ("<|im_start|>", "<|im_end|>", "<pad>", "<|vision_start|>", "<|vision_end|>", "<|image_pad|>")
ROOM, SLOTS = {"text": 224, "image": 34}, 224  # of all forward passes, so that one program serves them
VAE = dict(
    base_dim=8,
    z_dim=4,
    dim_mult=[1, 1],
    num_res_blocks=1,
    temperal_downsample=[False],
    latents_mean=[0.1, -0.2, 0.3, 0.0],
    latents_std=[1.5, 0.7, 1.0, 1.2],
)


@dataclasses.dataclass(frozen=True)
class Subject:
    """want: arrays of the reference. forward: (params, batch) -> predictions. vae: the codec as diffusers has it."""

    folder: Path
    model: Any
    params: Any
    want: Any
    forward: Callable
    vae: Any

    def text(self, ids: np.ndarray) -> Text:
        return Text("given", values=np.asarray(ids, np.int32))

    def entries(self, latents: np.ndarray) -> np.ndarray:
        """[C H W] -> what an image carries."""
        return self.model.family.codec.group(np.ascontiguousarray(latents.transpose(1, 2, 0))[None])[0]

    def image(self, latents: np.ndarray, *, target: bool = False) -> Image:
        """A picture of these latents, as the reader would have read it."""
        return Image(np.zeros((16, 16, 3), np.uint8), target=target, values=self.entries(latents))

    def latents(self, values: np.ndarray) -> np.ndarray:
        """[... 1 + N P] of a stream -> [... C H W]."""
        return np.moveaxis(np.asarray(values)[..., 1:, :].reshape(*values.shape[:-2], 8, 8, 4), -1, -3)

    def packed(self, document: list) -> Interleaved:
        """What is given, and the logits of every slot."""
        given = [span for span in self.model.plan(document, self.params) if span.fill is None]
        seq = pack([[given]], self.model.family.streams, Layout({"main": SLOTS}, ROOM))
        return seq.put("text", read=np.arange(SLOTS, dtype=np.int32)[None])

    def question(self, *said: Text) -> Document:
        before, after = self.want["mmu_before"][0], self.want["mmu_after"][0]
        given = [self.text(before[1:]), self.image(self.want["mmu_latents"][0]), self.text(after[2:])]
        return Document([*given, *said])


@pytest.fixture(scope="module")
def show(tmp_path_factory) -> Subject:
    folder = tmp_path_factory.mktemp("show-o2") / "released"
    shutil.copytree(DATA, folder)
    vocab = [*(f"w{i}" for i in range(100)), *SPECIAL, *(f"x{i}" for i in range(14))]
    backend = tokenizers.Tokenizer(models.WordLevel({word: i for i, word in enumerate(vocab)}, unk_token="w0"))
    backend.pre_tokenizer = pre_tokenizers.WhitespaceSplit()
    backend.add_special_tokens(list(SPECIAL))
    backend.save(str(folder / "tokenizer.json"))
    torch.manual_seed(0)
    vae = diffusers.AutoencoderKLWan(**VAE).eval()
    vae.save_pretrained(folder / "vae")
    model, params = uj.from_pretrained(folder)
    forward = jax.jit(lambda params, seq: model.apply({"params": params}, seq, method="predict"))
    return Subject(folder, model, params, np.load(DATA / "reference.npz"), forward, vae)


@pytest.fixture
def note(record_parity):
    return noting(record_parity, "family:show-o2", reference=VERSION, tolerance=TOLERANCE)


def test_a_sequence_with_two_pictures_and_its_losses(show, note):
    want, ids = show.want, show.want["forward_ids"][0]
    first, second = (show.image(latents, target=True) for latents in want["forward_latents"])
    seq = show.packed([show.text(ids[1:10]), first, show.text(ids[29:35]), second, show.text(ids[54:66])])
    slots = seq.lanes["main"]
    np.testing.assert_array_equal(visible(slots, slots)[0, :67, :67], want["forward_allowed"][0])
    made = show.forward(show.params, seq.put("image", time=np.repeat(1 - want["forward_times"], 17)[None]))
    logits, velocities = np.asarray(made["text"])[0, :67], show.latents(made["image"].reshape(2, 17, 16))
    labels = want["loss_text_labels"][0, 1:]
    log_p = jax.nn.log_softmax(logits[:-1])[np.arange(66), labels]
    flow = np.square(velocities[1] - want["loss_targets"][1]).mean()
    note(
        "",
        "logits of 67 slots, the velocities of two pictures at two times, and both losses",
        (logits, want["forward_logits"][0]),
        (velocities, want["forward_velocities"]),
        (-log_p[labels >= 0].mean()[None], want["loss_next_token"][None]),
        (flow[None], want["loss_flow"][None]),
    )


def test_a_given_picture_and_the_greedy_answer(show, note):
    want, said = show.want, show.want["mmu_tokens"]
    seq = show.packed(show.question(show.text(said[:-1])))
    slots = seq.lanes["main"]
    np.testing.assert_array_equal(visible(slots, slots)[0, :72, :72], want["mmu_allowed"][0])
    logits = np.asarray(show.forward(show.params, seq)["text"])[0]

    def both(module, values):
        patches = module.embed["image"].patches(values)
        return module.embed["image"].read(patches), module.embed["image"].fused(patches)

    read, fused = show.model.apply(
        {"params": show.params}, jnp.asarray(show.entries(want["mmu_latents"][0]))[None], method=both
    )
    note(
        "-answer",
        "both reads of a picture, logits of 72 slots and of 128 greedy ids, all the same",
        (read, want["mmu_semantic"]),
        (fused, want["mmu_fused"]),
        (logits[:72], want["mmu_prompt_logits"][0]),
        (logits[71:199], want["mmu_logits"]),
    )
    engine = Engine(show.model, show.params, rows=4, capacity=256, chunks=(128,))
    before, shown, asked = show.question()
    other = show.image(-want["mmu_latents"][0])
    documents = [[before, shown, asked], [before, other, asked], [before, shown, show.text(asked.values[::-1])]]
    settings = Settings(max_tokens=128)
    requests = [Request([*each, Text(target=True)], jax.random.key(0), settings) for each in documents]
    ids, *others = [made[-1].values for made in engine.generate(requests)]
    np.testing.assert_array_equal(ids, said)
    assert not any(np.array_equal(ids, other) for other in others)


def test_every_step_of_two_drawings(show, note, monkeypatch):
    """Each step from the reference's latents: the small network is so steep that rounding grows a hundredfold a step,
    and two runs in float32 part whatever computes them.
    """
    want, family = show.want, show.model.family
    before = np.stack([[show.entries(latents) for latents in step] for step in want["t2i_latents"][:-1]])
    before = np.pad(before.reshape(TIMES - 1, 2, 16, -1), ((0, 0), (0, 0), (1, 0), (0, 0)))
    monkeypatch.setattr(jax.random, "normal", lambda key, shape: jnp.asarray(before[0, 0]))
    led = Led(starts=before.repeat(2, 1))
    fill = dataclasses.replace(family.fills["image"], guidance=led, solver=led)
    model = show.model.clone(family=dataclasses.replace(family, fills={**family.fills, "image": fill}))
    engine = Engine(model, show.params, rows=8, capacity=64, chunks=(32,))
    texts = [row[1 : at[0, 0] - 1] for row, at in zip(want["t2i_ids"], want["t2i_positions"])]
    documents = [[show.text(ids), Image(target=True)] for ids in (*texts, texts[0][::-1])]
    settings = Settings(steps=TIMES - 1, shift=SHIFT, guidance_scale=SCALE)
    made = engine.generate([Request(each, jax.random.key(0), settings) for each in documents])
    jax.effects_barrier()
    times, outputs, _, after = (np.stack(each) for each in zip(*sorted(led.found, key=lambda step: -step[0][0])))
    drawn = np.stack([each[-1].values for each in made[:2]])
    std, mean = (torch.tensor(VAE[f"latents_{name}"]).reshape(1, 4, 1, 1, 1) for name in ("std", "mean"))
    with torch.no_grad():
        pixels = show.vae.decode(torch.tensor(want["t2i_latents"][-1])[:, :, None] * std + mean).sample[:, :, 0]
    decoded = family.codec.decode(show.params["codec"], drawn).transpose(0, 3, 1, 2)
    note(
        "-drawing",
        f"two guided drawings: both branches and the latents of all {TIMES - 1} steps, each from the reference's "
        "latents, and the pictures",
        (1 - times[:, 0], want["t2i_times"]),
        (show.latents(outputs[:, [0, 2]]), want["t2i_velocities"][:, 0]),
        (show.latents(outputs[:, [1, 3]]), want["t2i_velocities"][:, 1]),
        (show.latents(after[:, [0, 2]]), want["t2i_latents"][1:]),
        (drawn, np.stack([show.entries(latents) for latents in want["t2i_latents"][-1]])),
        (decoded, pixels.numpy()),
    )
    assert worst_relative(outputs[0, 4], outputs[0, 0]) > 0.01  # another prompt, and the same noise


@dataclasses.dataclass(frozen=True, eq=False)
class Led(Seen):
    """As ``Seen``, noting x after the step. starts: [steps, rows, N, P], where steps of the first rows begin."""

    starts: Any = None

    def step(self, state, *, denoiser, interval):
        number = (interval.count - interval.left)[0]
        led = jnp.asarray(self.starts)[number]
        x = state.x.at[: len(led)].set(led)
        new = Euler().step(state.replace(x=x), denoiser=denoiser, interval=interval)
        note = lambda *arrays: self.found.append(tuple(map(np.asarray, arrays)))
        jax.debug.callback(note, interval.here.t, *self.traced.pop(), new.x)
        return new


def test_it_learns_to_draw_and_to_answer(show):
    """With one layer of everything, which compiles faster."""
    config, beside = read_json(show.folder / "config.json"), read_beside(show.folder, {})
    config["num_diffusion_layers"] = 1
    files = {**beside.files, "llm/config.json": beside.files["llm/config.json"] | {"num_hidden_layers": 1}}
    model = build_published(config, dataclasses.replace(beside, files=files))
    family, flat = model.family, flatten_dict(show.params)
    params = unflatten_dict(
        {
            name: x[:1] if name[0] == "backbone" and "layer" in name else x
            for name, x in flat.items()
            if name[0] != "codec"
        }
    )
    drawn = Image(picture(2, 16, 16), target=True)
    documents = [[Text("w1 w2"), drawn], [Image(picture(3, 20, 18)), Text("w3 w4"), Text("w5", target=True)]]
    plans = [model.plan(document, show.params) for document in documents]
    seq = jax.tree.map(jnp.asarray, pack([plans], family.streams, Layout({"main": 98}, {"text": 64, "image": 34})))
    assert seq.streams["image"].weight.sum() == 16  # what tells the time is not learned
    check_learns(model, params, seq, still=lambda name: "['k_main']['bias']" in name)  # keys' biases do nothing


def test_written_back_in_the_official_layout(show, tmp_path):
    uj.save_pretrained(tmp_path, show.model, show.params)
    want, got = open_torch_file(DATA / "pytorch_model.bin"), load_file(tmp_path / "pytorch_model.safetensors")
    assert want.keys() == got.keys()
    for name, tensor in want.items():
        np.testing.assert_array_equal(got[name], tensor.read(), err_msg=name)
    file = "vae/diffusion_pytorch_model.safetensors"
    want, got = load_file(show.folder / file), load_file(tmp_path / file)
    assert want.keys() == got.keys() and all((got[name] == want[name]).all() for name in want)
    for name in (*CONFIGS, "vae/config.json"):
        assert read_json(tmp_path / name) == read_json(show.folder / name)


def test_what_is_not_as_published_is_refused(show):
    config, beside = read_json(show.folder / "config.json"), read_beside(show.folder, {})
    files = {name: content for name, content in beside.files.items() if name != "siglip/config.json"}
    with pytest.raises(ValueError, match="needs siglip/config.json"):
        build_published(config, dataclasses.replace(beside, files=files))
    with pytest.raises(ValueError, match="add_time_embeds false"):
        build_published(config | {"add_time_embeds": False}, beside)
