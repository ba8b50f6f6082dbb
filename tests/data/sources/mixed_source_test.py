"""Several sources as one: shares as weighed, the same document for an index always, shorter sources begin anew."""

import numpy as np
import pytest

from unified_jax.data.document import Document, Text
from unified_jax.data.sources.mixed import Mixed


def numbered(name: str, n: int) -> list[Document]:
    return [Document([Text(f"{name} {i}")]) for i in range(n)]


def test_documents_come_from_each_source_by_its_weight():
    mixed = Mixed((numbered("a", 2000), numbered("b", 7)), (3.0, 1.0), seed=1)
    texts = [mixed[i][0].text for i in range(len(mixed))]
    assert len(texts) == 2000 and texts == [mixed[i][0].text for i in range(2000)]
    assert all(text in (f"a {i}", f"b {i % 7}") for i, text in enumerate(texts))
    assert np.mean([text.startswith("b") for text in texts]) == pytest.approx(0.25, abs=0.03)
    assert texts != [Mixed(mixed.sources, mixed.weights, seed=2)[i][0].text for i in range(2000)]


def test_a_source_without_weight_is_never_read():
    mixed = Mixed((numbered("a", 50), numbered("b", 50)), (0.0, 2.0))
    assert {mixed[i][0].text[0] for i in range(50)} == {"b"}
    with pytest.raises(IndexError, match="index 50 is outside a source of 50 documents"):
        mixed[50]


@pytest.mark.parametrize("weights", [(1.0,), (1.0, -1.0), (0.0, 0.0)])
def test_weights_that_do_not_fit_are_refused(weights):
    with pytest.raises(ValueError, match="2 sources need as many weights of 0 or more"):
        Mixed((numbered("a", 1), numbered("b", 1)), weights)
