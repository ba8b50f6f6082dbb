"""Forms: what is taken apart is joined again, and what does not fit is refused."""

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from unified_jax.interop.form import bind

SIZE = st.integers(1, 4)


@given(st.lists(SIZE, min_size=1, max_size=4), SIZE, SIZE, SIZE)
def test_shares_of_any_sizes_lie_one_after_another(heads, c, d, e):
    form = bind("e [h c] d -> e d h c", [(e, d, h, c) for h in heads])
    published = np.random.default_rng(0).normal(size=form.shape)
    assert form.shape == (e, sum(heads) * c, d)
    shares = [form.take(published, part) for part in range(len(heads))]
    start = 0
    for share, h in zip(shares, heads):
        expected = published[:, start : start + h * c].reshape(e, h, c, d).transpose(0, 3, 1, 2)
        np.testing.assert_array_equal(share, expected)
        start += h * c
    np.testing.assert_array_equal(form.join(shares), published)


@given(SIZE, SIZE, SIZE, SIZE)
def test_equal_shares_are_counted_by_a_leading_axis(parts, h, c, d):
    if parts == 1:
        return
    form = bind("(h n c) d -> n d h c", [(d, h, c)] * parts)
    published = np.random.default_rng(0).normal(size=form.shape)
    shares = [form.take(published, part) for part in range(parts)]
    for part, share in enumerate(shares):
        np.testing.assert_array_equal(share, published.reshape(h, parts, c, d)[:, part].transpose(2, 0, 1))
    np.testing.assert_array_equal(form.join(shares), published)


@given(st.lists(SIZE, min_size=0, max_size=4))
def test_the_identity_keeps_every_rank(shape):
    form = bind("... -> ...", [tuple(shape)])
    x = np.random.default_rng(0).normal(size=shape)
    np.testing.assert_array_equal(form.take(x, 0), x)
    np.testing.assert_array_equal(form.join([x]), x)


@pytest.mark.parametrize(
    "form, shape, published",
    [
        ("o i h w -> h w i o", (3, 5, 2, 7), (7, 2, 3, 5)),
        ("1 n d -> n d", (6, 4), (1, 6, 4)),
        ("o i 1 1 -> i o", (2, 3), (3, 2, 1, 1)),
        ("out ... -> ... out", (3, 5, 7), (7, 3, 5)),
        ("(h c two) -> h (two c)", (2, 6), (12,)),
    ],
)
def test_the_published_shape_follows_from_ours(form, shape, published):
    bound = bind(form, [shape])
    x = np.random.default_rng(0).normal(size=published)
    assert bound.shape == published and bound.take(x, 0).shape == shape
    np.testing.assert_array_equal(bound.join([bound.take(x, 0)]), x)


@pytest.mark.parametrize(
    "form, shapes, message",
    [
        ("d f", [(2, 3)], "not of the kind"),
        ("f d -> d f g", [(2, 3)], "gives 3 axes"),
        ("f d -> (d f)", [(6,)], "leaves the sizes of d and f open"),
        ("(f g) d -> d f", [(2, 3)], "says nothing of g"),
        ("(c two) -> (two c)", [(5,)], "does not fit"),
        ("two d -> d two", [(4, 3)], "does not fit"),
        ("[f] [d] -> d f", [(2, 3), (2, 3)], "no more"),
        ("f d -> [d] f", [(2, 3), (2, 3)], "may mark one published axis"),
        ("(n f) d -> n d f", [(2, 3), (2, 4)], "equal shares"),
        ("(three f) d -> three d f", [(2, 3), (2, 3)], "does not fit"),
    ],
)
def test_a_form_that_does_not_fit_is_refused(form, shapes, message):
    with pytest.raises(ValueError, match=message):
        bind(form, shapes)
