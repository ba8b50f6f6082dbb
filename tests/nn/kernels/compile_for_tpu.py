"""Compiles forward and backward of the TPU kernel for each chip@length named, and prints a line of JSON for each.

python tests/nn/kernels/compile_for_tpu.py --chips v5e:2x2 v6e:2x2 --lengths 8192 32768
"""

import json
import os
import sys
import time

os.environ["TPU_SKIP_MDS_QUERY"] = "1"  # there is no TPU to ask
os.environ["JAX_PLATFORMS"] = "cpu"

import jax
import jax.numpy as jnp
from jax.experimental import topologies
from jax.sharding import NamedSharding, PartitionSpec

from unified_jax.core.sequence import Slots
from unified_jax.nn.kernels import flash_tpu

HEADS, GROUPS, CHANNELS = 8, 2, 128


def value_and_gradients(q, k, v, slots, window, weight):
    """A layer of soft-capped local attention, by arrays alone."""
    call = lambda *x: (
        flash_tpu.attend(*x, query=slots, key=slots, scale=CHANNELS**-0.5, softcap=50.0, window=window[0]).out
    )
    out, pull = jax.vjp(call, q, k, v)
    return out, pull(weight)


def compile_for(chip: str, *, length: int) -> dict:
    """One row of ``length`` slots on every device of the slice."""
    devices = topologies.get_topology_desc(platform="tpu", topology_name=chip)
    rows = len(devices.devices)
    mesh = topologies.make_mesh(devices, (rows,), ("data",))
    sharding = NamedSharding(mesh, PartitionSpec("data"))
    array = lambda dtype, *shape: jax.ShapeDtypeStruct((rows, *shape), dtype, sharding=sharding)
    q, k = array(jnp.bfloat16, length, HEADS, CHANNELS), array(jnp.bfloat16, length, GROUPS, CHANNELS)
    ids = array(jnp.int32, length)
    slots = Slots(ids, ids, array(jnp.bool_, length), array(jnp.int32, length, 3))
    spec = PartitionSpec("data")
    step = jax.shard_map(value_and_gradients, mesh=mesh, in_specs=spec, out_specs=spec, check_vma=False)
    start = time.perf_counter()
    compiled = jax.jit(step).lower(q, k, k, slots, array(jnp.int32), q).compile()
    memory = compiled.memory_analysis()
    return {
        "chip": chip,
        "length": length,
        "temporary_bytes": memory.temp_size_in_bytes,
        "array_bytes": memory.argument_size_in_bytes + memory.output_size_in_bytes,
        "compile_s": round(time.perf_counter() - start, 1),
    }


def main() -> None:
    for target in sys.argv[1:]:
        chip, length = target.split("@")
        try:
            print(json.dumps(compile_for(chip, length=int(length))), flush=True)
        except jax.errors.JaxRuntimeError as error:
            if "lockfile" not in str(error):
                raise
            sys.exit(
                "another process holds libtpu (see `fuser /tmp/libtpu_lockfile`), and only one may at a time: "
                "wait for it, or start what needs no TPU with JAX_PLATFORMS=cpu"
            )


if __name__ == "__main__":
    main()
