"""Checkpoint folders: what is saved is what is loaded, also in half the bytes."""

import jax
import jax.numpy as jnp
import numpy as np
import pytest
from safetensors import safe_open

from unified_jax.data.tokenizer import Tokenizer
from unified_jax.models.pretrained import from_pretrained, parameters, save_pretrained
from unified_jax.models.transfusion import transfusion


@pytest.fixture(scope="module")
def system():
    model = transfusion(Tokenizer.train(["a red circle"], 280), width=16, depth=1, num_heads=2, hidden=32)
    return model, parameters(model, jax.random.key(0))


def test_a_folder_gives_back_the_model_and_its_parameters_to_the_bit(system, tmp_path):
    model, params = system
    save_pretrained(tmp_path, model, params)
    loaded, found = from_pretrained(tmp_path)
    assert loaded.family.arguments == model.family.arguments
    jax.tree.map(np.testing.assert_array_equal, params, found)


def test_bfloat16_halves_the_file_and_loads_as_float32(system, tmp_path):
    model, params = system
    save_pretrained(tmp_path / "full", model, params)
    save_pretrained(tmp_path / "half", model, params, dtype="bfloat16")
    with safe_open(tmp_path / "half" / "model.safetensors", framework="numpy") as file:
        assert {str(file.get_tensor(key).dtype) for key in file.keys()} == {"bfloat16"}
    _, found = from_pretrained(tmp_path / "half")
    rounded = jax.tree.map(lambda x: x.astype(jnp.bfloat16).astype(jnp.float32), params)
    jax.tree.map(np.testing.assert_array_equal, rounded, found)
    sizes = [(tmp_path / name / "model.safetensors").stat().st_size for name in ("full", "half")]
    assert sizes[1] < 0.6 * sizes[0]
