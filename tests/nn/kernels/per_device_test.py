"""A kernel on a mesh: each device runs it on its own rows and heads, and together they give the whole."""

from functools import partial

import jax
import jax.numpy as jnp
import numpy as np
import pytest
from packed_rows import random_rows

from unified_jax.nn.kernels import flash_tpu
from unified_jax.nn.kernels.per_device import per_device
from unified_jax.train.sharding import make_mesh

kernel = partial(flash_tpu.attend, q_tile=16, k_tile=16, interpret=True)


def inputs(batch: int):
    rng = np.random.default_rng(0)
    slots = jax.tree.map(jnp.asarray, random_rows(rng, batch=batch, length=32, text=9, image=6))
    draw = lambda heads: jnp.asarray(rng.normal(size=(batch, 32, heads, 8)), jnp.float32)
    return draw(4), draw(2), draw(2), slots


def loss(attend, q, k, v, slots):
    return jnp.sum(jnp.sin(attend(q, k=k, v=v, query=slots, key=slots, scale=0.3, window=jnp.int32(7)).out))


@pytest.mark.parametrize("shape", [{"data": 2, "fsdp": 2, "tensor": 2}, {"data": 2, "tensor": 4}])
def test_eight_devices_compute_what_one_does(shape):
    arrays = inputs(4)
    expected = jax.jit(jax.value_and_grad(partial(loss, kernel), (0, 1, 2)))(*arrays)
    with jax.set_mesh(make_mesh(shape)):  # two key/value heads do not divide over four devices: these repeat the work
        found = jax.jit(jax.value_and_grad(partial(loss, per_device(kernel)), (0, 1, 2)))(*arrays)
    same = partial(np.testing.assert_allclose, rtol=1e-6, atol=1e-5)  # the loss is a sum, in another order
    jax.tree.map(same, found, expected)


def test_without_a_mesh_it_is_the_kernel():
    arrays = inputs(1)
    assert loss(per_device(kernel), *arrays) == loss(kernel, *arrays)


def test_rows_that_do_not_divide_are_refused():
    with jax.set_mesh(make_mesh({"data": 8})), pytest.raises(ValueError, match="3 rows do not divide over the 8"):
        loss(per_device(kernel), *inputs(3))
