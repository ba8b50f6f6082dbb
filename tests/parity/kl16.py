"""MAR's autoencoder for tests: a small random one of diffusers, and its tensors as ``kl16.ckpt`` names them."""

import re
from pathlib import Path

import diffusers
import torch

CONFIG = {"ch": 8, "num_res_blocks": 1, "embed_dim": 4, "norm_num_groups": 4}  # of our function of the codec
LEVELS, SCALE = 5, 0.2325


def reference() -> diffusers.AutoencoderKL:
    """Attention at the last level on the way down alone, which 256 pixels reach at 16 x 16."""
    torch.manual_seed(0)
    down = ["DownEncoderBlock2D"] * (LEVELS - 1) + ["AttnDownEncoderBlock2D"]
    sizes = dict(block_out_channels=[8, 8, 16, 16, 32], layers_per_block=1, norm_num_groups=4, scaling_factor=SCALE)
    kinds = dict(down_block_types=down, up_block_types=["UpDecoderBlock2D"] * LEVELS)
    return diffusers.AutoencoderKL(latent_channels=4, **kinds, **sizes).eval()


NAMES = [  # of diffusers, and of the repository
    (r"down_blocks\.(\d)\.resnets\.(\d)", r"down.\1.block.\2"),
    (r"down_blocks\.(\d)\.attentions\.(\d)", r"down.\1.attn.\2"),
    (r"down_blocks\.(\d)\.downsamplers\.0", r"down.\1.downsample"),
    (r"up_blocks\.(\d)\.resnets\.(\d)", lambda m: f"up.{LEVELS - 1 - int(m[1])}.block.{m[2]}"),
    (r"up_blocks\.(\d)\.upsamplers\.0", lambda m: f"up.{LEVELS - 1 - int(m[1])}.upsample"),
    (r"mid_block\.resnets\.(\d)", lambda m: f"mid.block_{int(m[1]) + 1}"),
    (r"mid_block\.attentions\.0", "mid.attn_1"),
    (r"group_norm", "norm"),
    (r"to_([qkv])\.", r"\1."),
    (r"to_out\.0", "proj_out"),
    (r"conv_norm_out", "norm_out"),
    (r"conv_shortcut", "nin_shortcut"),
]


def published(vae: diffusers.AutoencoderKL) -> dict[str, torch.Tensor]:
    """The state dict that ``kl16.ckpt`` holds under "model"."""
    tensors = {}
    for name, x in vae.state_dict().items():
        product = re.search(r"to_(?:[qkv]|out\.0)\.weight$", name)
        for theirs, ours in NAMES:
            name = re.sub(theirs, ours, name)
        tensors[name] = x[:, :, None, None].clone() if product else x
    return tensors


def save(folder: Path) -> diffusers.AutoencoderKL:
    """The file, and what it holds."""
    vae = reference()
    torch.save({"model": published(vae)}, folder / "kl16.ckpt")
    return vae
