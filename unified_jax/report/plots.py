"""Small line plots as inline SVG. Colours are CSS variables, so that the page's light and dark themes apply."""

import io
import re
from collections.abc import Callable, Sequence
from dataclasses import dataclass

import matplotlib
import numpy as np
from markupsafe import Markup
from matplotlib.axes import Axes
from matplotlib.figure import Figure
from matplotlib.ticker import FuncFormatter, LogLocator, MaxNLocator, NullLocator

from unified_jax.report.wording import brief, percent

# Matplotlib wants real colours: these stand-ins are replaced by variables of the style sheet in the finished SVG.
_INK, _LINE, GRID = "#010203", "#040506", "#070809"
_VARIABLES = {_INK: "var(--muted)", _LINE: "var(--accent)", GRID: "var(--rule)"}
STYLE = {
    "svg.fonttype": "none",  # text stays text: it takes the page's font
    "svg.hashsalt": "unified_jax",  # the same run gives the same page, byte for byte
    "font.size": 9,
    "axes.edgecolor": GRID,
    "axes.spines.top": False,
    "axes.spines.right": False,
    "xtick.color": _INK,
    "ytick.color": _INK,
    "axes.labelcolor": _INK,
    "xtick.major.size": 0,
    "ytick.major.size": 0,
}
_MOST_POINTS = 240  # more than the panel has pixels for
_LOG_RATIO = 30  # a positive curve that spans more than this is drawn on a logarithmic axis


@dataclass(frozen=True)
class Curve:
    """y over x with an optional band from `low` to `high`; `points` marks each measurement with a dot."""

    x: Sequence[float]
    y: Sequence[float]
    low: Sequence[float] | None = None
    high: Sequence[float] | None = None
    points: bool = False


def line_panel(curve: Curve, *, x_label: str, scale: Callable[[Axes, np.ndarray], None]) -> Markup:
    """One small plot with its y axis set by `scale(axes, values)`. Unmeasured values (NaN) leave gaps."""
    with matplotlib.rc_context(STYLE):
        figure = Figure(figsize=(3.7, 2.15))
        axes = figure.add_axes((0.13, 0.19, 0.84, 0.76))
        _draw(axes, curve)
        values = np.asarray(curve.y, float)
        scale(axes, values[np.isfinite(values)])
        axes.set_xlabel(x_label)
        return to_svg(figure)


def share_axis(axes: Axes, values: np.ndarray) -> None:
    """From 0 to 100%, so that all shares of one can be compared."""
    axes.set_ylim(0, 1.02)
    axes.set_yticks((0, 0.25, 0.5, 0.75, 1))
    axes.yaxis.set_major_formatter(FuncFormatter(lambda value, _: percent(value, 0)))


def zero_axis(axes: Axes, values: np.ndarray) -> None:
    """From zero, for amounts: small changes look small."""
    axes.yaxis.set_major_locator(MaxNLocator(4))
    if len(values) and values.min() >= 0:
        axes.set_ylim(bottom=0)


def loss_axis(axes: Axes, values: np.ndarray) -> None:
    """Around the values; logarithmic if they span so much that the end of a linear curve would look flat."""
    if not len(values) or values.min() <= 0 or values.max() < _LOG_RATIO * values.min():
        axes.yaxis.set_major_locator(MaxNLocator(4))
        return
    axes.set_yscale("log")
    steps = (1, 3) if values.max() < 1000 * values.min() else (1,)
    axes.yaxis.set_major_locator(LogLocator(subs=steps, numticks=8))
    axes.yaxis.set_minor_locator(NullLocator())
    axes.yaxis.set_major_formatter(FuncFormatter(_tick))


def noisy(x: Sequence[float], y: Sequence[float]) -> Curve:
    """A per-step record as the mean over neighbouring steps, in the band from their 10th to their 90th percentile."""
    x, y = np.asarray(x, float), np.asarray(y, float)
    known = np.isfinite(x) & np.isfinite(y)
    x, y = x[known], y[known]
    per_bin = max(1, min(len(x) // 40, 20), -(-len(x) // _MOST_POINTS))
    bins = [slice(start, start + per_bin) for start in range(0, len(x), per_bin)]
    low, high = ([np.percentile(y[part], q) for part in bins] for q in (10, 90))
    return Curve([x[part].mean() for part in bins], [y[part].mean() for part in bins], low, high)


def _tick(value: float, _position: int | None = None) -> str:
    return brief(value)


def _draw(axes: Axes, curve: Curve) -> None:
    if curve.low is not None and curve.high is not None:
        axes.fill_between(curve.x, curve.low, curve.high, color=_LINE, alpha=0.18, linewidth=0)
    axes.plot(curve.x, curve.y, color=_LINE, linewidth=1.6, marker="o" if curve.points else None, markersize=3.2)
    axes.grid(axis="y", color=GRID, linewidth=0.7)
    axes.set_axisbelow(True)
    axes.xaxis.set_major_locator(MaxNLocator(5))
    for axis in (axes.xaxis, axes.yaxis):
        axis.set_major_formatter(FuncFormatter(_tick))


def to_svg(figure: Figure) -> Markup:
    """The figure as part of a page, in the page's own colours and font."""
    buffer = io.StringIO()
    figure.patch.set_visible(False)
    for axes in figure.axes:
        axes.patch.set_visible(False)
    figure.savefig(buffer, format="svg", metadata={"Date": None})
    svg = buffer.getvalue()
    svg = svg[svg.index("<svg") :]
    svg = re.sub(r"<metadata>.*?</metadata>", "", svg, flags=re.DOTALL)
    svg = re.sub(r' xmlns(:\w+)?="[^"]*"', "", svg)  # HTML knows the namespaces of inline SVG
    svg = re.sub(r' id="\w+_\d+"', "", svg)  # group names, which would repeat from plot to plot
    svg = re.sub(r"font-family: [^;\"]*;", "", svg)  # the page's own font
    for colour, variable in _VARIABLES.items():
        svg = svg.replace(colour, variable)
    return Markup(svg)
