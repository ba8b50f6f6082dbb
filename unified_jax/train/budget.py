"""Budget: how many steps a run has: as many as its config says, or as many as fit its minutes on this machine."""

import json
from pathlib import Path

from unified_jax.train.metrics import write_json


class Budget:
    """The steps of one run. Without ``minutes`` they are ``steps``; with them, at most so many.

    A time budget is reviewed while training, since no machine is equally fast all the time. The learning rate follows
    the number of steps, so every decision is written to ``path`` before it counts, and a run that goes on from a
    checkpoint takes the decisions it took before.
    """

    def __init__(self, path: Path, *, steps: int, minutes: float):
        self._path, self._most, self._seconds = path, steps, 60.0 * minutes
        written = json.loads(path.read_text(encoding="utf-8")) if minutes and path.exists() else {}
        self._decided = {int(step): number for step, number in written.get("decided", {}).items()}
        self._since: tuple[int, float] | None = None

    def steps(self, step: int) -> int:
        """The number of steps as it stands after ``step`` of them."""
        before = [decided for decided in self._decided if decided <= step]
        return self._decided[max(before)] if before else self._most

    def review(self, step: int, seconds: float) -> int:
        """The number of steps from here on, after ``step`` of them in ``seconds`` of training."""
        if not self._seconds or step in self._decided:
            return self.steps(step)
        if self._since is None:  # what came before includes compiling
            self._since = (step, seconds)
            return self.steps(step)
        each = (seconds - self._since[1]) / (step - self._since[0])
        self._decided[step] = min(self._most, step + max(0, round((self._seconds - seconds) / each)))
        write_json(self._path, {"steps": self._decided[step], "seconds_per_step": each, "decided": self._decided})
        return self._decided[step]
