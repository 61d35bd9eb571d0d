"""Threads: several cores on one network as a pipeline of the house, so that they contend for DRAM.

Each layer is cut into chunks of equal work. A core's chunk is three tokens: its bytes pass the DRAM channel, which all
cores share (first come, first served), then the core's own port, and then it is computed; a double buffer lies between
each two. A layer starts when all cores have finished the one before. Caches are taken to be as fast for each core as
for one alone.
"""

from __future__ import annotations

from collections.abc import Sequence
from itertools import pairwise

import numpy as np

from hw_models.cpus.config import CpuConfig
from hw_models.cpus.layer import LayerTime
from hw_models.pipeline import Edge, Fifo, Pipeline, Resource, Stage
from traces.errors import InputError

#: Chunks that a core's share of a layer is cut into.
CHUNKS = 8


def threads_pipeline(cpu: CpuConfig, layers: Sequence[LayerTime], threads: int, chunks: int = CHUNKS) -> Pipeline:
    """Return the pipeline of a network on several cores; either executor runs it.

    Parameters
    ----------
    cpu
        The machine.
    layers
        What each layer takes on one core.
    threads
        Cores used.
    chunks
        Tokens of a core in one layer.

    Raises
    ------
    InputError
        If there are fewer cores than threads.
    """
    if not 1 <= threads <= cpu.cores:
        raise InputError.must("threads", f"between 1 and the {cpu.cores} cores of {cpu.name}", threads)
    parts = threads * chunks
    channel = cpu.at(cpu.dram.total_bytes_per_second) / cpu.clock_hz
    moved = np.repeat([layer.dram_bytes / parts for layer in layers], chunks)
    compute = np.repeat([layer.on_core_cycles / parts for layer in layers], chunks)
    stages: list[Stage] = []
    fifos: list[Fifo] = []
    edges: list[Edge] = []
    first = np.arange(1, len(layers), dtype=np.int64) * chunks
    for core in range(threads):
        names = [f"{what} {core}" for what in ("dram", "port", "core")]
        stages.append(Stage(names[0], _spread(moved / channel), resource="dram"))
        stages.append(Stage(names[1], _spread(moved / cpu.dram_bytes_per_cycle)))
        stages.append(Stage(names[2], _spread(compute)))
        fifos += [Fifo(one, other, capacity=2) for one, other in pairwise(names)]
        edges += [Edge(f"core {other}", names[0], first - 1, first) for other in range(threads)]
    return Pipeline(tuple(stages), tuple(fifos), (Resource("dram"),), tuple(edges) if len(layers) > 1 else ())


def _spread(
    cycles: np.ndarray[tuple[int, ...], np.dtype[np.float64]],
) -> np.ndarray[tuple[int, ...], np.dtype[np.int64]]:
    """Return whole cycles whose running sums are those of the fractions, rounded."""
    return np.diff(np.rint(np.concatenate(([0.0], np.cumsum(cycles))))).astype(np.int64)
