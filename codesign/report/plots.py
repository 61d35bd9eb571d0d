"""Plots: a report as pictures. Each function returns ``(fig, ax)``; no state of pyplot is touched.

Colours are those of Okabe and Ito, which colour-blind readers can tell apart, and an operand keeps its own.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import TYPE_CHECKING

import numpy as np
from matplotlib.axes import Axes
from matplotlib.figure import Figure
from matplotlib.ticker import EngFormatter

from codesign.account import CAUSES
from codesign.report.layers import COMPONENTS
from codesign.report.record import OpRecord
from codesign.report.words import printable, shortened
from traces.op import ARRAY_KINDS

if TYPE_CHECKING:
    from codesign.report.report import Report

_BLACK, _GREY = "#000000", "#999999"
_ORANGE, _SKY, _GREEN, _YELLOW = "#E69F00", "#56B4E9", "#009E73", "#F0E442"
_BLUE, _RED, _PINK = "#0072B2", "#D55E00", "#CC79A7"
_COMPUTE = _BLUE
_CAUSES = dict(zip(CAUSES, (_ORANGE, _SKY, _GREEN, _GREY), strict=True))
_COMPONENTS = dict(zip(COMPONENTS, (_BLUE, _YELLOW, _PINK, _ORANGE, _SKY, _GREEN, _GREY, _BLACK, _RED), strict=True))
_KINDS = dict(zip(ARRAY_KINDS, (_BLUE, _ORANGE, _GREEN, _PINK, _RED), strict=True))
_MARKERS = dict(zip(ARRAY_KINDS, "osD^v", strict=True))
_LABELLED = 64  # op names that fit on the axis of a tall figure
_NAMED_POINTS = 8
_CROWDED = 0.15  # of a decade


def plot_cycles(report: Report) -> tuple[Figure, Axes]:
    """Draw the cycles of each op: compute, and stalls by cause."""
    ops = _unfused(report)
    parts = {"compute": np.array([op.compute_cycles for op in ops], dtype=float)}
    parts |= {f"stall: {cause}": np.array([float(op.stalls_by_cause.get(cause, 0)) for op in ops]) for cause in CAUSES}
    colours = {"compute": _COMPUTE, **{f"stall: {cause}": colour for cause, colour in _CAUSES.items()}}
    fig, ax = _bars(ops, parts, colours)
    ax.set_xlabel("cycles")
    ax.set_title(f"{_text(report.model)} on {_text(report.config.name)}: {report.total_cycles:,} cycles")
    return fig, ax


def plot_energy(report: Report) -> tuple[Figure, Axes]:
    """Draw the energy of each op by component."""
    ops = _unfused(report)
    parts = {name: np.array([op.energy_pj.get(name, 0.0) * 1e-12 for op in ops]) for name in COMPONENTS}
    fig, ax = _bars(ops, parts, _COMPONENTS)
    ax.set_xlabel("energy")
    ax.xaxis.set_major_formatter(EngFormatter("J"))
    ax.set_title(f"{_text(report.model)} on {_text(report.config.name)}: {report.total_energy_pj / 1e6:,.1f} uJ")
    return fig, ax


def plot_utilization(report: Report) -> tuple[Figure, Axes]:
    """Draw the utilization of the array by each array op, and the share of the PEs that its folds occupy."""
    ops = [op for op in _unfused(report) if op.m]
    fig, ax = _bars(ops, {"issued MACs / (PEs x cycles)": np.array([100 * op.utilization for op in ops])}, {})
    efficiency = [100 * op.mapping_efficiency for op in ops]
    ax.plot(efficiency, range(len(ops)), "|", color=_BLACK, markersize=6, label="PEs occupied by folds")
    ax.axvline(100 * report.utilization, color=_RED, linestyle="--", label=f"whole model, {report.utilization:.1%}")
    ax.set_xlim(0, 100)
    ax.xaxis.set_major_formatter("{x:.0f} %")
    ax.set_xlabel("utilization")
    ax.set_title(f"{_text(report.model)} on {_text(report.config.name)}: utilization")
    _legend(ax)
    return fig, ax


def plot_roofline(report: Report) -> tuple[Figure, Axes]:
    """Draw issued MACs a cycle over issued MACs a DRAM byte, under the roof of array and channel.

    The area of a point is the op's share of the cycles; vector ops have no MACs and no point. An op can stand above
    the slope of the channel: its first tile of W is loaded in the cycles of the op before it.
    """
    fig = Figure(figsize=(9, 6), layout="constrained")
    ax = fig.subplots()
    ops = [op for op in _unfused(report) if _issued(op) and sum(op.dram_bytes.values())]
    intensity = np.array([_issued(op) / sum(op.dram_bytes.values()) for op in ops])
    rate = np.array([_issued(op) / op.cycles for op in ops])
    area = np.array([20 + 1500 * op.cycles / report.total_cycles for op in ops])
    for kind in dict.fromkeys(op.kind for op in ops):
        at = np.array([op.kind == kind for op in ops])
        ax.scatter(
            intensity[at],
            rate[at],
            area[at],
            color=_KINDS[kind],
            marker=_MARKERS[kind],
            label=kind,
            alpha=0.7,
            edgecolors="white",
        )
    roof, bandwidth = float(report.config.pes), report.config.memory.dram.bytes_per_cycle
    ridge = roof / bandwidth
    low, high = min([ridge / 8, *(intensity / 2)]), max([ridge * 8, *(intensity * 2)])
    slope = [] if report.config.memory.ideal else [(low, low * bandwidth)]
    flat = [(low if report.config.memory.ideal else ridge, roof), (high, roof)]
    ax.plot(*zip(*slope, *flat, strict=True), color=_BLACK, label=f"{roof:,.0f} PEs, {bandwidth:g} DRAM bytes a cycle")
    _name_largest(ax, [op.name for op in ops], intensity, rate, area)
    ax.set_xscale("log")
    ax.set_yscale("log")
    ax.set_xlabel("arithmetic intensity (issued MACs a DRAM byte)")
    ax.set_ylabel("issued MACs a cycle")
    ax.set_title(f"{_text(report.model)} on {_text(report.config.name)}: roofline")
    ax.grid(which="major", color=_GREY, alpha=0.3)
    ax.legend(loc="lower right", frameon=True, markerscale=0.6)
    return fig, ax


def _name_largest(ax: Axes, names: Sequence[str], intensity: np.ndarray, rate: np.ndarray, area: np.ndarray) -> None:
    """Write the names of the largest points beside them, but only one where points crowd."""
    named: list[int] = []
    for i in np.argsort(-area, kind="stable")[:_NAMED_POINTS]:
        near = [abs(np.log10(intensity[i] / intensity[j])) + abs(np.log10(rate[i] / rate[j])) for j in named]
        if min(near, default=1) > _CROWDED:
            named.append(i)
            at = (intensity[i], rate[i])
            ax.annotate(_text(shortened(names[i], 28)), at, (9, -9), textcoords="offset points", fontsize=8, va="top")


def _unfused(report: Report) -> list[OpRecord]:
    return [op for op in report.ops if op.fused_into is None]


def _text(name: str) -> str:
    """Return a name as text to draw: a dollar sign would begin a formula."""
    return printable(name).replace("$", r"\$")


def _issued(op: OpRecord) -> int:
    return op.effectual_macs + op.gated_macs


def _bars(ops: Sequence[OpRecord], parts: Mapping[str, np.ndarray], colours: Mapping[str, str]) -> tuple[Figure, Axes]:
    """Draw stacked horizontal bars, the first op on top; parts that are zero everywhere are left out."""
    fig = Figure(figsize=(10, min(16.0, 1.8 + 0.26 * len(ops))), layout="constrained")
    ax = fig.subplots()
    rows = np.arange(len(ops))
    left = np.zeros(len(ops))
    for name, values in parts.items():
        if values.any():
            ax.barh(rows, values, 0.82, left, color=colours.get(name, _COMPUTE), label=name)
            left += values
    every = max(1, -(-len(ops) // _LABELLED))
    size = 8 if len(ops) <= _LABELLED else 7
    ax.set_yticks(rows[::every], [_text(shortened(op.name, 32)) for op in ops[::every]], fontsize=size)
    ax.set_ylim(len(ops) - 0.4, -0.6)
    ax.xaxis.set_major_formatter(EngFormatter())
    ax.grid(axis="x", color=_GREY, alpha=0.3)
    ax.set_axisbelow(True)
    ax.spines[["top", "right"]].set_visible(False)
    _legend(ax)
    return fig, ax


def _legend(ax: Axes) -> None:
    """Put the legend below the bars, where it hides none."""
    if ax.get_legend_handles_labels()[0]:
        ax.figure.legends.clear()
        ax.figure.legend(loc="outside lower center", ncols=5, frameon=False, fontsize=8)
