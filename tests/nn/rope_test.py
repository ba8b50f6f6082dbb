"""Rotary positions: relative, norm-preserving, one axis for each section."""

import jax
import jax.numpy as jnp
import numpy as np
import pytest

from unified_jax.nn.rope import Rope, rotate

C = 16


def positions(*axes: list[int]) -> jax.Array:
    """[1 T 3] from lists of indices, rows and columns (missing axes are 0)."""
    axes = [*axes, *([[0] * len(axes[0])] * (3 - len(axes)))]
    return jnp.asarray(axes, jnp.int32).T[None]


def logits(rope: Rope, pos, q, k) -> np.ndarray:
    """Scores of every pair of slots when all hold the same query and the same key."""
    n = pos.shape[1]
    at = lambda x: rotate(jnp.tile(x, (1, n, 1, 1)), rope(pos))[0, :, 0]
    return np.asarray(at(q) @ at(k).T)


@pytest.fixture
def query_and_key(getkey):
    return jax.random.normal(getkey(), (1, 1, 1, C)), jax.random.normal(getkey(), (1, 1, 1, C))


def test_rotation_is_the_formula_in_the_half_split_layout(getkey):
    x, pos = jax.random.normal(getkey(), (1, 3, 2, C)), [0, 5, 900]
    found = rotate(x, Rope(C)(positions(pos)))
    for t, p in enumerate(pos):
        for i in range(C // 2):
            angle = p * 10_000.0 ** (-2 * i / C)
            turn = np.exp(1j * angle) * (x[0, t, :, i] + 1j * x[0, t, :, i + C // 2])
            np.testing.assert_allclose(found[0, t, :, i], turn.real, atol=1e-4)
            np.testing.assert_allclose(found[0, t, :, i + C // 2], turn.imag, atol=1e-4)


def test_logits_depend_on_differences_of_position_alone(query_and_key):
    near, far = (logits(Rope(C), positions([p, p + 1, p + 7]), *query_and_key) for p in (0, 500))
    np.testing.assert_allclose(near, far, atol=1e-3)
    assert np.abs(near[0, 1] - near[0, 2]) > 1e-2  # and they do depend on them


def test_logits_are_not_symmetric_in_time(query_and_key):
    found = logits(Rope(C), positions([0, 3]), *query_and_key)
    assert abs(found[0, 1] - found[1, 0]) > 1e-2


@pytest.mark.parametrize("axis", [0, 1, 2])
def test_each_section_is_relative_in_its_own_axis(axis, query_and_key):
    rope = Rope(C, sections=(2, 3, 3))
    base = [[3, 4, 9], [1, 0, 2], [2, 2, 0]]
    moved = [[p + 11 if i == axis else p for p in ps] for i, ps in enumerate(base)]
    same = logits(rope, positions(*base), *query_and_key)
    np.testing.assert_allclose(logits(rope, positions(*moved), *query_and_key), same, atol=1e-4)
    stretched = [[2 * p if i == axis else p for p in ps] for i, ps in enumerate(base)]
    assert np.abs(logits(rope, positions(*stretched), *query_and_key) - same).max() > 1e-2


@pytest.mark.parametrize("axis, pairs", [(0, range(0, 2)), (1, range(2, 5)), (2, range(5, 8))])
def test_a_section_turns_its_own_pairs_of_channels_only(axis, pairs, getkey):
    pos = positions(*([5 if i == axis else 0] for i in range(3)))
    x = jax.random.normal(getkey(), (1, 1, 1, C))
    turned = np.asarray(rotate(x, Rope(C, sections=(2, 3, 3))(pos)) != x)[0, 0, 0]
    assert set(np.flatnonzero(turned[: C // 2] | turned[C // 2 :])) == set(pairs)


def test_without_sections_rows_and_columns_do_not_count():
    a, b = Rope(C)(positions([4], [0], [0])), Rope(C)(positions([4], [3], [8]))
    np.testing.assert_array_equal(a.cos, b.cos)
    np.testing.assert_array_equal(a.sin, b.sin)


def test_rotation_keeps_lengths_and_leaves_position_0_alone(getkey):
    x = jax.random.normal(getkey(), (1, 2, 3, C))
    turned = rotate(x, Rope(C)(positions([0, 77])))
    np.testing.assert_array_equal(turned[:, 0], x[:, 0])
    np.testing.assert_allclose(jnp.linalg.norm(turned, axis=-1), jnp.linalg.norm(x, axis=-1), rtol=1e-5)


def test_bfloat16_states_are_turned_by_float32_angles(getkey):
    x, rotation = jax.random.normal(getkey(), (1, 1, 1, C)).astype(jnp.bfloat16), Rope(C)(positions([1001]))
    assert rotation.cos.dtype == jnp.float32
    expected = rotate(x.astype(jnp.float32), rotation).astype(jnp.bfloat16)
    np.testing.assert_array_equal(rotate(x, rotation), expected)


@pytest.mark.parametrize(
    "options, message", [({"head_dim": 7}, "even, found 7"), ({"head_dim": 8, "sections": (1, 2)}, "sum to .* = 4")]
)
def test_impossible_sizes_are_refused(options, message):
    with pytest.raises(ValueError, match=message):
        Rope(**options)
