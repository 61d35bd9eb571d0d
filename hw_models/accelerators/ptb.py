"""PTB: parallel time batching on a systolic array of 16 outputs by 8 windows of 4 timesteps.

Source: Lee, Zhang and Li, "Parallel Time Batching: Systolic-Array Acceleration of Sparse Spiking Neural Computation",
HPCA 2022; array and window as the Prosperity authors (HPCA 2025) take them. Timesteps are grouped into windows; each
column of the array sums one window, each row one output, so that a weight is used for 8 windows at once. An input
neuron is left out where it is silent in all windows of a batch. Input neurons whose active windows do not overlap are
packed into one slot of the array. A slot takes one cycle a timestep of the window: a PE adds one weight a cycle, or
none (gated).

Slots are packed greedily: densest neuron first, then the densest that still fits (of equals the one with the lowest
mask). The paper packs at run time with a limited look-ahead, so ours is a bound from below. Not modelled: the time to
pack, and the array's fill.
"""

from __future__ import annotations

from typing import Literal

import numba
import numpy as np
from pydantic import Field

from hw_models.accelerators.spikes import (
    COMPARATOR32_PJ,
    Counts,
    SpikeMatrix,
    SpikingAccelerator,
    Tally,
    Words,
    popcount,
)
from hw_models.base import GridConfig, OpwiseConfig
from hw_models.config import Config
from hw_models.pipeline import Pipeline, Stage, compiled
from traces.workload import Bools


class PtbSection(Config):
    """Windows, and what is stated of the chip."""

    window_ticks: int = Field(ge=1, le=1024)
    chip_mw: float = Field(gt=0)


class PtbGrid(GridConfig):
    """Rows are outputs, columns are windows."""

    cols: int = Field(ge=1, le=16)


class PtbConfig(OpwiseConfig):
    """Config of PTB."""

    kind: Literal["ptb"]
    array: PtbGrid
    ptb: PtbSection

    def accelerator(self) -> Ptb:
        """Return the accelerator with this config."""
        return Ptb(self)


@numba.njit(cache=True)
def slots(windows: Words, k: int, cols: int) -> Counts:  # pragma: no cover (compiled)
    """Return the slots of each position and batch of ``cols`` windows, int64 (positions, batches).

    ``windows`` is from `SpikeMatrix.windows`: (positions, windows, words).
    """
    positions, count, _ = windows.shape
    batches = (count + cols - 1) // cols
    found = np.zeros((positions, batches), np.int64)
    masks = 1 << cols
    by_density = np.empty(masks, np.int64)
    at = 0
    for ones in range(cols, 0, -1):
        for mask in range(1, masks):
            if popcount(np.uint64(mask)) == ones:
                by_density[at] = mask
                at += 1
    left = np.zeros(masks, np.int64)
    here, members = np.empty(masks, np.int64), np.empty(cols, np.int64)
    for position in range(positions):
        for batch in range(batches):
            first, last = batch * cols, min(count, (batch + 1) * cols)
            for column in range(k):
                mask = 0
                for window in range(first, last):
                    bit = (windows[position, window, column >> 6] >> np.uint64(column & 63)) & np.uint64(1)
                    mask |= int(bit) << (window - first)
                left[mask] += 1
            left[0] = 0
            kinds = 0
            for i in range(at):
                if left[by_density[i]]:
                    here[kinds] = by_density[i]
                    kinds += 1
            for i in range(kinds):
                while left[here[i]]:
                    used, size, times = np.int64(0), 0, left[here[i]]
                    for j in range(i, kinds):
                        if left[here[j]] and not used & here[j]:
                            used |= here[j]
                            members[size] = here[j]
                            size += 1
                            times = min(times, left[here[j]])
                    for j in range(size):
                        left[members[j]] -= times
                    found[position, batch] += times
    return found


def pipeline(found: Counts, ticks: int, folds: int) -> Pipeline:
    """Return the one stage: a token a fold of outputs, position and batch of windows."""
    return Pipeline((Stage("add", np.tile(found.ravel() * ticks, folds)),))


class Ptb(SpikingAccelerator):
    """The accelerator."""

    def __init__(self, config: PtbConfig) -> None:
        self.config: PtbConfig = config
        self.chip_mw = config.ptb.chip_mw

    def tally(self, spikes: SpikeMatrix, weights: Bools) -> Tally:
        """Return what one group takes: every timestep of an active window is issued, silent ones gated."""
        bits, grid, n = self.config.precision, self.config.array, len(weights)
        ticks = min(self.config.ptb.window_ticks, spikes.timesteps)
        windows = spikes.windows(ticks)
        active = np.bitwise_count(windows).sum(axis=(0, 2), dtype=np.int64)  # by window
        length = np.minimum(ticks, spikes.timesteps - ticks * np.arange(len(active)))
        found = slots(windows, spikes.k, grid.cols)
        return Tally(
            cycles=compiled.run(pipeline(found, ticks, -(-n // grid.rows))).total_cycles,
            issued=int(np.vdot(active, length)) * n,
            sram_bits={
                "input": -(-n // grid.rows) * int(np.vdot(active, length)),
                # a packed neuron's weights are read once a slot and batch; its windows share them
                "weight": int(_present(windows, grid.cols)) * n * bits.weight_bits,
                "output": spikes.rows * n * bits.accumulator_bits,
            },
            control_pj=int(active.sum()) * COMPARATOR32_PJ,  # one test for overlap each
        )


def _present(windows: Words, cols: int) -> int:
    """Return how many input neurons are active in each position and batch of windows, together."""
    batches = np.bitwise_or.reduceat(windows, np.arange(0, windows.shape[1], cols), axis=1)
    return int(np.bitwise_count(batches).sum(dtype=np.int64))
