"""Kernel speed: every figure of docs/kernels.md, measured on this machine.

Run ``python benchmarks/kernel_speed.py`` (some ten minutes, better on an idle machine); it writes the tables between
the marks of docs/kernels.md and leaves the words around them. ``--only conv1x1`` measures one section and keeps the
others.
"""

from __future__ import annotations

import re
import sys
import time
from collections.abc import Callable, Sequence
from pathlib import Path

import click
import network_speed

from kernels.baselines import best
from kernels.baselines import depthwise as conv_depthwise
from kernels.bench.against import Setting
from kernels.bench.nets import NETS
from kernels.bench.row import Row, totals
from kernels.bench.run import Options, run
from kernels.limits import Limits, measure_limits
from kernels.machine import describe

PAGE = Path(__file__).parents[1] / "docs" / "kernels.md"
UNSTRUCTURED = (0.1, 0.2, 0.3, 0.5, 0.7, 0.8, 0.9, 0.95)
GROUPS = (0.1, 0.3, 0.5, 0.7, 0.9)
ACTIVATIONS = (0.1, 0.2, 0.3, 0.4, 0.5, 0.6, 0.7, 0.8, 0.9)


def machine(limits: Limits) -> str:
    """Return a paragraph on the machine, its limits and what was compared."""
    found = describe()
    versions = found["versions"]
    assert isinstance(versions, dict)
    speeds = ", ".join(f"{name} {speed / 1e9:.0f}" for name, speed in limits.bytes_per_s.items())
    caches = ", ".join(f"{name} {size >> 10} KB" for name, size in limits.holds_bytes.items())
    libraries = ", ".join(f"{name} {version}" for name, version in versions.items())
    return (
        f"Measured {time.strftime('%Y-%m-%d')} on one core of {found['model_name'] or found['architecture']}"
        f" ({found['llvm_name']}, {found['vector_lanes']} float32 lanes, {caches}). It reaches"
        f" {limits.peak_flops / 1e9:.0f} GFLOP/s in multiply-adds and reads, in GB/s, out of {speeds}. Python"
        f" {found['python']}, {libraries}. Medians of thread CPU time, all contenders of a layer interleaved;"
        " *dense* is the fastest of them on each layer."
    )


def lines(header: Sequence[str], body: Sequence[Sequence[str]]) -> str:
    """Return a Markdown table."""
    rows = [header, ["---", *["--:"] * (len(header) - 1)], *body]
    return "\n".join(f"| {' | '.join(row)} |" for row in rows)


def percent(sparsity: float) -> str:
    """Return a share as text."""
    return f"{100 * sparsity:.3g} %"


def sums(rows: Sequence[Row]) -> str:
    """Return the totals: one line a pattern, a column for each sparsity; speedup over dense, and over eager torch."""
    found = totals(rows)
    columns = sorted({one.sparsity for one in found})

    def cell(pattern: str, sparsity: float) -> str:
        for one in found:
            if (one.pattern, one.sparsity) == (pattern, sparsity):
                eager = f" ({one.eager_s / one.ours_s:.2f})" if one.eager_s is not None else ""
                return f"{one.speedup:.2f}{eager}"
        return ""

    patterns = dict.fromkeys(one.pattern for one in found)
    body = [[pattern, *[cell(pattern, sparsity) for sparsity in columns]] for pattern in patterns]
    return lines(["over dense (over eager torch)", *map(percent, columns)], body)


def crossover(rows: Sequence[Row]) -> str:
    """Return from which sparsity a kernel is faster than dense, between the measured ones by a straight line."""
    points = sorted((one.sparsity, one.ours_s / one.baseline_s) for one in rows)
    last = max((i for i, (_, ratio) in enumerate(points) if ratio > 1), default=-1)
    if last == len(points) - 1:
        return "none"
    if last < 0:
        return f"< {percent(points[0][0])}"
    (low, above), (high, below) = points[last : last + 2]
    return percent(low + (high - low) * (above - 1) / (above - below))


def shapes(rows: Sequence[Row]) -> str:
    """Return a line for each layer: its dense time and who made it, its crossovers, and speedups at 70 and 90 %."""
    patterns = list(dict.fromkeys(one.pattern for one in rows))
    header = ["layer", "dense", "us", "eager us"]
    for pattern in patterns:
        header += [f"{pattern}: from", "at 70 %", "at 90 %"]
    body = []
    for layer in dict.fromkeys(one.layer for one in rows):
        of = [one for one in rows if one.layer == layer]
        first = of[0]
        eager = "" if first.eager_s is None else f"{1e6 * first.eager_s:.0f}"
        line = [f"{layer} x{first.count}", first.baseline, f"{1e6 * first.baseline_s:.0f}", eager]
        for pattern in patterns:
            chosen = [one for one in of if one.pattern == pattern]
            speeds = {one.sparsity: f"{one.speedup:.2f}" for one in chosen}
            line += [crossover(chosen), speeds.get(0.7, ""), speeds.get(0.9, "")]
        body.append(line)
    return lines(header, body)


Section = Callable[[Setting, Callable[[str], object]], str]


def conv1x1(setting: Setting, say: Callable[[str], object]) -> str:
    """Measure the 1x1 convolutions of both networks."""
    parts = []
    for net, layers in NETS.items():
        rows: list[Row] = []
        for patterns, sparsities in ((("unstructured",), UNSTRUCTURED), (("group:4", "group:16"), GROUPS)):
            rows += run(("conv1x1",), Options(net, patterns, sparsities), setting, say)
        count = sum(layer.count for layer in layers)
        parts.append(f"### 1x1 convolutions of {net}: sum of all {count}, then each shape\n")
        parts += [sums(rows) + "\n", shapes(rows) + "\n"]
    return "\n".join(parts)


def active(setting: Setting, say: Callable[[str], object]) -> str:
    """Measure convolutions of sparse activations."""
    rows = list(run(("active",), Options("resnet50", (), ACTIVATIONS), setting, say))
    title = "### 3x3 convolutions of resnet50 on sparse activations: sum, then each shape\n"
    return "\n".join([title, sums(rows) + "\n", shapes(rows) + "\n"])


def vectors(kernel: str, options: Options, title: str, setting: Setting, say: Callable[[str], object]) -> str:
    """Measure a matrix times one vector, or a few."""
    rows = list(run((kernel,), options, setting, say))
    columns = sorted({one.sparsity for one in rows})
    parts = [f"### {title}\n"]
    for layer in dict.fromkeys(one.layer for one in rows):
        of = [one for one in rows if one.layer == layer]
        first = of[0]
        body = []
        for pattern in dict.fromkeys(one.pattern for one in of):
            chosen = [one for one in of if one.pattern == pattern]
            cells = {one.sparsity: f"{one.speedup:.2f} ({100 * one.of_limit:.0f} %)" for one in chosen}
            body.append([pattern, *[cells.get(sparsity, "") for sparsity in columns]])
        eager = "" if first.eager_s is None else f", eager torch {1e6 * first.eager_s:,.0f} us"
        parts.append(f"{layer}: dense {1e6 * first.baseline_s:,.0f} us ({first.baseline}){eager}\n")
        parts.append(lines(["over dense (share of the roofline)", *map(percent, columns)], body) + "\n")
    return "\n".join(parts)


def gemv(setting: Setting, say: Callable[[str], object]) -> str:
    """Measure sparse weights times one vector, out of memory."""
    options = Options("", ("unstructured", "group:4", "group:16", "2:4", "1:4", "1:8"), (0.5, 0.7, 0.9, 0.95))
    return vectors("gemv", options, "Matrix times vector, cold, sparse weights", setting, say)


def gemv_active(setting: Setting, say: Callable[[str], object]) -> str:
    """Measure dense weights times a sparse vector, out of memory."""
    options = Options("", (), (0.5, 0.7, 0.8, 0.9, 0.95))
    return vectors("gemv_active", options, "Matrix times vector, cold, zeros in input or output", setting, say)


def linear(setting: Setting, say: Callable[[str], object]) -> str:
    """Measure sparse weights times 64 vectors."""
    options = Options("", ("unstructured", "group:4", "group:16", "2:4", "1:4", "1:8"), (0.3, 0.5, 0.7, 0.9, 0.95))
    return vectors("linear", options, "Linear layer, batch 64, sparse weights", setting, say)


def depthwise(setting: Setting, say: Callable[[str], object]) -> str:
    """Measure our dense depthwise convolution against the libraries."""
    rows = list(run(("depthwise",), Options("mobilenet_v1", (), ()), setting, say))
    body = [
        [
            f"{one.layer} x{one.count}" if one.layer != "total" else f"sum of {one.count}",
            f"{1e6 * one.ours_s:.1f}",
            f"{1e6 * one.baseline_s:.1f}",
            one.baseline,
            f"{one.speedup:.2f}",
            "" if one.eager_s is None else f"{one.eager_s / one.ours_s:.2f}",
            f"{100 * one.of_limit:.0f} %",
        ]
        for one in [*rows, *totals(rows)]
    ]
    header = ("layer", "ours us", "best library us", "which is", "over it", "over eager", "of the roofline")
    empty_call = best(conv_depthwise(16, 1), repeats=setting.repeats).timings
    costs = ", ".join(f"{name} {1e6 * timing.seconds:.1f}" for name, timing in empty_call.items())
    note = f"\n\nThe call itself, on 16 channels of one pixel, costs in us: {costs}. The figures above have it in them."
    return "### Depthwise convolutions of mobilenet_v1, dense\n\n" + lines(header, body) + note


def network(setting: Setting, say: Callable[[str], object]) -> str:
    """Measure a whole sparse network against whole dense ones."""
    say("whole MobileNet-v1")
    return "### Whole MobileNet-v1, sparse 1x1 convolutions\n\n" + network_speed.report(setting.repeats)


SECTIONS: dict[str, Section] = {
    "conv1x1": conv1x1,
    "depthwise": depthwise,
    "active": active,
    "gemv": gemv,
    "gemv_active": gemv_active,
    "linear": linear,
    "network": network,
}


def written(page: str, name: str, text: str) -> str:
    """Return the page with a section's figures replaced; its marks are added at the end if it has none."""
    begin, end = f"<!-- figures: {name} -->", f"<!-- /figures: {name} -->"
    block = f"{begin}\n{text.strip()}\n{end}"
    if begin not in page:
        return f"{page.rstrip()}\n\n{block}\n"
    return re.sub(f"{re.escape(begin)}.*?{re.escape(end)}", lambda _match: block, page, flags=re.DOTALL)


@click.command()
@click.option("--only", type=click.Choice(list(SECTIONS)), multiple=True, help="Sections to measure; all if not given.")
@click.option("--rounds", type=int, default=21, help="Samples of each figure.")
def main(only: tuple[str, ...], rounds: int) -> None:
    """Measure the figures of docs/kernels.md and write them there."""
    limits = measure_limits()
    page = PAGE.read_text() if PAGE.is_file() else "# Kernels\n"
    page = written(page, "machine", machine(limits))
    for name in only or SECTIONS:
        text = SECTIONS[name](Setting(limits, rounds), lambda what: print(what, file=sys.stderr))
        page = written(page, name, text)
        PAGE.write_text(page)


if __name__ == "__main__":
    main()
