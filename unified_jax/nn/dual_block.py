"""DualBlock: a block in which some lanes also attend within themselves (SD3.5 medium's first layers)."""

from unified_jax.core.sequence import split
from unified_jax.core.types import Array, Int
from unified_jax.nn.attention import KeysValues
from unified_jax.nn.block import Block, Side, States, add


class DualBlock(Block):
    """As ``Block``; lanes in ``alone`` also add o(attend(q, k, v)) over their own slots, with other weights, of the
    states before the joint attention. There is no cache of that.
    """

    alone: tuple[str, ...] = ()

    def _mix(
        self, xs: States, past: KeysValues | None, side: Side, window: Int[Array, ""] | None
    ) -> tuple[States, KeysValues]:
        mixed, kv = super()._mix(xs, past, side, window)
        capacity = {lane: x.shape[1] for lane, x in xs.items()}
        rotations, slots = split(side.rotation, capacity), split(side.slots, capacity)
        for lane in self.alone:
            own = side.replace(rotation=rotations[lane], slots=slots[lane], before=None, bias=None)
            y, gates = self._normed(self.pre_norm, "own_norm", {lane: xs[lane]}, own.at("attn"))
            y, _ = self._attend(y, None, own, window, mark="_own")
            mixed = add(mixed, y, gates)
        return mixed, kv
