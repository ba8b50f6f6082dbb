"""Rotary positions: relative, norm-preserving, one axis for each section."""

import jax
import jax.numpy as jnp
import numpy as np
import pytest

from unified_jax.nn.rope import NEIGHBOURS, Rope, Rotation, contiguous, geometric, interleaved, rotate
from unified_jax.nn.rope_scaling import rebased

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


@pytest.mark.parametrize("positions_below", [2_000, 200_000, 2**31])
def test_angles_are_exact_to_a_millionth_however_far_the_position(positions_below):
    pos, rope = np.random.default_rng(0).integers(0, positions_below, 500), Rope(64, theta=1e6)
    rotation = rope(positions(list(pos)))
    angle = pos[:, None].astype(np.longdouble) * np.longdouble(1e6) ** (-np.arange(32, dtype=np.longdouble) / 32)
    np.testing.assert_allclose(rotation.cos[0], np.cos(angle).astype(float), rtol=0, atol=1e-6)
    np.testing.assert_allclose(rotation.sin[0], np.sin(angle).astype(float), rtol=0, atol=1e-6)


def test_slow_pairs_keep_their_relative_precision():
    sin = Rope(64, theta=1e8)(positions([1, 3])).sin[0]
    expected = np.sin(np.array([[1], [3]]) * 1e8 ** (-np.arange(32) / 32))
    np.testing.assert_allclose(sin, expected, rtol=1e-6)


def test_rows_and_columns_of_neighbours_are_a_product_of_complex_numbers(getkey):
    """2-D rotary of picture generators: half the channels by row, half by column, as (x0 + i x1) exp(i angle)."""
    rope = Rope(C, sections=(0, C // 4, C // 4), pairing=NEIGHBOURS)
    x, pos = np.asarray(jax.random.normal(getkey(), (1, 6, 2, C))), np.array(np.divmod(np.arange(6), 3))
    rate = 10_000.0 ** (-np.arange(0, C // 2, 2) / (C // 2))
    angle = np.concatenate([pos[0][:, None] * rate, pos[1][:, None] * rate], -1)
    turned = (x[0, ..., ::2] + 1j * x[0, ..., 1::2]) * np.exp(1j * angle)[:, None]
    expected = np.stack([turned.real, turned.imag], -1).reshape(x.shape)
    found = rotate(jnp.asarray(x), rope(positions([9] * 6, list(pos[0]), list(pos[1]))))
    np.testing.assert_allclose(found, expected, atol=1e-5)


@pytest.mark.parametrize("arrange", [contiguous, interleaved])
def test_shared_series_give_every_rate_to_one_axis(arrange):
    rate, axis = Rope(C, sections=(4, 2, 2), arrange=arrange).table()
    np.testing.assert_array_equal(rate, geometric(10_000.0, C))
    assert tuple(np.bincount(axis)) == (4, 2, 2)
    same = Rope(C, sections=(4, 2, 2), arrange=arrange)(positions([7, 90], [7, 90], [7, 90]))
    np.testing.assert_array_equal(same.cos, Rope(C)(positions([7, 90])).cos)  # text, whose axes are equal


def test_axes_take_turns_when_interleaved():
    assert list(Rope(C, sections=(4, 2, 2), arrange=interleaved).table().axis) == [0, 1, 2, 0, 1, 2, 0, 0]


@pytest.mark.parametrize("pairing", [{}, {"pairing": NEIGHBOURS}])
def test_channels_beyond_rotary_dim_stand_still(pairing, getkey):
    x, pos = jax.random.normal(getkey(), (1, 3, 2, C)), positions([1, 20, 300])
    found = rotate(x, Rope(C, rotary_dim=6, **pairing)(pos))
    np.testing.assert_array_equal(found[..., 6:], x[..., 6:])
    np.testing.assert_array_equal(found[..., :6], rotate(x[..., :6], Rope(6, **pairing)(pos)))


@pytest.mark.parametrize("head_dim", [2, C // 2])
def test_a_rotation_for_other_heads_is_refused(head_dim):
    with pytest.raises(ValueError, match=f"heads of {head_dim}, found {C}"):
        rotate(jnp.zeros((1, 1, 1, C)), Rope(head_dim)(positions([1])))


def test_rotation_passes_through_transformations_with_its_layout():
    rotation = jax.jit(lambda pos: Rope(C, rotary_dim=6, pairing=NEIGHBOURS)(pos))(positions([1]))
    assert isinstance(rotation, Rotation) and rotation.still == C - 6 and rotation.pairing is NEIGHBOURS
    assert len(jax.tree.leaves(rotation)) == 2


def test_the_attention_factor_scales_both_tables():
    plain, scaled = (Rope(C, attention_factor=factor)(positions([3, 40])) for factor in (1.0, 1.5))
    np.testing.assert_allclose(scaled.cos, 1.5 * plain.cos, rtol=1e-6)
    np.testing.assert_allclose(scaled.sin, 1.5 * plain.sin, rtol=1e-6)


def test_a_stretched_base_slows_the_slowest_pair_by_the_stretch_and_the_fastest_not():
    ratio = geometric(1e4, C) / rebased(1e4, C, stretch=5.0)
    np.testing.assert_allclose(ratio[[0, -1]], [1, 5], rtol=1e-12)


@pytest.mark.parametrize(
    "options, message",
    [
        ({"head_dim": 7}, "head_dim must be even, found 7"),
        ({"head_dim": 8, "sections": (1, 2)}, "sum to head_dim / 2 = 4"),
        ({"head_dim": 8, "rotary_dim": 3}, "rotary_dim must be even, found 3"),
        ({"head_dim": 8, "rotary_dim": 10}, "from 2 to head_dim 8, found 10"),
        ({"head_dim": 8, "rotary_dim": 0}, "from 2 to head_dim 8, found 0"),
        ({"head_dim": 8, "rotary_dim": 4, "sections": (2, 2)}, "sum to rotary_dim / 2 = 2"),
    ],
)
def test_impossible_sizes_are_refused(options, message):
    with pytest.raises(ValueError, match=message):
        Rope(**options)


def test_sections_that_cannot_be_dealt_are_refused():
    with pytest.raises(ValueError, match=r"sections \(2, 3, 3\) cannot be interleaved"):
        Rope(C, sections=(2, 3, 3), arrange=interleaved).table()


def test_a_missing_position_axis_is_refused():
    with pytest.raises(ValueError, match="need 3 position axes, found 1"):
        Rope(C, sections=(4, 2, 2))(jnp.zeros((1, 2, 1), jnp.int32))
