"""Dispatch: bringing tokens to their experts and the experts' answers back. Nothing is dropped; shapes are static."""

import dataclasses
from collections.abc import Callable

import jax
import jax.numpy as jnp
from flax import struct
from jax.sharding import AbstractMesh, Mesh
from jax.sharding import PartitionSpec as P

from unified_jax.core.mesh import HEADS, ROWS
from unified_jax.core.types import Array, Float, Int, Leaf
from unified_jax.nn.router import Routing


@struct.dataclass
class Kernels:
    """gate, up: [E D F]; down: [E F D]."""

    gate: Leaf
    up: Leaf
    down: Leaf


# (kernels, rows [R D] sorted by expert, group_sizes=[E]) -> [R D]
FeedForward = Callable[..., Array]


def local(
    x: Float[Array, "N D"], routing: Routing, *, kernels: Kernels, feed_forward: FeedForward
) -> Float[Array, "N D"]:
    """sum_k weight_k * feed_forward_{expert_k}(x), all experts on this device.

    The pairs (token, expert) are sorted by expert. Those without an expert come last and into no group.
    """
    tokens, top_k = routing.expert.shape
    experts = len(kernels.gate)
    chosen = routing.expert.reshape(-1)
    sizes = (chosen[:, None] == jnp.arange(experts)).sum(0, dtype=jnp.int32)
    # A token chooses an expert at most once, so that a device with few experts has room for few rows.
    room = tokens * min(top_k, experts)
    grouped = jnp.arange(room) < sizes.sum()
    pair_of_row = jnp.where(grouped, jnp.argsort(chosen)[:room], len(chosen))
    row_of_pair = jnp.full(len(chosen), room).at[pair_of_row].set(jnp.arange(room), mode="drop")
    rows = _permute(jnp.repeat(x, top_k, 0), pair_of_row, row_of_pair)
    rows = feed_forward(kernels, rows, group_sizes=sizes)
    outputs = _permute(rows, row_of_pair, pair_of_row).reshape(tokens, top_k, -1)
    # Not an einsum: XLA on CPU would make it a batch of tiny products.
    return (outputs.astype(jnp.float32) * routing.weight[..., None]).sum(1).astype(x.dtype)


@jax.custom_vjp
def _permute(x: Float[Array, "N D"], source: Int[Array, "R"], target: Int[Array, "N"]) -> Float[Array, "R D"]:
    """x[source], zero where the source is out of range. target is the inverse, so that backward is a gather as well:
    of a general gather it would be a scatter, one row after the other.
    """
    return x.at[source].get(mode="fill", fill_value=0)


_permute.defvjp(
    lambda x, source, target: (_permute(x, source, target), (source, target)),
    lambda residuals, y: (_permute(y, residuals[1], residuals[0]), None, None),
)


@dataclasses.dataclass(frozen=True)
class ExpertParallel:
    """``local`` with the experts split over one axis of the mesh, for the field ``dispatch`` of a mixture.

    Every device gathers the tokens of its neighbours along ``expert``, runs the experts it holds on those that chose
    them, and the sums go back to where the tokens came from. Each way moves every token to every neighbour: less than
    sending a token to each of its k experts as long as the axis is no longer than k, and never more than axis / k
    times it. A device has room for the case that its neighbours' tokens all choose its own experts.

    tokens: the mesh axes the tokens are split over, as their rows are in the batch; the expert axis is one of them.
    tensor: the mesh axis the experts' hidden width is split over.
    """

    mesh: Mesh | AbstractMesh
    expert: str = "expert"
    tensor: str = HEADS
    tokens: tuple[str, ...] = ROWS

    def __call__(
        self, x: Float[Array, "N D"], routing: Routing, *, kernels: Kernels, feed_forward: FeedForward
    ) -> Float[Array, "N D"]:
        """Raises ValueError when the tokens or the experts do not divide over their axes."""
        self._check(len(x), len(kernels.gate))

        def one_device(x, routing, kernels):
            x, routing = jax.lax.all_gather((x, routing), self.expert, tiled=True)
            here, first = len(kernels.gate), len(kernels.gate) * jax.lax.axis_index(self.expert)
            own = (routing.expert >= first) & (routing.expert < first + here)
            routing = routing.replace(expert=jnp.where(own, routing.expert - first, here))
            y = local(x, routing, kernels=kernels, feed_forward=feed_forward)
            y = jax.lax.psum_scatter(y, self.expert, tiled=True)
            return jax.lax.psum(y, self.tensor)

        rows = P(self.tokens)
        inner, outer = P(self.expert, None, self.tensor), P(self.expert, self.tensor)
        specs = (rows, Routing(rows, rows), Kernels(inner, inner, outer))
        # The loop of tiled_dot starts from zeros, the same on every device, and check_vma wants that declared.
        run = jax.shard_map(one_device, mesh=self.mesh, in_specs=specs, out_specs=rows, check_vma=False)
        return run(x, routing, kernels)

    def _check(self, tokens: int, experts: int) -> None:
        shards = 1
        for axis in self.tokens:
            shards *= self.mesh.shape[axis]
        if tokens % shards:
            raise ValueError(f"{tokens} tokens do not divide over the {shards} devices of mesh axes {self.tokens}")
        if experts % self.mesh.shape[self.expert]:
            size = self.mesh.shape[self.expert]
            raise ValueError(f"{experts} experts do not divide over mesh axis {self.expert!r} of size {size}")


def over_mesh(
    x: Float[Array, "N D"], routing: Routing, *, kernels: Kernels, feed_forward: FeedForward
) -> Float[Array, "N D"]:
    """``ExpertParallel`` over the mesh in context (``jax.set_mesh``); ``local`` where that has one device or none."""
    mesh = jax.sharding.get_abstract_mesh()
    dispatch = local if mesh.empty or mesh.size == 1 else ExpertParallel(mesh)
    return dispatch(x, routing, kernels=kernels, feed_forward=feed_forward)
