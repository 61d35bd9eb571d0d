"""SNN dense: an Eyeriss-like array that runs a spiking network as a dense one, spikes as plain operands.

Source: the dense baseline of the Prosperity authors (HPCA 2025), who model Eyeriss (Chen et al., ISCA 2016) by its
shape of 14 x 12 PEs alone: cycles = ceil(n / 12) * floor(k * m / 14) for the sums, and floor(timesteps / 12) * neurons
// 14 for the neurons. Row stationary reuse, its buffers and its network on chip are not modelled. MACs with a zero
operand are gated.
"""

from __future__ import annotations

from typing import Literal

import numpy as np
from pydantic import Field

from hw_models.accelerators.spikes import SpikeMatrix, SpikingAccelerator, Tally
from hw_models.base import OpwiseConfig
from hw_models.config import Config
from hw_models.pipeline import Pipeline, Stage, compiled
from traces.workload import Bools


class SnnDenseSection(Config):
    """What is stated of the chip."""

    chip_mw: float = Field(gt=0)


class SnnDenseConfig(OpwiseConfig):
    """Config of the dense baseline."""

    kind: Literal["snn-dense"]
    snn_dense: SnnDenseSection

    def accelerator(self) -> SnnDense:
        """Return the accelerator with this config."""
        return SnnDense(self)


def pipeline(positions: int, timesteps: int, k: int, n: int, rows: int, cols: int) -> Pipeline:
    """Return the one stage: a token for each ``cols`` outputs, then one for the neurons."""
    sums = np.full(-(-n // cols), k * positions * timesteps // rows)
    return Pipeline((Stage("mac", np.append(sums, timesteps // cols * positions * n // rows)),))


class SnnDense(SpikingAccelerator):
    """The accelerator."""

    def __init__(self, config: SnnDenseConfig) -> None:
        self.config: SnnDenseConfig = config
        self.chip_mw = config.snn_dense.chip_mw

    def tally(self, spikes: SpikeMatrix, weights: Bools) -> Tally:
        """Return what one group takes: every MAC is issued."""
        bits, grid, n = self.config.precision, self.config.array, len(weights)
        run = compiled.run(pipeline(spikes.positions, spikes.timesteps, spikes.k, n, grid.rows, grid.cols))
        macs = spikes.rows * spikes.k * n
        return Tally(
            cycles=run.total_cycles,
            issued=macs,
            sram_bits={
                "input": -(-macs // grid.cols),  # a bit serves a row of PEs, a weight a column
                "weight": -(-macs // grid.rows) * bits.weight_bits,
                "output": spikes.rows * n * bits.accumulator_bits,
            },
        )
