"""Table: a report as text, for a terminal of 100 columns or more."""

from __future__ import annotations

import heapq
from collections.abc import Callable, Sequence
from typing import TYPE_CHECKING

from codesign.report.record import OpRecord
from codesign.report.totals import total_rows
from codesign.report.words import large, main_stall, percent, printable, shape, shortened

if TYPE_CHECKING:
    from codesign.report.report import Report

#: Title and cell of each column after the op's name; a title that begins with a space stands on the right.
COLUMNS: tuple[tuple[str, Callable[[OpRecord], str]], ...] = (
    ("kind", lambda op: op.kind),
    ("flow", lambda op: op.dataflow),
    (" MxNxK", shape),
    (" cycles", lambda op: f"{op.cycles:,}"),
    (" stall", lambda op: percent(op.stall_cycles, op.cycles, 0)),
    ("on", main_stall),
    (" util", lambda op: percent(op.utilization, 1, 0) if op.m else ""),
    (" MACs", lambda op: large(op.dense_macs) if op.m else ""),
    (" skip", lambda op: percent(op.skipped_macs, op.dense_macs, 0) if op.m else ""),
    (" gated", lambda op: percent(op.gated_macs, op.dense_macs, 0) if op.m else ""),
    (" uJ", lambda op: f"{op.total_energy_pj / 1e6:,.1f}"),
)
_LEAST_NAME_WIDTH = 12
_KIND_WIDTH = 13


def table(report: Report, *, max_rows: int | None = None, width: int = 118) -> str:
    """Return the ops, totals and notes of a report as text.

    Parameters
    ----------
    report
        The report.
    max_rows
        Rows at most: the ops with the most cycles are shown, in program order; None shows all.
    width
        Columns to keep to; long names are shortened in the middle.
    """
    shown, folded = biggest(report, max_rows)
    fused = fused_onto(report)
    lines = [
        printable(f"{report.model} on {report.config.name} ({report.config.description})"),
        "",
        *_grid(shown, fused, width),
    ]
    if folded:
        lines.append(fold_line(report, folded))
    if fused:
        lines.append("(+1, +2, ...: so many elementwise ops are done on the op's output on its way out)")
    totals = [f"{label:<10}{sentence}" for label, sentence in total_rows(report)]
    notes = [f"{'note':<10}{note}" for note in report.notes]
    return "\n".join([*lines, "", *totals, *notes])


def biggest(report: Report, max_rows: int | None) -> tuple[list[OpRecord], list[OpRecord]]:
    """Return the unfused ops to show and those to fold away, both in program order."""
    ops = [op for op in report.ops if op.fused_into is None]
    if max_rows is None or len(ops) <= max_rows:
        return ops, []
    keep = set(heapq.nlargest(max_rows, range(len(ops)), key=lambda i: ops[i].cycles))
    return [op for i, op in enumerate(ops) if i in keep], [op for i, op in enumerate(ops) if i not in keep]


def fold_line(report: Report, folded: Sequence[OpRecord]) -> str:
    """Say what the ops that are not shown amount to."""
    cycles = percent(sum(op.cycles for op in folded), report.total_cycles)
    energy = percent(sum(op.total_energy_pj for op in folded), report.total_energy_pj)
    return f"... and {len(folded)} smaller ops with {cycles} of the cycles and {energy} of the energy"


def fused_onto(report: Report) -> dict[str, list[str]]:
    """Return the kinds of the ops that are fused onto each op, by its name."""
    fused: dict[str, list[str]] = {}
    for op in report.ops:
        if op.fused_into is not None:
            fused.setdefault(op.fused_into, []).append(op.kind)
    return fused


def _grid(ops: Sequence[OpRecord], fused: dict[str, list[str]], width: int) -> list[str]:
    head = ["op", *(title.strip() for title, _ in COLUMNS)]
    rows = [[op.name, *(cell(op) for _, cell in COLUMNS)] for op in ops]
    for row in rows:
        also = f"+{len(fused[row[0]])}" if row[0] in fused else ""
        row[1] = shortened(row[1], _KIND_WIDTH - len(also)) + also
    widths = [max(map(len, column)) for column in zip(head, *rows, strict=True)]
    left = width - sum(widths[1:]) - len(COLUMNS)
    gap = "  " if left - len(COLUMNS) >= min(widths[0], _LEAST_NAME_WIDTH) else " "
    widths[0] = max(_LEAST_NAME_WIDTH, min(widths[0], left - len(COLUMNS) * (len(gap) - 1)))
    for row in rows:
        row[0] = shortened(printable(row[0]), widths[0])
    on_right = [False, *(title[0] == " " for title, _ in COLUMNS)]
    lines = [
        gap.join(
            text.rjust(size) if right else text.ljust(size)
            for text, size, right in zip(row, widths, on_right, strict=True)
        )
        for row in [head, *rows]
    ]
    return [lines[0], "-" * len(lines[0]), *lines[1:]]


def explain(report: Report, *, max_rows: int | None = None) -> str:
    """Return for each op its mapping in words, and what each dataflow would have cost."""
    shown, folded = biggest(report, max_rows)
    fused = fused_onto(report)
    lines = []
    for op in shown:
        sizes = f", MxNxK {shape(op)}" if op.m else ""
        sparse = f", {op.pattern} weights" if op.pattern != "dense" else ""
        then = f", then {', '.join(fused[op.name])}" if op.name in fused else ""
        lines.append(f"{printable(op.name)} ({op.kind}{sizes}{sparse}{then})")
        lines.append(f"    {op.mapping or 'nothing to map'}")
        if op.alternatives:
            lines.append(f"    by itself: {_alternatives(op)}")
    return "\n".join([*lines, *([fold_line(report, folded)] if folded else [])])


def _alternatives(op: OpRecord) -> str:
    """Compare the dataflows; the plan of the whole model may choose one that is not best for the op alone."""
    chosen = op.alternatives.get(op.dataflow, 0)
    parts = []
    for dataflow, cycles in sorted(op.alternatives.items(), key=lambda item: (item[0] != op.dataflow, item[1])):
        difference = "chosen" if dataflow == op.dataflow else f"{100 * (cycles - chosen) / max(chosen, 1):+.1f} %"
        parts.append(f"{dataflow} {cycles:,} cycles ({difference})")
    better = any(cycles < chosen for cycles in op.alternatives.values())
    return ", ".join(parts) + ("; the chosen one is best with its neighbours" if better else "")
