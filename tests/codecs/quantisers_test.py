"""Every quantiser against a version written from its paper: codes, vectors, penalties and gradients."""

import itertools
from functools import partial

import jax
import jax.numpy as jnp
import numpy as np
import pytest
import torch
import torch.nn.functional as F

from configs import common
from unified_jax.codecs.quantisers.base import codebook_use, rotated, straight_through, unchanged, unit
from unified_jax.codecs.quantisers.information import information
from unified_jax.codecs.quantisers.moving import Averages, Moving, accumulate, revive
from unified_jax.codecs.quantisers.nearest import Nearest, find_nearest
from unified_jax.codecs.quantisers.scales import Scales
from unified_jax.codecs.quantisers.table import find_quantiser
from unified_jax.codecs.vq import VectorQuantised
from unified_jax.train.optim import optimizer

STAGE = {"kind": "nearest", "size": 6, "width": 3, "measure": "unchanged"}
KINDS = {
    "nearest on the sphere": {"kind": "nearest", "size": 6, "width": 3, "entropy": 0.1},
    "nearest, rotated": STAGE | {"through": "rotated"},
    "moving": {"kind": "moving", "size": 6, "width": 3, "below": 0.5},
    "lookup free": {"kind": "lookup_free", "width": 3},
    "spherical": {"kind": "spherical", "width": 3},
    "scalar": {"kind": "scalar", "levels": [4, 5, 3], "entropy": 0.1},
    "residual": {"kind": "residual", "depth": 2, "stage": STAGE},
    "scales": {"kind": "scales", "sides": [1, 2, 4], "stage": STAGE},
}


def fixed(x):
    return jax.lax.stop_gradient(x)


@pytest.fixture
def z(getkey):
    return jax.random.normal(getkey(), (2, 4, 4, 3))


@pytest.fixture(params=KINDS, ids=str)
def built(request, getkey, z):
    """(module, variables, what it makes of z), of each kind."""
    module = find_quantiser(KINDS[request.param])
    found, variables = jax.jit(module.init_with_output)(getkey(), z)
    return module, variables, found


# What all of them promise.


def test_looking_codes_up_gives_the_vectors_and_codes_lie_in_range(built, z):
    module, variables, found = built
    np.testing.assert_allclose(module.apply(variables, found.codes, method="lookup"), found.vectors, atol=1e-5)
    assert found.codes.dtype == jnp.int32 and 0 <= found.codes.min() and found.codes.max() < module.size
    assert found.vectors.shape == (*z.shape[:-1], module.width) and found.penalty.shape == z.shape[:-1]
    use = codebook_use(found.codes.ravel(), size=module.size)
    assert 1 < use.perplexity <= module.size and 0 < use.usage <= 1


def test_latents_get_a_gradient_through_the_choice_and_parameters_one_from_the_penalty(built, z):
    module, variables, _ = built

    def loss(variables, z):
        found = module.apply(variables, z)
        return (found.vectors * jnp.arange(3.0)).sum(), found.penalty.sum()

    through, penalty = jax.jit(jax.jacrev(loss, argnums=(0, 1)))(variables, z)
    assert bool((jnp.abs(through[1]).max(-1) > 0).all()), "every latent"
    assert not any(jnp.any(x) for x in jax.tree.leaves(through[0])), "vectors learn from the penalty alone"
    assert all(jnp.any(x) for x in jax.tree.leaves(penalty[0]))


@pytest.mark.parametrize("kind", ["nearest on the sphere", "lookup free", "scalar"])
def test_the_trained_codec_takes_any_of_them(kind):
    module = VectorQuantised(width=4, multipliers=(1, 2), code=KINDS[kind])
    (pixels, found), _ = jax.eval_shape(module.init_with_output, jax.random.key(0), jnp.zeros((1, 8, 16, 3)))
    assert pixels.shape == (1, 8, 16, 3) and found.codes.shape == (1, 2, 4)


@pytest.mark.parametrize(
    "fields,message",
    [
        ({"kind": "vq"}, "unknown quantiser 'vq'.*nearest, moving, lookup_free"),
        ({"kind": "lookup_free", "width": 3, "bits": 3}, "unexpected keyword argument 'bits'"),
        (STAGE | {"through": "teleport"}, "unknown through 'teleport'.*straight, rotated"),
    ],
)
def test_unknown_kinds_and_fields_are_refused(fields, message):
    with pytest.raises(ValueError, match=message):
        find_quantiser(fields)


# Nearest.


@pytest.mark.parametrize("measure", [unit, unchanged])
def test_nearest_by_hand(measure, z, getkey):
    module = Nearest(size=6, width=3, commitment=0.5, measure=measure)
    variables = module.init(getkey(), z)

    def by_hand(variables, z):
        vectors, z = measure(variables["params"]["codebook"]), measure(z)
        codes = jnp.square(z[..., None, :] - vectors).sum(-1).argmin(-1)
        chosen = vectors[codes]
        penalty = (jnp.square(chosen - fixed(z)) + 0.5 * jnp.square(fixed(chosen) - z)).mean(-1)
        return codes, chosen, penalty, (z * jnp.arange(3.0)).sum()  # straight through: as if z were the vector

    def ours(variables, z):
        found = module.apply(variables, z)
        return found.codes, found.vectors, found.penalty, (found.vectors * jnp.arange(3.0)).sum()

    for got, want in zip(ours(variables, z)[:3], by_hand(variables, z)[:3]):
        np.testing.assert_allclose(got, want, atol=1e-5)
    for i, kept in ((2, lambda x: x.sum()), (3, lambda x: x)):
        got, want = (
            jax.jit(jax.grad(lambda v, z, f=f, i=i, kept=kept: kept(f(v, z)[i]), argnums=(0, 1)))(variables, z)
            for f in (ours, by_hand)
        )
        want = (got[0], want[1]) if i == 3 else want
        jax.tree.map(lambda a, b: np.testing.assert_allclose(a, b, atol=1e-5), got, want)


@pytest.mark.parametrize("entropy,reached", [(0.0, False), (0.1, True)])
def test_only_entropy_reaches_codes_that_nothing_chose(entropy, reached, getkey):
    latents = jnp.ones((4, 3)) + 0.1 * jax.random.normal(getkey(), (4, 3))
    module = Nearest(size=6, width=3, entropy=entropy)
    params = module.init(jax.random.key(1), latents)
    dead = np.setdiff1d(np.arange(6), module.apply(params, latents).codes)
    gradient = jax.jit(jax.grad(lambda p: module.apply(p, latents).penalty.mean()))(params)["params"]["codebook"]
    assert len(dead) and bool(jnp.abs(gradient[dead]).sum() > 0) == reached


def test_the_rotation_turns_the_latent_onto_its_vector_and_carries_angles(getkey):
    z, q, g = jax.random.normal(getkey(), (3, 50, 4))
    got, back = jax.vjp(lambda z: rotated(z, q), z)
    np.testing.assert_allclose(got, q, atol=1e-5)
    np.testing.assert_allclose(straight_through(z, q), q, atol=1e-5)
    (gradient,) = back(g)
    cosine = lambda a, b: (unit(a) * unit(b)).sum(-1)
    # |q| / |z| R' g: the angle that g has with q is the angle its gradient has with z, and lengths scale by |q| / |z|.
    np.testing.assert_allclose(cosine(gradient, z), cosine(g, q), atol=1e-5)
    length = lambda x: jnp.linalg.norm(x, axis=-1)
    np.testing.assert_allclose(length(gradient) * length(z), length(g) * length(q), rtol=1e-4)
    for one in range(3):  # against R made of Householder reflections, as a matrix
        a, b = unit(z[one]), unit(q[one])
        mirror = lambda v: np.eye(4) - 2 * np.outer(v, v)
        rotation = mirror(b) @ mirror(unit(a + b))
        rotation = rotation if np.allclose(rotation @ a, b, atol=1e-4) else mirror(unit(a + b)) @ mirror(a)
        np.testing.assert_allclose(rotation @ a, b, atol=1e-4)
        np.testing.assert_allclose(gradient[one], length(q)[one] / length(z)[one] * rotation.T @ g[one], atol=1e-4)


# Entropy.


@pytest.mark.parametrize("sizes", [(6,), (2, 2, 2), (4, 5, 3)])
def test_information_is_what_a_table_of_all_codes_says(sizes, getkey):
    logits = [2 * jax.random.normal(getkey(), (7, size)) for size in sizes]
    normalised = lambda logits: [jax.nn.log_softmax(x) for x in logits]

    def by_table(digits):
        rows = itertools.product(*map(range, sizes))
        p = jnp.exp(jnp.stack([sum(d[:, v] for d, v in zip(digits, row)) for row in rows], -1))
        return (p * (jnp.log(p) - jnp.log(p.mean(0)))).sum(-1)

    np.testing.assert_allclose(information(normalised(logits)), by_table(normalised(logits)), atol=1e-5)
    loss = lambda logits, told: (told(normalised(logits)) * jnp.arange(7.0)).sum()
    got, want = (jax.jit(jax.grad(partial(loss, told=told)))(logits) for told in (information, by_table))
    jax.tree.map(lambda a, b: np.testing.assert_allclose(a, b, atol=1e-4), got, want)


def test_its_mean_is_the_entropy_of_codes_less_that_of_codes_given_entries():
    p = np.array([[0.5, 0.25, 0.25], [0.1, 0.1, 0.8]])
    h = lambda p: -(p * np.log(p)).sum(-1)
    np.testing.assert_allclose(information([jnp.log(p)]).mean(), h(p.mean(0)) - h(p).mean(), rtol=1e-5)


@pytest.mark.parametrize("fields", [{"kind": "lookup_free", "width": 18}, {"kind": "scalar", "levels": [8] * 6}])
def test_2_to_the_18_codes_need_no_table_of_codes_for_every_entry(fields):
    module = find_quantiser(fields | {"entropy": 0.1})
    assert module.size == 2**18
    latents = jax.ShapeDtypeStruct((4096, module.width), jnp.float32)
    step = jax.jit(jax.grad(lambda z: module.apply({}, z).penalty.mean()))
    used = step.lower(latents).compile().memory_analysis().temp_size_in_bytes
    assert used < 4 * 4096 * 2**18 / 50


def test_2_to_the_18_vectors_need_no_table_of_distances_for_every_entry(getkey):
    z, vectors = jax.random.normal(getkey(), (200, 4)), jax.random.normal(getkey(), (2**18, 4))
    codes = jax.jit(find_nearest)(z, vectors)  # 128 entries at a time, then the rest
    for entry in (0, 127, 128, 199):
        assert codes[entry] == jnp.square(z[entry] - vectors).sum(-1).argmin()
    program = jax.jit(find_nearest).lower(jax.ShapeDtypeStruct((4096, 4), jnp.float32), vectors).compile()
    assert program.memory_analysis().temp_size_in_bytes < 4 * 4096 * 2**18 / 10


# Digits.


@pytest.mark.parametrize("kind,magnitude", [("lookup_free", 1.0), ("spherical", 5**-0.5)])
def test_bits_by_hand(kind, magnitude, getkey):
    z = jax.random.normal(getkey(), (9, 5))
    module = find_quantiser({"kind": kind, "width": 5, "commitment": 0.5, "entropy": 0.2, "temperature": 0.3})

    def by_hand(z):
        z = unit(z) if kind == "spherical" else z
        every = magnitude * (2.0 * ((np.arange(32)[:, None] >> np.arange(5)) & 1) - 1)
        distance = jnp.square(z[:, None] - every).sum(-1)
        codes = distance.argmin(-1)
        p = jax.nn.softmax(-distance / 0.6)
        told = (p * (jnp.log(p) - jnp.log(p.mean(0)))).sum(-1)
        return codes, jnp.asarray(every)[codes], 0.5 * jnp.square(every[codes] - z).mean(-1) - 0.2 * told

    found = module.apply({}, z)
    codes, vectors, _ = by_hand(z)
    np.testing.assert_array_equal(found.codes, codes)
    np.testing.assert_allclose(found.vectors, vectors, atol=1e-6)
    # The vectors are constants, so what a learned codebook would pay for moving is left in the value, not the gradient.
    got, want = jax.grad(lambda z: module.apply({}, z).penalty.sum())(z), jax.grad(lambda z: by_hand(z)[2].sum())(z)
    np.testing.assert_allclose(got, want, atol=1e-5)
    through = jax.grad(lambda z: (module.apply({}, z).vectors * jnp.arange(5.0)).sum())(z)
    measured = unit if kind == "spherical" else unchanged
    np.testing.assert_allclose(through, jax.grad(lambda z: (measured(z) * jnp.arange(5.0)).sum())(z), atol=1e-5)


def test_levels_by_hand(getkey):
    levels = (4, 5, 3)
    module = find_quantiser({"kind": "scalar", "levels": levels})
    z = 2 * jax.random.normal(getkey(), (200, 3))
    found = module.apply({}, z)
    steps = [np.array([-2, -1, 0, 1]) / 2, np.array([-2, -1, 0, 1, 2]) / 2, np.array([-1, 0, 1.0])]
    for c, step in enumerate(steps):
        np.testing.assert_allclose(np.unique(found.vectors[:, c].round(5)), step)  # all levels, and no others
    assert len(np.unique(found.codes)) > 40
    digits = [np.searchsorted(step, vector - 0.01) for step, vector in zip(steps, np.asarray(found.vectors).T)]
    np.testing.assert_array_equal(found.codes, digits[0] + 4 * digits[1] + 20 * digits[2])
    np.testing.assert_array_equal(module.apply({}, jnp.zeros((1, 3))).vectors, np.zeros((1, 3)))

    def bounded(z):  # the paper's listing, in appendix A.1
        half = (np.array(levels) - 1) * (1 - 1e-3) / 2
        offset = np.where(np.array(levels) % 2 == 0, 0.5, 0.0)
        return jnp.tanh(z + np.tan(offset / half)) * half - offset

    np.testing.assert_allclose(found.vectors, jnp.round(bounded(z)) / np.array([2, 2, 1]), atol=1e-6)
    got = jax.grad(lambda z: (module.apply({}, z).vectors * jnp.arange(1.0, 4)).sum())(z)
    want = jax.grad(lambda z: (bounded(z) / np.array([2, 2, 1]) * jnp.arange(1.0, 4)).sum())(z)
    np.testing.assert_allclose(got, want, atol=1e-5)


# Several codes for an entry, or for a picture.


def test_residual_by_hand(getkey):
    z = jax.random.normal(getkey(), (9, 3))
    module = find_quantiser({"kind": "residual", "depth": 3, "stage": STAGE | {"commitment": 0.5}})
    variables = module.init(getkey(), z)
    books = [variables["params"][f"stages_{d}"]["codebook"] for d in range(3)]

    def by_hand(books, z):
        total, penalty, codes = 0.0, 0.0, []
        for book in books:
            codes.append(jnp.square((z - total)[:, None] - book).sum(-1).argmin(-1))
            new = total + book[codes[-1]]
            # Equation 7 beside the codebook's own pull, which only the newest vector feels.
            felt = fixed(total) + book[codes[-1]]
            penalty += (0.5 * jnp.square(z - fixed(new)) + jnp.square(fixed(z) - felt)).mean(-1)
            total = new
        return jnp.stack(codes, -1), total, penalty

    found, (codes, vectors, penalty) = module.apply(variables, z), by_hand(books, z)
    np.testing.assert_array_equal(found.codes, codes)
    np.testing.assert_allclose(found.vectors, vectors, atol=1e-5)
    np.testing.assert_allclose(found.penalty, penalty, atol=1e-5)
    got = jax.grad(lambda v, z: module.apply(v, z).penalty.sum(), argnums=(0, 1))(variables, z)
    want = jax.grad(lambda b, z: by_hand(b, z)[2].sum(), argnums=(0, 1))(books, z)
    np.testing.assert_allclose(got[1], want[1], atol=1e-5)
    for d in range(3):
        np.testing.assert_allclose(got[0]["params"][f"stages_{d}"]["codebook"], want[0][d], atol=1e-5)
    weighted = lambda vectors: (vectors * jnp.arange(3.0)).sum()
    through = jax.grad(lambda z: weighted(module.apply(variables, z).vectors))(z)
    np.testing.assert_allclose(through, np.broadcast_to(np.arange(3.0), z.shape), atol=1e-6)
    turned = module.clone(through=rotated)  # of the whole latent, onto the sum
    through = jax.grad(lambda z: weighted(turned.apply(variables, z).vectors))(z)
    np.testing.assert_allclose(through, jax.grad(lambda z: weighted(rotated(z, vectors)))(z), atol=1e-5)


def test_scales_are_the_published_algorithm_in_torch(getkey):
    sides = (1, 2, 3, 5)
    z = jax.random.normal(getkey(), (2, 5, 5, 3))
    module = find_quantiser({"kind": "scales", "sides": sides, "stage": STAGE})
    variables = module.init(getkey(), z)
    found = module.apply(variables, z)
    params = jax.tree.map(lambda x: torch.tensor(np.asarray(x)), variables["params"])
    book = params["codebook"]["codebook"]
    target = torch.tensor(np.asarray(z)).permute(0, 3, 1, 2)
    total, penalty, codes = torch.zeros_like(target), 0.0, []
    # VAR's four convolutions: scale k of 4 takes the nearest of the ticks 1/12, 13/36, 23/36, 11/12 to k / 3.
    for conv, side in zip((0, 1, 2, 3), sides):
        small = F.interpolate(target - total, (side, side), mode="area").permute(0, 2, 3, 1)
        code = torch.cdist(small.reshape(-1, 3), book).argmin(1).reshape(2, side, side)
        h = book[code].permute(0, 3, 1, 2)
        h = F.interpolate(h, (5, 5), mode="bicubic") if side < 5 else h
        phi = params[f"phi_{conv}"]
        h = 0.5 * h + 0.5 * F.conv2d(h, phi["kernel"].permute(3, 2, 0, 1), phi["bias"], padding=1)
        total = total + h
        penalty = penalty + 1.25 * (total - target).square().mean(1) / len(sides)
        codes.append(code.reshape(2, -1))
    np.testing.assert_array_equal(found.codes, torch.cat(codes, 1))
    np.testing.assert_allclose(found.vectors, total.permute(0, 2, 3, 1), atol=1e-5)
    np.testing.assert_allclose(found.penalty, penalty, atol=1e-5)
    assert len(np.unique(found.codes)) > 3
    through = jax.jit(jax.grad(lambda z: (module.apply(variables, z).vectors * jnp.arange(3.0)).sum()))(z)
    np.testing.assert_allclose(through, np.broadcast_to(np.arange(3.0), z.shape), atol=1e-5)


def test_ten_scales_share_four_convolutions_as_published():
    module = Scales(stage=lambda: Nearest(2, 3), sides=(1, 2, 3, 4, 5, 6, 8, 10, 13, 16))
    assert [module._conv_of(k) for k in range(10)] == [0, 0, 1, 1, 1, 2, 2, 3, 3, 3]


def test_a_grid_of_another_size_is_refused(z):
    with pytest.raises(ValueError, match="2 x 2 is quantised here"):
        find_quantiser(KINDS["scales"] | {"sides": [1, 2]}).init(jax.random.key(0), z)


# Moving averages.


def start(book) -> Averages:
    return Averages(jnp.ones(len(book)), book)


def test_averages_follow_the_recurrence_code_by_code_by_plain_descent(getkey):
    book, batches = jax.random.normal(getkey(), (5, 3)), jax.random.normal(getkey(), (4, 20, 3))
    module = Moving(5, 3, decay=0.9, measure=unchanged)
    params, counts, sums = {"counts": jnp.ones(5), "sums": book}, np.ones(5), np.asarray(book, np.float64)

    @jax.jit
    def step(params, latents):
        loss = lambda params: module.apply({"params": params}, latents).penalty.mean()
        return jax.tree.map(jnp.subtract, params, jax.grad(loss)(params)), module.apply({"params": params}, latents)

    for latents in batches:
        vectors = sums / counts[:, None]
        codes = np.square(np.asarray(latents)[:, None] - vectors).sum(-1).argmin(-1)
        params, found = step(params, latents)
        np.testing.assert_array_equal(found.codes, codes)
        distance = np.square(vectors[codes] - latents).mean(-1)
        np.testing.assert_allclose(found.penalty, 0.25 * distance, rtol=1e-4)  # the upkeep itself costs nothing
        for k in range(5):
            mine = np.asarray(latents)[codes == k]
            counts[k] = 0.9 * counts[k] + 0.1 * len(mine)
            sums[k] = 0.9 * sums[k] + 0.1 * mine.sum(0)
        np.testing.assert_allclose(params["counts"], counts, rtol=1e-4)
        np.testing.assert_allclose(params["sums"], sums, rtol=1e-3, atol=1e-5)


def test_repeated_batches_bring_vectors_to_the_means_of_what_chose_them(getkey):
    latents, codes = jax.random.normal(getkey(), (20, 3)), jnp.arange(20) % 5
    update = jax.jit(lambda state: accumulate(state, latents, codes, decay=0.9))
    state = start(jnp.zeros((6, 3)))
    for _ in range(300):
        state = update(state)
    means = np.stack([np.asarray(latents)[k::5].mean(0) for k in range(5)])
    np.testing.assert_allclose(state.vectors()[:5], means, atol=1e-5)
    assert np.isfinite(state.vectors()).all()  # the sixth was never chosen


def test_only_dead_codes_begin_again_at_the_latents_served_worst(getkey):
    before = Averages(jnp.array([5.0, 0.2, 3.0, 0.0]), jax.random.normal(getkey(), (4, 3)))
    latents, codes = jax.random.normal(getkey(), (7, 3)), jnp.array([0, 0, 2, 2, 0, 2, 0])
    after = revive(before, latents, codes, below=1.0)
    np.testing.assert_array_equal(after.counts, [5.0, 1.0, 3.0, 1.0])
    np.testing.assert_array_equal(after.sums[np.array([0, 2])], before.sums[np.array([0, 2])])
    distance = np.square(latents - before.vectors()[codes]).sum(-1)
    np.testing.assert_allclose(after.vectors()[np.array([1, 3])], np.asarray(latents)[np.argsort(-distance)[:2]])


def test_the_optimizer_subtracts_the_gradient_of_averages_as_it_is():
    c = common.adamw()
    c.averaged, c.freeze = "quantiser/.*", "frozen"
    params = {"quantiser": {"sums": jnp.ones(3)}, "frozen": jnp.ones(3), "kernel": jnp.ones(3)}
    gradients = jax.tree.map(lambda x: 100 * x, params)  # far beyond what is clipped
    tx = optimizer(c)
    updates, _ = tx.update(gradients, tx.init(params), params)
    np.testing.assert_array_equal(updates["quantiser"]["sums"], -100 * np.ones(3))
    np.testing.assert_array_equal(updates["frozen"], np.zeros(3))
    assert jnp.abs(updates["kernel"]).max() < 0.01


def test_codebook_use():
    even, one = codebook_use(jnp.arange(8) % 4, size=8), codebook_use(jnp.zeros(5, int), size=8)
    np.testing.assert_allclose([even.usage, even.perplexity], [0.5, 4.0], rtol=1e-6)
    np.testing.assert_allclose([one.usage, one.perplexity], [1 / 8, 1.0], rtol=1e-6)
