"""The kinds of DiT block cost what their products cost."""

import pytest

from experiments.denoisers.blocks import KINDS, measured

PAPER = {"in-context": 119.4, "cross-attention": 137.6, "adaLN": 118.6, "adaLN-Zero": 118.6}


@pytest.mark.parametrize("name", KINDS)
def test_a_block_costs_its_products_and_little_beside(name):
    assert 1.0 <= measured(KINDS[name]) / KINDS[name].counted < 1.02


@pytest.mark.parametrize(("name", "published"), PAPER.items())
def test_all_layers_are_what_the_paper_counts(name, published):
    """DiT, arXiv:2212.09748, section 4: a Gflop there is 10^9 multiply-adds, and the ends are counted too."""
    assert 28 * KINDS[name].counted / 2e9 == pytest.approx(published, rel=0.01)
