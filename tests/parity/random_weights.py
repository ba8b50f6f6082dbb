"""Weights of references: random in every parameter, so that none is without effect."""

from collections.abc import Callable

import torch


def redraw(model: torch.nn.Module, size: Callable[[torch.Tensor], float]) -> torch.nn.Module:
    """The model in float32 for inference, its parameters and measured statistics drawn anew, always the same.

    size: of the noise that a tensor becomes. What is constant at first (norms, biases) is moved off it a little.
    """
    torch.manual_seed(0)
    model = model.float().eval()
    statistics = [buffer for name, buffer in model.named_buffers() if "running" in name]
    with torch.no_grad():
        for weight in [*model.parameters(), *statistics]:
            noise = torch.randn_like(weight)
            constant = (weight == weight.flatten()[0]).all()
            weight.add_(0.1 * noise) if constant else weight.copy_(size(weight) * noise)
    return model


def keeping_scale(weight: torch.Tensor) -> float:
    """Of noise that keeps the size of what it is multiplied with."""
    return max(weight[0].numel(), 1) ** -0.5 if weight.ndim > 1 else 0.1
