"""EIE: matrix times vector on compressed weights; non-zero activations broadcast to the queues of 64 PEs.

Source: Han et al., "EIE: Efficient Inference Engine on Compressed Deep Neural Network", ISCA 2016 (arXiv:1602.01528).

The matrix lies compressed by column, its rows interleaved over the PEs (row i on PE i mod 64). A PE stores an entry as
a 4-bit code of a shared weight and the 4-bit number of its own zeros before it; a longer run of zeros takes padding
entries. A quadtree of leading-non-zero detectors finds one non-zero activation a cycle, whatever zeros lie between, and
broadcasts it; it stops while any PE's queue is full. A PE works off one entry a cycle, and a column of which it holds
no entry costs it the cycle of the pop. The bias is a last column, times one.

The pipeline of one product is a broadcast stage, a FIFO a PE and a stage a PE (`product_pipeline`). `run_products` is
the same recursion, specialised: it takes some tens of nanoseconds a broadcast, so that every product of a convolution
is run exactly, none sampled.

Latencies are those of the units that the paper names: a broadcast is written into the queues in one cycle, the pointer
SRAM and the matrix SRAM are read in one each, and the arithmetic unit has four stages (codebook and address, multiply,
add, write). The first delays what a full queue lets through; the other six are paid once a product. Of a queue of depth
d, d - 1 activations wait and one is worked on. The paper gives the four stages; one cycle for each of the others, and
the count of the queue, are our assumptions, made knowing the cycles of the authors' simulator (7,926 and 7,794 at
depths 8 and 16), which the model then meets exactly. Without any latency the same queues give 7,912 and 7,787.

Not modelled: loading the activation registers in batches of 4,096 and writing results out, and the one-time loading of
the SRAMs in I/O mode (weights are streamed from DRAM instead, as for all accelerators here). Each product starts with
empty queues, as the accumulators are read out between two of them; a convolution is its unrolled products one after the
other, and each group of a grouped one is a matrix of its own.
"""

from __future__ import annotations

from typing import Literal, NamedTuple, Self

import numba
import numpy as np
from numpy.typing import NDArray
from pydantic import Field, model_validator

from hw_models.base import OpCost, OpwiseConfig
from hw_models.config import Config
from hw_models.energy import ADDER32_PJ, REGISTER_PJ_PER_BIT, mac_pj, sram_pj_per_byte
from hw_models.network.steps import bits_to_bytes, ceil_div
from hw_models.pipeline import Edge, Fifo, Pipeline, Stage
from traces.op import Op
from traces.workload import Workload

Bools = NDArray[np.bool_]
Counts = NDArray[np.int32]

#: From the end of a broadcast until a PE sees it in its queue: one register (the queue's).
BROADCAST_LATENCY = 1
#: From a PE's last issue until its sum is written: pointer SRAM, matrix SRAM, and the arithmetic unit's four stages.
PE_LATENCY = 1 + 1 + 4
#: Cycles of a product in which no PE can work: the first broadcast, its latency, and the PEs'.
FILL_CYCLES = 1 + BROADCAST_LATENCY + PE_LATENCY
POINTER_BITS = 16


class EieSection(Config):
    """What only EIE has; sizes are those of one PE."""

    queue_depth: int = Field(
        ge=1, le=2**20, description="activations in flight a PE: a circular queue holds one less, one is worked on"
    )
    index_bits: int = Field(ge=1, le=16, description="of the run of zeros before an entry")
    decoded_bits: int = Field(ge=1, le=32, description="of a weight after the codebook; the multiplier's width")
    line_bits: int = Field(ge=8, le=4096, description="width of the matrix SRAM; a whole number of entries")
    matrix_bytes: int = Field(ge=1, le=2**40)
    pointer_bytes: int = Field(ge=1, le=2**40, description="of the two banks that hold a column's first and last")


class EieConfig(OpwiseConfig):
    """An EIE."""

    kind: Literal["eie"]
    eie: EieSection

    @model_validator(mode="after")
    def _lines_hold_whole_entries(self) -> Self:
        if self.eie.line_bits % self.entry_bits:
            raise ValueError(
                f"eie.line_bits must be a multiple of an entry's {self.entry_bits} bits, not {self.eie.line_bits};"
                " an entry is precision.weight_bits and eie.index_bits"
            )
        return self

    @property
    def entry_bits(self) -> int:
        """Bits of a stored entry: its weight's code and its run of zeros."""
        return self.precision.weight_bits + self.eie.index_bits

    @property
    def line_entries(self) -> int:
        """Entries in a line of the matrix SRAM."""
        return self.eie.line_bits // self.entry_bits

    def accelerator(self) -> Eie:
        """Return the accelerator with this config."""
        return Eie(self)


class Products(NamedTuple):
    """Totals of a series of products of one matrix, each from empty queues.

    ``cycles``; non-zero activations ``broadcasts``; ``entries`` issued by all PEs together, padding included;
    ``empty_pops`` of all PEs; ``busiest_cycles`` of the PE with most to do, summed over the products; ``line_reads`` of
    the matrix SRAMs; ``products`` that broadcast anything.
    """

    cycles: int
    broadcasts: int
    entries: int
    empty_pops: int
    busiest_cycles: int
    line_reads: int
    products: int


@numba.njit(cache=True)
def entries_per_column(nonzero: Bools, pes: int, index_bits: int) -> tuple[Counts, int]:
    """Return the entries of each column on each PE, (k, pes), and how many of all of them are padding.

    ``nonzero`` is (n, k); PE p holds its rows p, p + pes, ... An entry tells a run of up to ``2**index_bits - 1`` zeros
    before it; a padding entry stands for the zero after such a run.
    """
    n, k = nonzero.shape
    entries = np.zeros((pes, k), np.int32)
    next_row = np.zeros((pes, k), np.int32)
    padding = 0
    for row in range(n):
        pe, own_row = row % pes, row // pes
        for column in range(k):
            if nonzero[row, column]:
                extra = (own_row - next_row[pe, column]) >> index_bits
                padding += extra
                entries[pe, column] += 1 + extra
                next_row[pe, column] = own_row + 1
    return np.ascontiguousarray(entries.T), padding


@numba.njit(cache=True)
def run_product(columns: Counts, entries: Counts, depth: int, sent: Counts, done: Counts, busy: Counts) -> None:
    """Run one product, event by event as the pipeline executors run `product_pipeline`.

    ``columns`` (c,) are those of the non-zero activations, ``entries`` (k, pes). Fills ``sent`` and ``done`` (c,), the
    end of each broadcast and of the last PE's work on it, and ``busy`` (pes,), the cycles each PE worked.
    """
    pes = entries.shape[1]
    free_at = np.zeros(pes, np.int32)
    busy[:] = 0
    end = np.int32(0)
    for i in range(len(columns)):
        if i >= depth:
            end = max(end, done[i - depth])
        end += np.int32(1)
        sent[i] = end
        arrived = np.int32(end + BROADCAST_LATENCY)
        row = entries[columns[i]]
        last = np.int32(0)
        for pe in range(pes):
            service = max(row[pe], np.int32(1))
            busy[pe] += service
            free_at[pe] = max(free_at[pe], arrived) + service
            last = max(last, free_at[pe])
        done[i] = last


@numba.njit(cache=True)
def count_line_reads(columns: Counts, entries: Counts, first_line: Counts, last_line: Counts, held: Counts) -> int:
    """Return the matrix SRAM reads of one product; a PE keeps its last line, which the next column may start in."""
    reads = 0
    held[:] = -1
    for i in range(len(columns)):
        count, first, last = entries[columns[i]], first_line[columns[i]], last_line[columns[i]]
        of_column = np.int32(0)  # as narrow as the tables, so that the loop runs in vector registers
        for pe in range(len(count)):
            here = last[pe] - first[pe] + np.int32(first[pe] != held[pe])
            of_column += here if count[pe] > 0 else np.int32(0)
            held[pe] = last[pe] if count[pe] > 0 else held[pe]
        reads += int(of_column)
    return reads


@numba.njit(cache=True)
def _run_products(active: Bools, entries: Counts, depth: int, line_entries: int) -> tuple[int, int, int, int, int]:
    """Return cycles, broadcasts, busiest cycles, line reads and products that broadcast anything."""
    k, pes = entries.shape
    first_line, last_line = np.zeros((k, pes), np.int32), np.zeros((k, pes), np.int32)
    pointer = np.zeros(pes, np.int32)
    for column in range(k):
        for pe in range(pes):
            first_line[column, pe] = pointer[pe] // line_entries
            pointer[pe] += entries[column, pe]
            last_line[column, pe] = (pointer[pe] - 1) // line_entries
    columns, sent, done = np.zeros(k, np.int32), np.zeros(k, np.int32), np.zeros(k, np.int32)
    busy, held = np.zeros(pes, np.int32), np.zeros(pes, np.int32)
    cycles = broadcasts = busiest = lines = products = 0
    for product in range(len(active)):
        found = 0
        for column in range(k):
            columns[found] = column
            found += active[product, column]
        if not found:
            continue
        run_product(columns[:found], entries, depth, sent, done, busy)
        cycles += done[:found].max() + PE_LATENCY
        busiest += busy.max()
        lines += count_line_reads(columns[:found], entries, first_line, last_line, held)
        broadcasts += found
        products += 1
    return cycles, broadcasts, busiest, lines, products


def run_products(active: Bools, entries: Counts, depth: int, line_entries: int) -> Products:
    """Return what the products of a matrix with the vectors of ``active`` (m, k) take, one after the other.

    ``entries`` (k, pes) is from `entries_per_column`; ``line_entries`` is the width of the matrix SRAM.
    """
    cycles, broadcasts, busiest, lines, products = _run_products(
        active, np.ascontiguousarray(entries, dtype=np.int32), depth, line_entries
    )
    uses = np.count_nonzero(active, axis=0)
    issued = int(uses @ entries.sum(axis=1, dtype=np.int64))
    empty = int(uses @ np.count_nonzero(entries == 0, axis=1))
    return Products(cycles, broadcasts, issued, empty, busiest, lines, products)


def product_pipeline(active: Bools, entries: Counts, depth: int) -> Pipeline:
    """Return one product as broadcast, queues and PEs; ``active`` is (k,), ``entries`` (k, pes)."""
    service = np.maximum(entries[np.flatnonzero(active)], 1).astype(np.int64)
    tokens, pes = service.shape
    names = [f"pe{pe}" for pe in range(pes)]
    broadcast = Stage("broadcast", np.ones(tokens, dtype=np.int64), latency_cycles=BROADCAST_LATENCY)
    stages = [Stage(name, service[:, pe], latency_cycles=PE_LATENCY) for pe, name in enumerate(names)]
    read_out = Stage("read out", np.zeros(1, dtype=np.int64))  # of no duration: it marks the last sum's arrival
    edges = tuple(Edge(name, "read out", np.array([tokens - 1]), np.zeros(1, np.int64)) for name in names if tokens)
    fifos = tuple(Fifo("broadcast", name, depth) for name in names)
    return Pipeline((broadcast, *stages, read_out), fifos, edges=edges)


class Eie:
    """EIE: see the module."""

    def __init__(self, config: EieConfig) -> None:
        self.config = config

    def refuses(self, op: Op) -> str | None:
        """Return why it cannot run an op: products of two activations, as the matrix is compressed beforehand."""
        if op.weight is None:
            return "both operands are activations, but EIE's matrix must be compressed before the run"
        return None

    def cost(self, work: Workload) -> OpCost:
        """Return what an op takes: all its products, from the zeros of its real operands."""
        config, gemm = self.config, work.gemm
        runs, stored, effectual = [], 0, 0
        for group in range(gemm.groups):
            weights, active = work.weights[group], work.inputs(group)
            effectual += int(np.count_nonzero(weights, axis=0) @ np.count_nonzero(active, axis=0))
            entries, _ = entries_per_column(weights, config.pes, config.eie.index_bits)
            if work.op.bias is not None:
                bias = np.bincount(np.arange(gemm.n) % config.pes, minlength=config.pes).astype(np.int32)
                entries = np.vstack([entries, bias])
                active = np.hstack([active, np.ones((gemm.m, 1), np.bool_)])
            stored += int(entries.sum(dtype=np.int64))
            runs.append(run_products(active, entries, config.eie.queue_depth, config.line_entries))
        total = Products(*(sum(column) for column in zip(*runs, strict=True)))
        gates = ceil_div(work.op.gate_lane_ops, work.op.timesteps * config.vector.lanes) * work.op.timesteps
        waits = _waits(total, config.pes) | ({"gates": gates} if gates else {})
        cycles = total.cycles + gates
        biases = gemm.groups * gemm.m * gemm.n if work.op.bias is not None else 0
        padding = total.entries - effectual - biases
        traffic = self._traffic(work, stored)
        accesses, moved = self._sram(work, total)
        worked = {"MACs": cycles - sum(waits.values())} | waits
        return OpCost(
            cycles=cycles,
            effectual=effectual,
            skipped=gemm.macs - effectual - padding,
            gated=padding,
            dram_bytes=traffic,
            sram_accesses=accesses,
            sram_bytes=moved,
            energy_pj=self._energy(work, total, padding, traffic, moved),
            waits=waits,
            bound_by=max(worked, key=lambda cause: worked[cause]),
        )

    def _traffic(self, work: Workload, stored: int) -> dict[str, int]:
        """Return the DRAM bytes of the compressed matrix and of activations, which EIE stores with their zeros."""
        gemm, bits = work.gemm, self.config.precision
        columns = gemm.k + (work.op.bias is not None)
        pointers = gemm.groups * (columns + 1) * self.config.pes * POINTER_BITS
        return {
            "input": bits_to_bytes(gemm.input_elements, bits.input_bits),
            "weight": bits_to_bytes(stored, bits.weight_bits),
            "output": bits_to_bytes(gemm.output_elements, bits.output_bits),
            "metadata": bits_to_bytes(stored, self.config.eie.index_bits) + pointers // 8,
        }

    def _sram(self, work: Workload, total: Products) -> tuple[dict[str, int], dict[str, int]]:
        """Return SRAM accesses and bytes: matrix lines, two pointers a broadcast and PE, activations once a product."""
        config, gemm, bits = self.config, work.gemm, self.config.precision
        pointers = 2 * total.broadcasts * config.pes
        weight_bytes = bits_to_bytes(total.line_reads * config.line_entries, bits.weight_bits)
        index_bytes = bits_to_bytes(total.line_reads * config.line_entries, config.eie.index_bits)
        moved = {
            "input": bits_to_bytes(gemm.groups * gemm.m * gemm.k, bits.input_bits),
            "weight": weight_bytes,
            "output": bits_to_bytes(gemm.output_elements, bits.output_bits),
            "metadata": index_bytes + pointers * POINTER_BITS // 8,
        }
        port_bytes = ceil_div(config.memory.sram.port_bits, 8)
        accesses = {operand: ceil_div(count, port_bytes) for operand, count in moved.items()}
        return accesses | {"weight": total.line_reads, "metadata": pointers}, moved

    def _energy(
        self, work: Workload, total: Products, padding: int, traffic: dict[str, int], moved: dict[str, int]
    ) -> dict[str, float]:
        """Return picojoules by component.

        A padding entry costs a whole MAC (``gated_mac``): EIE does not look at the value it decodes. ``register``:
        codebook and accumulator an entry, and writing and reading the queue (value and column) a broadcast and PE.
        ``metadata``: the indices' share of the matrix lines, and the pointers.
        """
        config, own, bits, sram = self.config, self.config.eie, self.config.precision, self.config.memory.sram
        line = sram_pj_per_byte(own.matrix_bytes, own.line_bits)
        line_write = sram_pj_per_byte(own.matrix_bytes, own.line_bits, write=True)
        pointer = sram_pj_per_byte(max(1, own.pointer_bytes // 2), POINTER_BITS)
        bank_i, bank_o = (max(1, size // config.pes) for size in (sram.input_bytes, sram.output_bytes))
        pointer_bytes = 2 * total.broadcasts * config.pes * POINTER_BITS // 8
        entry_bits = own.decoded_bits + 2 * bits.accumulator_bits
        queue_bits = 2 * (bits.input_bits + work.gemm.k.bit_length())
        register_bits = total.entries * entry_bits + total.broadcasts * config.pes * queue_bits
        write_i, read_o = sram_pj_per_byte(bank_i, sram.port_bits, write=True), sram_pj_per_byte(bank_o, sram.port_bits)
        write_o = sram_pj_per_byte(bank_o, sram.port_bits, write=True)
        return {
            "mac": (total.entries - padding) * mac_pj(own.decoded_bits),
            "gated_mac": padding * mac_pj(own.decoded_bits),
            "register": register_bits * REGISTER_PJ_PER_BIT,
            "sram_weight": moved["weight"] * line + traffic["weight"] * line_write,
            "sram_input": moved["input"] * sram_pj_per_byte(bank_i, sram.port_bits) + traffic["input"] * write_i,
            "sram_output": moved["output"] * write_o + traffic["output"] * read_o,
            "metadata": (moved["metadata"] - pointer_bytes) * line
            + pointer_bytes * pointer
            + traffic["metadata"] * line_write,
            "vector": work.op.gate_lane_ops * ADDER32_PJ,
        }


def _waits(total: Products, pes: int) -> dict[str, int]:
    """Return the cycles without an entry for every PE, by cause; with the mean entries a PE they make the total.

    ``fill``: latencies of each product; ``queues``: the broadcast held up by a full queue, PEs then starving;
    ``empty columns``: mean pops for nothing a PE; ``imbalance``: what the busiest PE has more to do than the mean.
    """
    empty = total.empty_pops // pes
    fill = FILL_CYCLES * total.products
    causes = {
        "fill": fill,
        "queues": total.cycles - fill - total.busiest_cycles,
        "empty columns": empty,
        "imbalance": total.busiest_cycles - empty - total.entries // pes,
    }
    return {cause: cycles for cause, cycles in causes.items() if cycles}
