"""One training step: corrupt, predict, differentiate, clip, update, average. Pure; jitted by the loop."""

from collections.abc import Callable, Mapping, Sequence
from types import MappingProxyType
from typing import Any

import jax
import jax.numpy as jnp
import optax

from unified_jax.core.sequence import Interleaved
from unified_jax.core.types import Array, Float, PRNGKeyArray
from unified_jax.objectives.balance import Balance
from unified_jax.objectives.scale import scales
from unified_jax.objectives.total import Objective, losses, name_of, total
from unified_jax.train.state import TrainState


def train_step(
    state: TrainState,
    seq: Interleaved,
    rng: PRNGKeyArray,
    rate: Float[Array, ""] | float = 1.0,
    beside: Mapping[str, Any] = MappingProxyType({}),
    *,
    model,
    objectives: Sequence[Objective],
    tx: optax.GradientTransformation,
    balance: Balance = Balance(),
    ema_decay: float,
    skip_bad: bool = False,
) -> tuple[TrainState, dict[str, Array]]:
    """seq: leaves [M B ...], M micro-batches whose gradients are accumulated into one update. rate: what the update is
    multiplied by, the learning-rate schedule's value. beside: collections of variables that no step changes, beside the
    "params" that are trained. balance: losses of learned routers, where the model has any.

    Every stream's loss is divided by its own count over all M * B rows (and, under jit, over all devices). An update
    whose loss or gradient is not finite is left out; unless ``skip_bad``, so is every later one, and the loop stops.
    """
    rng = jax.random.fold_in(rng, state.step)
    micro = jax.tree.leaves(seq)[0].shape[0]
    counts = _counts(objectives, rng, seq)

    def score(params, i, part):
        """Losses of a micro-batch, and what routers and codecs report beside the predictions."""
        key, sown = jax.random.fold_in(rng, i), {}
        rngs = {"sample": jax.random.fold_in(key, len(objectives))}  # for models that draw, as a Gaussian codec does

        def predict(shown):
            predictions, reports = model.apply(
                {"params": params, **beside}, shown, method="predict", mutable=["router", "report"], rngs=rngs
            )
            sown.update(reports)
            return predictions

        return losses(predict, objectives, key, part), sown

    def objective(params, i, part):
        sums, sown = score(params, i, part)
        routers = balance.losses(sown.get("router", {}))
        paces = scales(objectives, lambda p: score(p, i, part)[0], params, step=state.step, counts=counts)
        loss = total(sums, objectives, counts, paces) + balance.total(routers) / micro
        reports = {"router/load": routers.load / micro, "router/z": routers.z / micro} if "router" in sown else {}
        reports |= {f"scale/{name}": x / micro for name, x in paces.items()}
        reports |= {name: x / micro for name, (x,) in sown.get("report", {}).items()}
        return loss, ({name: x.total for name, x in sums.items()}, reports)

    def body(carry, x):
        return jax.tree.map(jnp.add, carry, _gradient(objective)(state.params, *x)), None

    first = lambda tree: jax.tree.map(lambda x: x[0], tree)
    if micro == 1:
        (loss, (parts, reports)), grads = _gradient(objective)(state.params, jnp.int32(0), first(seq))
    else:
        shape = jax.eval_shape(_gradient(objective), state.params, jnp.int32(0), first(seq))
        zeros = jax.tree.map(lambda x: jnp.zeros(x.shape, x.dtype), shape)
        ((loss, (parts, reports)), grads), _ = jax.lax.scan(body, zeros, (jnp.arange(micro), seq))

    norm = optax.global_norm(grads)
    good = jnp.isfinite(loss) & jnp.isfinite(norm)
    apply = good & (skip_bad | (state.bad_step < 0))
    updates, opt_state = tx.update(grads, state.opt_state, state.params)
    updates = jax.tree.map(lambda x: rate * x, updates)
    params = optax.apply_updates(state.params, updates)
    # Early on, an average with the full decay would still be mostly the initial weights.
    decay = jnp.minimum(ema_decay, (1.0 + state.step) / (10.0 + state.step))
    ema = jax.tree.map(lambda old, new: decay * old + (1 - decay) * new, state.ema, params)
    keep = lambda new, old: jax.tree.map(lambda a, b: jnp.where(apply, a, b), new, old)
    metrics = {"loss": loss, "grad_norm": norm, "update_norm": optax.global_norm(updates)}
    metrics |= {f"loss/{name}": x / jnp.maximum(counts[name], 1.0) for name, x in parts.items()}
    metrics |= {f"count/{name}": x for name, x in counts.items()}
    metrics |= reports
    skipped = state.skipped + ~apply
    state = TrainState(
        step=state.step + 1,
        params=keep(params, state.params),
        ema=keep(ema, state.ema),
        opt_state=keep(opt_state, state.opt_state),
        bad_step=jnp.where((state.bad_step < 0) & ~good, state.step, state.bad_step),
        skipped=skipped,
    )
    metrics["skipped"] = skipped
    return state, metrics


def _gradient(objective: Callable) -> Callable:
    return jax.value_and_grad(objective, has_aux=True)


def _counts(objectives: Sequence[Objective], rng: PRNGKeyArray, seq: Interleaved) -> dict[str, Array]:
    """Learned entries of every objective over all micro-batches, as its own corruption leaves them."""

    def count(carry, x):
        i, part = x
        for n, objective in enumerate(objectives):
            part, _ = objective.corrupt(jax.random.fold_in(jax.random.fold_in(rng, i), n), part)
        sums = {name_of(o): part.streams[o.stream].weight.sum() for o in objectives}
        return jax.tree.map(jnp.add, carry, sums), None

    zeros = {name_of(o): jnp.zeros(()) for o in objectives}
    micro = jax.tree.leaves(seq)[0].shape[0]
    return jax.lax.scan(count, zeros, (jnp.arange(micro), seq))[0]
