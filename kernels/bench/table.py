"""The rows of a benchmark for a terminal of 100 columns."""

from __future__ import annotations

from collections.abc import Mapping, Sequence

from kernels.bench.row import Row
from kernels.limits import Limits

WIDTH = 100
HEADER = (
    f"{'layer':<22}{'pattern':<13}{'zero%':>5}{'ours us':>8}{'dense us':>9} {'dense is':<20}"
    f"{'x dense':>7}{'x eager':>8}{'limit':>6}"
)
NOTE = "x dense, x eager: how often faster than them. limit: share of one core's roofline."


def head(machine: Mapping[str, object], limits: Limits, threads: int) -> str:
    """Return two lines on the machine."""
    speeds = ", ".join(f"{name} {speed / 1e9:.0f}" for name, speed in limits.bytes_per_s.items())
    name = machine["model_name"] or machine["architecture"]
    clock = "CPU time of the thread" if threads == 1 else f"wall time, {threads} threads"
    return (
        f"{name} ({machine['llvm_name']}), {machine['vector_lanes']} lanes; medians of {clock}\n"
        f"one core: {limits.peak_flops / 1e9:.0f} GFLOP/s; reads GB/s out of {speeds}"
    )


def table(rows: Sequence[Row]) -> str:
    """Return a table for each kernel; a layer that a network has several times is marked so."""
    parts = []
    for kernel in dict.fromkeys(one.kernel for one in rows):
        chosen = [one for one in rows if one.kernel == kernel]
        parts.append("\n".join([kernel, HEADER, "-" * WIDTH, *map(_line, chosen)]))
    return "\n\n".join([*parts, NOTE])


def _line(one: Row) -> str:
    """Return one row."""
    times = f" x{one.count}" if one.count > 1 else ""
    eager = "-" if one.eager_s is None else f"{one.eager_s / one.ours_s:.2f}"
    ours, dense = 1e6 * one.ours_s, 1e6 * one.baseline_s
    return (
        f"{one.layer + times:<22}{one.pattern:<13}{100 * one.sparsity:>5.3g}{ours:>8.0f}{dense:>9.0f}"
        f" {one.baseline:<20}{one.speedup:>7.2f}{eager:>8}{one.of_limit:>6.0%}"
    )
