"""Our side of the benchmarks of denoisers: a prediction, and a training step of a flow."""

from collections.abc import Mapping
from pathlib import Path
from typing import Any

import jax
import jax.numpy as jnp
import numpy as np
import optax

from unified_jax.bench.contender import Contender
from unified_jax.models.pretrained import build_component, save_pretrained
from unified_jax.models.published import Component
from unified_jax.nn.condition import Told


def predict(*, folder: Path, config: Mapping[str, Any], rows: int, side: int, text: int) -> Contender:
    """One prediction of a published denoiser. Leaves fresh weights, as published, and inputs in ``folder``."""
    component, params, latents, told = _prepare(folder, config, rows, side, text)
    apply = jax.jit(component.apply)
    run = lambda: np.asarray(jax.block_until_ready(apply(params, latents, told)))
    return Contender(run, _facts(params))


def train(*, folder: Path, config: Mapping[str, Any], rows: int, side: int, text: int) -> Contender:
    """Forward, backward and AdamW of a squared error; gives the loss. Leaves in ``folder`` what ``predict`` does."""
    component, params, latents, told = _prepare(folder, config, rows, side, text)
    tx = optax.adamw(1e-3, b1=0.9, b2=0.95, eps=1e-8, weight_decay=0.0)

    def loss(params):
        predicted = component.apply(params, latents, told)[..., : latents.shape[-1]]
        return jnp.mean((predicted - latents) ** 2)

    @jax.jit
    def step(params, moments):
        value, grads = jax.value_and_grad(loss)(params)
        updates, moments = tx.update(grads, moments, params)
        return optax.apply_updates(params, updates), moments, value

    state = [(params, tx.init(params))]

    def run() -> np.ndarray:
        *state[0], value = jax.block_until_ready(step(*state[0]))
        return np.asarray(value)

    return Contender(run, _facts(params))


def _prepare(
    folder: Path, config: Mapping[str, Any], rows: int, side: int, text: int
) -> tuple[Component, Any, jax.Array, Told]:
    """Weights that are nowhere zero, and one noise level for all rows."""
    component = build_component(config)
    rng = np.random.default_rng(0)
    draw = lambda x: jnp.asarray(rng.normal(size=x.shape) / np.sqrt(max(np.prod(x.shape[:-1]), 16)), x.dtype)
    params = jax.tree.map(draw, component.shapes())
    save_pretrained(folder, component, params)
    latents, given = component.inputs
    normal = lambda *shape: rng.normal(size=shape).astype(np.float32)
    made = {
        "latents": normal(rows, side, side, latents.shape[-1]),
        "time": np.full(rows, 0.25, np.float32),
    }
    if given.label is not None:
        made["label"] = rng.integers(0, 1000, rows).astype(np.int32)
    if given.text is not None:
        made["text"] = normal(rows, text, given.text.shape[-1])
    if given.pooled is not None:
        made["pooled"] = normal(rows, given.pooled.shape[-1])
    np.savez(folder / "inputs.npz", **made)
    made = {name: jnp.asarray(x) for name, x in made.items()}
    return component, params, made.pop("latents"), Told(**made)


def _facts(params: Any) -> dict[str, int]:
    return {"parameters": sum(x.size for x in jax.tree.leaves(params))}
