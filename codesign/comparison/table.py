"""Table: a comparison as text, for a terminal of 100 columns or more."""

from __future__ import annotations

from collections.abc import Sequence
from typing import TYPE_CHECKING

from codesign.comparison.figures import Row, Total
from codesign.report.words import printable, shortened

if TYPE_CHECKING:
    from codesign.comparison.result import Comparison, CpuResult

_LEAST_NAME_WIDTH = 12
_LAYERS = (
    "layer", " zeros", " MxKxcolumns", " dense cycles", " sparse", " simulated", " measured", " ratio", "limit",
    "dense is",
)  # fmt: skip
_TOTALS = (
    "cpu", "weights", " layers: simulated", " measured", " model: simulated", " measured", " ratio", " faster from",
)  # fmt: skip


def table(comparison: Comparison, *, layers: bool = False, width: int = 118) -> str:
    """Return a comparison as text.

    Parameters
    ----------
    comparison
        What was found.
    layers
        Whether to list the layers of every CPU before the totals.
    width
        Columns to keep to; long names are shortened in the middle.
    """
    lines = [printable(f"{comparison.model}, {comparison.weights}"), ""]
    if layers:
        for cpu in comparison.cpus:
            lines += [
                printable(f"{cpu.name}: {cpu.description}"),
                *_grid(_LAYERS, list(map(_layer, cpu.rows)), width),
                "",
            ]
    totals = [_total(cpu, one) for cpu in comparison.cpus for one in cpu.totals]
    lines += [*_grid(_TOTALS, totals, width), ""]
    if not layers:
        lines += [f"{cpu.name:<14}{printable(cpu.description)}" for cpu in comparison.cpus]
    lines += [f"{cpu.name:<14}{_errors(cpu)}" for cpu in comparison.cpus if cpu.errors]
    return "\n".join([*lines, *(f"{'note':<14}{printable(note)}" for note in comparison.notes)])


def _layer(row: Row) -> list[str]:
    name = row.layer + (f" x{row.count}" if row.count > 1 else "")
    return [
        name,
        f"{row.sparsity:.0%}",
        f"{row.m}x{row.k}x{row.columns}",
        f"{row.dense_cycles:,.0f}",
        f"{row.sparse_cycles:,.0f}",
        _times(row.simulated_speedup),
        _times(row.measured_speedup),
        _ratio(row.ratio),
        row.bound_by,
        row.baseline or row.dense_kernel,
    ]


def _total(cpu: CpuResult, one: Total) -> list[str]:
    ratio = one.simulated_speedup / one.measured_speedup if one.measured_speedup else None
    last = one is cpu.totals[-1] and len(cpu.totals) > 1
    return [
        cpu.name,
        one.pattern,
        _times(one.layers_simulated_speedup),
        _times(one.layers_measured_speedup),
        _times(one.simulated_speedup),
        _times(one.measured_speedup),
        _ratio(ratio),
        _crossover(cpu.crossover()) if last else "",
    ]


def _errors(cpu: CpuResult) -> str:
    found = cpu.errors
    assert found is not None
    rank = "" if found.rank_correlation is None else f", rank correlation {found.rank_correlation:.3f}"
    wrong = f"; sparse or dense wrong in {found.wrong}" if found.wrong else ""
    return f"error of {found.count} layers: mean {found.mean:.1%}, worst {found.worst:.1%}{rank}{wrong}"


def _times(speedup: float | None) -> str:
    return "-" if speedup is None else f"{speedup:.2f}x"


def _ratio(ratio: float | None) -> str:
    return "-" if ratio is None else f"{ratio:.2f}"


def _crossover(sparsity: float | None) -> str:
    return "never" if sparsity is None else f"{sparsity:.0%}"


def _grid(titles: Sequence[str], rows: Sequence[Sequence[str]], width: int) -> list[str]:
    """Return rows under titles; a title that begins with a space stands on the right. The first column gives way."""
    head = [title.strip() for title in titles]
    widths = [max(map(len, column)) for column in zip(head, *rows, strict=True)]
    left = width - sum(widths[1:]) - 2 * (len(titles) - 1)
    widths[0] = min(widths[0], max(_LEAST_NAME_WIDTH, left))
    lines = []
    for row in [head, *rows]:
        cells = [shortened(printable(row[0]), widths[0]), *row[1:]]
        pairs = zip(cells, widths, titles, strict=True)
        lines.append("  ".join(c.rjust(w) if t[0] == " " else c.ljust(w) for c, w, t in pairs).rstrip())
    return [lines[0], "-" * max(map(len, lines)), *lines[1:]]
