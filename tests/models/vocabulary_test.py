"""Codes among words: each code has an id of its own, in whatever order, and back."""

import numpy as np
import pytest

from unified_jax.models.vocabulary import codes_of

VOCABULARY = {"a": 0, "c2": 3, "c0": 5, "c1": 4, "b": 6}
number = lambda word: int(word[1:]) if word.startswith("c") else None


def test_ids_and_codes_are_each_others_inverse():
    codes = codes_of(VOCABULARY, number)
    assert codes.range == (3, 6)
    np.testing.assert_array_equal(codes.write(np.array([[0, 1], [2, 0]])), [[5, 4], [3, 5]])
    np.testing.assert_array_equal(codes.read(np.array([[5, 4], [3, 5]])), [[0, 1], [2, 0]])


@pytest.mark.parametrize("id", [0, 6, 99])
def test_a_word_is_no_code(id):
    with pytest.raises(ValueError, match=f"id {id} stands for no code"):
        codes_of(VOCABULARY, number).read(np.array([4, id]))


def test_gaps_are_named():
    with pytest.raises(ValueError, match="names 2 codes"):
        codes_of({"c0": 1, "c2": 2}, number)
    with pytest.raises(ValueError, match="2 of them from 1 to 3"):
        _ = codes_of({"c0": 1, "c1": 3}, number).range
