"""SpinalFlow: spikes sorted by time, one broadcast a cycle to 128 PEs, each of which is one neuron until it is done.

Source: Narayanan et al., "SpinalFlow: An Architecture and Dataflow Tailored for Spiking Neural Networks", ISCA 2020.
The spikes of all timesteps in the receptive field of a position are merged in chronological order, one a cycle; every
PE adds the spike's weight to its potential, which never leaves it. So a position costs its spikes, for each 128
outputs.

Spikes are stored as (neuron, time) lists, which is metadata; the sorter keeps pace with the PEs. Not modelled: a PE
that stops at its first spike (SpinalFlow's own networks spike at most once, ours may more often), and the merge of
input lists that exceed the sorter's width.
"""

from __future__ import annotations

from typing import Literal

import numpy as np

from hw_models.accelerators.spikes import COMPARATOR32_PJ, SpikeMatrix, SpikingAccelerator, Tally
from hw_models.base import OpwiseConfig
from hw_models.pipeline import Pipeline, Stage, compiled
from traces.workload import Bools, Workload


class SpinalFlowConfig(OpwiseConfig):
    """Config of SpinalFlow; ``array`` is its PEs, one neuron each."""

    kind: Literal["spinalflow"]

    def accelerator(self) -> SpinalFlow:
        """Return the accelerator with this config."""
        return SpinalFlow(self)


def pipeline(spikes: SpikeMatrix, folds: int) -> Pipeline:
    """Return the one stage, a token a position and fold of outputs."""
    return Pipeline((Stage("add", np.tile(spikes.row_spikes.reshape(spikes.positions, -1).sum(axis=1), folds)),))


class SpinalFlow(SpikingAccelerator):
    """The accelerator."""

    def __init__(self, config: SpinalFlowConfig) -> None:
        self.config: SpinalFlowConfig = config

    def tally(self, spikes: SpikeMatrix, weights: Bools) -> Tally:
        """Return what one group takes."""
        bits, n = self.config.precision, len(weights)
        folds, count = -(-n // self.config.pes), int(spikes.row_spikes.sum())
        return Tally(
            cycles=compiled.run(pipeline(spikes, folds)).total_cycles,
            issued=count * n,
            sram_bits={
                "weight": count * n * bits.weight_bits,
                "output": spikes.rows * n,  # spikes alone: potentials stay in the PEs
                "metadata": folds * count * _event_bits(spikes.k, spikes.timesteps),
            },
            control_pj=folds
            * count
            * max(1, (spikes.k - 1).bit_length())
            * COMPARATOR32_PJ,  # a path of the sorting tree
        )

    def dram_bits(self, work: Workload) -> dict[str, int]:
        """Return the bits moved once, with spikes in and out as events (out: as dense as in)."""
        dense = super().dram_bits(work)
        gemm, steps = work.gemm, work.op.timesteps
        count = work.operands[0].nonzeros if work.operands else gemm.input_elements
        neurons = gemm.input_elements // steps
        return {**dense, "input": 0, "metadata": count * _event_bits(neurons, steps)}


def _event_bits(neurons: int, timesteps: int) -> int:
    """Return the bits that name a neuron and a time."""
    return (neurons - 1).bit_length() + (timesteps - 1).bit_length()
