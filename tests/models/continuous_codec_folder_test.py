"""Folders of published continuous codecs: of earlier releases, damaged, of another network, or unknown in a part."""

import json

import jax
import numpy as np
import pytest
from safetensors.numpy import load_file, save_file
from tiny_codecs import DEEP, KL, WAN

from unified_jax.models.pretrained import build_component, from_pretrained, save_pretrained

WEIGHTS = "diffusion_pytorch_model.safetensors"


def written(folder, config: dict):
    """A folder of random weights as diffusers would have written it."""
    component = build_component(config)
    rng = np.random.default_rng(0)
    params = jax.tree.map(lambda x: rng.normal(size=x.shape).astype(np.float32), component.shapes())
    save_pretrained(folder, component, params)
    return params


def refused(folder, match: str) -> None:
    with pytest.raises(ValueError, match=match) as error:
        from_pretrained(folder)
    assert "Traceback" not in str(error.value)


@pytest.mark.parametrize("config", [KL, WAN, DEEP], ids=lambda config: config["_class_name"])
def test_damaged_and_foreign_weights_are_refused(config, tmp_path):
    params = written(tmp_path, config)
    data = (tmp_path / WEIGHTS).read_bytes()
    (tmp_path / WEIGHTS).write_bytes(data[: len(data) // 2])
    refused(tmp_path, "truncated, damaged or not a safetensors file")
    (tmp_path / WEIGHTS).write_bytes(data)
    other = KL | dict(layers_per_block=2) if config is not KL else WAN
    (tmp_path / "config.json").write_text(json.dumps(other))
    refused(tmp_path, "does not fit this model")
    component = build_component(config)
    params["encoder"]["out"]["kernel"].flat[0] = np.nan
    save_pretrained(tmp_path, component, params)
    refused(tmp_path, "encoder.conv_out.weight holds NaN or infinity")
    (tmp_path / WEIGHTS).rename(tmp_path / "diffusion_pytorch_model.bin")
    refused(tmp_path, "pickled weights can run code")


def test_files_of_stable_diffusions_first_releases_are_read_under_todays_names(tmp_path):
    params = written(tmp_path, KL)
    names = {"to_q": "query", "to_k": "key", "to_v": "value", "to_out.0": "proj_attn"}
    tensors = load_file(tmp_path / WEIGHTS)
    for today, former in names.items():
        tensors = {name.replace(f".{today}.", f".{former}."): tensor for name, tensor in tensors.items()}
    assert sum(".proj_attn." in name for name in tensors) == 4
    save_file(tensors, tmp_path / WEIGHTS)
    _, again = from_pretrained(tmp_path)
    jax.tree.map(np.testing.assert_array_equal, again, params)


@pytest.mark.parametrize(
    "config,younger",
    [
        (KL | dict(scaling_factor=0.18215), {"scaling_factor"}),
        (DEEP, {"encoder_out_shortcut", "decoder_in_shortcut"}),
    ],
)
def test_a_config_older_than_a_field_is_read_as_the_reference_does(config, younger):
    old = build_component({key: value for key, value in config.items() if key not in younger})
    new = build_component(config)
    assert old.module.scale == new.module.scale and old.shapes() == new.shapes()


def test_half_precision_files_are_read_where_there_is_nothing_else(tmp_path):
    params = written(tmp_path, KL)
    tensors = {name: tensor.astype(np.float16) for name, tensor in load_file(tmp_path / WEIGHTS).items()}
    (tmp_path / WEIGHTS).unlink()
    save_file(tensors, tmp_path / "diffusion_pytorch_model.fp16.safetensors")
    half = lambda x: x.astype(np.float16).astype(np.float32)
    jax.tree.map(lambda x, y: np.testing.assert_array_equal(x, half(y)), from_pretrained(tmp_path)[1], params)
    save_file(tensors, tmp_path / "diffusion_pytorch_model.ema.safetensors")
    refused(tmp_path, "model.ema.safetensors and diffusion_pytorch_model.fp16.safetensors; keep one of them")


def test_a_pipelines_folder_names_its_networks(tmp_path):
    (tmp_path / "vae").mkdir()
    written(tmp_path / "vae", KL)
    with pytest.raises(FileNotFoundError, match="of its folders, these have one: vae"):
        from_pretrained(tmp_path)


def test_latents_are_scaled_as_the_pipelines_do():
    z = np.array([[1.0, 3.0]], np.float32)
    scale = lambda **fields: build_component(KL | fields).module.scale
    np.testing.assert_allclose(scale().standardise(z), z * 0.5)
    np.testing.assert_allclose(scale(shift_factor=0.25).standardise(z), (z - 0.25) * 0.5)
    both = scale(latents_mean=[1.0, 2.0], latents_std=[4.0, 8.0])
    np.testing.assert_allclose(both.standardise(z), (z - [1, 2]) * 0.5 / [4, 8])
    np.testing.assert_allclose(both.restore(both.standardise(z)), z, rtol=1e-6)


@pytest.mark.parametrize(
    "config,match",
    [
        (KL | dict(act_fn="gelu"), "act_fn 'gelu'; known is 'silu'"),
        (KL | dict(up_block_types=["UpBlock2D"] * 2), "block type 'UpBlock2D'; known are Up"),
        (DEEP | dict(downsample_block_type="pool"), "downsample_block_type 'pool'; known are pixel_unshuffle"),
        (DEEP | dict(decoder_norm_types="layer_norm"), "decoder_norm_types 'layer_norm'; known are rms_norm"),
        (DEEP | dict(decoder_block_types=["ResBlock", "Mamba"]), "decoder_block_types 'Mamba'; known are ResBlock"),
        (DEEP | dict(encoder_layers_per_block=[1, 0]), r"encoder_layers_per_block \[1, 0\]: only the first level"),
        (DEEP | dict(encoder_out_shortcut=False), "encoder_out_shortcut and decoder_in_shortcut must be true"),
        ({key: value for key, value in WAN.items() if key != "z_dim"}, "has no 'z_dim'; no default is assumed"),
    ],
)
def test_a_config_that_names_what_is_not_known_is_refused_in_one_line(config, match):
    with pytest.raises(ValueError, match=match) as error:
        build_component(config)
    assert "\n" not in str(error.value)
