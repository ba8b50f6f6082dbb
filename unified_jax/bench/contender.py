"""Contender: one side of a benchmark, and the process it runs in.

Each side has a process of its own, so that the thread pools and heaps of two frameworks do not meet; while one side is
timed, the other waits at its end of a pipe.
"""

import dataclasses
import multiprocessing
import runpy
import time
from collections.abc import Callable, Mapping
from pathlib import Path
from typing import Any

WARM_UP = 3  # runs before the clock: the first compiles, the next fill caches


@dataclasses.dataclass(frozen=True)
class Contender:
    """run: one piece of work, finished when it returns, and a result that may be compared with the other side's.

    facts: what is said of this side in the notes of its row (parameters, version).
    """

    run: Callable[[], Any]
    facts: Mapping[str, Any]


Build = Callable[..., Contender]


def from_file(*, source: Path, function: str, **arguments: Any) -> Contender:
    """A contender that no module of the library may import, by the path of its file."""
    return runpy.run_path(str(source))[function](**arguments)


class Worker:
    """A contender in its own process; a context manager. Raises RuntimeError with the contender's own words."""

    def __init__(self, build: Build, **arguments: Any):
        """Builds and warms up: returns when the contender is ready to be timed."""
        spawn = multiprocessing.get_context("spawn")
        self._pipe, end = spawn.Pipe()
        self._process = spawn.Process(target=_serve, args=(end, build, arguments), daemon=True)
        self._process.start()
        end.close()  # so that the death of the process ends the wait for its answer
        self.facts, self.result = self._answer()

    def __enter__(self) -> "Worker":
        return self

    def __exit__(self, *error: Any) -> None:
        self._process.terminate()
        self._process.join()

    def seconds(self, runs: int) -> float:
        """Wall time of one run, as the mean of ``runs`` in succession."""
        self._pipe.send(runs)
        return self._answer()

    def _answer(self) -> Any:
        try:
            answer = self._pipe.recv()
        except EOFError:
            raise RuntimeError("the process ended without a word") from None
        if isinstance(answer, Exception):
            raise RuntimeError(f"{type(answer).__name__}: {answer}") from None
        return answer


def _serve(pipe: Any, build: Build, arguments: Mapping[str, Any]) -> None:
    try:
        contender = build(**arguments)
        for _ in range(WARM_UP):
            result = contender.run()
        pipe.send((dict(contender.facts), result))
        while True:
            runs = pipe.recv()
            start = time.perf_counter()
            for _ in range(runs):
                contender.run()
            pipe.send((time.perf_counter() - start) / runs)
    except EOFError:  # nobody asks any more
        return
    except Exception as error:
        # The error itself may hold what cannot be sent.
        pipe.send(RuntimeError(f"{type(error).__name__}: {error}"))
