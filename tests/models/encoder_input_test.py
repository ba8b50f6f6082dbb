"""What people get wrong with published encoders: one clear line each, and nothing read in silence."""

import json
import pickle

import jax
import numpy as np
import pytest
from safetensors.numpy import load_file, save_file

from unified_jax.core.pictures import pack_pictures
from unified_jax.models.pretrained import build_component, from_pretrained, save_pretrained

SMALL = {
    "hidden_size": 16,
    "intermediate_size": 24,
    "num_hidden_layers": 2,
    "num_attention_heads": 2,
    "image_size": 8,
    "patch_size": 4,
}
CLIP = SMALL | {"model_type": "clip_vision_model"}
TEXT = {"model_type": "t5", "vocab_size": 20, "d_model": 8, "d_kv": 4, "d_ff": 8, "num_layers": 1, "num_heads": 2}


@pytest.fixture
def folder(tmp_path):
    component = build_component(CLIP)
    params = component.module.init(jax.random.key(0), np.zeros((1, 8, 8, 3), np.float32))["params"]
    save_pretrained(tmp_path, component, params)
    return tmp_path


def one_line(error) -> str:
    assert "\n" not in str(error.value)
    return str(error.value)


def test_a_file_cut_short(folder):
    path = folder / "model.safetensors"
    path.write_bytes(path.read_bytes()[:-100])
    with pytest.raises(ValueError, match="model.safetensors") as error:
        from_pretrained(folder)
    assert "truncated" in one_line(error)


def test_weights_of_another_architecture(folder):
    config = SMALL | {"model_type": "siglip_vision_model"}
    (folder / "config.json").write_text(json.dumps(config))
    with pytest.raises(ValueError) as error:
        from_pretrained(folder)
    lines = str(error.value).splitlines()
    assert lines[0].endswith("does not fit this model:") and len(lines) < 8
    assert "pre_layrnorm.weight" in str(error.value) and "embeddings.patch_embedding.bias" in str(error.value)


def test_a_pickle_is_not_opened(folder):
    (folder / "model.safetensors").unlink()
    (folder / "pytorch_model.bin").write_bytes(pickle.dumps({}))
    with pytest.raises(ValueError, match="pickled weights can run code"):
        from_pretrained(folder)


def test_weights_that_are_not_numbers(folder):
    path = folder / "model.safetensors"
    tensors = load_file(path)
    tensors["embeddings.class_embedding"][3] = np.nan
    save_file(tensors, path)
    with pytest.raises(ValueError, match="embeddings.class_embedding") as error:
        from_pretrained(folder)
    one_line(error)


@pytest.mark.parametrize(
    ("config", "message"),
    [
        ({"model_type": "vitmatte"}, "unknown model_type 'vitmatte'"),
        (CLIP | {"patch_size": [4, 2]}, r"patch_size \[4, 2\]"),
        (CLIP | {"hidden_act": "star"}, "unknown activation 'star'"),
        ({"model_type": "blip_2_qformer", "use_qformer_text_input": True}, "use_qformer_text_input"),
        (TEXT | {"feed_forward_proj": "open-gelu"}, "feed_forward_proj 'open-gelu'"),
    ],
)
def test_configs_that_are_not_known(config, message):
    with pytest.raises(ValueError, match=message) as error:
        build_component(config)
    one_line(error)


def test_a_picture_that_is_not_whole_patches(folder):
    component, params = from_pretrained(folder)
    with pytest.raises(ValueError, match="image of 8x9 pixels: both sides must be positive multiples of 4"):
        component.apply(params, np.zeros((1, 9, 8, 3), np.float32))


def test_siglip_reads_its_published_size_where_that_is_not_whole_patches():
    component = build_component(SMALL | {"model_type": "siglip_vision_model", "image_size": 10})
    params = component.module.init(jax.random.key(0), np.zeros((1, 8, 8, 3), np.float32))["params"]
    pixels = np.random.default_rng(0).normal(size=(1, 10, 10, 3)).astype(np.float32)
    read, cut = component.apply(params, pixels), component.apply(params, pixels[:, :8, :8])
    np.testing.assert_array_equal(read.states, cut.states)
    with pytest.raises(ValueError, match="image of 8x9 pixels: both sides must be positive multiples of 4"):
        component.apply(params, pixels[:, :9, :8])


def test_patches_cannot_hide_where_there_is_no_mask_token(folder):
    component, params = from_pretrained(folder)
    with pytest.raises(ValueError, match="no mask token"):
        component.apply(params, np.zeros((1, 8, 8, 3), np.float32), np.ones((1, 4), bool))


def test_pictures_too_large_for_a_row():
    with pytest.raises(ValueError, match="pictures of 8 patches do not fit a row of 7"):
        pack_pictures([[np.zeros((8, 8, 3), np.float32)] * 2], size=4, capacity=7)


def test_a_text_longer_than_its_positions():
    component = build_component(SMALL | {"model_type": "clip_text_model", "max_position_embeddings": 5})
    with pytest.raises(ValueError, match="a text of 6 ids is longer than the 5 positions"):
        component.module.init(jax.random.key(0), np.zeros((1, 6), np.int32))


def test_the_decoder_of_a_whole_t5_is_left_aside(tmp_path):
    component = build_component(TEXT)
    params = component.module.init(jax.random.key(0), np.zeros((1, 3), np.int32))["params"]
    save_pretrained(tmp_path, component, params)
    path = tmp_path / "model.safetensors"
    tensors = load_file(path)
    more = {"decoder.final_layer_norm.weight": np.ones(8, np.float32), "lm_head.weight": np.ones((20, 8), np.float32)}
    save_file(tensors | more | {"encoder.embed_tokens.weight": tensors["shared.weight"]}, path)
    jax.tree.map(np.testing.assert_array_equal, from_pretrained(tmp_path)[1], params)


def test_bfloat16_computes_nearly_the_same(folder):
    component, params = from_pretrained(folder)
    coarse, _ = from_pretrained(folder, dtype="bfloat16")
    x = np.random.default_rng(0).normal(size=(2, 12, 8, 3)).astype(np.float32)
    want, got = (c.apply(params, x).states for c in (component, coarse))
    assert got.dtype == "bfloat16"
    assert np.abs(got.astype(np.float32) - want).max() < 0.05 * np.abs(want).max()
