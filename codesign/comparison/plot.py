"""Plot: speedup over sparsity, a curve for each CPU. Returns ``(fig, ax)``; no state of pyplot is touched."""

from __future__ import annotations

from typing import TYPE_CHECKING

from matplotlib.axes import Axes
from matplotlib.figure import Figure

from codesign.report.words import printable

if TYPE_CHECKING:
    from codesign.comparison.result import Comparison

#: Colours of Okabe and Ito, which colour-blind readers can tell apart.
_COLOURS = ("#0072B2", "#D55E00", "#009E73", "#CC79A7", "#E69F00", "#56B4E9", "#000000", "#999999")
_MARKERS = "osD^vP*X"


def plot(comparison: Comparison) -> tuple[Figure, Axes]:
    """Draw the speedup of the layers with sparse kernels over sparsity: simulated as lines, measured as points.

    A diamond on the line of speedup 1 marks where a CPU's simulated curve crosses it: from there on sparse is faster.
    """
    fig = Figure(figsize=(9, 6), layout="constrained")
    ax = fig.subplots()
    for number, cpu in enumerate(comparison.cpus):
        colour, marker = _COLOURS[number % len(_COLOURS)], _MARKERS[number % len(_MARKERS)]
        points = sorted((one.sparsity, one) for one in cpu.totals)
        shares = [100 * sparsity for sparsity, _ in points]
        crossing = cpu.crossover()
        inside = crossing is not None and len(points) > 1 and crossing > points[0][0]
        label = printable(cpu.name) + (f", faster from {crossing:.0%}" if inside and crossing is not None else "")
        simulated = [one.layers_simulated_speedup for _, one in points]
        ax.plot(shares, simulated, color=colour, marker=marker if len(points) == 1 else None, label=label)
        measured = [(share, one.layers_measured_speedup) for share, (_, one) in zip(shares, points, strict=True)]
        known = [(share, speedup) for share, speedup in measured if speedup is not None]
        if known:
            ax.scatter(*zip(*known, strict=True), color=colour, marker=marker, label=f"{printable(cpu.name)}, measured")
        if inside and crossing is not None:
            ax.plot(100 * crossing, 1, marker="d", markersize=9, color=colour, markeredgecolor="white", zorder=5)
    ax.axhline(1, color="#999999", linestyle="--", linewidth=1)
    ax.set_yscale("log", base=2)
    ax.yaxis.set_major_formatter("{x:g}x")
    ax.xaxis.set_major_formatter("{x:g} %")
    ax.set_xlabel("weights removed in the layers that have a sparse kernel")
    ax.set_ylabel("speedup of these layers over the fastest dense way")
    ax.set_title(f"{printable(comparison.model)}, {comparison.weights}".replace("$", r"\$"))
    ax.grid(color="#999999", alpha=0.3)
    ax.legend(frameon=True, fontsize=8)
    return fig, ax
