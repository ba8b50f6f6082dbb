"""Folders of published codecs that are damaged, of another network, or name what is not known: one clear line each."""

import json

import jax
import jax.numpy as jnp
import numpy as np
import pytest
from safetensors.numpy import load_file, save_file

from unified_jax.models.pretrained import build_component, from_pretrained, save_pretrained

CONFIG = dict(
    _class_name="VQModel",
    act_fn="silu",
    block_out_channels=[4, 8],
    down_block_types=["DownEncoderBlock2D", "AttnDownEncoderBlock2D"],
    in_channels=3,
    latent_channels=2,
    layers_per_block=1,
    norm_num_groups=2,
    norm_type="group",
    num_vq_embeddings=10,
    out_channels=3,
    up_block_types=["AttnUpDecoderBlock2D", "UpDecoderBlock2D"],
    vq_embed_dim=None,
)
WEIGHTS = "diffusion_pytorch_model.safetensors"


@pytest.fixture
def folder(tmp_path):
    """A folder of random weights as diffusers would have written it."""
    component = build_component(CONFIG)
    rng = np.random.default_rng(0)
    params = jax.tree.map(lambda x: rng.normal(size=x.shape).astype(np.float32), component.shapes())
    save_pretrained(tmp_path, component, params)
    return tmp_path


def refused(folder, match: str) -> None:
    with pytest.raises(ValueError, match=match):
        from_pretrained(folder)


def change(folder, **fields) -> None:
    (folder / "config.json").write_text(json.dumps(CONFIG | fields))


def test_it_reads_what_it_wrote(folder):
    component, params = from_pretrained(folder)
    assert component.apply(params, jnp.zeros((1, 6, 4, 3)), method="encode").shape == (1, 3, 2)


VQ = dict(model_type="janus_vqgan", base_channels=32, channel_multiplier=[1, 2], num_res_blocks=1, latent_channels=4)


@pytest.mark.parametrize("before", ["vqmodel.", "model.vqmodel."])
def test_it_is_read_out_of_the_files_of_a_whole_model(before, tmp_path):
    component = build_component(VQ)
    rng = np.random.default_rng(0)
    params = jax.tree.map(lambda x: rng.normal(size=x.shape).astype(np.float32), component.shapes())
    save_pretrained(tmp_path, component, params)
    tensors = {before + name: x for name, x in load_file(tmp_path / "model.safetensors").items()}
    save_file(tensors | {"lm_head.weight": np.zeros((2, 2), np.float32)}, tmp_path / "model.safetensors")
    (tmp_path / "config.json").write_text(json.dumps({"model_type": "several_networks", "vq_config": VQ}))
    jax.tree.map(np.testing.assert_array_equal, from_pretrained(tmp_path, part="vq_config")[1], params)
    refused(tmp_path, "a 'several_networks' checkpoint holds several networks; choose part='vq_config'")


def test_a_truncated_file(folder):
    data = (folder / WEIGHTS).read_bytes()
    (folder / WEIGHTS).write_bytes(data[: len(data) // 2])
    refused(folder, f"{WEIGHTS}")


def test_weights_of_another_size(folder):
    change(folder, latent_channels=3)
    refused(folder, "does not fit this model")


def test_weights_of_another_depth(folder):
    change(folder, layers_per_block=2)
    refused(folder, "tensors that are missing")


def test_weights_with_nan(folder):
    component, params = from_pretrained(folder)
    params["encoder"]["in"]["kernel"] = params["encoder"]["in"]["kernel"].at[0].set(np.nan)
    save_pretrained(folder, component, params)
    refused(folder, "encoder.conv_in.weight holds NaN or infinity")


def test_pickled_weights_only(folder):
    (folder / WEIGHTS).rename(folder / "diffusion_pytorch_model.bin")
    with pytest.raises((ValueError, FileNotFoundError), match="diffusion_pytorch_model.bin"):
        from_pretrained(folder)


@pytest.mark.parametrize(
    "fields,match",
    [
        (dict(_class_name="AutoencoderOfTheFuture"), "AutoencoderOfTheFuture"),
        (dict(norm_type="layer"), "norm_type 'layer'; known are group, spatial"),
        (dict(act_fn="gelu"), "act_fn 'gelu'"),
        (dict(down_block_types=["DownBlock2D", "DownEncoderBlock2D"]), "block type 'DownBlock2D'; known are Down"),
    ],
)
def test_a_config_that_names_what_is_not_known(folder, fields, match):
    change(folder, **fields)
    refused(folder, match)


def test_a_config_without_a_field(folder):
    (folder / "config.json").write_text(json.dumps({k: v for k, v in CONFIG.items() if k != "latent_channels"}))
    refused(folder, "has no 'latent_channels'; no default is assumed")
