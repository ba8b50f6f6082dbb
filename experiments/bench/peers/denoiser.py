"""DiT and SD3 in diffusers: a prediction, and a training step of a flow."""

import json
import os
from pathlib import Path

import diffusers
import numpy as np
import torch

from unified_jax.bench.contender import Contender

torch.set_num_threads(os.cpu_count())
NAMES = {"label": "class_labels", "text": "encoder_hidden_states", "pooled": "pooled_projections"}
LEVELS = ("DiTTransformer2DModel",)  # told the level i of a diffusion at time (i + 1) / 1000; others 1000 times it


def predict(*, folder: Path, **_) -> Contender:
    """One prediction, channels last."""
    model, given, facts = _load(folder)

    def run() -> np.ndarray:
        with torch.inference_mode():
            return model(**given, return_dict=False)[0].movedim(1, -1).numpy()

    return Contender(run, facts)


def train(*, folder: Path, **_) -> Contender:
    """Forward, backward and AdamW of the squared error; gives the loss."""
    model, given, facts = _load(folder)
    optimizer = torch.optim.AdamW(model.parameters(), lr=1e-3, betas=(0.9, 0.95), eps=1e-8, weight_decay=0.0)
    latents = given["hidden_states"]

    def run() -> np.ndarray:
        optimizer.zero_grad()
        predicted = model(**given, return_dict=False)[0][:, : latents.shape[1]]
        loss = torch.mean((predicted - latents) ** 2)
        loss.backward()
        optimizer.step()
        return np.asarray(loss.item(), np.float32)

    return Contender(run, facts)


def _load(folder: Path):
    kind = json.loads((folder / "config.json").read_text())["_class_name"]
    model = getattr(diffusers, kind).from_pretrained(folder).eval()
    inputs = {name: torch.tensor(x) for name, x in np.load(folder / "inputs.npz").items()}
    given = {NAMES[name]: x.long() if name == "label" else x for name, x in inputs.items() if name in NAMES}
    given |= dict(hidden_states=inputs["latents"].movedim(-1, 1), timestep=1000 * inputs["time"] - int(kind in LEVELS))
    facts = {"parameters": sum(x.numel() for x in model.parameters()), "diffusers": diffusers.__version__}
    return model, given, facts
