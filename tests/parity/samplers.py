"""Samplers beside their diffusers schedulers: the path, solver and times of ours, and how to run theirs.

Both sides ask one toy network, a fixed function of x and the canonical time, whatever it is said to predict.
"""

import dataclasses
from collections.abc import Callable

import diffusers
import numpy as np
import torch

from unified_jax.core.noise import Edm, Path, Rectified, VariancePreserving, shift
from unified_jax.core.noise.betas import scaled_linear, squared_cosine, zero_terminal
from unified_jax.core.noise.shifts import exponential
from unified_jax.core.noise.timetables import karras, leading, linspace, rounded, trailing
from unified_jax.sampling.solvers.ancestral import Ddim, Ddpm
from unified_jax.sampling.solvers.chart import EXPLODING
from unified_jax.sampling.solvers.churn import Churn
from unified_jax.sampling.solvers.dpm import Dpm
from unified_jax.sampling.solvers.euler import Euler
from unified_jax.sampling.solvers.lcm import Boundary, Lcm
from unified_jax.sampling.solvers.solve import Solver
from unified_jax.sampling.solvers.two_stage import TwoStage
from unified_jax.sampling.solvers.unipc import UniPc

COUNTS = (1, 4, 20, 50)
SHAPE = (3, 5)
VP = dict(beta_schedule="linear", beta_start=1e-4, beta_end=0.02)
SD = dict(beta_schedule="scaled_linear", beta_start=0.00085, beta_end=0.012)


def toy(x, t, module):
    """Smooth, of the size of x, and not linear; t: numbers, or an array that broadcasts against x."""
    return 0.7 * module.sin(1.3 * x + 2.0 * t) + 0.2 * x - 0.3 * module.cos(3.0 * t) * x


def wide_toy(x, t, module):
    """The toy network with as many channels more, between -1 and 1."""
    parts = [toy(x, t, module), module.sin(2.0 * x - 3.0 * t)]
    return torch.cat(parts, 1) if module is torch else module.concatenate(parts, -1)


@dataclasses.dataclass(frozen=True)
class Case:
    """times: (steps) -> ours. reference: of diffusers. stretch: (sigma) -> theirs over ours, where their x is scaled.

    told: (scheduler) -> canonical times of their calls. prepare, step: what set_timesteps and step are given beside.
    """

    name: str
    path: Path
    solver: Solver
    times: Callable[[int], np.ndarray]
    reference: Callable[[], diffusers.SchedulerMixin]
    told: Callable[[diffusers.SchedulerMixin], np.ndarray]
    stretch: Callable[[float], float] | None = None
    prepare: Callable[[int], dict] = lambda steps: dict(num_inference_steps=steps)
    step: dict = dataclasses.field(default_factory=dict)
    counts: tuple[int, ...] = COUNTS
    network: Callable = toy

    def expected(self, steps: int, x: np.ndarray, seed: int) -> np.ndarray:
        """Their x after every step [steps ...], in our coordinates."""
        scheduler = self.reference()
        scheduler.set_timesteps(**self.prepare(steps))
        stretch = self.stretch or (lambda sigma: 1.0)
        sigmas = np.asarray(getattr(scheduler, "sigmas", np.zeros(steps + 1)), np.float64)
        generator, found = torch.Generator().manual_seed(seed), []
        x, step = torch.from_numpy(x) * stretch(sigmas[0]), dict(self.step)
        if "generator" in type(scheduler).step.__code__.co_varnames:
            step["generator"] = generator
        times, heun = self.told(scheduler), len(scheduler.timesteps) == 2 * steps - 1
        for i, (told, t) in enumerate(zip(scheduler.timesteps, times)):
            seen = scheduler.scale_model_input(x, told) if hasattr(scheduler, "scale_model_input") else x
            x = scheduler.step(self.network(seen, torch.tensor(t), torch), told, x, **step).prev_sample
            if not heun or i % 2 or i == 2 * steps - 2:
                # A Heun scheduler lists every sigma but the first and last twice.
                found.append(x.numpy() / stretch(sigmas[i + 1]))
        return np.stack(found)


def noises(steps: int, seed: int) -> np.ndarray:
    """What randn_tensor draws in turn from a generator of that seed."""
    generator = torch.Generator().manual_seed(seed)
    return np.stack([torch.randn(SHAPE, generator=generator).numpy() for _ in range(steps)])


levels = lambda scheduler: (scheduler.timesteps.numpy().astype(np.float32) + 1) / np.float32(1000)
sigmas = lambda scheduler: scheduler.sigmas.numpy()[:-1]
edm_times = lambda scheduler: (scheduler.sigmas.numpy()[:-1] / np.float32(80)) ** np.float32(1 / 7)
exploding = lambda sigma: (sigma**2 + 1) ** 0.5
dpm_times = lambda steps: rounded(linspace(steps, spare=1))
even = lambda steps: np.linspace(1, 1 / steps, steps)
once = lambda factor: lambda steps: np.append(shift(even(steps), factor), 0).astype(np.float32)


def twice(factor: float) -> Callable[[int], np.ndarray]:
    """The default times of diffusers' flow schedulers, which shift an already shifted end again (diffusers#13243)."""
    return lambda steps: np.append(shift(np.linspace(1, shift(1e-3, factor), steps), factor), 0).astype(np.float32)


def from_999(factor: float) -> Callable[[int], np.ndarray]:
    """Times of DPM-Solver on flows, from 0.999."""
    return lambda steps: np.append(shift(1 - np.linspace(1, 1e-3, steps + 1), factor)[:0:-1], 0).astype(np.float32)


def unipc_flow(factor: float) -> Callable[[int], np.ndarray]:
    """Times of UniPC on flows, from 1e-6 less than 1."""

    def times(steps):
        t = shift(np.linspace(1, 1e-3, steps + 1)[:-1], factor)
        t[0] -= 1e-6
        return np.append(t, 0).astype(np.float32)

    return times


MU = float(np.log(exponential(1024)))
FLOW = dict(prediction_type="flow_prediction", use_flow_sigmas=True)

CASES = [
    Case("ddpm", VariancePreserving(), Ddpm(), leading, lambda: diffusers.DDPMScheduler(clip_sample=False), levels),
    Case(
        "ddpm fixed large, squared cosine, v",
        VariancePreserving("v", squared_cosine()),
        Ddpm(between=1.0),
        leading,
        lambda: diffusers.DDPMScheduler(
            beta_schedule="squaredcos_cap_v2",
            variance_type="fixed_large",
            prediction_type="v_prediction",
            clip_sample=False,
        ),
        levels,
    ),
    Case(
        "ddpm learned variance",
        VariancePreserving(),
        Ddpm(between=None),
        leading,
        lambda: diffusers.DDPMScheduler(variance_type="learned_range", clip_sample=False),
        levels,
        network=wide_toy,
    ),
    Case("ddim", VariancePreserving(), Ddim(), leading, lambda: diffusers.DDIMScheduler(clip_sample=False), levels),
    Case(
        "ddim clean, eta 0.7",
        VariancePreserving("clean", scaled_linear()),
        Ddim(0.7),
        leading,
        lambda: diffusers.DDIMScheduler(**SD, prediction_type="sample", clip_sample=False),
        levels,
        step=dict(eta=0.7),
    ),
    Case(
        "ddim v, zero terminal",
        VariancePreserving("v", zero_terminal(scaled_linear())),
        Ddim(),
        trailing,
        lambda: diffusers.DDIMScheduler(
            **SD,
            prediction_type="v_prediction",
            rescale_betas_zero_snr=True,
            timestep_spacing="trailing",
            clip_sample=False,
        ),
        levels,
    ),
    Case(
        "euler",
        VariancePreserving(betas=scaled_linear()),
        Euler(),
        trailing,
        lambda: diffusers.EulerDiscreteScheduler(**SD, timestep_spacing="trailing"),
        levels,
        exploding,
    ),
    Case(
        "euler linspace, v",
        VariancePreserving("v", scaled_linear()),
        Euler(EXPLODING),
        linspace,
        lambda: diffusers.EulerDiscreteScheduler(**SD, prediction_type="v_prediction"),
        levels,
        exploding,
        counts=(4, 20, 50),
    ),
    Case(
        "euler ancestral",
        VariancePreserving(betas=scaled_linear()),
        Ddim(1.0),
        trailing,
        lambda: diffusers.EulerAncestralDiscreteScheduler(**SD, timestep_spacing="trailing"),
        levels,
        exploding,
    ),
    Case(
        "heun",
        VariancePreserving(betas=scaled_linear()),
        TwoStage(EXPLODING),
        trailing,
        lambda: diffusers.HeunDiscreteScheduler(**SD, timestep_spacing="trailing"),
        levels,
        exploding,
    ),
    Case(
        "dpmsolver++ 2m",
        VariancePreserving(),
        Dpm(),
        dpm_times,
        lambda: diffusers.DPMSolverMultistepScheduler(**VP),
        levels,
    ),
    Case(
        "dpmsolver++ 2m sde",
        VariancePreserving(),
        Dpm(eta=1.0),
        dpm_times,
        lambda: diffusers.DPMSolverMultistepScheduler(**VP, algorithm_type="sde-dpmsolver++"),
        levels,
    ),
    Case(
        "dpmsolver++ 2m flow, shift 3",
        Rectified(),
        Dpm(),
        from_999(3.0),
        lambda: diffusers.DPMSolverMultistepScheduler(**FLOW, flow_shift=3.0),
        sigmas,
    ),
    Case("unipc", VariancePreserving(), UniPc(), dpm_times, lambda: diffusers.UniPCMultistepScheduler(**VP), levels),
    Case(
        "unipc flow, shift 3",
        Rectified(),
        UniPc(),
        unipc_flow(3.0),
        lambda: diffusers.UniPCMultistepScheduler(**FLOW, flow_shift=3.0),
        sigmas,
    ),
    Case(
        "edm euler",
        Edm(),
        Churn(Euler(), churn=0.0),
        lambda steps: np.asarray(karras(Edm(), steps)),
        diffusers.EDMEulerScheduler,
        edm_times,
        lambda sigma: (sigma**2 + 0.25) ** 0.5,
        counts=(4, 20, 50),  # one step: sampler_test.py
    ),
    Case(
        "lcm",
        VariancePreserving(betas=scaled_linear()),
        Lcm(Boundary()),
        # A fiftieth of the levels each, from the last.
        lambda steps: np.append((50 - np.floor(np.linspace(0, 50, steps, endpoint=False))) / 50, 0).astype(np.float32),
        lambda: diffusers.LCMScheduler(**SD),
        levels,
    ),
    *(
        Case(
            f"flow euler, shift {factor:g}",
            Rectified(),
            Euler(),
            once(factor),
            lambda factor=factor: diffusers.FlowMatchEulerDiscreteScheduler(shift=factor),
            sigmas,
            prepare=lambda steps: dict(sigmas=even(steps)),
        )
        for factor in (1.0, 3.0)
    ),
    Case(
        "flow euler, dynamic mu",
        Rectified(),
        Euler(),
        once(float(np.exp(MU))),
        lambda: diffusers.FlowMatchEulerDiscreteScheduler(use_dynamic_shifting=True),
        sigmas,
        prepare=lambda steps: dict(sigmas=even(steps), mu=MU),
    ),
    Case(
        "flow euler, their default times at shift 3 (shifted twice)",
        Rectified(),
        Euler(),
        twice(3.0),
        lambda: diffusers.FlowMatchEulerDiscreteScheduler(shift=3.0),
        sigmas,
    ),
    *(
        Case(
            f"flow heun, their times at shift {factor:g}",
            Rectified(),
            TwoStage(),
            twice(factor),
            lambda factor=factor: diffusers.FlowMatchHeunDiscreteScheduler(shift=factor),
            lambda scheduler: scheduler.timesteps.numpy() / np.float32(1000),
        )
        for factor in (1.0, 3.0)
    ),
]
