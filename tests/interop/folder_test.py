"""Folders: the published layouts are opened and written, and every damaged one is refused in one line."""

import json
import pickle
import shutil

import diffusers
import numpy as np
import pytest
import torch
from safetensors.numpy import save_file

from unified_jax.interop import folder as folder_module
from unified_jax.interop.checkpoint import Tensor
from unified_jax.interop.folder import open_folder, write_folder

CONFIG = {"model_type": "x"}


def tensors(count: int = 5, seed: int = 0) -> dict[str, Tensor]:
    rng = np.random.default_rng(seed)
    values = {f"layers.{i}.weight": rng.normal(size=(4, 8)).astype(np.float32) for i in range(count)}
    return {name: Tensor(x.shape, x.dtype, lambda x=x: x) for name, x in values.items()}


def same(a: dict[str, Tensor], b: dict[str, Tensor]) -> bool:
    return a.keys() == b.keys() and all(a[k].read().tobytes() == b[k].read().tobytes() for k in a)


@pytest.fixture
def sharded(tmp_path):
    write_folder(tmp_path / "x", tensors(), config=CONFIG, max_shard_bytes=300)
    return tmp_path / "x"


def test_shards_are_no_larger_than_asked_and_named_in_the_index(sharded):
    index = json.loads((sharded / "model.safetensors.index.json").read_text())
    assert index["metadata"] == {"total_size": 5 * 4 * 8 * 4}
    assert index["weight_map"]["layers.2.weight"] == "model-00002-of-00003.safetensors"
    assert sorted(x.name for x in sharded.iterdir()) == [
        "config.json",
        *[f"model-0000{i}-of-00003.safetensors" for i in (1, 2, 3)],
        "model.safetensors.index.json",
    ]
    opened = open_folder(sharded)
    assert opened.config == CONFIG and same(opened.tensors, tensors())


def test_a_tensor_larger_than_a_shard_has_a_shard_of_its_own(tmp_path):
    write_folder(tmp_path, tensors(2), config=CONFIG, max_shard_bytes=1)
    assert len(list(tmp_path.glob("*.safetensors"))) == 2 and same(open_folder(tmp_path).tensors, tensors(2))


@pytest.mark.parametrize("first, second", [(300, 10**6), (10**6, 300), (300, 200)])
def test_writing_again_leaves_nothing_of_the_old_weights(tmp_path, first, second):
    write_folder(tmp_path, tensors(), config=CONFIG, max_shard_bytes=first)
    other = tmp_path / "model_ema.safetensors"
    save_file({"other": np.zeros(1)}, other)
    write_folder(tmp_path, tensors(4, seed=1), config=CONFIG, max_shard_bytes=second)
    assert same(open_folder(tmp_path).tensors, tensors(4, seed=1))
    single = [tmp_path / "model.safetensors"] if second > 1000 else []
    assert [x for x in tmp_path.glob("model.safetensors")] == single and other.is_file()


@pytest.mark.parametrize("after", range(6))
def test_an_interrupted_call_leaves_old_weights_or_a_refused_folder_never_a_mixture(tmp_path, monkeypatch, after):
    write_folder(tmp_path, tensors(), config=CONFIG, max_shard_bytes=300)
    left = [after]

    def interrupted(real):
        def call(*args, **kwargs):
            if left[0] == 0:
                raise KeyboardInterrupt
            left[0] -= 1
            return real(*args, **kwargs)

        return call

    monkeypatch.setattr(folder_module, "save_file", interrupted(folder_module.save_file))
    monkeypatch.setattr(folder_module.os, "replace", interrupted(folder_module.os.replace))
    with pytest.raises(KeyboardInterrupt):
        write_folder(tmp_path, tensors(seed=1), config=CONFIG, max_shard_bytes=300)
    if after < 3:  # not all new shards are on disk
        assert same(open_folder(tmp_path).tensors, tensors())
    else:
        with pytest.raises(FileNotFoundError, match="whole or with index"):
            open_folder(tmp_path)


def test_a_scalar_keeps_its_shape(tmp_path):
    write_folder(
        tmp_path, {"scale": Tensor((), np.dtype(np.float32), lambda: np.float32(2).reshape(()))}, config=CONFIG
    )
    assert open_folder(tmp_path).tensors["scale"].read().shape == ()


def test_the_other_naming_is_read_from_and_by_its_reference(tmp_path):
    model = diffusers.AutoencoderKL(block_out_channels=(8,), norm_num_groups=4, latent_channels=2, sample_size=8)
    model.save_pretrained(tmp_path / "theirs", max_shard_size="20KB")
    opened = open_folder(tmp_path / "theirs")
    state = model.state_dict()
    assert opened.tensors.keys() == state.keys()
    assert all(np.array_equal(x.read(), state[name].numpy()) for name, x in opened.tensors.items())
    ours = tmp_path / "ours"
    write_folder(ours, opened.tensors, config=opened.config, stem="diffusion_pytorch_model", max_shard_bytes=20_000)
    assert (ours / "diffusion_pytorch_model.safetensors.index.json").is_file()
    again = diffusers.AutoencoderKL.from_pretrained(ours).state_dict()
    assert all(torch.equal(x, again[name]) for name, x in state.items())


def shard(path):
    return path / "model-00002-of-00003.safetensors"


def truncate(path):
    shard(path).write_bytes(shard(path).read_bytes()[:-10])


def not_safetensors(path):
    shard(path).write_bytes(b"hello")


def only_pickles(path):
    for file in path.glob("model*"):
        file.unlink()
    (path / "pytorch_model.bin").write_bytes(pickle.dumps(Bomb()))


def change_index(change):
    def apply(path):
        index = path / "model.safetensors.index.json"
        found = json.loads(index.read_text())
        change(found)
        index.write_text(json.dumps(found))

    return apply


def unknown_dtype(path):
    header = json.dumps({"a": {"dtype": "F8_E4M3", "shape": [1], "data_offsets": [0, 1]}}).encode()
    (path / "model.safetensors").write_bytes(len(header).to_bytes(8, "little") + header + b"0")


class Bomb:
    def __reduce__(self):
        return exec, ("raise SystemExit('unpickled')",)


DAMAGED = [
    (shutil.rmtree, FileNotFoundError, "no such checkpoint folder"),
    (lambda path: (path / "config.json").unlink(), FileNotFoundError, "it has no config.json"),
    (lambda path: (path / "config.json").write_text("{"), ValueError, "config.json: not JSON"),
    (lambda path: (path / "config.json").write_text("[]"), ValueError, "not a JSON object"),
    (
        lambda path: shard(path).unlink(),
        FileNotFoundError,
        "names model-00002-of-00003.*, which is not there",
    ),
    (truncate, ValueError, "model-00002-of-00003.safetensors: truncated"),
    (not_safetensors, ValueError, "model-00002-of-00003.safetensors: truncated, damaged"),
    (only_pickles, ValueError, "pytorch_model.bin: pickled weights can run code.*convert them to safetensors"),
    (unknown_dtype, ValueError, "stores F8_E4M3; known are"),
    (change_index(lambda x: x.pop("weight_map")), ValueError, "no weight_map"),
    (change_index(lambda x: x["weight_map"].update(a="../b.safetensors")), ValueError, "not a file of this folder"),
    (
        change_index(lambda x: x["weight_map"].update(a="model-00002-of-00003.safetensors")),
        ValueError,
        r"disagrees with model-00002-of-00003.safetensors on a \(1 tensors\)",
    ),
    (
        change_index(lambda x: x["weight_map"].pop("layers.2.weight")),
        ValueError,
        "disagrees with model-00002-of-00003.safetensors on layers.2.weight",
    ),
]


@pytest.mark.parametrize("damage, error, message", DAMAGED)
def test_a_damaged_folder_is_refused_in_one_line(sharded, damage, error, message):
    damage(sharded)
    with pytest.raises(error, match=message) as raised:
        open_folder(sharded)
    assert str(sharded) in str(raised.value) and "\n" not in str(raised.value)


@pytest.mark.parametrize("name", ["model.pt", "pytorch_model.bin", "x.ckpt"])
def test_a_pickle_named_directly_is_refused(tmp_path, name):
    (tmp_path / name).write_bytes(pickle.dumps(Bomb()))
    with pytest.raises(ValueError, match="pickled weights"):
        open_folder(tmp_path / name)


def test_files_of_several_networks_are_read_together_under_their_stems(tmp_path):
    for stem, seed in (("ae", 1), ("ema", 2)):
        write_folder(tmp_path, tensors(2, seed=seed), config=CONFIG, stem=stem)
    (tmp_path / "ae.safetensors").unlink()
    torch.save({name: torch.tensor(x.read()) for name, x in tensors(2, seed=1).items()}, tmp_path / "ae.pt")
    opened = open_folder(tmp_path, stems=("ae", "ema"))
    expected = {f"ae.{name}": x for name, x in tensors(2, seed=1).items()}
    assert same(opened.tensors, expected | {f"ema.{name}": x for name, x in tensors(2, seed=2).items()})
    with pytest.raises(FileNotFoundError, match="no vq.safetensors, nor any of vq.bin, vq.pt"):
        open_folder(tmp_path, stems=("ae", "vq"))
