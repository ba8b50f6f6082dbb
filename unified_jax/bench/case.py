"""Case: our side and its peers at one size, timed in turns -> rows of figures."""

import contextlib
import dataclasses
import importlib.util
import statistics
import tempfile
from collections.abc import Callable, Mapping, Sequence
from pathlib import Path
from typing import Any

import jax
import numpy as np

from unified_jax.bench.contender import Build, Worker

SHORTEST = 0.3  # seconds that one timing lasts at least; quicker runs are repeated within it


@dataclasses.dataclass(frozen=True)
class Peer:
    """name: as the row says it. needs: packages it imports, as pip calls them, and as Python does."""

    name: str
    build: Build
    needs: Mapping[str, str]


@dataclasses.dataclass(frozen=True)
class Case:
    """One comparison.

    arguments: sizes, given to every side together with a scratch ``folder``; our side is built first and may leave
      weights and inputs there for the peers.
    tokens: how many one run makes: figures are then tokens a second, and otherwise milliseconds.
    tolerance: the largest relative difference between the results of two sides; None where they do not compare (each
      side's own architecture, or its own noise).
    """

    name: str
    size: str
    ours: Build
    peers: Sequence[Peer]
    arguments: Mapping[str, Any]
    tokens: int | None = None
    tolerance: float | None = None
    note: str = ""

    def figure(self, seconds: float) -> float:
        """Seconds of one run -> the number in ``unit``."""
        return 1000 * seconds if self.tokens is None else self.tokens / seconds

    @property
    def unit(self) -> str:
        return "ms" if self.tokens is None else "tokens/s"


def run(case: Case, *, repeats: int, tell: Callable[[str], None]) -> list[dict[str, Any]]:
    """One row for each peer that is installed and runs; tell: takes one line about each that does not.

    Raises RuntimeError where our own side fails, or where a peer's result is not ours.
    """
    with contextlib.ExitStack() as stack, tempfile.TemporaryDirectory() as folder:
        arguments = {"folder": Path(folder), **case.arguments}
        ours = stack.enter_context(Worker(case.ours, **arguments))
        peers = {}
        for peer in case.peers:
            if missing := [pip for pip, name in peer.needs.items() if importlib.util.find_spec(name) is None]:
                tell(f"{case.name}: {peer.name} is not measured; to install it: pip install {' '.join(missing)}")
                continue
            try:
                worker = Worker(peer.build, **arguments)
            except RuntimeError as error:
                tell(f"{case.name}: {peer.name} does not run here: {' '.join(str(error).split())[:300]}")
                continue
            peers[peer.name] = stack.enter_context(worker)
            _agree(case, peer.name, ours.result, worker.result)
        times = interleave([ours, *peers.values()], repeats) if peers else []
        return [
            _row(case, name, times[0], theirs, ours.facts, worker.facts)
            for (name, worker), theirs in zip(peers.items(), times[1:])
        ]


def interleave(workers: Sequence[Worker], repeats: int) -> list[list[float]]:
    """Seconds of each worker's runs, taken in turns: A B A B ..."""
    runs = [max(1, round(SHORTEST / worker.seconds(1))) for worker in workers]
    times = [[worker.seconds(n) for worker, n in zip(workers, runs)] for _ in range(repeats)]
    return [list(column) for column in zip(*times)]


def difference(a: Any, b: Any) -> float:
    """The largest difference of two results, relative to the largest number of each array of ``b``."""
    relative = lambda x, y: np.max(np.abs(np.asarray(x) - np.asarray(y))) / max(np.max(np.abs(y)), 1e-30)
    return float(max(jax.tree.leaves(jax.tree.map(relative, a, b))))


def _agree(case: Case, name: str, ours: Any, theirs: Any) -> None:
    if case.tolerance is not None and not (found := difference(ours, theirs)) <= case.tolerance:
        raise RuntimeError(f"{case.name}: our result and that of {name} differ by {found:.1e} of the largest number")


def _row(
    case: Case, peer: str, ours: list[float], theirs: list[float], our_facts: Mapping, their_facts: Mapping
) -> dict[str, Any]:
    spread = lambda seconds: [_rounded(x) for x in sorted(map(case.figure, (min(seconds), max(seconds))))]
    our_time, their_time = statistics.median(ours), statistics.median(theirs)
    return {
        "name": f"{case.name} against {peer}",
        "ours": _rounded(case.figure(our_time)),
        "peer": _rounded(case.figure(their_time)),
        "peer_name": peer,
        "unit": case.unit,
        "ratio": round(their_time / our_time, 2),
        "ours_range": spread(ours),
        "peer_range": spread(theirs),
        "repeats": len(ours),
        "ours_facts": dict(our_facts),
        "peer_facts": dict(their_facts),
        "note": case.note,
    }


def _rounded(x: float) -> float:
    return float(f"{x:.4g}")
