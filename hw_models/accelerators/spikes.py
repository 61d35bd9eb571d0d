"""Spikes: what the spiking accelerators share: the spike matrix of an op, and how its parts become an `OpCost`.

An op is a matrix of spikes, rows (position, timestep) with time running fastest and k columns, times a dense or sparse
matrix W (k, n). Positions are output pixels, tokens or images. Bits are packed 64 a word, so that a subset test, a
join or an OR over timesteps is an instruction.

Modelled for all of them: adds of weights wherever a spike is; spikes moved to and from DRAM as one bit each (the neuron
unit sits at the array's output, so what leaves it is one bit a neuron and step); on-chip reads and writes at the price
of the buffer they go to; DRAM overlapped with the work (`codesign.opwise`). Not modelled: bank conflicts, the array's
fill and drain.
"""

from __future__ import annotations

from abc import ABC, abstractmethod
from collections import Counter
from collections.abc import Iterator
from dataclasses import dataclass, field, replace
from math import ceil

import numba
import numpy as np
from numpy.typing import NDArray

from hw_models.base import OPERANDS, OpCost, OpwiseConfig
from hw_models.energy import ADDER32_PJ, GATED_SHARE, sram_pj_per_byte
from traces.errors import InputError
from traces.op import Op
from traces.workload import Bools, Workload, unroll

Words = NDArray[np.uint64]
Counts = NDArray[np.int64]

COMPARATOR32_PJ = 0.029  # Accelergy's Aladdin table, 45 nm
STATED_DRAM_PJ_PER_BIT = 12.45  # of the Prosperity authors, for all machines they compare
_BAND_BYTES = 1 << 25


@dataclass(frozen=True, slots=True, eq=False)
class SpikeMatrix:
    """The spikes that an op reads, unrolled as for a matrix product.

    Attributes
    ----------
    words
        uint64 of shape (positions, timesteps, ceil(k / 64)): bit ``c % 64`` of word ``c // 64`` is column c.
    k
        Columns; bits beyond them are zero.
    """

    words: Words
    k: int

    @classmethod
    def of(cls, spikes: Bools) -> SpikeMatrix:
        """Pack booleans of shape (positions, timesteps, k)."""
        return cls(pack(spikes), spikes.shape[2])

    @property
    def positions(self) -> int:
        """Output positions of the whole batch."""
        return len(self.words)

    @property
    def timesteps(self) -> int:
        """Timesteps of each position."""
        return int(self.words.shape[1])

    @property
    def rows(self) -> int:
        """Rows of the matrix: positions times timesteps."""
        return self.positions * self.timesteps

    @property
    def row_spikes(self) -> Counts:
        """Spikes of each row, int64 of shape (rows,)."""
        counts: Counts = np.bitwise_count(self.words).sum(axis=2, dtype=np.int64).ravel()
        return counts

    def windows(self, ticks: int) -> Words:
        """Return which columns spike at all in each window of so many timesteps: (positions, windows, words)."""
        starts = np.arange(0, self.timesteps, ticks)
        return np.bitwise_or.reduceat(self.words, starts, axis=1)


def pack(values: Bools) -> Words:
    """Pack the last axis into words of 64 bits, the first element in the lowest."""
    packed = np.packbits(values, axis=-1, bitorder="little")
    short = -packed.shape[-1] % 8
    if short:
        packed = np.concatenate((packed, np.zeros((*packed.shape[:-1], short), np.uint8)), axis=-1)
    return np.ascontiguousarray(packed).view("<u8").astype(np.uint64, copy=False)


@numba.njit(cache=True, inline="always")
def popcount(word: np.uint64) -> np.int64:
    """Return the number of ones of a 64-bit word; LLVM makes one instruction of it."""
    word = word - ((word >> np.uint64(1)) & np.uint64(0x5555555555555555))
    word = (word & np.uint64(0x3333333333333333)) + ((word >> np.uint64(2)) & np.uint64(0x3333333333333333))
    word = (word + (word >> np.uint64(4))) & np.uint64(0x0F0F0F0F0F0F0F0F)
    return np.int64((word * np.uint64(0x0101010101010101)) >> np.uint64(56))


def spike_matrix(work: Workload, group: int) -> SpikeMatrix:
    """Return the spikes of one group of an op; all ones if they were not captured.

    Raises
    ------
    InputError
        If the captured operand holds values other than 0 and 1.
    """
    op, gemm = work.op, work.gemm
    if work.operands and not work.operands[0].binary:
        raise InputError(
            f"operand I of {op.name} must be a spike train, as its encoding says, but holds values other than 0 and 1;"
            " capture the model on spikes, or leave the encoding out"
        )
    positions = gemm.m // op.timesteps
    words = np.empty((positions, op.timesteps, ceil(gemm.k / 64)), np.uint64)
    at = 0
    for band in _bands(work, group):
        words[at : at + band.shape[1]] = pack(band).swapaxes(0, 1)
        at += band.shape[1]
    return SpikeMatrix(words, gemm.k)


def stored_by_step(work: Workload) -> Bools:
    """Return operand I as it is stored, not unrolled: booleans of shape (timesteps, elements)."""
    op, gemm = work.op, work.gemm
    if not work.operands:
        return np.ones((op.timesteps, gemm.input_elements // op.timesteps), np.bool_)
    values = work.operands[0].unpack()
    if op.kind in ("conv", "depthwise"):
        return values.reshape(op.timesteps, -1)
    return values.reshape(gemm.groups, op.timesteps, -1).swapaxes(0, 1).reshape(op.timesteps, -1)


def _bands(work: Workload, group: int) -> Iterator[Bools]:
    """Yield the unrolled spikes (timesteps, positions, k), some positions at a time to bound memory."""
    op, gemm = work.op, work.gemm
    if op.kind not in ("conv", "depthwise") or not work.operands:
        yield work.inputs(group).reshape(op.timesteps, -1, gemm.k)
        return
    channels = slice(group * gemm.channels, (group + 1) * gemm.channels)
    images = work.operands[0].unpack().reshape(op.timesteps, -1, gemm.groups * gemm.channels, gemm.in_h, gemm.in_w)
    most = max(1, _BAND_BYTES // (op.timesteps * gemm.out_w * gemm.k))
    for image in range(images.shape[1]):
        for top in range(0, gemm.out_h, most):
            height = min(most, gemm.out_h - top)
            first = top * gemm.stride_h - gemm.pad_h
            reach = (height - 1) * gemm.stride_h + (gemm.kernel_h - 1) * gemm.dilation_h + 1
            inside = slice(max(first, 0), max(0, min(first + reach, gemm.in_h)))
            above = inside.start - first
            crop = np.zeros((op.timesteps, gemm.channels, reach, gemm.in_w), np.bool_)
            rows = images[:, image, channels, inside]
            crop[:, :, above : above + rows.shape[2]] = rows
            band = replace(gemm, batch=op.timesteps, groups=1, in_h=reach, out_h=height, pad_h=0)
            yield unroll(crop, band).reshape(op.timesteps, -1, gemm.k)


@dataclass(frozen=True, slots=True, kw_only=True)
class Tally:
    """What one group of an op takes on the array.

    Attributes
    ----------
    cycles
        From the pipeline.
    issued
        Adds that an adder is given, dense MACs left out never being among them.
    effectual
        Those with a spike and a weight that is not zero; None where that is all there are of the op.
    sram_bits
        Moved on chip, by operand.
    control_pj
        Of comparators, sorters and the like.
    waits
        Cycles in which the adders did not add, by cause.
    """

    cycles: int
    issued: int
    effectual: int | None = None
    sram_bits: dict[str, int]
    control_pj: float = 0.0
    waits: dict[str, int] = field(default_factory=dict)


class SpikingAccelerator(ABC):
    """An accelerator of spiking networks, told by what a group of an op takes on it (``tally``)."""

    config: OpwiseConfig
    chip_mw: float | None = None  # power of the chip without DRAM as the Prosperity authors state it

    def refuses(self, op: Op) -> str | None:
        """Return why its array cannot run an op, None if it can."""
        if op.encoding != "spikes":
            return "operand I is not a spike train"
        return "its steps wait for each other" if op.kind == "recurrent" else None

    @abstractmethod
    def tally(self, spikes: SpikeMatrix, weights: Bools) -> Tally:
        """Return what one group takes; ``weights`` is where W is not zero, (n, k)."""

    def dram_bits(self, work: Workload) -> dict[str, int]:
        """Return the bits moved once if everything fits on chip: spikes as a bitmap, weights dense."""
        gemm = work.gemm
        weight = gemm.weight_elements * self.config.precision.weight_bits
        return {"input": gemm.input_elements, "weight": weight, "output": gemm.output_elements, "metadata": 0}

    def cost(self, work: Workload) -> OpCost:
        """Return what an op takes, from its real spikes and weights."""
        gemm, sram, bits = work.gemm, self.config.memory.sram, self.config.precision
        tallies = [self.tally(spike_matrix(work, group), work.weights[group]) for group in range(gemm.groups)]
        cycles, issued = sum(t.cycles for t in tallies), sum(t.issued for t in tallies)
        own = [t.effectual for t in tallies if t.effectual is not None]
        effectual = sum(own) if own else work.effectual_macs
        waits: Counter[str] = Counter()
        for tally in tallies:
            waits.update(tally.waits)
        moved = {operand: ceil(sum(t.sram_bits.get(operand, 0) for t in tallies) / 8) for operand in OPERANDS}
        size = {"weight": sram.weight_bytes, "output": sram.output_bytes}
        energy = {
            "add": effectual * ADDER32_PJ * bits.accumulator_bits / 32,
            "gated_add": (issued - effectual) * ADDER32_PJ * bits.accumulator_bits / 32 * GATED_SHARE,
            "control": sum(t.control_pj for t in tallies),
        }
        for operand, count in moved.items():
            price = sram_pj_per_byte(size.get(operand, sram.input_bytes), sram.port_bits, write=operand == "output")
            energy[f"sram_{operand}"] = count * price
        cause, longest = max(waits.items(), key=lambda item: item[1], default=("", 0))
        return OpCost(
            cycles=cycles,
            effectual=effectual,
            skipped=gemm.macs - issued,
            gated=issued - effectual,
            dram_bytes={operand: ceil(count / 8) for operand, count in self.dram_bits(work).items()},
            sram_accesses={operand: ceil(8 * count / sram.port_bits) for operand, count in moved.items()},
            sram_bytes=moved,
            energy_pj=energy,
            waits=dict(waits),
            bound_by=cause if 2 * longest > cycles else "adders",
        )

    def stated_energy_pj(self, cycles: int, dram_bytes: int) -> float:
        """Return the energy as the Prosperity authors state it: chip power over the cycles, and DRAM by the bit.

        Raises
        ------
        InputError
            For a machine whose power they do not state.
        """
        if self.chip_mw is None:
            raise InputError(f"{self.config.name} must have a stated chip power, but its source gives none")
        return self.chip_mw * 1e9 * cycles / self.config.clock_hz + STATED_DRAM_PJ_PER_BIT * 8 * dram_bytes
