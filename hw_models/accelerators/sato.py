"""SATO: all timesteps in parallel; each row of spikes goes to the PE with the least work, which does all its outputs.

Source: Liu et al., "SATO: Spiking Neural Network Acceleration via Temporal-Oriented Dataflow and Architecture", DAC
2022, as modelled by the Prosperity authors (HPCA 2025): rows are split greedily over 128 PEs by their spikes, and an op
takes the spikes of the busiest PE times n. A PE adds one weight a cycle.

``dispatch: arrival`` hands rows out as they come, which is their model; ``sorted`` the fullest first, as SATO's bucket
sort does. Not modelled: the sort's own time, which is hidden behind the PEs.
"""

from __future__ import annotations

from typing import Literal

import numba
import numpy as np
from pydantic import Field

from hw_models.accelerators.spikes import COMPARATOR32_PJ, Counts, SpikeMatrix, SpikingAccelerator, Tally
from hw_models.base import OpwiseConfig
from hw_models.config import Config
from hw_models.pipeline import Pipeline, Stage, compiled
from traces.workload import Bools


class SatoSection(Config):
    """How rows are handed out, and what is stated of the chip."""

    dispatch: Literal["arrival", "sorted"]
    chip_mw: float = Field(gt=0)


class SatoConfig(OpwiseConfig):
    """Config of SATO; ``array`` is its PEs, one row of spikes each."""

    kind: Literal["sato"]
    sato: SatoSection

    def accelerator(self) -> Sato:
        """Return the accelerator with this config."""
        return Sato(self)


@numba.njit(cache=True)
def _split(work: Counts, pes: int) -> Counts:  # pragma: no cover (compiled)
    """Return the PE of each row: the one with the least work so far, the first of equals."""
    load = np.zeros(pes, np.int64)
    owner = np.empty(len(work), np.int64)
    for row in range(len(work)):
        least = 0
        for pe in range(1, pes):
            if load[pe] < load[least]:
                least = pe
        owner[row] = least
        load[least] += work[row]
    return owner


def pipeline(spikes: SpikeMatrix, n: int, pes: int, dispatch: str) -> Pipeline:
    """Return the PEs, each with its rows as tokens."""
    work = spikes.row_spikes
    if dispatch == "sorted":
        work = np.sort(work)[::-1]
    owner = _split(work, pes)
    return Pipeline(tuple(Stage(f"pe{pe}", work[owner == pe] * n) for pe in range(pes)))


class Sato(SpikingAccelerator):
    """The accelerator."""

    def __init__(self, config: SatoConfig) -> None:
        self.config: SatoConfig = config
        self.chip_mw = config.sato.chip_mw

    def tally(self, spikes: SpikeMatrix, weights: Bools) -> Tally:
        """Return what one group takes; ``imbalance`` is what the busiest PE does above the mean."""
        bits, pes, n = self.config.precision, self.config.pes, len(weights)
        count = int(spikes.row_spikes.sum())
        cycles = compiled.run(pipeline(spikes, n, pes, self.config.sato.dispatch)).total_cycles
        return Tally(
            cycles=cycles,
            issued=count * n,
            sram_bits={
                "input": spikes.rows * spikes.k,
                "weight": count * n * bits.weight_bits,
                "output": spikes.rows * n * bits.accumulator_bits,  # summed in the PE, written once
            },
            control_pj=spikes.rows * (pes - 1) * COMPARATOR32_PJ,  # a tree finds the least loaded PE
            waits={"imbalance": cycles - -(-count * n // pes)},
        )
