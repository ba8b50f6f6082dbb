"""Codecs and encoders in diffusers and transformers, forward alone, with the weights and the input in a folder."""

import json
import os
from collections.abc import Callable
from pathlib import Path

import diffusers
import numpy as np
import torch
import transformers
from transformers.models.emu3.modeling_emu3 import Emu3VQVAE
from transformers.models.janus.modeling_janus import JanusVQVAE

from unified_jax.bench.contender import Contender

torch.set_num_threads(os.cpu_count())

CLASSES = {
    "AutoencoderDC": diffusers.AutoencoderDC,
    "AutoencoderKL": diffusers.AutoencoderKL,
    "clip_vision_model": transformers.CLIPVisionModel,
    "emu3_vqgan": Emu3VQVAE,
    "janus_vqgan": JanusVQVAE,
    "siglip_vision_model": transformers.SiglipVisionModel,
    "t5": transformers.T5EncoderModel,
}


def encode(*, folder: Path, **_) -> Contender:
    """Pixels -> codes, or means and log-variances."""

    def run(model: torch.nn.Module, pixels: torch.Tensor) -> list[torch.Tensor]:
        if isinstance(model, Emu3VQVAE):
            return model.encode(pixels, torch.tensor([pixels.shape[-2:]])).image_tokens
        made = model.encode(pixels)
        if isinstance(model, diffusers.AutoencoderKL):
            return [last(made.latent_dist.mean), last(made.latent_dist.logvar)]
        return [last(made.latent) if isinstance(model, diffusers.AutoencoderDC) else made.image_tokens]

    return _contender(folder, run, pictures)


def decode(*, folder: Path, **_) -> Contender:
    """Codes or latents -> pixels."""

    def run(model: torch.nn.Module, values: torch.Tensor) -> list[torch.Tensor]:
        if isinstance(model, JanusVQVAE):
            model.quantize.quant_state_dims = values.shape[1:]  # it is built for one size of pictures
            return [last(model.decode(values.flatten(1)))]
        made = model.decode(values)
        return [last(made if isinstance(model, Emu3VQVAE) else made.sample)]

    return _contender(folder, run, lambda x: torch.tensor(x, dtype=torch.long) if x.dtype == np.int32 else pictures(x))


def look(*, folder: Path, **_) -> Contender:
    """Pixels -> states, and what is pooled."""

    def run(model: torch.nn.Module, pixels: torch.Tensor) -> list[torch.Tensor]:
        made = model(pixels)
        return [made.last_hidden_state, made.pooler_output]

    return _contender(folder, run, pictures)


def read(*, folder: Path, **_) -> Contender:
    """Ids -> states."""
    run = lambda model, ids: [model(ids).last_hidden_state]
    return _contender(folder, run, lambda x: torch.tensor(x, dtype=torch.long))


def pictures(x: np.ndarray) -> torch.Tensor:
    """Channels last -> channels first, as PyTorch has them."""
    return torch.tensor(np.moveaxis(x, -1, 1).copy())


def last(x: torch.Tensor) -> torch.Tensor:
    """Channels first -> channels last."""
    return x.movedim(1, -1)


def _contender(folder: Path, run: Callable, convert: Callable[[np.ndarray], torch.Tensor]) -> Contender:
    config = json.loads((folder / "config.json").read_text())
    model = CLASSES[config.get("_class_name", config.get("model_type"))].from_pretrained(folder).float().eval()
    given = convert(np.load(folder / "given.npy"))

    def forward() -> list[np.ndarray]:
        with torch.inference_mode():
            return [x.flatten().numpy() for x in run(model, given)]

    versions = {library.__name__: library.__version__ for library in (torch, transformers, diffusers)}
    measured = [x for x in model.buffers() if x.is_floating_point()]  # statistics of norms, parameters on our side
    return Contender(forward, {"parameters": sum(x.numel() for x in [*model.parameters(), *measured]), **versions})
