"""The published denoisers that are compared with diffusers: a small random network each, every option in use."""

import dataclasses
from collections.abc import Callable
from functools import partial
from typing import Any

import denoiser_loops as loops
import diffusers
import jax
import numpy as np
import torch

from unified_jax.nn.condition import Told


@dataclasses.dataclass(frozen=True)
class Case:
    """name: of the row. model: class of diffusers. told: what the network reads beside the time, with its last axis.

    theirs: (latents [B H W C], told) -> the reference's arguments. back: its output -> ours. tie: makes equal what
    published weights have in common. pipeline, sample: twenty steps, in ``denoiser_loops``. grids: [H W] of latents.
    channels: of latents.
    """

    name: str
    model: type
    options: dict[str, Any]
    told: dict[str, int]
    theirs: Callable[..., dict[str, Any]]
    pipeline: Callable[..., tuple[np.ndarray, np.ndarray]]
    sample: Callable[..., np.ndarray]
    grids: tuple[tuple[int, int], ...] = ((8, 8), (12, 8))
    channels: int = 4
    back: Callable[..., torch.Tensor] = lambda out, grid: channels_last(out)
    tie: Callable[[torch.nn.Module], None] = lambda model: None

    def reference(self) -> torch.nn.Module:
        """In float32: nothing is zero, or one, or keeps an initial size that hides it."""
        torch.manual_seed(0)
        model = self.model(**self.options).float().eval()
        with torch.no_grad():
            for name, weight in model.named_parameters():
                noise = torch.randn_like(weight)
                if weight.ndim > 1:
                    weight.copy_(noise / weight[0].numel() ** 0.5)
                else:
                    weight.copy_(0.1 * noise + (1.0 if "norm" in name and name.endswith("weight") else 0.0))
            self.tie(model)
        return model

    @property
    def version(self) -> str:
        return f"diffusers {diffusers.__version__}, {self.model.__name__}"

    def given(self, grid: tuple[int, int], *, seed: int = 0, rows: int = 2) -> tuple[np.ndarray, Told]:
        """Latents and what is told of them, of each row another time."""
        rng = np.random.default_rng(seed)
        normal = lambda *shape: rng.normal(size=shape).astype(np.float32)
        make = {
            "label": lambda n: rng.integers(0, n, rows).astype(np.int32),
            "text": lambda n: normal(rows, 7, n),
            "mask": lambda n: np.arange(n) < np.array([[n], [n - 3]])[:rows],
            "pooled": lambda n: normal(rows, n),
            "guidance": lambda n: np.full(rows, 3.5, np.float32),
            "size": lambda n: np.array([[8 * grid[0], 8 * grid[1]]] * rows, np.float32),
        }
        told = {name: make[name](n) for name, n in self.told.items()}
        return normal(rows, *grid, self.channels), Told(np.array([0.251, 0.9], np.float32)[:rows], **told)

    def predict(self, model: torch.nn.Module, latents: np.ndarray, told: Told) -> np.ndarray:
        """The reference's prediction, as ours is written."""
        given = self.theirs(torch.tensor(latents), jax.tree.map(torch.tensor, told))
        with torch.no_grad():
            out = self.back(model(**given, return_dict=False)[0], latents.shape[1:3])
        return out.numpy()


def channels_first(x: torch.Tensor) -> torch.Tensor:
    return x.movedim(-1, 1)


def channels_last(x: torch.Tensor) -> torch.Tensor:
    return x.movedim(1, -1)


def dit(latents: torch.Tensor, told: Told) -> dict[str, Any]:
    return dict(hidden_states=channels_first(latents), timestep=1000 * told.time - 1, class_labels=told.label.long())


def pixart(latents: torch.Tensor, told: Told) -> dict[str, Any]:
    ratio = None if told.size is None else told.size[:, :1] / told.size[:, 1:]
    return dict(
        hidden_states=channels_first(latents),
        timestep=1000 * told.time - 1,
        encoder_hidden_states=told.text,
        encoder_attention_mask=told.mask.float(),
        added_cond_kwargs=dict(resolution=told.size, aspect_ratio=ratio),
    )


def sd3(latents: torch.Tensor, told: Told) -> dict[str, Any]:
    return dict(
        hidden_states=channels_first(latents),
        timestep=1000 * told.time,
        encoder_hidden_states=told.text,
        pooled_projections=told.pooled,
    )


def lumina2(latents: torch.Tensor, told: Told) -> dict[str, Any]:
    return dict(
        hidden_states=channels_first(latents),
        timestep=1 - told.time,
        encoder_hidden_states=told.text,
        encoder_attention_mask=told.mask.long(),
    )


def qwen_image(latents: torch.Tensor, told: Told) -> dict[str, Any]:
    grid = tuple(n // 2 for n in latents.shape[1:3])
    return dict(
        hidden_states=loops.packed(latents.numpy()),
        timestep=told.time,
        encoder_hidden_states=told.text,
        encoder_hidden_states_mask=told.mask,
        img_shapes=[[(1, *grid)]] * len(latents),
    )


def flux(latents: torch.Tensor, told: Told) -> dict[str, Any]:
    rows, columns = (n // 2 for n in latents.shape[1:3])
    return dict(
        hidden_states=loops.packed(latents.numpy()),
        timestep=told.time,
        guidance=told.guidance,
        encoder_hidden_states=told.text,
        pooled_projections=told.pooled,
        img_ids=torch.cartesian_prod(torch.arange(1), torch.arange(rows), torch.arange(columns)).float(),
        txt_ids=torch.zeros(told.text.shape[1], 3),
    )


def unpacked(out: torch.Tensor, grid: tuple[int, int]) -> torch.Tensor:
    return torch.tensor(loops.unpacked(out, (len(out), *grid)))


def right_grid(out: torch.Tensor, grid: tuple[int, int]) -> torch.Tensor:
    """Undoes that ``DiTTransformer2DModel`` takes every picture to be square when it puts patches together."""
    side, (batch, channels, height, _) = 2, out.shape
    patches = out.reshape(batch, channels, height // side, side, height // side, side).permute(0, 2, 4, 1, 3, 5)
    patches = patches.reshape(batch, grid[0] // side, grid[1] // side, channels, side, side)
    return channels_last(patches.permute(0, 3, 1, 4, 2, 5).reshape(batch, channels, *grid))


def one_embedding(model: torch.nn.Module) -> None:
    """Published DiTs have the same embedding of time and class in every layer."""
    for block in model.transformer_blocks[1:]:
        block.norm1.emb.load_state_dict(model.transformer_blocks[0].norm1.emb.state_dict())


SMALL_DIT = dict(num_layers=3, num_attention_heads=3, attention_head_dim=8, sample_size=8, patch_size=2, in_channels=4)
SMALL_SD3 = dict(
    sample_size=16,
    patch_size=2,
    in_channels=4,
    out_channels=4,
    num_layers=4,
    attention_head_dim=8,
    num_attention_heads=3,
    joint_attention_dim=20,
    caption_projection_dim=24,
    pooled_projection_dim=12,
    pos_embed_max_size=10,
)
SIGMA = dict(sample_size=32, use_additional_conditions=False, interpolation_scale=2)
CASES = [
    Case(
        "dit",
        diffusers.DiTTransformer2DModel,
        SMALL_DIT | dict(out_channels=8, num_embeds_ada_norm=1000),
        dict(label=1000),
        dit,
        loops.dit,
        loops.by_noise,
        grids=((8, 8), (4, 16)),
        back=right_grid,
        tie=one_embedding,
    ),
    Case(
        "pixart-alpha",
        diffusers.PixArtTransformer2DModel,
        SMALL_DIT | dict(sample_size=128, out_channels=8, cross_attention_dim=24, caption_channels=20),
        dict(text=20, mask=7, size=2),
        pixart,
        loops.pixart,
        loops.by_noise,
    ),
    Case(
        "pixart-sigma",
        diffusers.PixArtTransformer2DModel,
        SMALL_DIT | SIGMA | dict(patch_size=1, out_channels=8, cross_attention_dim=24, caption_channels=20),
        dict(text=20, mask=7),
        pixart,
        loops.pixart,
        loops.by_noise,
        grids=((6, 6), (4, 7)),
    ),
    Case(
        "sd3",
        diffusers.SD3Transformer2DModel,
        SMALL_SD3,
        dict(text=20, pooled=12),
        sd3,
        loops.sd3,
        loops.by_velocity,
    ),
    Case(
        "sd3.5",
        diffusers.SD3Transformer2DModel,
        SMALL_SD3 | dict(num_layers=5, qk_norm="rms_norm", dual_attention_layers=(0, 1), patch_size=4),
        dict(text=20, pooled=12),
        sd3,
        loops.sd3,
        loops.by_velocity,
        grids=((16, 16), (24, 8)),
    ),
    Case(
        "qwen-image",
        diffusers.QwenImageTransformer2DModel,
        dict(
            in_channels=16,
            out_channels=4,
            num_layers=3,
            attention_head_dim=16,
            num_attention_heads=3,
            joint_attention_dim=20,
            axes_dims_rope=(4, 6, 6),
        ),
        dict(text=20, mask=7),
        qwen_image,
        loops.qwen_image,
        partial(loops.by_velocity, guide=loops.same_norm_in_patches),
        grids=((8, 8), (6, 10)),
        back=unpacked,
    ),
    Case(
        "flux",
        diffusers.FluxTransformer2DModel,
        dict(
            in_channels=16,
            num_layers=2,
            num_single_layers=2,
            attention_head_dim=16,
            num_attention_heads=3,
            joint_attention_dim=20,
            pooled_projection_dim=12,
            guidance_embeds=True,
            axes_dims_rope=(4, 6, 6),
        ),
        dict(text=20, pooled=12, guidance=1),
        flux,
        loops.flux,
        loops.by_velocity,
        grids=((8, 8), (6, 10)),
        back=unpacked,
    ),
    Case(
        "lumina2",
        diffusers.Lumina2Transformer2DModel,
        dict(
            in_channels=4,
            hidden_size=24,
            num_layers=3,
            num_refiner_layers=2,
            num_attention_heads=4,
            num_kv_heads=2,
            multiple_of=8,
            axes_dim_rope=(2, 2, 2),
            cap_feat_dim=20,
        ),
        dict(text=20, mask=7),
        lumina2,
        loops.lumina2,
        partial(loops.by_velocity, guide=loops.same_norm_in_rows),
        back=lambda out, grid: -channels_last(out),
    ),
]
