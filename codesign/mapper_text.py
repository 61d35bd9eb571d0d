"""Mapper text: mappings as a table, and in words why the best is best."""

from __future__ import annotations

from collections.abc import Sequence

from codesign.mapped import Mapped, OpMappings
from codesign.report.words import percent

_PARTS = {"array_cycles": "array", "fill_cycles": "first tiles", "wait_cycles": "waits", "drain_cycles": "last tile"}
_HEAD = ("rank", "cycles", "array", "first", "waits", "last", "DRAM bytes", "tiles")


def table(found: OpMappings) -> str:
    """Return the ranked mappings of one op."""
    rows = [_HEAD, *(_row(at + 1, mapped) for at, mapped in enumerate(found.ranked))]
    widths = [max(len(row[i]) for row in rows) for i in range(len(_HEAD))]
    words = ["mapping", *(str(mapped.mapping) for mapped in found.ranked)]
    lines = [_title(found)]
    for row, mapping in zip(rows, words, strict=True):
        lines.append("  ".join(cell.rjust(width) for cell, width in zip(row, widths, strict=True)) + "  " + mapping)
    return "\n".join(lines)


def summary(found: Sequence[OpMappings]) -> str:
    """Return one line an op (identical ones together) with its best mapping."""
    rows = [("ops", "op", "cycles", "of ideal", "mapping")]
    for op in found:
        best = op.ranked[0]
        least = percent(max(op.least_array_cycles, op.least_dram_cycles), best.cycles, 0)
        rows.append((str(len(op.names)), op.names[0], f"{best.cycles:,}", least, str(best.mapping)))
    widths = [max(len(row[i]) for row in rows) for i in range(4)]
    lines = [
        f"{ops.rjust(widths[0])}  {op.ljust(widths[1])}  {cycles.rjust(widths[2])}  {least.rjust(widths[3])}  {mapping}"
        for ops, op, cycles, least, mapping in rows
    ]
    total = sum(len(op.names) * op.ranked[0].cycles for op in found)
    ops = sum(len(op.names) for op in found)
    lines.append(f"{ops} ops, {len(found)} of them different: {total:,} cycles one after the other, each mapped alone")
    lines.append("(ideal: all PEs busy, or each operand over the DRAM channel once, whichever takes longer)")
    return "\n".join([*lines, rate(found)])


def rate(found: Sequence[OpMappings]) -> str:
    """Return how many mappings were looked at, and how fast."""
    bounded, exact = sum(op.bounded for op in found), sum(op.exact for op in found)
    seconds = sum(op.seconds for op in found)
    return (
        f"{bounded:,} feasible mappings bounded, {exact:,} of them timed exactly, in {seconds:.3f} s"
        f" ({bounded / seconds:,.0f} a second)"
    )


def explain(found: OpMappings) -> str:
    """Return why the best mapping is best, what the others lose, and why some are not feasible."""
    best, lines = found.ranked[0], ["best: " + str(found.ranked[0].mapping)]
    lines.append(f"  {best.cycles:,} cycles: " + ", ".join(f"{_PARTS[p]} {getattr(best, p):,}" for p in _PARTS))
    lines.append(
        f"  array: {found.least_array_cycles:,} cycles would do with every PE busy; folds' preload, fill, drain and"
        f" edges make it {best.array_cycles:,}"
    )
    moved = ", ".join(f"{operand} {count:,}" for operand, count in best.dram_bytes.items())
    lines.append(
        f"  DRAM: busy {best.dram_cycles:,} cycles ({percent(best.dram_cycles, best.cycles)}) for"
        f" {sum(best.dram_bytes.values()):,} bytes ({moved}); {found.least_dram_bytes:,} would be each operand once"
    )
    lines.append(f"  bound by {'the array' if best.array_cycles >= best.dram_cycles else 'DRAM'}")
    slower = next((mapped for mapped in found.ranked if mapped.cycles > best.cycles), None)
    ties = sum(mapped.cycles == best.cycles for mapped in found.ranked) - 1
    if ties:
        moves = "the best moves fewest bytes, in fewest tiles"
        lines.append(f"  {ties} of the {len(found.ranked) - 1} others ranked take as long; {moves}")
    if slower is not None:
        lines.append(f"next slower: {slower.mapping}\n  {_loss(slower, best)}")
    for dataflow, mapped in found.best.items():
        if dataflow != best.mapping.dataflow:
            lines.append(f"best under {dataflow}: {mapped.mapping}\n  {_loss(mapped, best)}")
    if found.planned.cycles > best.cycles:
        lines.append(
            f"codesign simulate plans with powers of two and wholes: {found.planned.mapping}\n"
            f"  {_loss(found.planned, best)}"
        )
    lines.append(f"not feasible: {found.infeasible:,} of {found.infeasible + found.bounded:,} mappings")
    for refusal in found.refused:
        lines.append(
            f"  {refusal.mappings:,} exceed half of {refusal.buffer}, {refusal.half_bytes:,} bytes; the largest tile is"
            f" {refusal.most_bytes:,}"
        )
    if found.too_many_tiles:
        lines.append(f"  {found.too_many_tiles:,} cut the op into more tiles than are tried")
    return "\n".join(lines)


def _title(found: OpMappings) -> str:
    g = found.gemm
    shape = f"{g.m:,} x {g.n:,} x {g.k:,}" + (f", {g.groups} groups" if g.groups > 1 else "")
    more = f" and {len(found.names) - 1} identical" if len(found.names) > 1 else ""
    pattern = f", {found.pattern} weights" if found.pattern != "dense" else ""
    return f"{found.names[0]}{more} on {found.accelerator}: m x n x k = {shape}{pattern}"


def _row(number: int, mapped: Mapped) -> tuple[str, ...]:
    parts = (mapped.cycles, *(getattr(mapped, part) for part in _PARTS), sum(mapped.dram_bytes.values()), mapped.tiles)
    return (str(number), *(f"{value:,}" for value in parts))


def _loss(slower: Mapped, best: Mapped) -> str:
    """Say by how much a mapping is slower, and in which parts."""
    more = slower.cycles - best.cycles
    parts = [(_PARTS[part], getattr(slower, part) - getattr(best, part)) for part in _PARTS]
    said = ", ".join(f"{name} {change:+,}" for name, change in parts if change)
    moved = sum(slower.dram_bytes.values()) - sum(best.dram_bytes.values())
    because = f": {said}" if said else ""
    return f"{more:+,} cycles ({percent(more, best.cycles)}){because}; DRAM {moved:+,} bytes"
