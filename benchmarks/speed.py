"""Speed: how fast the simulator is, beside what other simulators took for the same work.

Run ``make bench``. Each figure is the median of several runs after a warm-up. Peers were run on a machine of the same
kind (two cores of a server CPU); their figures are in docs/validation.md with how they were obtained.
"""

from __future__ import annotations

import resource
import statistics
import subprocess
import sys
import tempfile
import time
from collections.abc import Callable
from pathlib import Path

import numpy as np

from codesign.simulation import simulate
from codesign.sparsification import sparsify
from hw_models.accelerators import load_accelerator, preset_names
from hw_models.accelerators.eie import entries_per_column, run_products
from hw_models.pipeline import Fifo, Pipeline, Resource, Stage, compiled
from traces.capture import capture
from traces.gemm import Gemm
from traces.load import load_model
from traces.op import Op
from traces.workload import Workload

#: SCALE-Sim v3 on ResNet-50's 54 layers, 32x32 ws: user CPU seconds and peak MB (see docs/validation.md).
SCALESIM_CPU_S, SCALESIM_MB = 364.56, 11834
#: STONNE's SIGMA on a dense 256x256x256 product, seconds (see docs/validation.md).
STONNE_S = 56.0

# ResNet-50 (v1, stride in the first 1x1) as SCALE-Sim's topology has it, without padding: input side of a stage's
# blocks, channels of the inner and the outer layers, blocks.
_STAGES = ((56, 64, 256, 3), (28, 128, 512, 4), (14, 256, 1024, 6), (7, 512, 2048, 3))


def resnet50_csv(path: Path) -> Path:
    """Write ResNet-50 as a topology table of 54 layers: (input side, kernel, channels, filters, stride) a layer."""
    rows, channels = [(224, 7, 3, 64, 2)], 64
    for stage, (side, narrow, wide, blocks) in enumerate(_STAGES):
        for block in range(blocks):
            stride = 2 if stage and not block else 1
            rows += [
                (side * stride, 1, channels, narrow, stride),
                (side, 3, narrow, narrow, 1),
                (side, 1, narrow, wide, 1),
            ]
            if not block:
                rows.append((side * stride, 1, channels, wide, stride))
            channels = wide
    rows.append((1, 1, 2048, 1000, 1))
    header = "Layer name, IFMAP Height, IFMAP Width, Filter Height, Filter Width, Channels, Num Filter, Strides,\n"
    lines = [f"layer{i}, {h}, {h}, {k}, {k}, {c}, {n}, {s},\n" for i, (h, k, c, n, s) in enumerate(rows)]
    path.write_text(header + "".join(lines))
    return path


def median_s(work: Callable[[], object], runs: int = 9) -> float:
    """Return the median wall time of a call after one warm-up, in seconds."""
    work()
    times = []
    for _ in range(runs):
        begin = time.perf_counter()
        work()
        times.append(time.perf_counter() - begin)
    return statistics.median(times)


def in_process(table: Path) -> None:
    """Simulate ResNet-50 in this process."""
    graph = load_model(str(table))
    for name, settings in (("stall-free", ["memory.ideal=true"]), ("with buffers, DRAM and mapping search", [])):
        seconds = median_s(lambda s=settings: simulate(graph, "systolic-32x32", dataflow="ws", settings=s))
        report = simulate(graph, "systolic-32x32", dataflow="ws", settings=settings)
        print(
            f"ResNet-50, {len(report.ops)} layers, 32x32 ws, {name}: {1e3 * seconds:.1f} ms,"
            f" {report.total_cycles:,} cycles;"
            f" SCALE-Sim v3: {SCALESIM_CPU_S:.0f} CPU s; ratio {SCALESIM_CPU_S / seconds:,.0f}"
        )


def whole_process(table: Path) -> None:
    """Run the command line on ResNet-50, Numba's cache warm."""
    command = [sys.executable, "-m", "codesign", "simulate", str(table), "--on", "systolic-32x32"]
    seconds = median_s(lambda: subprocess.run(command, check=True, capture_output=True), runs=5)
    mb = resource.getrusage(resource.RUSAGE_CHILDREN).ru_maxrss / 1024
    print(
        f"codesign simulate resnet50.csv, whole process: {seconds:.2f} s, {mb:.0f} MB;"
        f" SCALE-Sim v3: {SCALESIM_CPU_S:.0f} s, {SCALESIM_MB:,} MB"
    )


def executor(tokens: int) -> None:
    """Run three stages in a row, double-buffered, each with a resource of its own or all on one.

    A token is counted once a stage that serves it.
    """
    service = [np.random.default_rng(seed).integers(1, 20, tokens // 3) for seed in range(3)]
    for shared in (False, True):
        stages = tuple(Stage(f"s{i}", s, "dram" if shared else None) for i, s in enumerate(service))
        fifos = (Fifo("s0", "s1", 2), Fifo("s1", "s2", 2))
        pipeline = Pipeline(stages, fifos, (Resource("dram"),) if shared else ())
        seconds = median_s(lambda p=pipeline: compiled.run(p), runs=3)
        kind = "one shared resource" if shared else "no contention"
        print(
            f"compiled executor, {pipeline.tokens:,} tokens, {kind}: {pipeline.tokens / seconds / 1e6:.0f} M tokens/s"
        )


def llama() -> None:
    """Trace and simulate the Llama-2-7B-shaped prefill of 128 tokens, 2:4 declared."""
    begin = time.perf_counter()
    report = simulate(sparsify(load_model("zoo:llama2_7b"), "2:4"), "systolic-128x128-nm")
    mb = resource.getrusage(resource.RUSAGE_SELF).ru_maxrss / 1024
    print(f"Llama-2-7B-shaped prefill, 128 tokens: {time.perf_counter() - begin:.1f} s, {mb:,.0f} MB peak; {report}")


def sparse() -> None:
    """Run SIGMA on a dense 256^3 product, EIE on a layer of the published size, and ResNet-50 on every accelerator."""
    op = Op(name="product", kind="linear", gemm=Gemm.matmul(256, 256, 256), weight="w")
    sigma = load_accelerator("sigma").accelerator()
    seconds = median_s(lambda: sigma.cost(Workload(op)))
    print(f"SIGMA, 256^3 dense: {1e3 * seconds:.2f} ms; STONNE: {STONNE_S:.0f} s; ratio {STONNE_S / seconds:,.0f}")
    generator = np.random.default_rng(0)
    entries, _ = entries_per_column(generator.random((4096, 4096), dtype=np.float32) < 0.09, 64, 4)
    active = generator.random((1, 4096)) < 0.18
    seconds = median_s(lambda: run_products(active, entries, 8, 8))
    print(f"EIE, 4096x4096 at 9 % and 18 %, 64 PEs, queue depth 8: {1e3 * seconds:.1f} ms")
    graph = capture(sparsify(load_model("zoo:resnet50"), "unstructured:0.9"))
    for name in preset_names():
        simulate(graph, name)
        begin = time.perf_counter()
        report = simulate(graph, name)
        seconds = time.perf_counter() - begin
        print(f"ResNet-50, 90 % unstructured, on {name}: {seconds:.2f} s, {report.total_cycles:,} cycles")


def main() -> None:
    """Print all figures."""
    with tempfile.TemporaryDirectory() as folder:
        table = resnet50_csv(Path(folder) / "resnet50.csv")
        in_process(table)
        whole_process(table)
    llama()
    sparse()
    for tokens in (1_000_000, 10_000_000, 100_000_000):
        executor(tokens)


if __name__ == "__main__":
    main()
