"""--record: the measured differences go to experiments/parity/results.json and into the README's table."""

import pytest
import torch
from table import update_readme

from unified_jax.core.rows import merge_rows

COMMAND = "make parity"


def pytest_addoption(parser):
    parser.addoption("--record", action="store_true", help="write parity rows and the README's table of them")


@pytest.fixture(scope="session", autouse=True)
def one_thread():
    """The models are so small that threads only wait for each other."""
    before = torch.get_num_threads()
    torch.set_num_threads(1)
    yield
    torch.set_num_threads(before)


@pytest.fixture(scope="session")
def record_parity(request, root):
    """record_parity(name, reference=..., what=..., worst_relative=..., tolerance=...) notes one row.

    Rows that were measured are written when the session ends, whether they are within their tolerance or not.
    """
    rows = []
    yield lambda name, **fields: rows.append({"name": name, **fields, "command": COMMAND})
    if request.config.getoption("--record", default=False):
        update_readme(root / "README.md", merge_rows(root / "experiments" / "parity" / "results.json", rows))
