"""How far an output is from its reference's."""

import numpy as np


def worst_relative(got: np.ndarray, want: np.ndarray) -> float:
    """max |got - want| / max |want|, of two arrays of one shape."""
    assert got.shape == want.shape
    return float(np.abs(got - want).max() / np.abs(want).max())
