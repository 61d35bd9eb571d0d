"""Delta convolution: an event-driven engine whose work follows the number of input values that changed.

A change of one input value updates the outputs that see it: for a convolution up to ``kernel_h * kernel_w / stride^2``
positions (fewer at borders, counted exactly) times the filters of its group; for a linear layer all outputs of its row.
``y_t = y_(t-1) + W * (q_t - q_(t-1))``, the sigma-delta form of the Delta Activation Layer (arXiv 2107.07305) and of
DeltaCNN (CVPR 2022). The pipeline of a frame is::

    scan the inputs for changes -> event queue -> update accumulators

PEs are over the filters of one position; where there are fewer filters than PEs, the array is split and takes several
of the event's positions at once. They are different outputs, so they never collide; one event is updated after the
other. The first frame is sent whole: it costs what a dense one does. A frame begins when the one before is done.

Modelled: the scan (a word of the SRAM port a cycle), the queue, the updates, and the state: the inputs as last sent,
compared with every new one, and the output accumulators, read and written on chip for each update. If frames
``stream`` through the network, every layer's weights and state come from DRAM each frame and the touched state goes
back; else the whole sequence is at hand, a layer keeps its weights, and its state as far as that fits. Zero weights
gate the multiplier and save no time. Not modelled: bank conflicts, and the scans that are repeated where weights do not
fit half of their buffer (the DRAM traffic of that is).
"""

from __future__ import annotations

from dataclasses import dataclass, replace
from typing import Literal

import numpy as np
from pydantic import Field

from hw_models.accelerators.delta_unit import Bools, Moved, Scan, bits_to_bytes, blocks, energy_pj, sram_use
from hw_models.base import OpCost, OpwiseConfig
from hw_models.config import Config
from hw_models.network.steps import ceil_div
from hw_models.pipeline import Fifo, Pipeline, Stage, compiled
from hw_models.pipeline.parts import Cycles
from traces.bitmap import Bitmap
from traces.gemm import Gemm
from traces.op import Op
from traces.workload import Workload, unroll


class EventSection(Config):
    """The event queue, and how frames come."""

    queue_events: int = Field(default=64, ge=1, le=2**20, description="changes found ahead of their update")
    stream: bool = Field(default=True, description="each frame passes all layers before the next comes")


class DeltaConvConfig(OpwiseConfig):
    """Config of the engine: PEs are rows x cols, over filters first, then positions."""

    kind: Literal["delta-conv"]
    events: EventSection = EventSection()

    def accelerator(self) -> DeltaConv:
        """Return the engine with this config."""
        return DeltaConv(self)


def reach(size: int, kernel: int, stride: int, pad: int, dilation: int, out: int) -> Cycles:
    """Return, for each input coordinate along one axis, how many output positions it takes part in."""
    seen = np.arange(out)[:, None] * stride + np.arange(kernel) * dilation - pad
    return np.bincount(seen[(seen >= 0) & (seen < size)], minlength=size)


def frame_positions(op: Op) -> Cycles:
    """Return how many output positions each input element of a frame reaches, in the order of operand I."""
    gemm = op.gemm
    assert gemm is not None
    if op.kind == "linear":
        return np.ones(gemm.input_elements // op.timesteps, dtype=np.int64)
    rows = reach(gemm.in_h, gemm.kernel_h, gemm.stride_h, gemm.pad_h, gemm.dilation_h, gemm.out_h)
    columns = reach(gemm.in_w, gemm.kernel_w, gemm.stride_w, gemm.pad_w, gemm.dilation_w, gemm.out_w)
    return np.tile(np.outer(rows, columns).ravel(), gemm.batch // op.timesteps * gemm.groups * gemm.channels)


def update_cycles(positions: Cycles, filters: int, pes: int) -> Cycles:
    """Return the cycles of events that update so many positions, each for all filters."""
    at_once = pes // min(pes, filters)
    return -(-positions // at_once) * ceil_div(filters, pes)


def event_pipeline(changed: Bools, positions: Cycles, filters: int, config: DeltaConvConfig) -> Pipeline:
    """Return the pipeline of consecutive frames, from which inputs changed, (frames, elements)."""
    scan = Scan.of(changed, max(1, config.memory.sram.port_bits // config.precision.input_bits))
    updates = update_cycles(positions[scan.columns], filters, config.pes)
    return Pipeline(
        (Stage("scan", scan.service_cycles), Stage("update", scan.tokens(updates, 0))),
        (Fifo("scan", "update", config.events.queue_events),),
        edges=scan.barrier("update", "scan", 1),
    )


@dataclass(frozen=True, slots=True)
class DeltaConv:
    """The engine as an `hw_models.base.Accelerator`."""

    config: DeltaConvConfig

    def refuses(self, op: Op) -> str | None:
        """Take layers whose input is a sequence of changes."""
        if op.kind == "recurrent":
            return "the steps of a recurrence wait for each other; a recurrent engine (edgedrnn) takes them"
        if op.weight is None:
            return "operand W is an activation, and both operands change"
        if op.encoding != "delta":
            return "operand I has no timesteps; give a sequence and --activations delta:THRESHOLD"
        return None

    def cost(self, work: Workload) -> OpCost:
        """Return what an op takes over all frames."""
        op, gemm, config = work.op, work.gemm, self.config
        if not work.operands:
            work = replace(work, operands=(Bitmap.of(np.ones(_shape(op), dtype=np.bool_)),))
        changed, positions = by_frame(work), frame_positions(op)
        cycles, busy = 0, {"MACs": 0, "scan": 0}
        for block, elements in blocks(changed):
            schedule = compiled.run(event_pipeline(block, positions[elements], gemm.n, config))
            cycles += schedule.total_cycles
            scan, update = schedule.pipeline.stages
            busy["MACs"] += int(update.service_cycles.sum())
            busy["scan"] += int(scan.service_cycles.sum())
        issued = int(changed.sum(axis=0, dtype=np.int64) @ positions) * gemm.n
        effectual = work.effectual_macs
        dram_bytes, moved = self._traffic(op, changed, issued)
        accesses, sram_bytes = sram_use(config, moved)
        return OpCost(
            reloads=False,
            cycles=cycles,
            effectual=effectual,
            skipped=gemm.macs - issued,
            gated=issued - effectual,
            dram_bytes=dram_bytes,
            sram_accesses=accesses,
            sram_bytes=sram_bytes,
            energy_pj=energy_pj(config, effectual, issued - effectual, moved, 0),
            waits={"event": cycles - busy["MACs"]},
            bound_by=max(busy, key=lambda cause: busy[cause]),
        )

    def _traffic(self, op: Op, changed: Bools, issued: int) -> tuple[dict[str, int], Moved]:
        """Return the bytes that cross DRAM and those that move on chip (read, written)."""
        gemm, bits, sram = op.gemm, self.config.precision, self.config.memory.sram
        assert gemm is not None
        frames, elements = changed.shape
        events, touched = int(np.count_nonzero(changed)), touched_outputs(op, changed)
        inputs = bits_to_bytes(frames * elements, bits.input_bits)
        sent = bits_to_bytes(events, bits.input_bits)
        weights = bits_to_bytes(gemm.weight_elements, bits.weight_bits)
        sums = bits_to_bytes(issued, bits.accumulator_bits)
        touched_sums = bits_to_bytes(touched, bits.accumulator_bits)
        outputs = bits_to_bytes(touched, bits.output_bits)
        addresses = bits_to_bytes(events, max(1, (elements - 1).bit_length()))
        # A frame that does not stay in its buffer is read again for each part of the weights.
        parts = ceil_div(weights, max(1, sram.weight_bytes // 2))
        rereads = parts if bits_to_bytes(elements, bits.input_bits) > sram.input_bytes // 2 else 1
        dram = {
            "input": inputs * rereads,
            "weight": weights * (frames if self.config.events.stream else 1),
            "output": outputs,
            "metadata": 0,
        }
        state_bytes = bits_to_bytes(gemm.output_elements // frames, bits.accumulator_bits)
        if self.config.events.stream or bits_to_bytes(elements, bits.input_bits) > sram.input_bytes:
            dram["input"] += inputs * rereads + sent
        if self.config.events.stream or state_bytes > sram.output_bytes:
            dram["output"] += 2 * touched_sums
        moved = {
            "input": (2 * inputs, inputs + sent),  # the new value and the one sent last; what arrives, what is sent
            "weight": (bits_to_bytes(issued, bits.weight_bits), dram["weight"]),
            "output": (sums + touched_sums, sums + outputs),
            "metadata": (addresses, addresses),
        }
        return dram, moved


def by_frame(work: Workload) -> Bools:
    """Return where operand I changed, (timesteps, elements of a frame)."""
    op, gemm = work.op, work.gemm
    changed = work.operands[0].unpack()
    if op.kind != "linear":
        return changed.reshape(op.timesteps, -1)
    steps = changed.reshape(gemm.groups, op.timesteps, -1).swapaxes(0, 1)
    return steps.reshape(op.timesteps, -1)


def touched_outputs(op: Op, changed: Bools) -> int:
    """Return how many outputs, of all frames together, see at least one change of (frames, elements)."""
    gemm = op.gemm
    assert gemm is not None
    if op.kind == "linear":
        return int(np.count_nonzero(changed.reshape(-1, gemm.k).any(axis=1))) * gemm.n
    images = gemm.batch // op.timesteps * gemm.groups
    one_channel = replace(gemm, batch=images, groups=1, channels=1)
    return sum(_touched_positions(frame, one_channel) for frame in changed) * gemm.n


def _touched_positions(frame: Bools, gemm: Gemm) -> int:
    planes: Bools = np.logical_or.reduce(frame.reshape(gemm.batch, -1, gemm.in_h, gemm.in_w), axis=1, keepdims=True)
    return int(np.count_nonzero(unroll(planes, gemm).any(axis=1)))


def _shape(op: Op) -> tuple[int, ...]:
    gemm = op.gemm
    assert gemm is not None
    if op.kind == "linear":
        return gemm.groups, gemm.m, gemm.k
    return gemm.batch, gemm.groups * gemm.channels, gemm.in_h, gemm.in_w
