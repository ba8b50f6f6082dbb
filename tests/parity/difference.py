"""How far an output is from its reference's."""

from collections.abc import Callable

import numpy as np


def worst_relative(got: np.ndarray, want: np.ndarray) -> float:
    """max |got - want| / max |want|, of two arrays of one shape."""
    assert got.shape == want.shape
    return float(np.abs(got - want).max() / np.abs(want).max())


def noting(record_parity: Callable, name: str, *, reference: str, tolerance: float) -> Callable[..., None]:
    """note(more, what, *pairs): the row ``name + more``, of the worst of pairs (got, want), which is asserted."""

    def note(more: str, what: str, *pairs: tuple[np.ndarray, np.ndarray]) -> None:
        each = [worst_relative(np.asarray(got), want) for got, want in pairs]
        fields = dict(reference=reference, what=what, worst_relative=max(each), tolerance=tolerance)
        record_parity(f"{name}{more}", **fields)
        print(more, each)
        assert max(each) <= tolerance

    return note
