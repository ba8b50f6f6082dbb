"""The reference data agrees with its READMEs: every array is named with its shape. A system takes 1 MB at most."""

import re
from pathlib import Path

import numpy as np
import pytest

DATA = Path(__file__).parent / "data"
SYSTEMS = sorted(path.name for path in DATA.iterdir() if path.is_dir())
KINDS = {"f": "", "i": " int", "u": " uint8"}
LIMIT = 2**20


def described(array: np.ndarray) -> str:
    return (" x ".join(map(str, array.shape)) or "scalar") + KINDS[array.dtype.kind]


@pytest.mark.parametrize("system", SYSTEMS)
def test_readme_lists_the_arrays_with_their_shapes(system):
    listed = dict(re.findall(r"^- `(\w+)` \(([^)]*)\):", (DATA / system / "README.md").read_text(), re.MULTILINE))
    with np.load(DATA / system / "reference.npz") as arrays:
        found = {name: arrays[name] for name in arrays.files}
    assert listed == {name: described(array) for name, array in found.items()}
    assert all(np.isfinite(array).all() for array in found.values())


@pytest.mark.parametrize("system", SYSTEMS)
def test_a_system_is_small(system):
    assert sum(path.stat().st_size for path in (DATA / system).rglob("*") if path.is_file()) <= LIMIT


def test_every_system_is_in_the_table():
    assert sorted(re.findall(r"^\| `(\w+)` \|", (DATA / "README.md").read_text(), re.MULTILINE)) == SYSTEMS
