"""Counts: what an op moves through the buffers and the DRAM channel, and the energy of it all."""

from __future__ import annotations

from dataclasses import dataclass

from hw_models.base import OPERANDS
from hw_models.energy import (
    ADDER32_PJ,
    DRAM_PJ_PER_BIT,
    GATED_SHARE,
    REGISTER_PJ_PER_BIT,
    mac_pj,
    sram_pj_per_byte,
)
from hw_models.network.steps import Steps, bits_to_bytes, ceil_div
from hw_models.systolic.config import SystolicConfig
from hw_models.systolic.tiling import Nest, metadata_bits, reduction


@dataclass(frozen=True, slots=True)
class Counts:
    """Traffic of one op by operand (keys `OPERANDS`), and the vector unit's work.

    ``sram_accesses`` are those of the array (or vector unit): reads of I and W, writes of O (of every partial sum)
    and, with N:M weights, the reads of their indices. An access of I by an N:M array fetches the activations
    that one weight slot chooses from, which ``sram_bytes`` counts in full. What DMA moves between buffers and
    DRAM is ``dram_bytes`` and ``dram_accesses`` (bursts).
    """

    sram_accesses: dict[str, int]
    sram_bytes: dict[str, int]
    dram_accesses: dict[str, int]
    dram_bytes: dict[str, int]
    partial_sum_reads: int
    lane_ops: int


def count(steps: Steps, config: SystolicConfig, dense: Nest | None, run: Nest | None, lane_ops: int) -> Counts:
    """Return the counts of an op: ``dense`` is its loop nest, ``run`` the one it runs with (None: a vector op)."""
    bits = config.precision
    moved = {
        "input": int(steps.i_bytes.sum()),
        "weight": int(steps.w_bytes.sum()),
        "output": int(steps.o_bytes.sum()),
        "metadata": int(steps.w_metadata_bytes.sum()),
    }
    if dense is None or run is None:
        accesses = {"input": moved["input"] * 8 // bits.input_bits, "weight": 0, "metadata": 0}
        accesses["output"] = moved["output"] * 8 // bits.output_bits
        sram_bytes = {**moved}
        partial = 0
    else:
        of_i, of_w, of_o = steps.accesses.tolist()
        k, k_dense = reduction(run, run.channels), reduction(dense, dense.channels)
        index_bits = metadata_bits(run, run.channels)
        accesses = {"input": of_i, "weight": of_w, "output": of_o, "metadata": of_w if index_bits else 0}
        sram_bytes = {
            "input": bits_to_bytes(of_i * k_dense // k, bits.input_bits),
            "weight": bits_to_bytes(of_w, bits.weight_bits),
            "output": bits_to_bytes(of_o, bits.accumulator_bits),
            "metadata": ceil_div(of_w * index_bits, 8 * k),
        }
        partial = of_o - run.groups * run.batch * run.out_h * run.out_w * run.filters
    burst = config.memory.dram.burst_bytes
    bursts = {operand: ceil_div(moved[operand], burst) for operand in OPERANDS}
    return Counts(accesses, sram_bytes, bursts, moved, partial, lane_ops)


def energy_pj(counts: Counts, effectual_macs: int, gated_macs: int, config: SystolicConfig) -> dict[str, float]:
    """Return the energy of an op by component, in picojoules.

    ``mac`` and ``gated_mac``: multiply-accumulates with two non-zero operands, and with a zero one. ``register``: an
    input and a partial sum move on by one PE a MAC slot. ``sram_*``: the array's accesses and DMA's fills (drains)
    of that buffer; ``metadata`` all of N:M indices on chip; ``vector`` lane operations; ``dram`` all transfers.
    Clock, control, leakage and the wires between buffers and array are not modelled.
    """
    bits, sram = config.precision, config.memory.sram
    mac = mac_pj(max(bits.weight_bits, bits.input_bits))
    slots = effectual_macs + gated_macs

    def read(capacity: int) -> float:
        return sram_pj_per_byte(capacity, sram.port_bits)

    def write(capacity: int) -> float:
        return sram_pj_per_byte(capacity, sram.port_bits, write=True)

    w, i, o = sram.weight_bytes, sram.input_bytes, sram.output_bytes
    used, moved = counts.sram_bytes, counts.dram_bytes
    partial_bytes = counts.partial_sum_reads * bits.accumulator_bits / 8
    return {
        "mac": effectual_macs * mac,
        "gated_mac": gated_macs * mac * (GATED_SHARE if config.array.zero_gating else 1.0),
        "register": slots * (bits.input_bits + bits.accumulator_bits) * REGISTER_PJ_PER_BIT,
        "sram_weight": used["weight"] * read(w) + moved["weight"] * write(w),
        "sram_input": used["input"] * read(i) + moved["input"] * write(i),
        "sram_output": used["output"] * write(o) + (partial_bytes + moved["output"]) * read(o),
        "metadata": used["metadata"] * read(w) + moved["metadata"] * write(w),
        "vector": counts.lane_ops * ADDER32_PJ,
        "dram": sum(moved.values()) * 8 * DRAM_PJ_PER_BIT[config.memory.dram.technology],
    }
