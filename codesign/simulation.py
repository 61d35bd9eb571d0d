"""Simulate: a traced model on an accelerator, op by op and cycle by cycle."""

from __future__ import annotations

from collections.abc import Iterable, Sequence
from typing import Literal

from codesign.account import Times, account
from codesign.lower import Task, lower
from codesign.macs import Macs, count_macs
from codesign.report.record import OpRecord
from codesign.report.report import Report
from codesign.schedule import Plan, make_ideal_plan, make_plan, steps_of
from hw_models.accelerators import load_accelerator
from hw_models.pipeline import compiled
from hw_models.systolic.config import SystolicConfig
from hw_models.systolic.counts import OPERANDS, count, energy_pj
from hw_models.systolic.folds import DATAFLOWS, mapping_efficiency
from hw_models.systolic.network import build_network, ideal_network
from hw_models.systolic.steps import Steps, reduction
from traces.capture import capture
from traces.errors import InputError
from traces.graph import OpGraph
from traces.op import Op

Engine = Literal["compiled", "simpy"]


def simulate(
    graph: OpGraph,
    accelerator: str | SystolicConfig = "systolic-32x32",
    *,
    dataflow: str = "auto",
    settings: Iterable[str] = (),
    engine: Engine = "compiled",
    verify: bool = False,
) -> Report:
    """Return what a model takes on an accelerator.

    A graph that can be run and has no captured activations yet is run on its example inputs first, so that real
    zeros are counted.

    Parameters
    ----------
    graph
        From `traces.trace`, `traces.read_topology` or `traces.load_model`, sparsified or not.
    accelerator
        A preset's name, the path of a YAML config, or a config.
    dataflow
        ``ws``, ``os``, ``is`` for all ops, or ``auto``: the best for each op.
    settings
        ``key=value`` changes of the config: ``array.rows=64``, ``memory.ideal=true``.
    engine
        ``compiled``, or ``simpy``, the reference; they agree to the cycle.
    verify
        Also execute the mapped tiles on the real tensors and compare every op with torch.

    Raises
    ------
    InputError
        If a name, key or value is wrong, an op does not fit the buffers, or verification fails.
    """
    config = accelerator if isinstance(accelerator, SystolicConfig) else load_accelerator(accelerator, settings)
    allowed = _dataflows(dataflow, config)
    if engine not in ("compiled", "simpy"):
        raise InputError.must("engine", "compiled or simpy", engine)
    if not len(graph):
        raise InputError(f"{graph.name} has no ops to simulate; the model must compute something from its inputs")
    if graph.program is not None and graph.program.example_inputs is not None and not graph.operands:
        graph = capture(graph)
    tasks = lower(graph, config)
    ideal = config.memory.ideal
    plan = (make_ideal_plan if ideal else make_plan)(tasks, config, allowed)
    steps = [steps_of(task, mapping, config) for task, mapping in zip(tasks, plan.mappings, strict=True)]
    if ideal:
        network = ideal_network(steps)
    else:
        prefetched = [i > 0 and task.prefetchable for i, task in enumerate(tasks)]
        network = build_network(steps, [task.after for task in tasks], prefetched, config.compiled())
    if engine == "simpy":
        from hw_models.pipeline import simpy_engine

        schedule = simpy_engine.run(network.pipeline)
    else:
        schedule = compiled.run(network.pipeline)
    times = account(network, schedule)
    verified = None
    if verify:
        from codesign.verify import verify as run_verify

        verified = run_verify(graph, tasks, plan.mappings)
    return Report(
        graph.name,
        engine,
        config,
        tuple(_records(graph, tasks, plan, steps, times, config)),
        "captured" if graph.operands else "dense",
        _notes(graph, tasks, config),
        verified,
        network=network,
        schedule=schedule,
    )


def _dataflows(name: str, config: SystolicConfig) -> tuple[int, ...]:
    if name == "auto":
        return config.dataflows
    if name not in config.array.dataflows:
        raise InputError.must("dataflow", f"auto or one of {config.name}'s: {', '.join(config.array.dataflows)}", name)
    return (DATAFLOWS.index(name),)


def _records(
    graph: OpGraph, tasks: Sequence[Task], plan: Plan, steps: Sequence[Steps], times: Times, config: SystolicConfig
) -> list[OpRecord]:
    by_name: dict[str, OpRecord] = {}
    for i, task in enumerate(tasks):
        by_name[task.op.name] = _record(graph, task, plan, i, steps[i], times, config)
        for op in task.fused:
            by_name[op.name] = _fused_record(op, task.op.name)
    return [by_name[op.name] for op in graph]


def _record(
    graph: OpGraph, task: Task, plan: Plan, i: int, steps: Steps, times: Times, config: SystolicConfig
) -> OpRecord:
    op, mapping = task.op, plan.mappings[i]
    run = task.compressed if mapping.compressed else task.dense
    lane_ops = task.lane_ops + op.gate_lane_ops
    macs = count_macs(graph, op, run) if run is not None else Macs(0, 0, 0, 0, None, None)
    counts = count(steps, config, task.dense, run, lane_ops)
    start, end, compute = int(times.start[i]), int(times.end[i]), int(times.compute[i])
    issued = macs.effectual + macs.gated
    efficiency = 0.0
    if op.gemm is not None and run is not None:
        k = reduction(run, run.channels)
        rows, cols = config.array.rows, config.array.cols
        efficiency = mapping_efficiency(mapping.dataflow_index, op.gemm.m // op.timesteps, run.filters, k, rows, cols)
    return OpRecord(
        name=op.name,
        kind=op.kind,
        m=op.gemm.m if op.gemm else 0,
        n=op.gemm.n if op.gemm else 0,
        k=op.gemm.k if op.gemm else 0,
        groups=op.gemm.groups if op.gemm else 0,
        dataflow=mapping.dataflow,
        mapping=str(mapping),
        alternatives=plan.alternatives[i],
        pattern=graph.patterns.get(op.name, "dense"),
        weight_density=macs.weight_density,
        input_density=macs.input_density,
        start_cycle=start,
        cycles=end - start,
        compute_cycles=compute,
        stall_cycles=end - start - compute,
        stalls_by_cause={cause: int(cycles[i]) for cause, cycles in times.stalls.items()},
        dense_macs=macs.dense,
        effectual_macs=macs.effectual,
        skipped_macs=macs.skipped,
        gated_macs=macs.gated,
        utilization=issued / (config.pes * (end - start)) if issued else 0.0,
        mapping_efficiency=efficiency,
        sram_accesses=counts.sram_accesses,
        sram_bytes=counts.sram_bytes,
        dram_accesses=counts.dram_accesses,
        dram_bytes=counts.dram_bytes,
        energy_pj=energy_pj(counts, macs.effectual, macs.gated, config),
    )


def _fused_record(op: Op, into: str) -> OpRecord:
    nothing = dict.fromkeys(OPERANDS, 0)
    return OpRecord(
        name=op.name,
        kind=op.kind,
        fused_into=into,
        alternatives={},
        stalls_by_cause={},
        sram_accesses=nothing,
        sram_bytes=nothing,
        dram_accesses=nothing,
        dram_bytes=nothing,
        energy_pj={},
    )


def _notes(graph: OpGraph, tasks: Sequence[Task], config: SystolicConfig) -> tuple[str, ...]:
    """Say what the figures take for granted."""
    notes = []
    if not graph.operands:
        notes.append("activations are taken as dense: the model was not run on an input")
    unskipped = sorted({graph.patterns[t.op.name] for t in tasks if t.op.name in graph.patterns and not t.compressed})
    if unskipped:
        notes.append(
            f"{config.name} cannot skip {', '.join(unskipped)} weights: their zeros gate multipliers and save no time"
        )
    if config.memory.ideal:
        notes.append("ideal memory: no stalls; DRAM traffic is each operand once")
    return tuple(notes)
