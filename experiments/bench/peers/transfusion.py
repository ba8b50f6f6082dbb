"""transfusion-pytorch: a training step on text and latents, and sampling of two pictures."""

import importlib.metadata
import os
from collections.abc import Mapping
from typing import Any

import numpy as np
import torch
from transfusion_pytorch import Transfusion

from unified_jax.bench.contender import Contender

torch.set_num_threads(os.cpu_count())

LATENT = 48


def train(*, body: Mapping[str, Any], documents: int, text_ids: int, grid: int, **_) -> Contender:
    """AdamW on the whole loss of the package."""
    model = _model(body, grid)
    rng = np.random.default_rng(0)
    batch = [
        [torch.tensor(rng.integers(0, 256, text_ids)), torch.tensor(rng.normal(size=(grid, grid, LATENT))).float()]
        for _ in range(documents)
    ]
    optimizer = torch.optim.AdamW(model.parameters(), lr=1e-3, betas=(0.9, 0.95), weight_decay=0.0)

    def run() -> None:
        optimizer.zero_grad()
        loss = model(batch)
        loss.backward()
        torch.nn.utils.clip_grad_norm_(model.parameters(), 1.0)
        optimizer.step()

    return Contender(run, _facts(model))


def sample(*, body: Mapping[str, Any], text_ids: int, grid: int, steps: int, **_) -> Contender:
    """Two pictures one after the other, each after a given text."""
    model = _model(body, grid, odeint_kwargs=dict(method="euler")).eval()
    given = [torch.tensor(np.random.default_rng(seed).integers(0, 256, text_ids)) for seed in (0, 1)]
    # The times are the ends of the steps; sampling stops after one picture.
    settings = dict(modality_steps=steps + 1, max_length=grid * grid - 1, cfg_scale=1.0, force_modality_at_start=0)

    def draw(prompt: list) -> torch.Tensor:
        (made,) = model.sample_many([prompt], **settings)
        return next(part for part in reversed(made) if not torch.is_tensor(part))[1]

    def run() -> None:
        first = draw([given[0]])
        draw([given[0], (0, first), given[1]])

    return Contender(run, _facts(model))


def _model(body: Mapping[str, Any], grid: int, **fields: Any) -> Transfusion:
    """The sizes of our ``body`` in the package's words: its feed-forward width is 2/3 of expansion x width."""
    transformer = dict(
        dim=body["width"],
        depth=body["depth"],
        heads=body["num_heads"],
        dim_head=body["width"] // body["num_heads"],
        ff_expansion_factor=1.5 * body["hidden"] / body["width"],
    )
    return Transfusion(
        num_text_tokens=256,
        dim_latent=LATENT,
        modality_default_shape=(grid, grid),
        transformer=transformer,
        **fields,
    )


def _facts(model: Transfusion) -> dict[str, Any]:
    versions = {"torch": torch.__version__, "transfusion-pytorch": importlib.metadata.version("transfusion-pytorch")}
    return {"parameters": sum(p.numel() for p in model.parameters()), **versions}
