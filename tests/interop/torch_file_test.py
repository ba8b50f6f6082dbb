"""Files that torch wrote are read to the bit; files that ask for more than tensors are refused in one line."""

import collections
import io
import os
import pickle
import zipfile

import numpy as np
import pytest
import torch

from unified_jax.interop.torch_file import MAGIC, open_torch_file


@pytest.fixture(scope="module")
def saved():
    generator = torch.Generator().manual_seed(0)
    base = torch.randn(6, 8, generator=generator)
    weights = collections.OrderedDict(
        plain=base,
        turned=base.T,  # shares the storage, with other strides
        part=base[2:4, 1::3],  # begins inside it
        half=base.half(),
        brain=base.bfloat16(),
        whole=torch.arange(7),
        flags=base > 0,
        number=torch.tensor(3.5),
        none=torch.zeros(0, 4),
        parameter=torch.nn.Parameter(base[0].clone()),
    )
    module = torch.nn.BatchNorm2d(3).state_dict()  # its dict carries the versions of layers
    return {"model": weights, "norm": module, "epoch": 3, "note": "text", "sizes": [1, 2.5, None, (True, base.shape)]}


@pytest.mark.parametrize("zipped", [True, False])
def test_every_tensor_is_read_to_the_bit(saved, tmp_path, zipped):
    path = tmp_path / "x.pt"
    torch.save(saved, path, _use_new_zipfile_serialization=zipped)
    found = open_torch_file(path)
    expected = {f"{part}.{name}": x for part in ("model", "norm") for name, x in saved[part].items()}
    assert set(found) == set(expected)
    for name, x in expected.items():
        values = found[name].read()
        assert values.shape == tuple(x.shape) == found[name].shape and values.dtype == found[name].dtype
        assert str(values.dtype) == str(x.dtype).removeprefix("torch.")
        np.testing.assert_array_equal(values.astype(np.float64), x.detach().to(torch.float64).numpy())


class Call:
    """Pickled as a call of a function, which is how a pickle runs code."""

    def __init__(self, function, *arguments):
        self.call = function, arguments

    def __reduce__(self):
        return self.call


def zipped(pickled: bytes) -> bytes:
    data = io.BytesIO()
    with zipfile.ZipFile(data, "w") as archive:
        archive.writestr("x/data.pkl", pickled)
    return data.getvalue()


def old(pickled: bytes) -> bytes:
    head = [MAGIC, 1001, {"little_endian": True}]
    return b"".join(pickle.dumps(x, 2) for x in head) + pickled + pickle.dumps([], 2)


@pytest.mark.parametrize("wrap", [zipped, old, lambda pickled: pickled])
@pytest.mark.parametrize(
    "attack, words",
    [
        (lambda mark: pickle.dumps(Call(os.system, f"touch {mark}"), 2), r"asks for posix\.system"),
        (lambda mark: pickle.dumps(Call(eval, f"open({str(mark)!r}, 'w')"), 2), r"asks for __builtin__\.eval"),
        (lambda mark: pickle.dumps(Call(getattr, "x", "upper"), 4), r"asks for builtins\.getattr"),
        (lambda mark: b"\x80\x02(S'touch " + str(mark).encode() + b"'\nios\nsystem\n.", "uses the opcode STRING"),
        (lambda mark: b"\x80\x02cos\nsystem\n)\x81.", "uses the opcode NEWOBJ"),
        (lambda mark: b"\x80\x02\x82\x01.", "uses the opcode EXT1"),
        (lambda mark: b"\x80\x02cunified_jax.interop.torch_file\nPath\n.", r"asks for unified_jax\.interop"),
    ],
)
def test_a_pickle_that_would_run_code_is_refused(tmp_path, attack, words, wrap):
    path, mark = tmp_path / "bad.pt", tmp_path / "ran"
    path.write_bytes(wrap(attack(mark)))
    with pytest.raises(ValueError, match=words) as error:
        open_torch_file(path)
    assert not mark.exists() and "\n" not in str(error.value) and str(path) in str(error.value)


def test_damaged_files_are_named(saved, tmp_path):
    for zip_format in (True, False):
        whole = io.BytesIO()
        torch.save(saved, whole, _use_new_zipfile_serialization=zip_format)
        for share in (0.1, 0.5, 0.99):
            path = tmp_path / "cut.pt"
            path.write_bytes(whole.getvalue()[: int(share * len(whole.getvalue()))])
            with pytest.raises(ValueError, match="truncated, damaged or not a file of tensors") as error:
                open_torch_file(path)
            assert "\n" not in str(error.value)
    with pytest.raises(FileNotFoundError, match="no such file"):
        open_torch_file(tmp_path / "absent.pt")
    torch.save({"epoch": 3}, tmp_path / "empty.pt")
    with pytest.raises(ValueError, match="holds no tensors"):
        open_torch_file(tmp_path / "empty.pt")


@pytest.mark.parametrize("offset, shape, strides", [(1, (4,), (1,)), (0, (2, 3), (2, 1)), (-1, (2,), (1,))])
def test_a_tensor_may_not_reach_beyond_its_storage(tmp_path, offset, shape, strides):
    storage = object()

    class Writer(pickle.Pickler):
        def persistent_id(self, value):
            return ("storage", torch.FloatStorage, "0", "cpu", 4) if value is storage else None

    data = io.BytesIO()
    rebuild = Call(torch._utils._rebuild_tensor_v2, storage, offset, shape, strides, False, collections.OrderedDict())
    Writer(data, 2).dump({"x": rebuild})
    path = tmp_path / "far.pt"
    path.write_bytes(zipped(data.getvalue()))
    with pytest.raises(ValueError, match="reaches beyond its storage"):
        open_torch_file(path)
