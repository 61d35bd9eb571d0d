"""Figures: a sweep as pictures for papers. Each function returns ``(fig, ax)``; no state of pyplot is touched.

The colours are those of the page: Okabe and Ito's, and viridis, which colour-blind readers can tell apart.
"""

from __future__ import annotations

from collections.abc import Callable, Sequence
from typing import Any

import numpy as np
from matplotlib.axes import Axes
from matplotlib.collections import LineCollection
from matplotlib.figure import Figure
from matplotlib.ticker import EngFormatter, FuncFormatter, NullFormatter
from numpy.typing import NDArray

from codesign.report.words import printable, shortened
from codesign.sweep.results import MEASURES, MORE_IS_BETTER, Results, levels
from traces.errors import InputError

_BLUE, _RED, _GREY = "#0072B2", "#D55E00", "#999999"
#: Factor and symbol of the unit that a measure is drawn in; the prefix is the axis's.
_UNITS = {"s": (1.0, "s"), "pJ": (1e-12, "J"), "B": (1.0, "B"), "%": (100.0, "%"), "": (1.0, "")}
_SPREAD = 10.0  # from a factor of this on an axis is logarithmic
_LINES = 3000


def plot_front(results: Results, x: str | None = None, y: str | None = None) -> tuple[Figure, Axes]:
    """Draw all points in two measures, by default the first two objectives, and the Pareto front of these two.

    Raises
    ------
    InputError
        If one is no measure of the sweep.
    """
    first, *rest = results.measures
    x, y = x or first, y or (rest[0] if rest else first)
    across, up = _values(results, x), _values(results, y)
    fig, ax = _figure(6.0, 4.2)
    known = np.isfinite(across) & np.isfinite(up)
    ax.scatter(across[known], up[known], 9, color=_BLUE, alpha=0.45, linewidths=0, label="points", rasterized=True)
    rows = _stairs(across, up, x in MORE_IS_BETTER, y in MORE_IS_BETTER)
    ax.step(across[rows], up[rows], where="post", color=_RED, linewidth=1.3, zorder=3)
    ax.scatter(across[rows], up[rows], 26, color=_RED, edgecolors="white", linewidths=0.6, zorder=4, label="front")
    for axis, name, values in ((ax.xaxis, x, across), (ax.yaxis, y, up)):
        _dress(axis, name, values)
    ax.grid(which="major", color=_GREY, alpha=0.3)
    ax.set_axisbelow(True)
    ax.legend(frameon=False, fontsize=8)
    ax.set_title(_text(results.name), fontsize=10)
    return fig, ax


def plot_heat(
    results: Results, x: str | None = None, y: str | None = None, measure: str | None = None, *, median: bool = False
) -> tuple[Figure, Axes]:
    """Draw the best (or the median) of a measure for each pair of levels of two parameters.

    By default these are the first two parameters that vary, numbers before others, and the first objective.

    Raises
    ------
    InputError
        If one is no parameter or measure of the sweep, or fewer than two parameters vary.
    """
    names = varied(results)
    if len(names) < 2:
        raise InputError(f"a heat map needs two parameters that vary, and {results.name} has {len(names)}")
    names.sort(key=lambda name: isinstance(levels(results, name)[0], str))
    x, y, measure = x or names[0], y or names[1], measure or results.measures[0]
    x_levels, x_codes = _coded(results, x)
    y_levels, y_codes = _coded(results, y)
    values = _values(results, measure)
    best: Callable[[NDArray[np.float64]], Any] = np.max if measure in MORE_IS_BETTER else np.min
    cells = np.full((len(y_levels), len(x_levels)), np.nan)
    for i, j in {(int(i), int(j)) for i, j in zip(y_codes, x_codes, strict=True) if min(i, j) >= 0}:
        inside = values[(y_codes == i) & (x_codes == j) & np.isfinite(values)]
        if len(inside):
            cells[i, j] = np.median(inside) if median else best(inside)
    fig, ax = _figure(1.9 + 0.62 * len(x_levels), 1.35 + 0.3 * len(y_levels))
    image = ax.pcolormesh(cells, cmap="viridis", edgecolors="white", linewidth=0.6)
    ax.set_xticks(np.arange(len(x_levels)) + 0.5, x_levels, fontsize=8)
    ax.set_yticks(np.arange(len(y_levels)) + 0.5, y_levels, fontsize=8)
    ax.tick_params(length=0)
    ax.set_xlabel(_text(x))
    ax.set_ylabel(_text(y))
    bar = fig.colorbar(image, ax=ax)
    bar.outline.set_visible(False)
    bar.ax.tick_params(labelsize=8)
    bar.ax.yaxis.set_major_formatter(EngFormatter(_UNITS[MEASURES[measure]][1]))
    ax.set_title(f"{'median' if median else 'best'} {_title(measure)}", fontsize=10)
    return fig, ax


def plot_parallel(results: Results) -> tuple[Figure, Axes]:
    """Draw an axis for each parameter that varies and each objective, and a line for each point; red is the front.

    Objectives that spread over more than a decade are on logarithmic axes.
    """
    parameters, objectives = varied(results), [name for name in results.objectives if name in results.measures]
    names = [*parameters, *objectives]
    done = np.flatnonzero(np.isfinite(results.costs).all(axis=1))
    heights = np.full((len(results), len(names)), np.nan)
    fig, ax = _figure(max(6.0, 1.1 * len(names)), 3.6)
    for at, name in enumerate(names):
        ax.plot([at, at], [0, 1], color="black", linewidth=0.8, zorder=4)
        if name in parameters:
            texts, codes = _coded(results, name)
            last = max(1, len(texts) - 1)
            # Lines leave the middle of a level a little, so that many do not look like one.
            apart = (np.arange(len(results)) * 0.618034 % 1 - 0.5) * 0.03
            heights[:, at] = np.where(codes < 0, np.nan, codes / last) + apart
            ends = [(i / last, level) for i, level in enumerate(texts) if len(texts) <= 12 or i in (0, last)]
        else:
            values = _values(results, name)
            low, high = np.nanmin(values), np.nanmax(values)
            bent = np.log(values) if low > 0 and high > _SPREAD * low else values
            heights[:, at] = (bent - np.nanmin(bent)) / (np.ptp(bent[np.isfinite(bent)]) or 1.0)
            told = EngFormatter(_UNITS[MEASURES[name]][1], places=2)
            ends = [(0.0, told(float(low))), (1.0, told(float(high)))]
        for height, text in ends:
            box = {"facecolor": "white", "alpha": 0.75, "edgecolor": "none", "pad": 0.6}
            ax.text(at + 0.04, height, _text(shortened(text, 18)), fontsize=7, va="center", bbox=box, zorder=5)
    shown = done[:: max(1, -(-len(done) // _LINES))]
    for rows, colour, width in ((shown, _BLUE, 0.5), (results.front, _RED, 1.0)):
        lines = [np.column_stack([np.arange(len(names)), heights[row]]) for row in rows]
        alpha = 0.9 if colour == _RED else float(np.clip(60 / max(1, len(rows)), 0.04, 0.6))
        ax.add_collection(LineCollection(lines, colors=colour, linewidths=width, alpha=alpha, rasterized=True))
    ax.set_xlim(-0.2, len(names) - 0.4)
    ax.set_ylim(-0.05, 1.05)
    ax.set_xticks(range(len(names)), [_text(_title(name.rpartition(".")[2])) for name in names], fontsize=8)
    ax.tick_params(length=0)
    ax.set_yticks([])
    ax.spines[:].set_visible(False)
    ax.set_title(_text(results.name), fontsize=10)
    return fig, ax


def varied(results: Results) -> list[str]:
    """Return the parameters that have more than one level."""
    return [name for name in results.parameters if len(levels(results, name)) > 1]


def _figure(width: float, height: float) -> tuple[Figure, Axes]:
    fig = Figure(figsize=(width, height), layout="constrained")
    ax = fig.subplots()
    ax.spines[["top", "right"]].set_visible(False)
    return fig, ax


def _values(results: Results, name: str) -> NDArray[np.float64]:
    """Return a measure of all points that are done, in the unit that it is drawn in; NaN elsewhere."""
    if name not in results.measures:
        raise InputError.must("a measure", f"one of {', '.join(results.measures)}", name)
    values = np.array(results.columns[name], dtype=np.float64) * _UNITS[MEASURES[name]][0]
    values[np.array(results.columns["status"]) != "done"] = np.nan
    return values


def _coded(results: Results, name: str) -> tuple[list[str], NDArray[np.int64]]:
    """Return the levels of a parameter as text, and the place of each point's among them; -1 where it has none."""
    if name not in results.parameters:
        raise InputError.must("a parameter", f"one of {', '.join(results.parameters)}", name)
    found = levels(results, name)
    place = {level: at for at, level in enumerate(found)}
    texts = [f"{level:g}".replace("e+0", "e") if isinstance(level, float) else _text(str(level)) for level in found]
    return texts, np.array([place.get(value, -1) for value in results.columns[name]])


def _stairs(x: NDArray[np.float64], y: NDArray[np.float64], x_more: bool, y_more: bool) -> NDArray[np.int64]:
    """Return the rows of the front of two measures, from the best x to the best y."""
    cost_x, cost_y = (-x if x_more else x), (-y if y_more else y)
    rows = np.flatnonzero(np.isfinite(x) & np.isfinite(y))
    rows = rows[np.lexsort((cost_y[rows], cost_x[rows]))]
    least = np.minimum.accumulate(cost_y[rows])
    return rows[np.r_[True, least[1:] < least[:-1]]] if len(rows) else rows


def _dress(axis: Any, name: str, values: NDArray[np.float64]) -> None:  # noqa: ANN401 (an XAxis or a YAxis)
    """Name an axis, write its numbers with prefixes, and make it logarithmic where values spread widely."""
    found = values[np.isfinite(values)]
    told = EngFormatter(_UNITS[MEASURES[name]][1])
    if len(found) and found.min() > 0 and found.max() > _SPREAD * found.min():
        axis.axes.set(**{f"{axis.axis_name}scale": "log"})
        axis.set_minor_formatter(FuncFormatter(_few(told)) if found.max() < 100 * found.min() else NullFormatter())
        axis.set_tick_params(which="minor", labelsize=8)
    axis.set_major_formatter(told)
    axis.set_tick_params(which="major", labelsize=8)
    axis.set_label_text(_title(name))


def _few(told: EngFormatter) -> Callable[[float, int | None], str]:
    """Write the minor ticks 2 and 5 of a decade only."""
    return lambda value, at: told(value, at) if f"{value:e}"[0] in "25" else ""


def _title(name: str) -> str:
    return name.removesuffix("_pj").removesuffix("_s").replace("_", " ") if name in MEASURES else name


def _text(name: str) -> str:
    """Return a name as text to draw: a dollar sign would begin a formula."""
    return printable(name).replace("$", r"\$")


FIGURES: dict[str, Callable[[Results], tuple[Figure, Axes]]] = {
    "front": plot_front,
    "heat": plot_heat,
    "parallel": plot_parallel,
}


def drawable(results: Results) -> Sequence[str]:
    """Return the names of the figures that a sweep has enough parameters for; none if no point is done."""
    if not np.isfinite(results.costs).all(axis=1).any():
        return []
    return [name for name in FIGURES if name != "heat" or len(varied(results)) > 1]
