"""The TPU compiler itself takes the kernels, without a TPU, and says how much memory they need."""

import json
import os
import subprocess
import sys
from pathlib import Path

import pytest

TARGETS = [("v5e:2x2", 8192), ("v5e:2x2", 32768), ("v5p:2x2x1", 32768), ("v6e:2x2", 32768)]


@pytest.fixture(scope="module")
def compiled(root) -> dict[tuple[str, int], dict]:
    """A process of its own compiles: only one at a time may hold libtpu, and it must let go again."""
    script = Path(__file__).parent / "compile_for_tpu.py"
    environment = {**os.environ, "PYTHONPATH": str(root), "XLA_FLAGS": ""}
    command = [sys.executable, str(script), *(f"{chip}@{length}" for chip, length in TARGETS)]
    done = subprocess.run(command, env=environment, capture_output=True, text=True)
    assert done.returncode == 0, done.stderr[-2000:]
    rows = map(json.loads, done.stdout.splitlines())
    return {(row["chip"], row["length"]): row for row in rows}


@pytest.mark.parametrize("target", TARGETS, ids=str)
def test_memory_of_forward_and_backward_is_less_than_one_more_copy_of_what_goes_in_and_out(compiled, target):
    """So it is linear in the length. At 32768 one matrix of scores would take eight times as much, in bfloat16."""
    row = compiled[target]
    print(f"{target}: {row['temporary_bytes'] / 2**20:.1f} MiB of temporaries, compiled in {row['compile_s']} s")
    assert row["temporary_bytes"] < row["array_bytes"]
