"""Compiles a prediction, and a training step, of published denoisers for one TPU chip, and prints a line of JSON each.

    python -m experiments.denoisers.compile_for_tpu dit-xl-2@256:8:predict sd3-medium@1024:2:predict

There need be no TPU: libtpu compiles for a named one. Parameters and inputs are shapes. A target is
name@pixels:batch:work, work being predict or train, and after one more colon the rematerialisation policy, if any.
"""

import json
import os
import sys
import time

os.environ["TPU_SKIP_MDS_QUERY"] = "1"  # there is no TPU to ask
os.environ["JAX_PLATFORMS"] = "cpu"

import jax
import jax.numpy as jnp
import numpy as np
from jax.experimental import topologies
from jax.sharding import Mesh, NamedSharding, PartitionSpec

from unified_jax.models.denoisers.computed import computed
from unified_jax.models.pretrained import build_component
from unified_jax.nn.condition import Told

CHIP = "v5e:2x2"  # the smallest slice that has a name; one of its chips is compiled for
FACTOR = 8  # pixels of a place of the latents
SD3 = dict(num_layers=24, num_attention_heads=24, caption_projection_dim=1536, pos_embed_max_size=192)
CONFIGS = {
    "dit-xl-2": dict(_class_name="DiTTransformer2DModel", out_channels=8),
    "sd3-medium": dict(_class_name="SD3Transformer2DModel", **SD3),
}
TEXT = 333  # 77 slots of CLIP and 256 of T5


def told(component, batch: int) -> Told:
    """What the denoiser reads, as shapes."""
    given = component.inputs[1]
    shape = lambda name: (batch, *((TEXT,) if name == "text" else ()), *getattr(given, name).shape[-1:])
    make = lambda name, x: jax.ShapeDtypeStruct((batch,) if x.ndim == 1 else shape(name), x.dtype)
    return Told(**{name: make(name, x) for name, x in vars(given).items() if x is not None})


def compile_for(name: str, *, pixels: int, batch: int, work: str, remat: str) -> dict:
    """work: "predict", in bfloat16, or "train", with float32 parameters and AdamW's two moments."""
    component = computed(build_component(CONFIGS[name], dtype=jnp.bfloat16), attention="flash_tpu", remat=remat)
    device = topologies.get_topology_desc(platform="tpu", topology_name=CHIP).devices[0]
    mesh = Mesh(np.array([device]), ("data",))
    sharding = NamedSharding(mesh, PartitionSpec())
    stored = jnp.bfloat16 if work == "predict" else jnp.float32
    put = lambda dtype: lambda x: jax.ShapeDtypeStruct(x.shape, dtype or x.dtype, sharding=sharding)
    params = jax.tree.map(put(stored), component.shapes())
    side, channels = pixels // FACTOR, component.inputs[0].shape[-1]
    latents = put(jnp.float32)(jax.ShapeDtypeStruct((batch, side, side, channels), jnp.float32))
    given = jax.tree.map(put(None), told(component, batch))
    start = time.perf_counter()
    with jax.set_mesh(mesh):  # so that kernels know the chip
        if work == "predict":
            lowered = jax.jit(component.apply).lower(params, latents, given)
        else:
            step = jax.jit(_step(component.apply), donate_argnums=(0, 1, 2))
            lowered = step.lower(params, params, params, latents, given)
        memory = lowered.compile().memory_analysis()
    return {
        "name": name,
        "pixels": pixels,
        "batch": batch,
        "work": work,
        "arrays_GiB": round(memory.argument_size_in_bytes / 2**30, 2),
        "temporary_GiB": round(memory.temp_size_in_bytes / 2**30, 2),
        "compile_s": round(time.perf_counter() - start, 1),
    }


def _step(predict):
    """One step of AdamW on the mean square of what is predicted."""

    def loss(params, latents, given):
        y = predict(params, latents, given)[..., : latents.shape[-1]]
        return jnp.mean((y - latents) ** 2)

    def step(params, first, second, latents, given):
        grads = jax.grad(loss)(params, latents, given)
        first = jax.tree.map(lambda m, g: 0.9 * m + 0.1 * g, first, grads)
        second = jax.tree.map(lambda v, g: 0.95 * v + 0.05 * g * g, second, grads)
        update = lambda p, m, v: p - 1e-4 * m / (jnp.sqrt(v) + 1e-8)
        return jax.tree.map(update, params, first, second), first, second

    return step


def main() -> None:
    """One line for each target."""
    for target in sys.argv[1:]:
        name, size = target.split("@")
        pixels, batch, work, *remat = size.split(":")
        row = compile_for(name, pixels=int(pixels), batch=int(batch), work=work, remat=(*remat, "none")[0])
        print(json.dumps(row), flush=True)


if __name__ == "__main__":
    main()
