"""How fast mappings are searched. ``python benchmarks/mapper.py``, on one core; compiled before it is timed.

Printed are, for dense GEMMs, the mappings that get a bound on their cycles and those that are timed exactly, a second;
and for ResNet-18 on ZigZag's tpu_like the time from ops to simulated cycles, search included.
"""

from __future__ import annotations

import statistics
import time
from collections.abc import Callable
from dataclasses import replace

import click
import numpy as np

from codesign.lower import lower
from codesign.mapper import gemm_graph, map_ops
from codesign.report import Report
from codesign.schedule import plan
from codesign.schedule.candidates import candidates
from codesign.schedule.rank import rank
from codesign.simulation import simulate
from hw_models.accelerators import load_accelerator
from hw_models.systolic.config import SystolicConfig
from traces.capture import capture
from traces.graph import OpGraph
from traces.load import load_model

_MOST_TILES = 4096  # of a mapping that is timed exactly in the second figure


def seconds(call: Callable[[], object], times: int = 5) -> float:
    """Return the median time of a call that has been warmed up."""
    call()
    taken = []
    for _ in range(times):
        begun = time.perf_counter()
        call()
        taken.append(time.perf_counter() - begun)
    return statistics.median(taken)


def exact_rate(size: int, config: SystolicConfig) -> tuple[int, float]:
    """Return how many mappings of up to 4,096 tiles a GEMM has (powers of two), and how many are timed a second."""
    (task,) = lower(gemm_graph(size, size, size), config)
    nest, array = task.dense, config.machine()
    assert nest is not None
    found = candidates(nest, 0, array)
    tiles = np.prod([-(-size // found.tiles[:, axis]) for axis in (2, 4, 5)], axis=0)
    few = found._replace(**{name: getattr(found, name)[tiles <= _MOST_TILES] for name in ("tiles", "bound", "dram")})
    few = few._replace(first_w=found.first_w[tiles <= _MOST_TILES])
    every = len(few.bound)
    return every, every / seconds(lambda: rank(nest, 0, array, few, every))


@click.command(help=__doc__)
def main() -> None:
    """Print all rates."""
    config = load_accelerator("systolic-32x32")
    assert isinstance(config, SystolicConfig)
    for size in (128, 512, 1024):
        graph = gemm_graph(size, size, size)
        (found,) = map_ops(graph, config)
        taken = seconds(lambda graph=graph: map_ops(graph, config))  # type: ignore[misc]  # a lambda with a default
        every, rate = exact_rate(size, config)
        click.echo(
            f"{size}^3 on {config.name}: {found.bounded:,} mappings bounded and {found.exact:,} timed exactly in"
            f" {taken:.3f} s: {found.bounded / taken:,.0f} a second"
        )
        click.echo(f"    exactly, each of the {every:,} of up to {_MOST_TILES:,} tiles: {rate:,.0f} a second")
    resnet18()


def resnet18() -> None:
    """Print what ResNet-18 takes on ZigZag's tpu_like."""
    config = load_accelerator("tpu-like")
    assert isinstance(config, SystolicConfig)
    begun = time.perf_counter()
    model = load_model("zoo:resnet18")
    click.echo(f"ResNet-18 traced in {time.perf_counter() - begun:.1f} s; on tpu-like after that:")
    shapes = replace(model, program=None)  # ZigZag sees shapes only
    captured = capture(model)
    for dataflow in ("ws", "auto"):
        for graph, what in ((shapes, "its shapes"), (captured, "with the zeros of its activations counted")):

            def once(graph: OpGraph = graph, dataflow: str = dataflow) -> Report:
                plan._searched.cache_clear()  # else all but the first would find the mappings searched
                return simulate(graph, config, dataflow=dataflow)

            taken, cycles = seconds(once), once().total_cycles
            click.echo(f"    {dataflow}, {what}: {cycles:,} cycles, mapped and simulated in {taken:.3f} s")
    click.echo(f"    every op with all sizes of tiles: {seconds(lambda: map_ops(shapes, config), 3):.3f} s")


if __name__ == "__main__":
    main()
