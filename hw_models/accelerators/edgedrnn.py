"""EdgeDRNN: a recurrent engine that reads a column of weights from DRAM only where its input changed.

Gao et al., "EdgeDRNN: Recurrent Neural Network Accelerator for Edge Inference", IEEE JETCAS 2020 (arXiv 2012.13600):
batch 1, 8 PEs on a 64-bit DRAM port, so that a word holds a weight for each PE. The pipeline of an op is::

    scan the inputs for changes -> queue of column numbers -> fetch the column from DRAM -> multiply, accumulate

A token is a column of W, n weights long; a last token ends each step (gates of a recurrence). A step of a recurrence
scans its state once the step before has ended; linear layers run on from row to row.

Modelled: the scan (a word of the SRAM port a cycle), the queues, DRAM bandwidth and latency, MACs, gates on the vector
lanes, and the state: the inputs last sent and the accumulators, read and written on chip for each column, or in DRAM
where they do not fit. A column is handed to the PEs when it is whole, which costs one column's fetch a step more than
word by word. An input projection and its recurrence, two ops of the graph, add into the same accumulators on the
machine, so nothing of the projection crosses DRAM; their cycles are counted one after the other. Samples of a batch
share nothing. Zero weights gate the multiplier and save no time. Not modelled: DRAM pages and refresh, saturation.

Ops that are not a sequence of changes run with every column.
"""

from __future__ import annotations

from dataclasses import dataclass
from typing import Literal

import numpy as np
from pydantic import Field

from hw_models.accelerators.delta_unit import Bools, Moved, Scan, bits_to_bytes, blocks, energy_pj, sram_use
from hw_models.base import OpCost, OpwiseConfig
from hw_models.config import Config
from hw_models.network.steps import ceil_div
from hw_models.pipeline import Fifo, Pipeline, Stage, compiled
from traces.op import Op
from traces.workload import Workload


class ColumnSection(Config):
    """The column queue."""

    queue_columns: int = Field(default=16, ge=1, le=2**20, description="column numbers found ahead of their fetch")


class EdgeDrnnConfig(OpwiseConfig):
    """Config of the engine: PEs are rows x cols, all over the outputs of one column."""

    kind: Literal["edgedrnn"]
    columns: ColumnSection = ColumnSection()

    def accelerator(self) -> EdgeDrnn:
        """Return the engine with this config."""
        return EdgeDrnn(self)


def effective_ops_per_s(macs: int, cycles: int, clock_hz: float) -> float:
    """Return the throughput that counts skipped work as done: two operations a dense MAC, as EdgeDRNN reports it."""
    return 2 * macs * clock_hz / cycles


def column_pipeline(changed: Bools, op: Op, config: EdgeDrnnConfig) -> Pipeline:
    """Return the pipeline of consecutive rows (steps times batch) of an op, from which inputs changed, (rows, k)."""
    gemm, memory = op.gemm, config.memory
    assert gemm is not None
    scan = Scan.of(changed, max(1, memory.sram.port_bits // config.precision.input_bits))
    column_bytes = bits_to_bytes(gemm.n, config.precision.weight_bits)
    fetch = 0 if memory.ideal else int(np.ceil(column_bytes / memory.dram.bytes_per_cycle))
    latency = 0 if memory.ideal else memory.dram.latency_cycles
    gates = ceil_div(op.gate_lane_ops // gemm.m, config.vector.lanes)
    # A column longer than half of the buffer passes it in pieces: two are always on their way.
    fit = max(2, memory.sram.weight_bytes // column_bytes)
    return Pipeline(
        (
            Stage("scan", scan.service_cycles),
            Stage("fetch", scan.tokens(fetch, 0), latency_cycles=latency),
            Stage("mac", scan.tokens(ceil_div(gemm.n, config.pes), gates)),
        ),
        (Fifo("scan", "fetch", config.columns.queue_columns), Fifo("fetch", "mac", fit)),
        edges=scan.barrier("mac", "scan", gemm.m // op.timesteps if op.kind == "recurrent" else 0),
    )


@dataclass(frozen=True, slots=True)
class EdgeDrnn:
    """The engine as an `hw_models.base.Accelerator`."""

    config: EdgeDrnnConfig

    def refuses(self, op: Op) -> str | None:
        """Take what is a stored matrix times a vector."""
        if op.kind in ("conv", "depthwise"):
            return "a recurrent engine runs linear, GRU and LSTM layers, not convolutions"
        return "operand W is an activation, and only stored weights are streamed" if op.weight is None else None

    def cost(self, work: Workload) -> OpCost:
        """Return what an op takes; its cycles hold the fetches of columns from DRAM."""
        op, gemm, config = work.op, work.gemm, self.config
        changed = self._columns(work)
        columns, cycles = int(np.count_nonzero(changed)), 0
        busy = {"MACs": 0, "DRAM columns": 0, "scan": 0}
        for block, _ in blocks(changed):
            schedule = compiled.run(column_pipeline(block, op, config))
            cycles += schedule.total_cycles
            for cause, stage in zip(busy, reversed(schedule.pipeline.stages), strict=True):
                busy[cause] += int(stage.service_cycles.sum())
        issued, effectual = columns * gemm.n, work.effectual_macs
        dram_bytes, moved = self._traffic(work, columns)
        accesses, sram_bytes = sram_use(config, moved)
        gates = gemm.m * ceil_div(op.gate_lane_ops // gemm.m, config.vector.lanes)
        return OpCost(
            reloads=False,
            cycles=cycles,
            effectual=effectual,
            skipped=gemm.macs - issued,
            gated=issued - effectual,
            dram_bytes=dram_bytes,
            sram_accesses=accesses,
            sram_bytes=sram_bytes,
            energy_pj=energy_pj(config, effectual, issued - effectual, moved, op.gate_lane_ops),
            waits={"gates": gates, "column": cycles - busy["MACs"]},
            bound_by=max(busy, key=lambda cause: busy[cause]),
        )

    def _columns(self, work: Workload) -> Bools:
        """Return which columns each row multiplies, (groups * m, k): the changed ones of a sequence, else all."""
        gemm = work.gemm
        if work.op.encoding != "delta" or not work.operands:
            return np.ones((gemm.groups * gemm.m, gemm.k), dtype=np.bool_)
        return work.operands[0].unpack().reshape(gemm.groups * gemm.m, gemm.k)

    def _traffic(self, work: Workload, columns: int) -> tuple[dict[str, int], Moved]:
        """Return the bytes that cross DRAM and those that move on chip (read, written)."""
        op, gemm, bits, sram = work.op, work.gemm, self.config.precision, self.config.memory.sram
        rows, recurrent = gemm.groups * gemm.m, op.kind == "recurrent"
        results = rows * (gemm.k if recurrent else gemm.n)  # a recurrence gives its hidden state
        inputs = bits_to_bytes(rows * gemm.k, bits.input_bits)
        streamed = bits_to_bytes(columns * gemm.n, bits.weight_bits)
        changed = bits_to_bytes(columns, bits.input_bits)
        sums = bits_to_bytes(columns * gemm.n, bits.accumulator_bits)
        sums_once = bits_to_bytes(rows * gemm.n, bits.accumulator_bits)
        outputs = bits_to_bytes(results, bits.output_bits)
        numbers = bits_to_bytes(columns, max(1, (gemm.k - 1).bit_length()))
        dram = {
            "input": inputs // op.timesteps if recurrent else inputs,  # later states are on chip already
            "weight": streamed,
            "output": 0 if op.name.endswith(".ih") else outputs,  # a projection stays in the accumulators
            "metadata": 0,
        }
        remembered = 0
        if op.encoding == "delta":
            remembered = inputs
            samples = gemm.groups * (gemm.m // op.timesteps)
            if bits_to_bytes(samples * gemm.k, bits.input_bits) > sram.input_bytes:
                dram["input"] += inputs + changed
            if bits_to_bytes(samples * gemm.n, bits.accumulator_bits) > sram.output_bytes:
                dram["output"] += 2 * sums_once
        moved = {
            "input": (inputs + remembered, inputs + (changed if remembered else 0)),
            "weight": (streamed, streamed),
            "output": (sums + sums_once, sums + outputs),
            "metadata": (numbers, numbers),
        }
        return dram, moved
