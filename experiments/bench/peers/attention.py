"""Attention in PyTorch: its own kernel with the mask as an array."""

import os
from pathlib import Path

import numpy as np
import torch

from unified_jax.bench.contender import Contender

torch.set_num_threads(os.cpu_count())


def attention(*, folder: Path, **_) -> Contender:
    """scaled_dot_product_attention, forward and backward."""
    file = np.load(folder / "attention.npz")
    mask = torch.tensor(file["mask"])[:, None]
    q, k, v, cotangent = (torch.tensor(x).transpose(1, 2).contiguous() for x in file["arrays"])
    inputs = [x.requires_grad_() for x in (q, k, v)]

    def run() -> list[np.ndarray]:
        out = torch.nn.functional.scaled_dot_product_attention(*inputs, attn_mask=mask)
        gradients = torch.autograd.grad(out, inputs, cotangent)
        return [x.detach().transpose(1, 2).numpy() for x in (out, *gradients)]

    return Contender(run, {"torch": torch.__version__})
