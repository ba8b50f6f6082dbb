"""Every test runs with eight fake devices, exact matrix products and shape annotations checked (not in parity/)."""

import gc
import os
import sys
from pathlib import Path

# All before jax is imported. The last two make a program compile in a third of the time.
os.environ["XLA_FLAGS"] = " ".join(
    [
        os.environ.get("XLA_FLAGS", ""),
        "--xla_force_host_platform_device_count=8",
        "--xla_cpu_use_fusion_emitters=false",
        "--xla_cpu_parallel_codegen_split_count=1",
    ]
).strip()
os.environ.setdefault("JAX_PLATFORMS", "cpu")

import hypothesis
import jax
import jaxtyping
import pytest

ROOT = Path(__file__).resolve().parents[1]
sys.path.insert(0, str(ROOT))  # configs/ is importable
jaxtyping.install_import_hook("unified_jax", "checked.checked")  # before anything imports the library
jax.config.update("jax_default_matmul_precision", "highest")
jax.config.update("jax_disable_most_optimizations", True)  # tests compile more than they compute
gc.set_threshold(100_000, 50, 1000)  # torch leaves many objects to visit

hypothesis.settings.register_profile("quick", max_examples=40, deadline=None, derandomize=True)
hypothesis.settings.load_profile("quick")


def pytest_addoption(parser):
    parser.addoption("--record", action="store_true", help="write parity rows and the README's table of them")


def pytest_configure(config):
    # beartype checks a random item of a list; hypothesis does not like to see that inside a strategy.
    config.addinivalue_line("filterwarnings", "ignore:Do not use the `random` module inside strategies")


class GetKey:
    """A different random key at every call, the same ones in every run."""

    def __init__(self, seed: int = 0):
        self.root, self.calls = jax.random.key(seed), 0

    def __call__(self) -> jax.Array:
        self.calls += 1
        return jax.random.fold_in(self.root, self.calls)


@pytest.fixture
def getkey() -> GetKey:
    return GetKey()


@pytest.fixture(scope="module", autouse=True)
def forget_programs():
    """Compiled programs keep tens of memory maps each. Linux allows a process 65,530, which the suite reaches."""
    yield
    jax.clear_caches()


@pytest.fixture(scope="session")
def root() -> Path:
    return ROOT


@pytest.fixture(scope="session")
def record_parity(request, root):
    """record_parity(name, reference=..., what=..., worst_relative=..., tolerance=...) notes one row.

    With --record, rows that were measured are written when the session ends, within their tolerance or not.
    """
    from parity_table import record

    rows = []
    yield lambda name, **fields: rows.append({"name": name, **fields, "command": "make parity"})
    if request.config.getoption("--record"):
        record(root, rows)


@pytest.fixture(scope="session")
def tokenizer():
    """A tokenizer of 300 tokens, trained on two sentences."""
    from unified_jax.data.tokenizer import Tokenizer

    return Tokenizer.train(["draw a red circle", "what colour is the blue square?"] * 3, vocab=300)
