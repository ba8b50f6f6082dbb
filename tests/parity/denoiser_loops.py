"""Twenty guided steps: the published pipelines, and the same written out by hand over our prediction.

A run gets the noise [1 H W C] and two rows of what is told: without the prompt, and with it.
"""

from collections.abc import Callable
from types import SimpleNamespace
from typing import Any

import diffusers
import numpy as np
import torch

from unified_jax.nn.condition import Told
from unified_jax.nn.patches import to_patches

STEPS, SCALE = 20, 3.0
Predict = Callable[[np.ndarray, float], tuple[np.ndarray, np.ndarray]]  # latents, time -> without and with the prompt


def quiet(pipeline: Any) -> Any:
    pipeline.set_progress_bar_config(disable=True)
    return pipeline


def ddim() -> diffusers.DDIMScheduler:
    """As DiT is published with."""
    return diffusers.DDIMScheduler(beta_start=1e-4, beta_end=0.02, beta_schedule="linear", clip_sample=False)


def euler(**options: Any) -> diffusers.FlowMatchEulerDiscreteScheduler:
    return diffusers.FlowMatchEulerDiscreteScheduler(**options)


def common(noise: np.ndarray) -> dict[str, Any]:
    """Arguments of every pipeline of text: the noise is moved to channels first."""
    latents = torch.tensor(noise).movedim(-1, 1)
    size = dict(height=8 * noise.shape[1], width=8 * noise.shape[2])
    return dict(latents=latents, num_inference_steps=STEPS, output_type="latent", return_dict=False, **size)


def text(told: Told, *, mask: str = "") -> dict[str, torch.Tensor]:
    """The two rows as pipelines name them; mask: what the mask is called, if there is one."""
    without, with_ = torch.tensor(told.text).split(1)
    names = dict(prompt_embeds=with_, negative_prompt_embeds=without)
    if mask:
        none, own = torch.tensor(told.mask).long().split(1)
        names |= {mask: own, f"negative_{mask}": none}
    return names


def dit(model: torch.nn.Module, noise: np.ndarray, told: Told) -> tuple[np.ndarray, np.ndarray]:
    """The pipeline draws its own noise; here the generator is one that draws ours."""
    made = []
    pipeline = quiet(diffusers.DiTPipeline(model, None, ddim()))
    pipeline.vae = SimpleNamespace(config=SimpleNamespace(scaling_factor=1.0), decode=lambda z: keep(made, z))
    original = diffusers.pipelines.dit.pipeline_dit.randn_tensor
    diffusers.pipelines.dit.pipeline_dit.randn_tensor = lambda **_: torch.tensor(noise).movedim(-1, 1)
    try:
        pipeline([int(told.label[1])], guidance_scale=SCALE, num_inference_steps=STEPS, output_type="pt")
    finally:
        diffusers.pipelines.dit.pipeline_dit.randn_tensor = original
    return made[0].movedim(1, -1).numpy(), pipeline.scheduler.timesteps.numpy()


def keep(made: list[torch.Tensor], z: torch.Tensor) -> SimpleNamespace:
    made.append(z)
    return SimpleNamespace(sample=z)


def pixart(model: torch.nn.Module, noise: np.ndarray, told: Told) -> tuple[np.ndarray, np.ndarray]:
    pipeline = quiet(diffusers.PixArtAlphaPipeline(None, None, None, model, ddim()))
    given = common(noise) | text(told, mask="prompt_attention_mask") | dict(negative_prompt=None)
    (latents,) = pipeline(**given, guidance_scale=SCALE, use_resolution_binning=False)
    return latents.movedim(1, -1).numpy(), pipeline.scheduler.timesteps.numpy()


def sd3(model: torch.nn.Module, noise: np.ndarray, told: Told) -> tuple[np.ndarray, np.ndarray]:
    empty = dict.fromkeys(f"{kind}{i}" for kind in ("text_encoder", "tokenizer") for i in ("", "_2", "_3"))
    pipeline = quiet(diffusers.StableDiffusion3Pipeline(model, euler(shift=3.0), None, **empty))
    none, own = torch.tensor(told.pooled).split(1)
    given = common(noise) | text(told) | dict(pooled_prompt_embeds=own, negative_pooled_prompt_embeds=none)
    (latents,) = pipeline(**given, guidance_scale=SCALE)
    return latents.movedim(1, -1).numpy(), pipeline.scheduler.timesteps.numpy()


def lumina2(model: torch.nn.Module, noise: np.ndarray, told: Told) -> tuple[np.ndarray, np.ndarray]:
    pipeline = quiet(diffusers.Lumina2Pipeline(model, euler(shift=6.0), None, None, None))
    given = common(noise) | text(told, mask="prompt_attention_mask")
    (latents,) = pipeline(**given, guidance_scale=SCALE)
    return latents.movedim(1, -1).numpy(), pipeline.scheduler.timesteps.numpy()


def qwen_image(model: torch.nn.Module, noise: np.ndarray, told: Told) -> tuple[np.ndarray, np.ndarray]:
    shift = dict(use_dynamic_shifting=True, shift_terminal=0.02, base_shift=0.5, max_shift=0.9, max_image_seq_len=8192)
    pipeline = quiet(diffusers.QwenImagePipeline(euler(**shift), None, None, None, model))
    given = common(noise) | text(told, mask="prompt_embeds_mask")
    given["latents"] = packed(noise)
    (latents,) = pipeline(**given, true_cfg_scale=SCALE)
    return unpacked(latents, noise.shape), pipeline.scheduler.timesteps.numpy()


def flux(model: torch.nn.Module, noise: np.ndarray, told: Told) -> tuple[np.ndarray, np.ndarray]:
    pipeline = quiet(diffusers.FluxPipeline(euler(use_dynamic_shifting=True), *[None] * 5, model))
    none, own = torch.tensor(told.pooled).split(1)
    given = common(noise) | text(told) | dict(pooled_prompt_embeds=own, negative_pooled_prompt_embeds=none)
    given["latents"] = packed(noise)
    (latents,) = pipeline(**given, true_cfg_scale=SCALE, guidance_scale=float(told.guidance[0]))
    return unpacked(latents, noise.shape), pipeline.scheduler.timesteps.numpy()


def packed(noise: np.ndarray) -> torch.Tensor:
    """[B H W C] -> [B N (C 2 2)], the published order."""
    patches = np.moveaxis(to_patches(noise, (2, 2)), -1, 2)
    return torch.tensor(patches.reshape(*patches.shape[:2], -1))


def unpacked(x: torch.Tensor, shape: tuple[int, ...]) -> np.ndarray:
    """The inverse, to [B H W c]."""
    x = x.reshape(len(x), shape[1] // 2, shape[2] // 2, -1, 2, 2).permute(0, 1, 4, 2, 5, 3)
    return x.reshape(len(x), *shape[1:3], -1).numpy()


def guided(without: np.ndarray, with_: np.ndarray) -> np.ndarray:
    """Classifier-free guidance (arXiv:2207.12598)."""
    return without + SCALE * (with_ - without)


def same_norm_in_rows(without: np.ndarray, with_: np.ndarray) -> np.ndarray:
    """Guided, with the norms of the prompted prediction along each row of pixels, as Lumina's pipeline does it."""
    made, norm = guided(without, with_), lambda x: np.linalg.norm(x, axis=2, keepdims=True)
    return made * norm(with_) / norm(made)


def same_norm_in_patches(without: np.ndarray, with_: np.ndarray) -> np.ndarray:
    """Guided, with the norm of the prompted prediction in each patch, as Qwen-Image's pipeline does it."""
    made = guided(without, with_)
    norm = lambda x: np.sqrt(np.sum(to_patches(x, (2, 2)) ** 2, (2, 3, 4)))
    ratio = (norm(with_) / norm(made)).reshape(1, made.shape[1] // 2, made.shape[2] // 2, 1)
    return made * ratio.repeat(2, 1).repeat(2, 2)


def by_noise(predict: Predict, x: np.ndarray, timesteps: np.ndarray) -> np.ndarray:
    """DDIM (arXiv:2010.02502, eq. 12 with sigma 0): x0 from the noise, and back to less of the same noise."""
    kept = np.cumprod(1 - np.linspace(1e-4, 0.02, 1000))
    np.testing.assert_array_equal(timesteps, np.arange(STEPS)[::-1] * (1000 // STEPS))
    for t in timesteps:
        now, then = kept[t], kept[t - 1000 // STEPS] if t else 1.0
        noise = guided(*predict(x, (t + 1) / 1000))[..., : x.shape[-1]]
        clean = (x - np.sqrt(1 - now) * noise) / np.sqrt(now)
        x = np.sqrt(then) * clean + np.sqrt(1 - then) * noise
    return x


def by_velocity(
    predict: Predict, x: np.ndarray, timesteps: np.ndarray, *, guide: Callable[..., np.ndarray] = guided
) -> np.ndarray:
    """Euler steps of dx/dt = velocity, down to 0."""
    times = np.append(timesteps / 1000, 0.0)
    for now, then in zip(times[:-1], times[1:]):
        x = x + (then - now) * guide(*predict(x, now))
    return x
