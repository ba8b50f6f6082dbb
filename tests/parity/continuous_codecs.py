"""The published continuous codecs that are compared with diffusers: a small random model each, every option in use."""

import dataclasses
from typing import Any

import diffusers
import numpy as np
import torch

LATENTS = dict(z_dim=4, latents_mean=[0.1, -0.2, 0.3, -0.4], latents_std=[1.5, 2.0, 0.5, 3.0])
VIDEO = dict(base_dim=8, dim_mult=[1, 2, 4, 4], num_res_blocks=1, temperal_downsample=[False, True, True], **LATENTS)
CLIPS = ((2, 1, 16, 16), (1, 9, 24, 16))


@dataclasses.dataclass(frozen=True)
class Case:
    """name: of the row. model: class of diffusers. shapes: of the inputs, [B H W] or [B F H W], in pixels. parts: how
    many arrays of latents the encoder gives (mean and log-variance, or just latents). full: published sizes.
    """

    name: str
    model: type
    options: dict[str, Any]
    shapes: tuple[tuple[int, ...], ...]
    parts: int = 2
    full: dict[str, Any] = dataclasses.field(default_factory=dict)

    def reference(self) -> torch.nn.Module:
        """The model in float32: what is constant at first is moved off it, the rest keeps the size of its inputs."""
        torch.manual_seed(0)
        model = self.model(**self.options).float().eval()
        with torch.no_grad():
            for weight in [*model.parameters(), *_statistics(model)]:
                noise = torch.randn_like(weight)
                if (weight == weight.flatten()[0]).all():
                    weight.add_(0.1 * noise)
                elif weight.ndim > 1:
                    weight.copy_(noise / weight[0].numel() ** 0.5)
        return model

    @property
    def version(self) -> str:
        return f"diffusers {diffusers.__version__}, {self.model.__name__}"


def _statistics(model: torch.nn.Module) -> list[torch.Tensor]:
    """Running means and variances, which are buffers."""
    return [buffer for buffer in model.buffers() if buffer.is_floating_point()]


def encode(model: torch.nn.Module, pixels: np.ndarray) -> np.ndarray:
    """[B ... H W 3] -> mean and log-variance, or the latents of a codec without, channels last."""
    with torch.no_grad():
        made = model.encode(torch.tensor(np.moveaxis(pixels, -1, 1)))
    moments = [made.latent_dist.mean, made.latent_dist.logvar] if hasattr(made, "latent_dist") else [made.latent]
    return np.moveaxis(torch.cat(moments, 1).numpy(), 1, -1)


def decode(model: torch.nn.Module, latents: np.ndarray) -> np.ndarray:
    """Latents, channels last -> [B ... H W 3]."""
    with torch.no_grad():
        return np.moveaxis(model.decode(torch.tensor(np.moveaxis(latents, -1, 1))).sample.numpy(), 1, -1)


CASES = [
    Case("wan-2.1", diffusers.AutoencoderKLWan, VIDEO, CLIPS),
    Case(
        "wan-2.2",
        diffusers.AutoencoderKLWan,
        VIDEO
        | dict(
            is_residual=True,
            decoder_base_dim=16,
            patch_size=2,
            in_channels=12,
            out_channels=12,
            scale_factor_spatial=16,
        ),
        ((2, 1, 32, 32), (1, 9, 48, 32)),
    ),
    Case("qwen-image", diffusers.AutoencoderKLQwenImage, VIDEO | dict(num_res_blocks=2), CLIPS),
]
