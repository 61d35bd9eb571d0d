"""Simulate: a traced model on an accelerator, op by op and cycle by cycle."""

from __future__ import annotations

from collections.abc import Iterable, Sequence
from dataclasses import replace
from typing import Literal

from codesign.account import Times, account
from codesign.placed import Placed
from codesign.report.record import OpRecord
from codesign.report.report import Report
from hw_models.accelerators import load_accelerator
from hw_models.base import OPERANDS, AcceleratorConfig, OpwiseConfig
from hw_models.network.network import Network, build_network, ideal_network
from hw_models.pipeline import Schedule, compiled
from hw_models.systolic.config import SystolicConfig
from traces.capture import capture
from traces.errors import InputError
from traces.graph import OpGraph
from traces.op import Op

Engine = Literal["compiled", "simpy"]


def simulate(
    graph: OpGraph,
    accelerator: str | AcceleratorConfig = "systolic-32x32",
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
        ``ws``, ``os``, ``is`` for all ops, or ``auto``: the best for each op. Systolic arrays only.
    settings
        ``key=value`` changes of the config: ``array.rows=64``, ``memory.ideal=true``.
    engine
        ``compiled``, or ``simpy``, the reference; they agree to the cycle.
    verify
        Also execute the mapped tiles on the real tensors and compare every op with torch. Systolic arrays only.

    Raises
    ------
    InputError
        If a name, key or value is wrong, an op does not fit the buffers, or the accelerator lacks an option.
    """
    config = load_accelerator(accelerator, settings) if isinstance(accelerator, str) else accelerator
    if engine not in ("compiled", "simpy"):
        raise InputError.must("engine", "compiled or simpy", engine)
    if not len(graph):
        raise InputError(f"{graph.name} has no ops to simulate; the model must compute something from its inputs")
    if graph.program is not None and graph.program.example_inputs is not None and not graph.operands:
        graph = capture(graph)
    verified = None
    if isinstance(config, SystolicConfig):
        from codesign.systolic import place_systolic

        placed, notes, verified = place_systolic(graph, config, dataflow, verify=verify)
    elif isinstance(config, OpwiseConfig):
        from codesign.opwise import place_opwise

        for option, given in (("dataflow", dataflow != "auto"), ("verify", verify)):
            if given:
                raise InputError(f"{option} is an option of systolic arrays; {config.name} has none, leave it out")
        from hw_models.accelerators.spikes import SpikingAccelerator

        machine = config.accelerator()
        if isinstance(machine, SpikingAccelerator):  # takes all timesteps of a layer at once
            from traces.temporal import fold_time

            graph = fold_time(graph)
        placed, notes = place_opwise(graph, machine)
    else:
        raise InputError.must("accelerator", "a config of hw_models", type(config).__name__)
    network, schedule = _run(placed, config, engine)
    times = account(network, schedule)
    return Report(
        graph.name,
        engine,
        config,
        tuple(_records(graph, placed, times, config)),
        "captured" if graph.operands else "dense",
        (*_notes(graph, config), *notes),
        verified,
        network=network,
        schedule=schedule,
    )


def _run(placed: Sequence[Placed], config: AcceleratorConfig, engine: Engine) -> tuple[Network, Schedule]:
    """Run the pipeline of all ops."""
    steps = [item.steps for item in placed]
    if config.memory.ideal:
        network = ideal_network(steps)
    else:
        prefetched = [i > 0 and item.prefetchable and len(item.steps.w_first) > 0 for i, item in enumerate(placed)]
        network = build_network(steps, [item.after for item in placed], prefetched, config.machine())
    if engine == "simpy":
        from hw_models.pipeline import simpy_engine

        return network, simpy_engine.run(network.pipeline)
    return network, compiled.run(network.pipeline)


def _records(graph: OpGraph, placed: Sequence[Placed], times: Times, config: AcceleratorConfig) -> list[OpRecord]:
    by_name: dict[str, OpRecord] = {}
    for i, item in enumerate(placed):
        by_name[item.op.name] = _record(graph, item, times, i, config)
        for op in item.fused:
            by_name[op.name] = _fused_record(op, by_name[item.op.name])
    return [by_name[op.name] for op in graph]


def _record(graph: OpGraph, item: Placed, times: Times, i: int, config: AcceleratorConfig) -> OpRecord:
    op, fields = item.op, item.record
    start, end, compute = int(times.start[i]), int(times.end[i]), int(times.compute[i])
    stalls = {cause: int(cycles[i]) for cause, cycles in times.stalls.items()}
    issued = fields["effectual_macs"] + fields["gated_macs"]
    worst = max(stalls, key=lambda cause: stalls[cause])
    # Cycles of an op begin where its predecessor's end, so they can be 0 only if it does nothing at all.
    cycles = end - start
    return OpRecord(
        **{"bound_by": "compute", **fields} | ({"bound_by": worst} if stalls[worst] > compute else {}),
        name=op.name,
        kind=op.kind,
        m=op.gemm.m if op.gemm else 0,
        n=op.gemm.n if op.gemm else 0,
        k=op.gemm.k if op.gemm else 0,
        groups=op.gemm.groups if op.gemm else 0,
        pattern=graph.patterns.get(op.name, "dense"),
        start_cycle=start,
        cycles=cycles,
        compute_cycles=compute,
        stall_cycles=cycles - compute,
        stalls_by_cause=stalls,
        utilization=issued / (config.pes * cycles) if issued else 0.0,
    )


def _fused_record(op: Op, into: OpRecord) -> OpRecord:
    nothing = dict.fromkeys(OPERANDS, 0)
    empty = OpRecord(
        name=op.name,
        kind=op.kind,
        alternatives={},
        stalls_by_cause={},
        sram_accesses=nothing,
        sram_bytes=nothing,
        dram_accesses=nothing,
        dram_bytes=nothing,
        energy_pj={},
    )
    return replace(empty, fused_into=into.name, start_cycle=into.start_cycle)


def _notes(graph: OpGraph, config: AcceleratorConfig) -> list[str]:
    """Say what the figures take for granted."""
    notes = []
    if not graph.operands:
        notes.append("activations are taken as dense: the model was not run on an input")
    if config.memory.ideal:
        notes.append("ideal memory: no stalls; DRAM traffic is each operand once")
    return notes
