"""Quality against cost: one line for each variant, a point for each way of drawing, whiskers over seeds."""

import math
from collections.abc import Sequence
from dataclasses import dataclass

import matplotlib
import numpy as np
from markupsafe import Markup
from matplotlib.figure import Figure
from matplotlib.ticker import FuncFormatter, LogLocator, NullFormatter

from unified_jax.report.plots import GRID, STYLE, share_axis, to_svg
from unified_jax.report.wording import quantity

# Told apart by anyone, on light and dark paper alike (Okabe and Ito, 2008); markers serve those who print.
COLOURS = ("#0072b2", "#d55e00", "#009e73", "#cc79a7", "#e69f00", "#56b4e9", "#8c6bb1")
MARKERS = "osD^vPX"


@dataclass(frozen=True)
class Point:
    """cost in FLOPs; value with the ends of its interval (NaN where unknown)."""

    cost: float
    value: float
    low: float = math.nan
    high: float = math.nan


@dataclass(frozen=True)
class Line:
    """The points of one variant, by growing cost."""

    name: str
    points: Sequence[Point]


def tradeoff_panel(lines: Sequence[Line]) -> Markup:
    """Shares of one over FLOPs on a logarithmic axis; the legend names the variants in their order."""
    with matplotlib.rc_context(STYLE):
        figure = Figure(figsize=(7.6, 3.4))
        axes = figure.add_axes((0.07, 0.14, 0.62, 0.82))
        for number, line in enumerate(lines):
            look = dict(color=COLOURS[number % len(COLOURS)], marker=MARKERS[number % len(MARKERS)], markersize=5)
            cost, value = [p.cost for p in line.points], [p.value for p in line.points]
            # A whisker of unknown length has none; means of shares may have intervals that leave [0, 1].
            reach = [[_length(p.value, p.low), _length(p.value, p.high)] for p in line.points]
            axes.errorbar(cost, value, yerr=list(zip(*reach)), label=line.name, linewidth=1.5, capsize=2.5, **look)
        axes.set_xscale("log")
        axes.xaxis.set_major_locator(LogLocator(subs=(1, 2, 5)))
        axes.xaxis.set_major_formatter(FuncFormatter(lambda x, _: quantity(x)))
        axes.xaxis.set_minor_formatter(NullFormatter())
        axes.set_xlabel("FLOPs of drawing one picture")
        share_axis(axes, np.asarray([point.value for line in lines for point in line.points]))
        axes.set_ylim(-0.02, 1.02)
        axes.grid(color=GRID, linewidth=0.7)
        axes.set_axisbelow(True)
        axes.legend(loc="center left", bbox_to_anchor=(1.02, 0.5), frameon=False, labelcolor=STYLE["axes.labelcolor"])
        return to_svg(figure)


def _length(value: float, end: float) -> float:
    return abs(value - min(1.0, max(0.0, end))) if math.isfinite(end) else 0.0
