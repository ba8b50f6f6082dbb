"""Mixture of experts in transformers."""

import os
from pathlib import Path

import numpy as np
import torch
import transformers
from transformers.models.mixtral.modeling_mixtral import MixtralSparseMoeBlock

from unified_jax.bench.contender import Contender

torch.set_num_threads(os.cpu_count())


def experts(*, folder: Path, width: int, hidden: int, num_experts: int, top_k: int, **_) -> Contender:
    """MixtralSparseMoeBlock with the weights in the folder, forward and backward."""
    file = np.load(folder / "moe.npz")
    config = transformers.MixtralConfig(
        hidden_size=width, intermediate_size=hidden, num_local_experts=num_experts, num_experts_per_tok=top_k
    )
    block, turned = MixtralSparseMoeBlock(config), lambda name: np.swapaxes(file[name], -1, -2)
    with torch.no_grad():
        block.gate.weight.copy_(torch.tensor(turned("router")))
        block.experts.gate_up_proj.copy_(torch.tensor(np.concatenate([turned("gate"), turned("up")], 1)))
        block.experts.down_proj.copy_(torch.tensor(turned("down")))
    x, cotangent = torch.tensor(file["x"]).requires_grad_(), torch.tensor(file["cotangent"])
    weights = [block.experts.down_proj, block.experts.gate_up_proj, block.gate.weight]

    def run() -> list[np.ndarray]:
        y = block(x)
        dx, ddown, *_ = torch.autograd.grad(y, [x, *weights], cotangent)
        return [y.detach().numpy(), dx.numpy(), ddown.transpose(1, 2).numpy()]

    versions = {"torch": torch.__version__, "transformers": transformers.__version__}
    return Contender(run, {"parameters": sum(p.numel() for p in block.parameters()), **versions})
