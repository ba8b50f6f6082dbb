"""VAR's tokenizer against outputs of its official code (``tests/families/data/var``), from its own file of weights."""

import json
import shutil
from functools import partial
from pathlib import Path

import jax
import jax.numpy as jnp
import numpy as np
from difference import worst_relative
from safetensors.numpy import load_file

import unified_jax as uj
from unified_jax.core.files import read_json
from unified_jax.interop.torch_file import open_torch_file

DATA = Path(__file__).parents[1] / "families" / "data" / "var"
TOLERANCE = 1e-4


def test_codes_sums_and_pixels_agree_and_the_tensors_are_written_back(tmp_path, record_parity):
    config = {"model_type": "var_vae", **read_json(DATA / "config.json")["vae"]}
    (tmp_path / "config.json").write_text(json.dumps(config))
    shutil.copy(DATA / "vae.pth", tmp_path)
    component, params = uj.from_pretrained(tmp_path)
    with np.load(DATA / "reference.npz") as arrays:
        want = dict(arrays)
    counts = np.square(config["v_patch_nums"])

    def network(module, pixels):
        drawn, quantised = module(pixels)
        # Codes of the first scales alone: what later ones add is left out.
        grids = jnp.split(quantised.codes, np.cumsum(counts)[:-1], 1)
        added = [
            module.quantiser._detail(grid.reshape(2, side, side), k)
            for k, (grid, side) in enumerate(zip(grids, config["v_patch_nums"]))
        ]
        return module.latents(pixels), quantised.codes, jnp.cumsum(jnp.stack(added), 0), drawn

    pixels = jnp.asarray(want["vae_pixels"].transpose(0, 2, 3, 1))
    run = jax.jit(partial(component.module.apply, method=network))
    latent, codes, sums, drawn = map(np.asarray, run({"params": params}, pixels))
    np.testing.assert_array_equal(codes, want["vae_codes"])
    channels_first = lambda x: np.moveaxis(x, -1, -3)
    worst = max(
        worst_relative(channels_first(latent), want["vae_latent"]),
        worst_relative(channels_first(sums), want["vae_sums"]),
        worst_relative(channels_first(drawn.clip(-1, 1)), want["vae_reconstruction"]),
    )
    record_parity(
        "family:var-tokenizer",
        reference="FoundationVision/VAR 78b95394",
        what="latents, sums after each of 5 scales, and reconstruction of two pictures; 132 codes, all the same",
        worst_relative=worst,
        tolerance=TOLERANCE,
    )
    assert worst <= TOLERANCE and len(np.unique(codes)) > 5

    uj.save_pretrained(tmp_path / "again", component, params)
    published, written = open_torch_file(DATA / "vae.pth"), load_file(tmp_path / "again" / "vae.safetensors")
    assert set(published) - set(written) == {"quantize.ema_vocab_hit_SV"}
    for name, values in written.items():
        np.testing.assert_array_equal(values, published[name].read())
