"""What the comparisons with PyTorch share."""

import jaxtyping
import pytest
import torch


@pytest.fixture(scope="session", autouse=True)
def one_thread():
    """The models are so small that threads only wait for each other."""
    before = torch.get_num_threads()
    torch.set_num_threads(1)
    yield
    torch.set_num_threads(before)


@pytest.fixture(scope="module", autouse=True)
def unchecked_annotations():
    """Values are compared here; shapes are checked by all other tests, for a sixth of the time."""
    jaxtyping.config.update("jaxtyping_disable", True)
    yield
    jaxtyping.config.update("jaxtyping_disable", False)
