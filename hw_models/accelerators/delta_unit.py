"""Delta unit: the scan that finds what changed, and what remembering the step before costs."""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray

from hw_models.base import OPERANDS, AcceleratorConfig
from hw_models.energy import ADDER32_PJ, GATED_SHARE, mac_pj, sram_pj_per_byte
from hw_models.pipeline import Edge
from hw_models.pipeline.parts import Cycles

Bools = NDArray[np.bool_]

#: Bytes read and bytes written on chip, by operand.
Moved = dict[str, tuple[int, int]]

_BLOCK_ELEMENTS = 1 << 20


@dataclass(frozen=True, slots=True, eq=False)
class Scan:
    """The changes of some rows (steps, or frames) in the order of a scan, with a last token that ends each row.

    Attributes
    ----------
    columns
        Element of its row, of every change.
    events, ends
        Token numbers of the changes and of the rows' ends.
    service_cycles
        Of the scan for each token: words read since the token before, so 0 for another change in the same word.
    """

    columns: Cycles
    events: Cycles
    ends: Cycles
    service_cycles: Cycles

    @classmethod
    def of(cls, changed: Bools, per_cycle: int) -> Scan:
        """Scan rows of elements, (rows, elements), so many elements a cycle; a row begins with a new word."""
        rows, elements = changed.shape
        row, columns = np.nonzero(changed)
        ends = np.cumsum(np.bincount(row, minlength=rows)) + np.arange(rows)
        events = np.arange(len(row)) + row
        words = -(-elements // per_cycle)
        reached = np.empty(len(row) + rows, dtype=np.int64)
        reached[events] = columns // per_cycle + 1
        reached[ends] = words
        reached += words * np.repeat(np.arange(rows), np.diff(ends, prepend=-1))
        return cls(columns, events, ends, np.diff(reached, prepend=0))

    def tokens(self, of_events: Cycles | int, of_ends: int) -> Cycles:
        """Return service cycles of a later stage, for changes and for ends."""
        service = np.full(len(self.service_cycles), of_ends, dtype=np.int64)
        service[self.events] = of_events
        return service

    def barrier(self, done: str, scan: str, rows: int) -> tuple[Edge, ...]:
        """Return the edge that lets a row's scan begin once the row that many before it is done; 0 for none."""
        if not rows or rows >= len(self.ends):
            return ()
        return (Edge(done, scan, self.ends[:-rows], self.ends[rows - 1 : -1] + 1),)


def blocks(changed: Bools) -> Iterator[tuple[Bools, slice]]:
    """Cut (rows, elements) into blocks that are run one after the other, to bound the memory it takes.

    The pipeline drains in between, once a million elements. With each block comes which elements of a row it holds.
    """
    rows, elements = changed.shape
    many = max(1, _BLOCK_ELEMENTS // elements)
    for row in range(0, rows, many):
        for begin in range(0, elements, _BLOCK_ELEMENTS):
            part = slice(begin, begin + _BLOCK_ELEMENTS)
            yield changed[row : row + many, part], part


def bits_to_bytes(elements: int, bits: int) -> int:
    """Return the bytes of so many elements, packed."""
    return -(-elements * bits // 8)


def sram_use(config: AcceleratorConfig, moved: Moved) -> tuple[dict[str, int], dict[str, int]]:
    """Return accesses, each as wide as the port, and bytes by operand, reads and writes together."""
    used = {operand: sum(moved.get(operand, (0, 0))) for operand in OPERANDS}
    return {operand: -(-8 * size // config.memory.sram.port_bits) for operand, size in used.items()}, used


def energy_pj(config: AcceleratorConfig, effectual: int, gated: int, moved: Moved, lane_ops: int) -> dict[str, float]:
    """Return the on-chip energy of an op by component, in picojoules.

    The names are those of `hw_models.systolic.counts.energy_pj`: MACs with two non-zero operands; MACs with a zero
    one (gated); bytes of each buffer at the price of its size and port; lane operations. As every PE updates an
    accumulator each cycle, the output buffer is a bank a PE, an accumulator wide. Metadata passes the input buffer.
    Clock, control, leakage and wires are not modelled.
    """
    sram, bits = config.memory.sram, config.precision
    ports = {
        "weight": (sram.weight_bytes, sram.port_bits),
        "output": (max(1, sram.output_bytes // config.pes), bits.accumulator_bits),
    }
    mac = mac_pj(max(bits.weight_bits, bits.input_bits))
    energy = {"mac": effectual * mac, "gated_mac": gated * mac * GATED_SHARE, "vector": lane_ops * ADDER32_PJ}
    for operand, (read, written) in moved.items():
        port = ports.get(operand, (sram.input_bytes, sram.port_bits))
        price = read * sram_pj_per_byte(*port) + written * sram_pj_per_byte(*port, write=True)
        energy["metadata" if operand == "metadata" else f"sram_{operand}"] = price
    return energy
