"""Systolic: place the ops of a graph on a systolic array: lower, schedule, count."""

from __future__ import annotations

from typing import Any

from codesign.lower import Task, lower
from codesign.macs import Macs, count_macs
from codesign.placed import Placed
from codesign.schedule import Plan, make_ideal_plan, make_plan, steps_of
from hw_models.network.steps import Steps
from hw_models.systolic.config import SystolicConfig
from hw_models.systolic.counts import count, energy_pj
from hw_models.systolic.folds import DATAFLOWS, mapping_efficiency
from hw_models.systolic.tiling import reduction
from traces.errors import InputError
from traces.graph import OpGraph


def place_systolic(
    graph: OpGraph, config: SystolicConfig, dataflow: str, *, verify: bool
) -> tuple[list[Placed], list[str], dict[str, float] | None]:
    """Return the ops under their best mappings, notes for the reader, and the errors against torch if asked for."""
    tasks = lower(graph, config)
    plan = (make_ideal_plan if config.memory.ideal else make_plan)(tasks, config, dataflow_indices(dataflow, config))
    verified = None
    if verify:
        from codesign.verify import verify as run_verify

        verified = run_verify(graph, tasks, plan.mappings)
    placed = []
    for i, task in enumerate(tasks):
        steps = steps_of(task, plan.mappings[i], config)
        fields = _fields(graph, task, plan, i, steps, config)
        placed.append(Placed(task.op, task.chain.fused, steps, task.chain.after, task.prefetchable, fields))
    return placed, _notes(graph, tasks, config), verified


def dataflow_indices(name: str, config: SystolicConfig) -> tuple[int, ...]:
    """Return the dataflows that a name stands for on an array, as indices into `DATAFLOWS`."""
    if name == "auto":
        return config.dataflows
    if name not in config.array.dataflows:
        raise InputError.must("dataflow", f"auto or one of {config.name}'s: {', '.join(config.array.dataflows)}", name)
    return (DATAFLOWS.index(name),)


def _fields(graph: OpGraph, task: Task, plan: Plan, i: int, steps: Steps, config: SystolicConfig) -> dict[str, Any]:
    """Return the fields of an op's record that do not depend on time."""
    op, mapping = task.op, plan.mappings[i]
    run = task.compressed if mapping.compressed else task.dense
    macs = count_macs(graph, op, run) if run is not None else Macs(0, 0, 0, 0, None, None)
    counts = count(steps, config, task.dense, run, task.chain.lane_ops + op.gate_lane_ops)
    efficiency = 0.0
    if op.gemm is not None and run is not None:
        k, m = reduction(run, run.channels), op.gemm.m // op.timesteps
        rows, cols = config.array.rows, config.array.cols
        efficiency = mapping_efficiency(mapping.dataflow_index, m, run.filters, k, rows, cols)
    return {
        "unit": "vector" if run is None else "array",
        "dataflow": mapping.dataflow,
        "mapping": str(mapping),
        "alternatives": plan.alternatives[i],
        "weight_density": macs.weight_density,
        "input_density": macs.input_density,
        "dense_macs": macs.dense,
        "effectual_macs": macs.effectual,
        "skipped_macs": macs.skipped,
        "gated_macs": macs.gated,
        "mapping_efficiency": efficiency,
        "sram_accesses": counts.sram_accesses,
        "sram_bytes": counts.sram_bytes,
        "dram_accesses": counts.dram_accesses,
        "dram_bytes": counts.dram_bytes,
        "energy_pj": energy_pj(counts, macs.effectual, macs.gated, config),
    }


def _notes(graph: OpGraph, tasks: list[Task], config: SystolicConfig) -> list[str]:
    unskipped = sorted({graph.patterns[t.op.name] for t in tasks if t.op.name in graph.patterns and not t.compressed})
    if not unskipped:
        return []
    return [f"{config.name} cannot skip {', '.join(unskipped)} weights: their zeros gate multipliers and save no time"]
