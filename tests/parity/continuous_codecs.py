"""The published continuous codecs that are compared with diffusers: a small random model each, every option in use."""

import dataclasses
from typing import Any

import diffusers
import numpy as np
import torch
from random_weights import keeping_scale, redraw

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
        """The model with random weights."""
        return redraw(self.model(**self.options), keeping_scale)

    @property
    def version(self) -> str:
        return f"diffusers {diffusers.__version__}, {self.model.__name__}"


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


SIZES = ((2, 16, 16), (1, 16, 24))
LADDER = dict(
    block_out_channels=(16, 32),
    down_block_types=("DownEncoderBlock2D",) * 2,
    up_block_types=("UpDecoderBlock2D",) * 2,
    layers_per_block=1,
    norm_num_groups=8,
)
WITHOUT_PRODUCTS = dict(use_quant_conv=False, use_post_quant_conv=False, latent_channels=16)
DEEP_SIZES = ((2, 64, 64), (1, 64, 96))
BLOCKS = ("ResBlock", "ResBlock", "EfficientViTBlock", "EfficientViTBlock")
SANA = dict(
    attention_head_dim=8,
    latent_channels=4,
    encoder_block_types=BLOCKS,
    decoder_block_types=BLOCKS,
    encoder_block_out_channels=(8, 16, 16, 32),
    decoder_block_out_channels=(8, 16, 16, 32),
    encoder_layers_per_block=(1, 1, 1, 2),
    decoder_layers_per_block=(2, 1, 1, 1),
    encoder_qkv_multiscales=((), (), (5,), (3, 5)),
    decoder_qkv_multiscales=((), (), (5,), (3, 5)),
    downsample_block_type="conv",
    upsample_block_type="interpolate",
    scaling_factor=0.41407,
)
FOLDED = SANA | dict(
    encoder_layers_per_block=(0, 1, 2, 1),
    decoder_layers_per_block=(0, 2, 1, 1),
    encoder_qkv_multiscales=((), (), (), ()),
    decoder_qkv_multiscales=((), (), (), ()),
    downsample_block_type="pixel_unshuffle",
    upsample_block_type="pixel_shuffle",
    decoder_norm_types=("batch_norm", "batch_norm", "rms_norm", "rms_norm"),
    decoder_act_fns=("relu", "relu", "silu", "silu"),
    scaling_factor=0.3189,
)
RESIDUAL = dict(is_residual=True, patch_size=2, in_channels=12, out_channels=12, scale_factor_spatial=16)


def stable_diffusion(*, channels: int = 4, **options) -> dict[str, Any]:
    """The published ladder of Stable Diffusion and what came after it."""
    return dict(
        block_out_channels=(128, 256, 512, 512),
        down_block_types=("DownEncoderBlock2D",) * 4,
        up_block_types=("UpDecoderBlock2D",) * 4,
        layers_per_block=2,
        latent_channels=channels,
        **options,
    )


def deep(*, latents: int, widths: tuple[int, ...], plain: int = 3) -> dict[str, Any]:
    """The published sizes of DC-AE beside its 32-pixel codec for Sana."""
    attended = len(widths) - plain
    kinds = ("ResBlock",) * plain + ("EfficientViTBlock",) * attended
    return dict(
        latent_channels=latents,
        encoder_block_types=kinds,
        decoder_block_types=kinds,
        encoder_block_out_channels=widths,
        decoder_block_out_channels=widths,
        encoder_layers_per_block=(0, 4, 8) + (2,) * attended,
        decoder_layers_per_block=(0, 5, 10) + (2,) * attended,
        encoder_qkv_multiscales=((),) * len(widths),
        decoder_qkv_multiscales=((),) * len(widths),
        decoder_norm_types=("batch_norm",) * plain + ("rms_norm",) * attended,
        decoder_act_fns=("relu",) * plain + ("silu",) * attended,
    )


CASES = [
    Case("wan-2.1", diffusers.AutoencoderKLWan, VIDEO, CLIPS),
    Case(
        "wan-2.2",
        diffusers.AutoencoderKLWan,
        VIDEO | RESIDUAL | dict(decoder_base_dim=16),
        ((2, 1, 32, 32), (1, 9, 48, 32)),
        full=RESIDUAL
        | dict(base_dim=160, decoder_base_dim=256, z_dim=48, latents_mean=[0.0] * 48, latents_std=[1.0] * 48),
    ),
    Case("qwen-image", diffusers.AutoencoderKLQwenImage, VIDEO | dict(num_res_blocks=2), CLIPS),
    Case("kl-sd", diffusers.AutoencoderKL, LADDER, SIZES, full=stable_diffusion()),
    Case(
        "kl-flux",
        diffusers.AutoencoderKL,
        LADDER | WITHOUT_PRODUCTS | dict(layers_per_block=2, scaling_factor=0.3611, shift_factor=0.1159),
        SIZES,
        full=stable_diffusion(
            channels=16,
            use_quant_conv=False,
            use_post_quant_conv=False,
            scaling_factor=0.3611,
            shift_factor=0.1159,
        ),
    ),
    Case(
        "kl-no-attention",
        diffusers.AutoencoderKL,
        LADDER | dict(mid_block_add_attention=False, use_quant_conv=False),
        SIZES,
        full=stable_diffusion(mid_block_add_attention=False, use_quant_conv=False),
    ),
    Case(
        "dc-ae-sana",
        diffusers.AutoencoderDC,
        SANA,
        DEEP_SIZES,
        parts=1,
        full=dict(
            encoder_block_types=("ResBlock",) * 3 + ("EfficientViTBlock",) * 3,
            decoder_block_types=("ResBlock",) * 3 + ("EfficientViTBlock",) * 3,
            downsample_block_type="conv",
            upsample_block_type="interpolate",
        ),
    ),
    Case(
        "dc-ae-f32c32",
        diffusers.AutoencoderDC,
        FOLDED,
        DEEP_SIZES,
        parts=1,
        full=deep(latents=32, widths=(128, 256, 512, 512, 1024, 1024)),
    ),
    Case(
        "dc-ae-f64c128",
        diffusers.AutoencoderDC,
        FOLDED | dict(encoder_layers_per_block=(0, 1, 1, 1), latent_channels=8),
        DEEP_SIZES,
        parts=1,
        full=deep(latents=128, widths=(128, 256, 512, 512, 1024, 1024, 2048)),
    ),
]
