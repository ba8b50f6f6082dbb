"""Checkpoints as the reference writes them: read, checked value by value, written, and read again by the reference."""

import json

import jax
import jax.numpy as jnp
import numpy as np
import pytest
import torch
from safetensors import safe_open
from tables import FAMILIES, C, E, H, K, L
from trees import tree

from unified_jax.interop.convert import export, load
from unified_jax.interop.folder import open_folder, write_folder

TOKENS = torch.tensor([[1, 5, 9, 2, 39, 3, 17, 0, 8]])


def raw(folder) -> dict[str, tuple]:
    """{name: (shape, dtype, bytes)} of every tensor of a folder, read without the library."""
    found = {}
    for path in sorted(folder.glob("*.safetensors")):
        with safe_open(path, framework="pt") as file:
            for name in file.keys():
                x = file.get_tensor(name)
                assert name not in found
                found[name] = (tuple(x.shape), x.dtype, x.contiguous().view(torch.uint8).numpy().tobytes())
    return found


@pytest.fixture(scope="module", params=FAMILIES)
def case(request, tmp_path_factory):
    published = FAMILIES[request.param]
    folder = tmp_path_factory.mktemp(request.param)
    model = published.make()
    model.save_pretrained(folder, max_shard_size="4KB")
    checkpoint = open_folder(folder)
    params = load(checkpoint.tensors, tree(published.shapes), rules=published.rules)
    return published, model, folder, checkpoint, params


def test_the_export_has_the_same_names_shapes_dtypes_and_bytes(case, tmp_path):
    published, _, folder, checkpoint, params = case
    write_folder(tmp_path, export(params, rules=published.rules), config=checkpoint.config, max_shard_bytes=4000)
    assert len(list(folder.glob("*.safetensors"))) > 1 and len(list(tmp_path.glob("*.safetensors"))) > 1
    assert raw(tmp_path) == raw(folder)


def test_the_reference_gives_the_same_logits_from_our_export(case, tmp_path):
    published, model, _, checkpoint, params = case
    write_folder(tmp_path, export(params, rules=published.rules), config=checkpoint.config, max_shard_bytes=4000)
    again = published.model.from_pretrained(tmp_path).eval()
    with torch.no_grad():
        assert torch.equal(model(TOKENS).logits, again(TOKENS).logits)


def values(name: str, request) -> tuple:
    published = FAMILIES[name]
    folder = request.getfixturevalue("tmp_path")
    model = published.make()
    model.save_pretrained(folder)
    params = load(open_folder(folder).tensors, tree(published.shapes), rules=published.rules)
    return jax.tree.map(np.asarray, params), {k: v.numpy() for k, v in model.state_dict().items()}


def test_projections_are_split_by_heads_and_layers_are_stacked(request):
    ours, theirs = values("llama", request)
    for layer in range(L):
        q, o = (theirs[f"model.layers.{layer}.self_attn.{x}_proj.weight"] for x in "qo")
        for h in range(H):
            for c in range(C):
                np.testing.assert_array_equal(ours["layer"]["q"]["kernel"][layer, :, h, c], q[h * C + c])
                np.testing.assert_array_equal(ours["layer"]["o"]["kernel"][layer, h, c], o[:, h * C + c])


def test_interleaved_and_consecutive_fused_projections_go_to_their_own_parameters(request):
    ours, theirs = values("persimmon", request)
    fused = theirs["model.layers.2.self_attn.query_key_value.weight"]
    for part, name in enumerate("qkv"):
        for h in range(H):
            for c in range(C):
                row = fused[h * 3 * C + part * C + c]
                np.testing.assert_array_equal(ours["layer"][name]["kernel"][2, :, h, c], row)


def test_unequal_shares_follow_each_other(request):
    ours, theirs = values("phi3", request)
    fused = theirs["model.layers.1.self_attn.qkv_proj.weight"]
    rows = [("q", h) for h in range(H)] + [("k", h) for h in range(K)] + [("v", h) for h in range(K)]
    for i, (name, h) in enumerate(rows):
        for c in range(C):
            np.testing.assert_array_equal(ours["layer"][name]["kernel"][1, :, h, c], fused[i * C + c])


def test_experts_are_stacked_below_layers(request):
    ours, theirs = values("mixtral", request)  # in memory the reference fuses gate and up, gate first
    for layer in range(L):
        fused = theirs[f"model.layers.{layer}.mlp.experts.gate_up_proj"]
        for expert in range(E):
            gate, up = np.split(fused[expert], 2)
            np.testing.assert_array_equal(ours["layer"]["experts"]["gate"][layer, expert], gate.T)
            np.testing.assert_array_equal(ours["layer"]["experts"]["up"][layer, expert], up.T)


@pytest.mark.parametrize("dtype", [torch.bfloat16, torch.float16])
def test_half_precision_is_loaded_exactly_and_exported_to_the_same_bytes(tmp_path, dtype):
    published = FAMILIES["llama"]
    model = published.make().to(dtype)
    model.save_pretrained(tmp_path / "theirs")
    checkpoint = open_folder(tmp_path / "theirs")
    params = load(checkpoint.tensors, tree(published.shapes), rules=published.rules)
    assert all(x.dtype == jnp.float32 for x in jax.tree.leaves(params))
    expected = model.state_dict()["model.embed_tokens.weight"].float().numpy()
    np.testing.assert_array_equal(params["embed"]["embedding"], expected)
    tensors = export(params, rules=published.rules)
    tensors = {name: x.astype(checkpoint.tensors[name].dtype) for name, x in tensors.items()}
    write_folder(tmp_path / "ours", tensors, config=checkpoint.config)
    assert raw(tmp_path / "ours") == raw(tmp_path / "theirs")


def test_the_index_is_what_the_reference_writes(case, tmp_path):
    _, _, folder, checkpoint, _ = case
    write_folder(tmp_path, checkpoint.tensors, config=checkpoint.config, max_shard_bytes=4000)
    ours, theirs = (json.loads((x / "model.safetensors.index.json").read_text()) for x in (tmp_path, folder))
    assert set(ours["weight_map"]) == set(theirs["weight_map"])
    assert ours["metadata"]["total_size"] == theirs["metadata"]["total_size"]
