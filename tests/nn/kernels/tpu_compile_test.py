"""The TPU compiler itself takes the kernels, without a TPU, and says how much memory they need."""

import json
import os
import subprocess
import sys
from pathlib import Path

import pytest

CHIPS = ("v5e:2x2", "v5p:2x2x1", "v6e:2x2")
LENGTHS = (8192, 32768)


@pytest.fixture(scope="module")
def compiled(root) -> list[dict]:
    """Compiles in one process of its own: only one at a time may hold libtpu, and this one has the CPU's flags set."""
    script = Path(__file__).parent / "compile_for_tpu.py"
    environment = {**os.environ, "PYTHONPATH": str(root), "XLA_FLAGS": ""}
    command = [sys.executable, str(script), "--chips", *CHIPS, "--lengths", *map(str, LENGTHS)]
    done = subprocess.run(command, env=environment, capture_output=True, text=True)
    assert done.returncode == 0, done.stderr[-2000:]
    return [json.loads(line) for line in done.stdout.splitlines()]


def test_forward_and_backward_compile_for_every_chip(compiled):
    assert [(row["chip"], row["length"]) for row in compiled] == [(c, n) for c in CHIPS for n in LENGTHS]


def test_memory_is_linear_in_the_length(compiled):
    for chip in CHIPS:
        short, long = (row["temporary_bytes"] for row in compiled if row["chip"] == chip)
        print(f"{chip}: {short / 2**20:.1f} MiB of temporaries at {LENGTHS[0]}, {long / 2**20:.1f} at {LENGTHS[1]}")
        assert long <= 1.1 * short * LENGTHS[1] / LENGTHS[0]
