"""Opwise: place the ops of a graph on an accelerator that tells the cost of each op by itself.

What its array does in an op comes from its own pipeline (queues, broadcasts, tiles); around it, the op is cut into
equal chunks whose loads, work and stores overlap in double buffers, as for every accelerator. Array ops that it refuses
go to a dense fallback unit with as many MACs as the array has PEs, at full utilisation.
"""

from __future__ import annotations

from typing import Any

import numba
import numpy as np

from codesign.fuse import Chain, fuse
from codesign.patterns import parse_pattern
from codesign.placed import Placed
from hw_models.base import OPERANDS, Accelerator, AcceleratorConfig, OpCost
from hw_models.energy import ADDER32_PJ, DRAM_PJ_PER_BIT, GATED_SHARE, mac_pj
from hw_models.network.steps import Ints, Steps, ceil_div
from hw_models.network.timing import durations
from traces.errors import InputError
from traces.graph import OpGraph
from traces.op import Op
from traces.workload import Workload

_MOST_CHUNKS = 1 << 12


def place_opwise(graph: OpGraph, accelerator: Accelerator) -> tuple[list[Placed], list[str]]:
    """Return the ops with their costs on the accelerator, and notes for the reader."""
    config = accelerator.config
    chains = fuse(graph)
    costs = [_cost(graph, chain, accelerator) for chain in chains]
    placed: list[Placed] = []
    for chain, (unit, cost) in zip(chains, costs, strict=True):
        op = chain.op
        prefetchable = op.gemm is not None and op.weight is not None
        steps = _best_steps(chain, cost, config, own_first_w=not placed or not prefetchable)
        fields = _fields(graph, chain, unit, cost, steps, config)
        placed.append(Placed(op, chain.fused, steps, chain.after, prefetchable, fields))
    refused: dict[str, list[str]] = {}
    for chain, (unit, _) in zip(chains, costs, strict=True):
        if unit == "fallback":
            reason = accelerator.refuses(chain.op) or ""
            refused.setdefault(reason, []).append(chain.op.name)
    cycles = sum(int(item.steps.cycles.sum()) for item in placed)
    notes = []
    for reason, names in refused.items():
        share = sum(int(item.steps.cycles.sum()) for item in placed if item.op.name in names) / max(1, cycles)
        some = ", ".join(names[:3]) + (f" and {len(names) - 3} more" if len(names) > 3 else "")
        notes.append(f"{some}: {reason}; on the dense fallback unit, {100 * share:.1f} % of the cycles worked")
    dense = [chain.op.name for chain, (_, cost) in zip(chains, costs, strict=True) if "run dense" in cost.bound_by]
    if dense:
        more = f" and {len(dense) - 1} more" if len(dense) > 1 else ""
        notes.append(f"{dense[0]}{more} run dense, as their weights fit no pattern that {config.name} can skip")
    return placed, notes


def _cost(graph: OpGraph, chain: Chain, accelerator: Accelerator) -> tuple[str, OpCost]:
    """Return the unit that runs an op and what it costs there."""
    op, config = chain.op, accelerator.config
    if op.vector is not None:
        lanes = ceil_div(chain.lane_ops, config.vector.lanes)
        traffic = dict.fromkeys(OPERANDS, 0)
        traffic["input"] = -(-op.vector.elements_in * config.precision.input_bits // 8)
        traffic["output"] = -(-op.vector.elements_out * config.precision.output_bits // 8)
        energy = {"vector": chain.lane_ops * ADDER32_PJ}
        return "vector", OpCost(
            cycles=lanes, effectual=0, skipped=0, gated=0, dram_bytes=traffic, sram_accesses=dict(traffic),
            sram_bytes=dict(traffic), energy_pj=energy, bound_by="lanes",
        )  # fmt: skip
    work = _workload(graph, op)
    if accelerator.refuses(op) is None:
        cost = accelerator.cost(work)
        if cost.effectual + cost.skipped + cost.gated != op.macs or min(cost.effectual, cost.skipped, cost.gated) < 0:
            raise AssertionError(f"{config.name} does not conserve the MACs of {op.name}: {cost} of {op.macs}")
        return "array", cost
    return "fallback", dense_cost(work, config)


def _workload(graph: OpGraph, op: Op) -> Workload:
    weights = graph.weights.get(op.weight or "")
    pattern = graph.patterns.get(op.name)
    return Workload(
        op,
        None if weights is None else weights != 0,
        graph.operands.get(op.name, ()),
        pattern,
        1.0 if pattern is None else parse_pattern(pattern).density,
    )


def dense_cost(work: Workload, config: AcceleratorConfig) -> OpCost:
    """Return what an op costs on the fallback unit: all MACs at one a PE and cycle, zeros gated, operands dense."""
    gemm, bits = work.gemm, config.precision
    effectual = work.effectual_macs
    gated = gemm.macs - effectual
    traffic = {
        "input": -(-gemm.input_elements * bits.input_bits // 8),
        "weight": -(-gemm.weight_elements * bits.weight_bits // 8),
        "output": -(-gemm.output_elements * bits.output_bits // 8),
        "metadata": 0,
    }
    mac = mac_pj(max(bits.weight_bits, bits.input_bits))
    return OpCost(
        cycles=ceil_div(gemm.macs, config.pes) + ceil_div(work.op.gate_lane_ops, config.vector.lanes),
        effectual=effectual,
        skipped=0,
        gated=gated,
        dram_bytes=traffic,
        sram_accesses=dict(traffic),
        sram_bytes=dict(traffic),
        energy_pj={"mac": effectual * mac, "gated_mac": gated * mac * GATED_SHARE},
    )


def _best_steps(chain: Chain, cost: OpCost, config: AcceleratorConfig, *, own_first_w: bool) -> Steps:
    """Return the steps of an op in the number of chunks (a power of two, fitting the buffers) that is fastest."""
    machine = config.machine()
    loads = _reloads(chain.op, cost.dram_bytes, config) if cost.reloads else cost.dram_bytes
    work = max(cost.cycles, ceil_div(chain.lane_ops, config.vector.lanes))
    args = (work, loads["weight"], loads["metadata"], loads["input"], loads["output"])
    if config.memory.ideal:
        return _chunk_steps(*args, 1)
    halves = (machine.weight_half_bytes, machine.input_half_bytes, machine.output_half_bytes)
    moved = (loads["weight"] + loads["metadata"], loads["input"], loads["output"])
    least = max(1, *(ceil_div(total, half) if half else total for total, half in zip(moved, halves, strict=True)))
    powers = [2**i for i in range(40) if least <= 2**i <= max(_MOST_CHUNKS, 2 * least)]
    if not powers:
        raise InputError(
            f"{chain.op.name} does not fit {config.name}: its buffers of {halves} bytes a half are too small"
        )
    best, chosen = None, powers[0]
    for chunks in powers:
        alone, _ = durations(_chunk_steps(*args, chunks), machine, own_first_w)
        if best is None or alone < best:
            best, chosen = alone, chunks
    return _chunk_steps(*args, chosen)


def _reloads(op: Op, once: dict[str, int], config: AcceleratorConfig) -> dict[str, int]:
    """Return the bytes moved, with the reloads of an operand that does not fit half of its buffer.

    Groups (heads of attention, channels of a depthwise convolution) share nothing, so each is looked at by itself.
    Where neither W nor I of a group fits, the cheaper one is loaded again for each part of the other. The weights of
    a recurrent op that do not fit are loaded for every timestep.
    """
    if config.memory.ideal or op.gemm is None:
        return once
    sram, groups = config.memory.sram, op.gemm.groups
    weights = once["weight"] + once["metadata"]
    w_parts = ceil_div(ceil_div(weights, groups), max(1, sram.weight_bytes // 2))
    i_parts = ceil_div(ceil_div(once["input"], groups), max(1, sram.input_bytes // 2))
    w_passes, i_passes = 1, 1
    if op.kind == "recurrent" and w_parts > 1:
        w_passes = op.timesteps
    elif w_parts > 1 and i_parts > 1:
        if once["input"] * (w_parts - 1) <= weights * (i_parts - 1):
            i_passes = w_parts
        else:
            w_passes = i_parts
    return {
        "input": once["input"] * i_passes,
        "weight": once["weight"] * w_passes,
        "metadata": once["metadata"] * w_passes,
        "output": once["output"],
    }


@numba.njit(cache=True)
def _chunk_steps(work: int, w_bytes: int, w_metadata_bytes: int, i_bytes: int, o_bytes: int, chunks: int) -> Steps:
    """Return an op's steps with its work and its traffic in so many equal parts."""
    at = np.arange(chunks + 1)
    every = at[:-1].copy()
    none = np.zeros(0, np.int64)
    w, metadata = np.diff(at * w_bytes // chunks), np.diff(at * w_metadata_bytes // chunks)
    loads_w = w_bytes + w_metadata_bytes > 0
    return Steps(
        np.diff(at * work // chunks),
        every if loads_w else none,
        w if loads_w else none,
        metadata if loads_w else none,
        every,
        np.diff(at * i_bytes // chunks),
        every,
        np.diff(at * o_bytes // chunks),
        np.zeros(3, np.int64),
    )


def _fields(
    graph: OpGraph, chain: Chain, unit: str, cost: OpCost, steps: Steps, config: AcceleratorConfig
) -> dict[str, Any]:
    """Return the fields of an op's record that do not depend on time."""
    op = chain.op
    moved: dict[str, Ints] = {
        "input": steps.i_bytes,
        "weight": steps.w_bytes,
        "output": steps.o_bytes,
        "metadata": steps.w_metadata_bytes,
    }
    dram_bytes = {operand: int(moved[operand].sum()) for operand in OPERANDS}
    weights = graph.weights.get(op.weight or "")
    operands = graph.operands.get(op.name, ())
    energy = dict(cost.energy_pj)
    if unit != "vector" and chain.lane_ops:
        energy["vector"] = energy.get("vector", 0.0) + chain.lane_ops * ADDER32_PJ
    energy["dram"] = sum(dram_bytes.values()) * 8 * DRAM_PJ_PER_BIT[config.memory.dram.technology]
    return {
        "unit": unit,
        "bound_by": cost.bound_by,
        "mapping": f"{len(steps.cycles)} chunks" if len(steps.cycles) > 1 else "whole",
        "dataflow": cost.dataflow,
        "alternatives": cost.alternatives,
        "weight_density": None if weights is None else float(np.count_nonzero(weights) / weights.size),
        "input_density": operands[0].density if operands else None,
        "waits_by_cause": cost.waits,
        "dense_macs": op.macs,
        "effectual_macs": cost.effectual,
        "skipped_macs": cost.skipped,
        "gated_macs": cost.gated,
        "sram_accesses": cost.sram_accesses,
        "sram_bytes": cost.sram_bytes,
        "dram_accesses": {o: ceil_div(dram_bytes[o], config.memory.dram.burst_bytes) for o in OPERANDS},
        "dram_bytes": dram_bytes,
        "energy_pj": energy,
    }
