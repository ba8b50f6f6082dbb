"""Compiles published codecs for a TPU that need not be there, and writes the memory each takes into README.md.

    TPU_LIBRARY_PATH=... python experiments/codecs/memory.py                            # all of CODECS, at both sizes
    TPU_LIBRARY_PATH=... python experiments/codecs/memory.py JanusVQVAE@1024@decode     # one figure, the others kept

One picture, bfloat16, one chip of TPU v5e, which has 16 GiB. Weights of the published sizes, by shape alone.
"""

import os
import sys
import time
from pathlib import Path

os.environ["TPU_SKIP_MDS_QUERY"] = "1"  # there is no TPU to ask
os.environ["JAX_PLATFORMS"] = "cpu"

import jax
import jax.numpy as jnp
import numpy as np
from jax.experimental import topologies
from jax.sharding import Mesh, NamedSharding, PartitionSpec

from unified_jax.bench import published
from unified_jax.bench.components import values_of
from unified_jax.core.rows import merge_rows
from unified_jax.models.pretrained import build_component

HERE = Path(__file__).parent
CHIP, SIDES, WAYS, GIB = "v5e:2x2", (512, 1024), ("encode", "decode"), 2**30
CODES, LATENTS = ("encode", "decode"), ("latents", "draw")
STABLE_DIFFUSION = published.stable_diffusion(128)
FLUX = STABLE_DIFFUSION | {"latent_channels": 16, "use_quant_conv": False, "use_post_quant_conv": False}
WAN = {
    "_class_name": "AutoencoderKLWan",
    "base_dim": 96,
    "dim_mult": [1, 2, 4, 4],
    "num_res_blocks": 2,
    "temperal_downsample": [False, True, True],
    "z_dim": 16,
    "latents_mean": [0.0] * 16,
    "latents_std": [1.0] * 16,
}
# By what the table calls them: the config, and the two ways through.
CODECS = {
    "AutoencoderKL, Stable Diffusion": (STABLE_DIFFUSION, LATENTS),
    "AutoencoderKL, FLUX": (FLUX, LATENTS),
    "AutoencoderDC, Sana": (published.deep(128), LATENTS),
    "AutoencoderKLWan, one frame": (WAN, LATENTS),
    "JanusVQVAE": (published.janus(128), CODES),
    "Emu3VQVAE": (published.emu3(256), CODES),
}


def compile_way(name: str, side: int, way: str) -> dict:
    """One way of one codec at one size of picture -> a row: bytes of scratch, and seconds of compilation."""
    config, (there, back) = CODECS[name]
    component = build_component(config, dtype="bfloat16")
    picture = jax.ShapeDtypeStruct((1, side, side, 3), jnp.float32)
    method, given = {"encode": (there, picture), "decode": (back, values_of(component, side, method=there))}[way]
    chips = topologies.get_topology_desc(platform="tpu", topology_name=CHIP).devices
    mesh, whole = Mesh(np.array(chips[:1]), ("data",)), PartitionSpec()
    place = lambda x, dtype: jax.ShapeDtypeStruct(x.shape, dtype, sharding=NamedSharding(mesh, whole))
    params = jax.tree.map(lambda x: place(x, jnp.bfloat16), component.shapes())
    run = lambda params, x: component.apply(params, x, method=method)
    run = jax.shard_map(run, mesh=mesh, in_specs=whole, out_specs=whole, check_vma=False)  # kernels ask it for the chip
    start = time.perf_counter()
    memory = jax.jit(run).lower(params, place(given, given.dtype)).compile().memory_analysis()
    return {
        "name": f"{name}@{side}@{way}",
        "codec": name,
        "parameters": sum(x.size for x in jax.tree.leaves(params)),
        "chip": CHIP,
        "temporary_bytes": memory.temp_size_in_bytes,
        "compile_s": round(time.perf_counter() - start, 1),
    }


def table(rows: list[dict]) -> str:
    """One line for each codec: gibibytes of scratch of both ways at both sizes."""
    found = {row["name"]: row for row in rows}
    columns = [(side, way) for side in SIDES for way in WAYS]
    heads = ["codec", "parameters", *(f"{way} {side}²" for side, way in columns)]
    lines = [f"| {' | '.join(heads)} |", "|---" * len(heads) + "|"]
    for codec in CODECS:
        made = [found.get(f"{codec}@{side}@{way}") for side, way in columns]
        if any(made):
            count = next(row["parameters"] for row in made if row) / 1e6
            cells = ["" if row is None else f"{row['temporary_bytes'] / GIB:.2f}" for row in made]
            lines.append(f"| {' | '.join([codec, f'{count:.1f} M', *cells])} |")
    return "\n".join(lines)


def write_table(rows: list[dict], readme: Path) -> None:
    """Between the two marks of the README."""
    begin, end = "<!-- memory -->", "<!-- /memory -->"
    before, _, rest = readme.read_text().partition(begin)
    _, _, after = rest.partition(end)
    readme.write_text(f"{before}{begin}\n{table(rows)}\n{end}{after}")


def main() -> None:
    """Compiles what is named, or everything."""
    every = [f"{name}@{side}@{way}" for name in CODECS for side in SIDES for way in WAYS]
    for target in sys.argv[1:] or every:
        name, side, way = target.split("@")
        row = compile_way(name, int(side), way)
        write_table(merge_rows(HERE / "memory.json", [row]), HERE / "README.md")
        print(row, flush=True)


if __name__ == "__main__":
    main()
