"""The TPU compiler itself takes the kernels, without a TPU, and says how much memory they need."""

import json
import os
import subprocess
import sys
from pathlib import Path

import pytest

CHIPS = ("v5e:2x2", "v5p:2x2x1", "v6e:2x2")
SHORT, LONG = 8192, 32768


@pytest.fixture(scope="module")
def temporaries(root) -> dict[tuple[str, int], int]:
    """Bytes by (chip, length). A process of its own compiles: only one may hold libtpu, and it must let go again."""
    script = Path(__file__).parent / "compile_for_tpu.py"
    targets = [f"{chip}@{LONG}" for chip in CHIPS] + [f"{CHIPS[0]}@{SHORT}"]
    environment = {**os.environ, "PYTHONPATH": str(root), "XLA_FLAGS": ""}
    done = subprocess.run([sys.executable, str(script), *targets], env=environment, capture_output=True, text=True)
    assert done.returncode == 0, done.stderr[-2000:]
    rows = map(json.loads, done.stdout.splitlines())
    return {(row["chip"], row["length"]): row["temporary_bytes"] for row in rows}


@pytest.mark.parametrize("chip", CHIPS)
def test_forward_and_backward_compile_and_hold_nothing_quadratic(temporaries, chip):
    """One matrix of scores [T, T] in bfloat16 alone would take 2 GiB; a linear few hundred MiB are copies of inputs."""
    print(f"{chip}: {temporaries[chip, LONG] / 2**20:.1f} MiB of temporaries at {LONG} slots")
    assert temporaries[chip, LONG] < 2**29


def test_memory_is_linear_in_the_length(temporaries):
    short, long = temporaries[CHIPS[0], SHORT], temporaries[CHIPS[0], LONG]
    print(f"{CHIPS[0]}: {short / 2**20:.1f} MiB at {SHORT}, {long / 2**20:.1f} MiB at {LONG}")
    assert long <= 1.1 * short * LONG / SHORT
