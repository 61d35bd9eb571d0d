"""LoAS: dual-sparse, four timesteps in parallel; spikes and weights are joined by their bitmasks.

Source: Yin, Kim, Wu and Panda, "LoAS: Fully Temporal-Parallel Dataflow for Dual-Sparse Spiking Neural Networks", MICRO
2024. The spikes of an input neuron over 4 timesteps are packed into one word; a bitmask says which neurons are not
silent in all of them. Each of 16 PEs sums one output of one position: it joins 128 bits of the spike mask and of the
weight mask a cycle, and takes a cycle for each match, whose weight is added to the sums of the timesteps that spike
(four adders, silent ones gated). A join without a match takes its cycle too.

The packed spikes of a position are broadcast to all PEs, which have different outputs; they go on together, so that the
fullest output of 16 sets the pace. Not modelled: the slow prefix sum that corrects silent timesteps afterwards, as it
is off the critical path, and the compression of outputs.
"""

from __future__ import annotations

from typing import Literal

import numba
import numpy as np
from pydantic import Field

from hw_models.accelerators.spikes import (
    Counts,
    SpikeMatrix,
    SpikingAccelerator,
    Tally,
    Words,
    pack,
    popcount,
    stored_by_step,
)
from hw_models.base import OpwiseConfig
from hw_models.config import Config
from hw_models.energy import ADDER32_PJ
from hw_models.pipeline import Pipeline, Stage, compiled
from traces.workload import Bools, Workload


class LoasSection(Config):
    """Width of the join."""

    join_bits: Literal[64, 128, 256, 512] = Field(description="of each bitmask, compared in a cycle")


class LoasConfig(OpwiseConfig):
    """Config of LoAS; rows of ``array`` are PEs, columns the timesteps each adds in parallel."""

    kind: Literal["loas"]
    loas: LoasSection

    def accelerator(self) -> Loas:
        """Return the accelerator with this config."""
        return Loas(self)


@numba.njit(cache=True)
def join(
    windows: Words, weights: Words, words_a_cycle: int, pes: int
) -> tuple[Counts, Counts, np.int64]:  # pragma: no cover (compiled)
    """Join every position and window with every output.

    Parameters
    ----------
    windows, weights
        Bitmasks, uint64 of shapes (positions, windows, words) and (n, words).
    words_a_cycle, pes
        Words of 64 bits joined in a cycle; outputs joined at once.

    Returns
    -------
    cycles, matches, busy
        Cycles by position and window, int64 (positions, windows); matches by window, int64 (windows,); cycles of
        all PEs together.
    """
    positions, count, words = windows.shape
    outputs = weights.shape[0]
    cycles = np.zeros((positions, count), np.int64)
    matches = np.zeros(count, np.int64)
    busy = np.int64(0)
    for position in range(positions):
        for window in range(count):
            for first in range(0, outputs, pes):
                slowest = np.int64(0)
                for output in range(first, min(first + pes, outputs)):
                    taken = np.int64(0)
                    for chunk in range(0, words, words_a_cycle):
                        both = np.int64(0)
                        for word in range(chunk, min(chunk + words_a_cycle, words)):
                            both += popcount(windows[position, window, word] & weights[output, word])
                        matches[window] += both
                        taken += both if both > 0 else np.int64(1)  # a join without a match takes its cycle
                    busy += taken
                    slowest = max(slowest, taken)
                cycles[position, window] += slowest
    return cycles, matches, busy


def pipeline(cycles: Counts) -> Pipeline:
    """Return the PEs as one stage, a token a position and window."""
    return Pipeline((Stage("join", cycles.ravel()),))


class Loas(SpikingAccelerator):
    """The accelerator."""

    def __init__(self, config: LoasConfig) -> None:
        self.config: LoasConfig = config

    def tally(self, spikes: SpikeMatrix, weights: Bools) -> Tally:
        """Return what one group takes: each match is issued for all timesteps of its window."""
        bits, grid, section, n = self.config.precision, self.config.array, self.config.loas, len(weights)
        windows = spikes.windows(grid.cols)
        service, matches, busy = join(windows, pack(weights), section.join_bits // 64, grid.rows)
        length = np.minimum(grid.cols, spikes.timesteps - grid.cols * np.arange(len(matches)))
        cycles, matched = compiled.run(pipeline(service)).total_cycles, int(matches.sum())
        joins = windows.shape[0] * windows.shape[1] * n * -(-spikes.k // section.join_bits)
        return Tally(
            cycles=cycles,
            issued=int(np.vdot(matches, length)),
            sram_bits={
                "input": int(np.vdot(matches, length)),
                "weight": matched * bits.weight_bits,
                "output": spikes.rows * n * bits.accumulator_bits,
                # the weight mask of each output, and the spike mask once for the PEs that share it
                "metadata": joins * section.join_bits + -(-joins // grid.rows) * section.join_bits,
            },
            control_pj=joins * section.join_bits * ADDER32_PJ / 4,  # the prefix sum that finds the match: 8-bit adders
            waits={
                "imbalance": cycles - -(-int(busy) // grid.rows),
                "empty joins": -(-(int(busy) - matched) // grid.rows),
            },
        )

    def dram_bits(self, work: Workload) -> dict[str, int]:
        """Return the bits moved once: packed spikes that are not silent, weights that are not zero, both masks."""
        dense, steps, ticks = super().dram_bits(work), work.op.timesteps, self.config.array.cols
        packed = np.logical_or.reduceat(stored_by_step(work), np.arange(0, steps, ticks), axis=0)
        return {
            **dense,
            "input": int(np.count_nonzero(packed)) * ticks,
            "weight": int(np.count_nonzero(work.weights)) * self.config.precision.weight_bits,
            "metadata": packed.size + work.gemm.weight_elements,
        }
