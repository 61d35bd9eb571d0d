"""Comparison: the same sparse models on all accelerators, at equal PEs, buffers, bandwidth and clock.

Run ``python benchmarks/comparison.py > docs/comparison.md``; the page in the docs is its output.
"""

from __future__ import annotations

import sys
import time
from collections.abc import Iterable

import codesign
from codesign.report import Report
from traces.errors import InputError
from traces.graph import OpGraph

EQUAL = [
    "array.rows=32",
    "array.cols=32",
    "vector.lanes=32",
    "clock_hz=1.0e+9",
    "memory.dram.bytes_per_cycle=32",
    "memory.dram.latency_cycles=100",
    "memory.dram.technology=lpddr4",
    "memory.sram.weight_bytes=524288",
    "memory.sram.input_bytes=524288",
    "memory.sram.output_bytes=262144",
    "memory.sram.port_bits=256",
]
WEIGHT_SPARSE = (
    "systolic-32x32",
    "systolic-32x32-nm",
    "os-mesh",
    "tc",
    "stc",
    "stc-flexible",
    "stc-dual",
    "dstc",
    "sat",
    "sigma",
    "eyeriss-v2",
    "eie",
)

INTRO = """# One sparse model on all accelerators

Written by `python benchmarks/comparison.py`. Every machine has 1,024 multiply-accumulate (or add) units, 512 KiB of
weight and of input buffer, 256 KiB of output buffer, 32 bytes a cycle of LPDDR4 and a clock of 1 GHz, whatever its own
preset says: what differs is what it does with zeros. Energy is for comparison (see `docs/modelling.md`). *Bound* is
what limited most of the cycles; *fallback* is the share of the cycles that ran on the dense fallback unit, because the
array cannot do the op.
"""


def table(graph: OpGraph, accelerators: Iterable[str]) -> str:
    """Return a Markdown table of one model on several accelerators; the first one is the baseline."""
    lines = [
        "| accelerator | cycles | speedup | energy uJ | effectual | skipped | gated | utilization | bound | fallback |",
        "|---|--:|--:|--:|--:|--:|--:|--:|---|--:|",
    ]
    base = None
    for name in accelerators:
        begin = time.perf_counter()
        try:
            report = codesign.simulate(graph, name, settings=EQUAL)
        except InputError as error:
            lines.append(f"| {name} | {error} | | | | | | | | |")
            continue
        base = base or report.total_cycles
        lines.append(row(report, base))
        print(f"{graph.name} on {name}: {time.perf_counter() - begin:.1f} s", file=sys.stderr)
    return "\n".join(lines)


def row(report: Report, base: int) -> str:
    """Return one accelerator's row."""
    ops = [op for op in report.ops if op.fused_into is None]
    dense = sum(op.dense_macs for op in ops)
    shares = [
        100 * sum(part) / dense
        for part in (
            [op.effectual_macs for op in ops],
            [op.skipped_macs for op in ops],
            [op.gated_macs for op in ops],
        )
    ]
    bound: dict[str, int] = {}
    for op in ops:
        what = op.bound_by if op.unit == "array" else f"{op.unit} unit"
        bound[what] = bound.get(what, 0) + op.cycles
    most = max(bound, key=lambda what: bound[what])
    fallback = sum(op.cycles for op in ops if op.unit == "fallback") / report.total_cycles
    return (
        f"| {report.config.name} | {report.total_cycles:,} | {base / report.total_cycles:.2f}x"
        f" | {report.total_energy_pj / 1e6:,.0f} | {shares[0]:.0f} % | {shares[1]:.0f} % | {shares[2]:.0f} %"
        f" | {100 * report.utilization:.1f} % | {most} ({100 * bound[most] / report.total_cycles:.0f} %)"
        f" | {100 * fallback:.0f} % |"
    )


def main() -> None:
    """Print the page."""
    print(INTRO)
    resnet = codesign.capture(codesign.load_model("zoo:resnet50"))
    for pattern in ("2:4", "2:8", "unstructured:0.9"):
        graph = codesign.capture(codesign.sparsify(resnet, pattern))
        print(f"## ResNet-50, weights {pattern}, one image (seeded random weights and input)\n")
        print(table(graph, WEIGHT_SPARSE) + "\n")


if __name__ == "__main__":
    main()
