"""How fast a sweep is, and how much memory it takes, as its points become more.

    python benchmarks/sweep.py                       # 1,000, 10,000 and 100,000 points of a small model
    python benchmarks/sweep.py --sizes 1000 --study resnet50

The cost of a point must not grow with their number, and neither must the memory of the processes.
"""

from __future__ import annotations

import argparse
import os
import resource
import subprocess
import sys
import tempfile
import time
from pathlib import Path

import yaml

LAYERS = "Layer, M, N, K,\na, 196, 64, 256,\nb, 49, 128, 64,\n"
STUDY = {
    "name": "small",
    "models": ["small.csv"],
    "weights": ["dense", "2:4"],
    "accelerators": [
        {
            "base": "systolic-32x32-nm",
            "set": {
                "memory.dram.latency_cycles": {"from": 10, "to": 1000, "step": 10},
                "array.rows": {"from": 4, "to": 100, "step": 4},
                "array.cols": {"from": 4, "to": 80, "step": 4},
            },
            "dataflow": "ws",
        }
    ],
    "prune": False,
}


def measure(study: str, points: int | None, workers: int) -> None:
    """Run one sweep in this process and print its row."""
    from codesign import run_sweep

    with tempfile.TemporaryDirectory() as folder:
        (Path(folder) / "small.csv").write_text(LAYERS)
        source = study
        if study == "small":
            source = str(Path(folder) / "study.yaml")
            Path(source).write_text(yaml.safe_dump(STUDY))
        out = Path(folder) / "out"
        begin, first = time.perf_counter(), 0.0

        def note(_progress: object) -> None:
            nonlocal first
            first = first or time.perf_counter()

        summary = run_sweep(source, out=out, workers=workers, budget=points, progress=note)
        end = time.perf_counter()
        count = len(summary.results)
        store = (out / "results.duckdb").stat().st_size
    own, children = (resource.getrusage(who) for who in (resource.RUSAGE_SELF, resource.RUSAGE_CHILDREN))
    cpu = sum(used.ru_utime + used.ru_stime for used in (own, children))
    print(
        f"{count:>8,} {summary.counts['done']:>8,} {end - begin:>8.1f} {first - begin:>8.1f}"
        f" {count / (end - first):>9,.1f}"
        f" {1e3 * cpu / count:>9.2f} {own.ru_maxrss / 1024:>9,.0f} {children.ru_maxrss / 1024:>9,.0f}"
        f" {store / 1e6:>8.1f}",
        flush=True,
    )


def main() -> None:
    """Print a row for each size."""
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--sizes", default="1000,10000,100000", help="points, with commas; 0 for the whole grid")
    parser.add_argument("--study", default="small", help="a study of codesign's instead of the small one")
    parser.add_argument("--workers", type=int, default=2)
    parser.add_argument("--one", action="store_true", help=argparse.SUPPRESS)
    options = parser.parse_args()
    sizes = [int(size) for size in options.sizes.split(",")]
    if options.one:
        measure(options.study, sizes[0] or None, options.workers)
        return
    print(f"study {options.study}, {options.workers} workers of {os.cpu_count()} cores")
    print("  points     done  seconds to first  points/s    CPU ms  MiB main  MiB work store MB")
    for size in sizes:  # each in a process of its own, so that the peak of memory is its own
        args = ["--one", "--sizes", str(size), "--study", options.study, "--workers", str(options.workers)]
        subprocess.run([sys.executable, __file__, *args], check=True)


if __name__ == "__main__":
    main()
