"""Checkpoints: training state and data position together, asynchronous and atomic (Orbax)."""

from pathlib import Path
from typing import Any

import jax
import numpy as np
import orbax.checkpoint as ocp


class Checkpoints:
    """The checkpoints of one run, under ``workdir/checkpoints``; the newest ``keep`` stay.

    A checkpoint appears under its final name only when it is complete, so a run killed in mid-save goes on from the
    one before.
    """

    def __init__(self, workdir: str | Path, *, keep: int = 2):
        self.path = Path(workdir).absolute() / "checkpoints"
        self._manager = ocp.CheckpointManager(
            self.path,
            options=ocp.CheckpointManagerOptions(max_to_keep=keep, create=True),
            item_handlers={"state": _arrays(), "progress": ocp.JsonCheckpointHandler()},
        )

    @property
    def latest(self) -> int | None:
        """The newest complete step, or None."""
        return self._manager.latest_step()

    def save(self, step: int, state: Any, progress: dict[str, Any]) -> None:
        """Starts saving; returns once the arrays are copied. progress: JSON values (data position, seconds)."""
        self._manager.save(
            step, args=ocp.args.Composite(state=ocp.args.PyTreeSave(state), progress=ocp.args.JsonSave(progress))
        )

    def restore(self, like: Any, step: int | None = None) -> tuple[Any, dict[str, Any]]:
        """State and progress of ``step`` (default: the newest).

        like: arrays or ShapeDtypeStructs with the shapes and shardings wanted. Raises FileNotFoundError where there is
        no checkpoint, ValueError where it is damaged or belongs to another configuration.
        """
        step = self.latest if step is None else step
        if step is None:
            raise FileNotFoundError(f"{self.path}: no complete checkpoint")
        abstract = jax.tree.map(ocp.utils.to_shape_dtype_struct, like)
        places = ocp.checkpoint_utils.construct_restore_args(abstract)
        args = ocp.args.Composite(
            state=ocp.args.PyTreeRestore(abstract, restore_args=places), progress=ocp.args.JsonRestore()
        )
        try:
            restored = self._manager.restore(step, args=args)
        except Exception as error:  # Orbax and TensorStore raise many kinds, some spanning pages
            reason = str(error).strip().splitlines()[0][:200] if str(error).strip() else type(error).__name__
            raise ValueError(
                f"{self.path / str(step)}: damaged, or saved by another configuration ({reason})"
            ) from error
        return restored["state"], restored["progress"]

    def wait(self) -> None:
        """Returns when everything saved so far is on disk."""
        self._manager.wait_until_finished()

    def close(self) -> None:
        self._manager.close()


def _arrays() -> ocp.PyTreeCheckpointHandler:
    """Of copies on several devices each saves a share, but none of less than a megabyte: to cut it costs more."""
    handlers = ocp.type_handlers
    arrays = handlers.ArrayHandler(min_slice_bytes_for_replica_parallel=2**20)
    others = ((np.ndarray, handlers.NumpyHandler()), (int, handlers.ScalarHandler()), (float, handlers.ScalarHandler()))
    registry = handlers.create_type_handler_registry((jax.Array, arrays), *others)
    return ocp.PyTreeCheckpointHandler(type_handler_registry=registry)
