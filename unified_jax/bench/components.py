"""Our side of the benchmarks of codecs and encoders: published networks with fresh weights, forward alone."""

import dataclasses
from collections.abc import Mapping
from pathlib import Path
from typing import Any

import jax
import jax.numpy as jnp
import numpy as np

from unified_jax.bench.contender import Contender
from unified_jax.models import lm
from unified_jax.models.pretrained import build_component, save_pretrained
from unified_jax.models.published import Component


def encode(*, folder: Path, config: Mapping[str, Any], side: int) -> Contender:
    """One picture -> codes, or the moments of its latents. Leaves weights and the picture in ``folder``."""
    return _forward(folder, build_component(config), _picture(side), method="encode")


def decode(*, folder: Path, config: Mapping[str, Any], side: int) -> Contender:
    """Random codes or latents of one picture -> its pixels. Leaves weights and values in ``folder``."""
    component = build_component(config)
    like = values_of(component, side)
    if jnp.issubdtype(like.dtype, jnp.integer):
        return _forward(folder, component, _ids(like.shape, component.module.codes), method="decode")
    latents = np.random.default_rng(0).normal(size=like.shape).astype(np.float32)
    return _forward(folder, component, latents, method="decode")


def values_of(component: Component, side: int, *, method: str = "encode") -> jax.ShapeDtypeStruct:
    """Shape and type of the codes, or of the latents, of one picture."""
    picture = jax.ShapeDtypeStruct((1, side, side, 3), jnp.float32)
    encode = lambda params, pixels: component.apply(params, pixels, method=method)
    return jax.tree.leaves(jax.eval_shape(encode, component.shapes(), picture))[0]


def look(*, folder: Path, config: Mapping[str, Any], side: int) -> Contender:
    """One picture -> states of an encoder. Leaves weights and the picture in ``folder``."""
    return _forward(folder, _unrolled(build_component(config)), _picture(side))


def read(*, folder: Path, config: Mapping[str, Any], length: int) -> Contender:
    """One text -> states of an encoder. Leaves weights and ids in ``folder``."""
    return _forward(folder, _unrolled(build_component(config)), _ids((1, length), config["vocab_size"]))


def _forward(folder: Path, component: Component, given: np.ndarray, *, method: str = "__call__") -> Contender:
    blank = jax.tree.map(lambda x: jnp.zeros(x.shape, x.dtype), list(component.inputs))
    params = jax.jit(component.module.init)(jax.random.key(0), *blank)["params"]
    save_pretrained(folder, component, params)
    np.save(folder / "given.npy", given)
    forward = jax.jit(lambda params, x: component.apply(params, x, method=method))

    def run() -> list[np.ndarray]:
        return [np.asarray(x).ravel() for x in jax.tree.leaves(forward(params, given))]

    return Contender(run, {"parameters": sum(x.size for x in jax.tree.leaves(params))})


def _unrolled(component: Component) -> Component:
    """The encoder with its layers one after another, which is quicker on CPU."""
    stack = component.module.stack
    module = component.module.clone(stack=lm.computed(stack, unroll=stack.depth))
    return dataclasses.replace(component, module=module)


def _picture(side: int) -> np.ndarray:
    return np.random.default_rng(0).uniform(-1, 1, (1, side, side, 3)).astype(np.float32)


def _ids(shape: tuple[int, ...], count: int) -> np.ndarray:
    return np.random.default_rng(0).integers(0, count, shape).astype(np.int32)
