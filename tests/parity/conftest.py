"""What the comparisons with PyTorch share."""

import pytest
import torch


@pytest.fixture(scope="session", autouse=True)
def one_thread():
    """The models are so small that threads only wait for each other."""
    before = torch.get_num_threads()
    torch.set_num_threads(1)
    yield
    torch.set_num_threads(before)
