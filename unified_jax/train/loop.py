"""train: data, step, log, evaluate, save, resume. One loop for every system."""

import dataclasses
import math
import time
from collections.abc import Callable, Iterable
from functools import partial
from pathlib import Path
from typing import Any

import grain
import jax
import numpy as np
from absl import logging

from unified_jax.core.mask import visible
from unified_jax.core.mesh import ROWS
from unified_jax.core.sequence import Interleaved, join
from unified_jax.data.guard import Guard
from unified_jax.data.loader import Batches, Packing
from unified_jax.data.pack import Layout, fill_rate
from unified_jax.objectives.balance import Balance
from unified_jax.train import sharding
from unified_jax.train.begin import Beginning, begin, made
from unified_jax.train.budget import Budget
from unified_jax.train.checkpoint import Checkpoints
from unified_jax.train.experiment import Experiment
from unified_jax.train.flops import peak_flops, train_flops
from unified_jax.train.metrics import Log
from unified_jax.train.optim import optimizer, schedule
from unified_jax.train.state import TrainState
from unified_jax.train.step import train_step
from unified_jax.train.usage import Usage


class BadStep(ValueError):
    """A loss or gradient was not finite, and the config says to stop."""


@dataclasses.dataclass(frozen=True)
class Trained:
    """What a run leaves behind: the model, the averaged and the last parameters, steps, seconds of training.

    earlier: how many of these seconds were spent before this process went on from a checkpoint. learned: averages of
    what was trained: of all parameters, or of adapters alone (``models.lora``).
    """

    model: Any
    ema: Any
    params: Any
    steps: int
    seconds: float
    earlier: float = 0.0
    learned: Any = None


Evaluate = Callable[[int, float, Any, Any], None]


def train(experiment: Experiment, workdir: str | Path, *, evaluate: Evaluate = lambda *_: None) -> Trained:
    """Trains until the config's steps are done, going on from the newest checkpoint in ``workdir``.

    evaluate(step, seconds, model, params): called every ``evaluate_every`` steps with the averaged parameters; its
    time is not training time. Raises BadStep at the first non-finite loss unless ``on_bad_step`` is "skip".
    """
    c, workdir = experiment.config, Path(workdir)
    _check(c)
    mesh = sharding.make_mesh(dict(c.mesh))
    shards = math.prod(mesh.shape[axis] for axis in ROWS)
    if c.packing.rows % shards:
        product = " * ".join(ROWS)
        raise ValueError(f"packing.rows {c.packing.rows} must be a multiple of the mesh's {product} = {shards}")
    model = experiment.model(experiment.tokenizer(workdir))
    given = experiment.given(model)
    batches = _batches(experiment, model, given)
    put = partial(sharding.put_batch, sharding=sharding.batch_sharding(mesh), accumulate=c.accumulate)
    beginning = begin(experiment, model, mesh=mesh, given=given)
    state, step_fn = _start(experiment, beginning, mesh)
    checkpoints, data, seconds = Checkpoints(workdir, keep=c.keep), iter(_prefetched(batches)), 0.0
    if checkpoints.latest is not None:
        state, progress = checkpoints.restore(state)
        data.set_state(progress["data"])
        seconds = progress["seconds"]
    earlier = seconds
    flops = partial(train_flops, jax.eval_shape(beginning.attach, state.params), stays=beginning.stays)
    step, meter, usage = int(state.step), _Meter(flops, mesh, model.family), Usage()
    rng, started = jax.random.key(c.seed), time.perf_counter() - seconds
    budget = Budget(workdir / "steps.json", steps=c.steps, minutes=c.minutes)
    steps = budget.steps(step)
    with Log(workdir, steps=steps, step=step) as log:
        while step < steps:
            batch = next(data)
            rate = schedule(c.optimizer, step, steps)
            with jax.set_mesh(mesh):  # no longer than this: Orbax 0.11 slices single shards, which no mesh may surround
                state, metrics = step_fn(state, put(batch), rng, np.float32(rate), beginning.beside)
            usage.add(metrics)
            step += 1
            if step % c.log_every == 0 or step >= steps:
                metrics = {name: float(x) for name, x in metrics.items()}
                seconds = time.perf_counter() - started
                _name_bad(state, c.on_bad_step)
                metrics |= {"learning_rate": rate * c.optimizer.learning_rate, "seconds": seconds}
                log.write(step, metrics | usage.read() | meter(batch, step, seconds))
                steps = budget.review(step, seconds)
            last = step >= steps
            log.step(step, steps)
            if (c.save_every and step % c.save_every == 0) or last:
                _name_bad(state, c.on_bad_step)  # a run that must stop leaves its last good checkpoint
                checkpoints.save(step, state, {"data": data.get_state(), "seconds": time.perf_counter() - started})
            if c.evaluate_every and step % c.evaluate_every == 0 and not last:
                jax.block_until_ready(state)
                paused = time.perf_counter()
                with jax.set_mesh(mesh):
                    evaluate(step, paused - started, model, beginning.join(state.ema))
                started += time.perf_counter() - paused
    checkpoints.wait()
    checkpoints.close()
    return _trained(model, beginning, state, seconds, earlier)


def _check(c: Any) -> None:
    """Raises ValueError for a value that would fail, or be taken for another, only much later."""
    if c.on_bad_step not in ("stop", "skip"):
        raise ValueError(f"on_bad_step is {c.on_bad_step!r}; choose stop or skip")
    for name in ("steps", "log_every", "accumulate", "keep"):
        if c[name] < 1:
            raise ValueError(f"{name} must be 1 or more, found {c[name]}")


def restore(experiment: Experiment, workdir: str | Path) -> Trained:
    """The newest checkpoint of a run, finished or not. Raises FileNotFoundError or ValueError where there is none."""
    checkpoints = Checkpoints(workdir)
    if checkpoints.latest is None:
        raise FileNotFoundError(f"{checkpoints.path}: no complete checkpoint")
    # The devices here need not be those of the training: what can be split is split over whatever there is.
    model, mesh = experiment.model(experiment.tokenizer(workdir)), sharding.make_mesh({"fsdp": -1})
    beginning = begin(experiment, model, mesh=mesh, given=experiment.given(model))
    shape = jax.eval_shape(beginning.create, jax.random.key(0), beginning.given)
    state, progress = checkpoints.restore(sharding.placed(shape, mesh))
    return _trained(model, beginning, state, progress["seconds"])


def _trained(model: Any, beginning: Beginning, state: TrainState, seconds: float, earlier: float = 0.0) -> Trained:
    ema, params = beginning.join(state.ema), beginning.join(state.params)
    return Trained(model, ema, params, int(state.step), seconds, earlier, learned=state.ema)


def _start(experiment: Experiment, beginning: Beginning, mesh: Any) -> tuple[TrainState, Any]:
    """A fresh state, created already sharded, and the compiled step that replaces it."""
    c = experiment.config
    state, placed = made(beginning.create, jax.random.key(c.seed), beginning.given, mesh=mesh)
    step = partial(
        train_step,
        model=beginning.model,
        objectives=experiment.objectives(),
        tx=optimizer(c.optimizer),
        balance=Balance(**c.router),
        ema_decay=c.ema_decay,
        skip_bad=c.on_bad_step == "skip",
    )
    return state, jax.jit(step, donate_argnums=0, out_shardings=(placed, None))


def _layouts(given: Iterable[Any], streams: Iterable[str]) -> list[Layout]:
    """A stream that a layout does not name has no room in it: text-only rows are such a layout."""
    layouts = [(dict(layout["lanes"]), dict(layout["streams"])) for layout in given]
    for name in streams:
        if not any(room.get(name) for _, room in layouts):
            raise ValueError(f"no layout of packing.layouts has room for stream {name!r}")
    return [Layout(lanes, dict.fromkeys(streams, 0) | room) for lanes, room in layouts]


def _batches(experiment: Experiment, model: Any, given: Any) -> Batches:
    """This process's share of the packed data."""
    c, family = experiment.config, model.family
    rows = c.packing.rows * c.accumulate
    if rows % jax.process_count():
        raise ValueError(f"{rows} rows do not divide among {jax.process_count()} processes")
    packing = Packing(
        plan=lambda documents: [family.write(document) for document in family.encode(documents, given)],
        streams=family.streams,
        layouts=_layouts(experiment.layouts(model, given), family.streams),
        rows=rows // jax.process_count(),
        null=family.null,
        null_rate=c.packing.null_rate,
        seed=c.seed,
    )
    source = Guard(experiment.data(), limit=c.bad_records, check=family.check)
    return Batches(source, packing, start=jax.process_index(), step=jax.process_count())


def _prefetched(batches: Batches) -> grain.IterDataset:
    return grain.experimental.ThreadPrefetchIterDataset(batches, prefetch_buffer_size=4)


def _name_bad(state: TrainState, on_bad_step: str) -> None:
    """Stops at a bad step, or warns of those skipped so far."""
    bad, skipped = int(state.bad_step), int(state.skipped)
    if bad < 0:
        return
    if on_bad_step == "stop":
        raise BadStep(
            f"the loss or gradient of step {bad} is not finite; its update and all later ones were left out. "
            "Lower the learning rate, or set on_bad_step=skip"
        )
    logging.log_every_n(
        logging.WARNING, "skipped %d updates that were not finite, the first at step %d", 50, skipped, bad
    )


class _Meter:
    """Throughput since the last call: filled slots a second, fill rate, model-FLOPs utilisation."""

    def __init__(self, flops: Callable[..., float], mesh: Any, family: Any):
        device = mesh.devices.flat[0]
        peak = peak_flops(device)
        # Simulated CPU devices share the cores that were measured together.
        devices = 1 if device.platform == "cpu" else mesh.devices.size
        self._peak = peak * devices if peak else None
        self._streams = family.streams
        self._top_k = (family.arguments.get("experts") or {}).get("top_k", 1)
        self._flops = flops
        self._last: tuple[int, float] | None = None

    def __call__(self, batch: Interleaved, step: int, seconds: float) -> dict[str, float]:
        slots = join(batch.lanes)
        filled = float(np.sum(np.asarray(slots.doc) > 0)) * jax.process_count()
        room = {name: batch.lanes[stream.lane].capacity for name, stream in self._streams.items()}
        entries = {name: float(np.sum(p.slot < room[name])) * jax.process_count() for name, p in batch.streams.items()}
        pairs = float(np.sum(np.asarray(visible(slots, slots)))) * jax.process_count()
        flops = self._flops(slots=filled, entries=entries, pairs=pairs, top_k=self._top_k)
        rates = {"fill_rate": filled / (slots.doc.size * jax.process_count())}
        rates |= {f"fill_rate/{name}": rate for name, rate in fill_rate(batch, self._streams).items()}
        rates |= {"flops_per_step": flops} if flops else {}
        if self._last:
            each = (seconds - self._last[1]) / max(step - self._last[0], 1)
            rates |= {"slots_per_second": filled / each, "seconds_per_step": each}
            if self._peak and flops:
                rates |= {"mfu": flops / each / self._peak, "peak_flops": self._peak}
        self._last = (step, seconds)
        return rates
