"""MINT: one spike a cycle, added to 128 outputs at once; membrane potentials go through SRAM at every timestep.

Source: Yin et al., "MINT: Multiplier-less Integer Quantization for Energy Efficient Spiking Neural Networks", ASP-DAC
2024, as modelled by the Prosperity authors (HPCA 2025): cycles = spikes * ceil(n / 128). Here 8-bit weights.

A row (position and timestep) is read, its spikes are encoded one a cycle and their weights are added; then the
potentials of the row's position are updated. Not modelled: the encoder's time on rows without spikes.
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


class MintSection(Config):
    """What is stated of the chip."""

    chip_mw: float = Field(gt=0)


class MintConfig(OpwiseConfig):
    """Config of MINT; ``array`` is its adders, one output each."""

    kind: Literal["mint"]
    mint: MintSection

    def accelerator(self) -> Mint:
        """Return the accelerator with this config."""
        return Mint(self)


def pipeline(spikes: SpikeMatrix, folds: int) -> Pipeline:
    """Return the one stage, a token a row and fold of outputs."""
    return Pipeline((Stage("add", np.tile(spikes.row_spikes, folds)),))


class Mint(SpikingAccelerator):
    """The accelerator."""

    def __init__(self, config: MintConfig) -> None:
        self.config: MintConfig = config
        self.chip_mw = config.mint.chip_mw

    def tally(self, spikes: SpikeMatrix, weights: Bools) -> Tally:
        """Return what one group takes."""
        bits, n = self.config.precision, len(weights)
        folds, count = -(-n // self.config.pes), int(spikes.row_spikes.sum())
        return Tally(
            cycles=compiled.run(pipeline(spikes, folds)).total_cycles,
            issued=count * n,
            sram_bits={
                "input": folds * spikes.rows * spikes.k,
                "weight": count * n * bits.weight_bits,
                "output": 2 * spikes.rows * n * bits.accumulator_bits,  # the potential, read and written
            },
        )
