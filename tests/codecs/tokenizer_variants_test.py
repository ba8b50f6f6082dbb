"""The quantisers that the tokenizer's config names spend the same number of bits."""

import math

import pytest

from configs.tokenizer import shapes
from unified_jax.codecs.quantisers.table import find_quantiser


@pytest.mark.parametrize("name", shapes.CODES)
def test_a_place_has_nine_bits(name):
    quantiser = find_quantiser(shapes.CODES[name])
    assert math.log2(quantiser.size) * math.prod(quantiser.shape) == 9
