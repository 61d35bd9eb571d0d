"""The scheduler: its predicted total is the executors', it is the best of all, and more is never slower."""

import itertools

import numpy as np
import pytest
from hypothesis import assume, given, settings
from hypothesis import strategies as st
from networks import as_settings, graphs, settings_of_arrays

from codesign.lower import lower
from codesign.schedule import make_plan, steps_of
from codesign.schedule.candidates import candidates
from codesign.simulation import simulate
from codesign.sparsification import sparsify
from hw_models.accelerators import load_accelerator
from hw_models.network.network import build_network
from hw_models.network.timing import durations
from hw_models.pipeline import compiled, simpy_engine
from hw_models.systolic.folds import DATAFLOWS
from hw_models.systolic.mapping import Mapping
from hw_models.systolic.tiling import Tile
from traces.errors import InputError
from traces.gemm import Gemm
from traces.graph import OpGraph
from traces.op import Op


def total(graph: OpGraph, values: dict, accelerator: str = "edge-16x16-nm", dataflow: str = "auto") -> int | None:
    """Return the total cycles, None if an op does not fit the buffers."""
    try:
        return simulate(graph, accelerator, settings=as_settings(values), dataflow=dataflow).total_cycles
    except InputError as error:
        if "more are needed" not in str(error):
            raise
        return None


@settings(max_examples=300, deadline=None, derandomize=True)
@given(graphs(), settings_of_arrays())
def test_predicted_total_is_the_executors(graph: OpGraph, values: dict) -> None:
    """The plan's total equals what the compiled executor and SimPy find, to the cycle and event by event."""
    config = load_accelerator("edge-16x16", as_settings(values))
    tasks = lower(graph, config)
    try:
        plan = make_plan(tasks, config, (0, 1, 2))
    except InputError:
        return
    steps = [steps_of(task, mapping, config) for task, mapping in zip(tasks, plan.mappings, strict=True)]
    prefetched = [i > 0 and task.prefetchable for i, task in enumerate(tasks)]
    network = build_network(steps, [task.chain.after for task in tasks], prefetched, config.machine())
    schedule = compiled.run(network.pipeline)
    assert schedule.total_cycles == plan.total_cycles
    reference = simpy_engine.run(network.pipeline)
    for stage, ends in schedule.end_cycles.items():
        assert (ends == reference.end_cycles[stage]).all()


@settings(max_examples=60, deadline=None, derandomize=True)
@given(graphs(most=3), settings_of_arrays(), st.sampled_from([0, 1, 2]))
def test_plan_is_the_best_of_all_combinations(graph: OpGraph, values: dict, dataflow: int) -> None:
    """No combination of feasible tilings, each run by the executor, beats the plan (brute force)."""
    config = load_accelerator("edge-16x16", as_settings(values))
    tasks = lower(graph, config)
    assume(all(task.dense is not None for task in tasks))
    array = config.machine()
    options = []
    for task in tasks:
        found = candidates(task.dense, dataflow, array)
        options.append([Mapping(DATAFLOWS[dataflow], False, Tile(*tile.tolist())) for tile in found.tiles])
    assume(all(options) and np.prod([len(o) for o in options]) < 4000)
    prefetched = [i > 0 and task.prefetchable for i, task in enumerate(tasks)]
    after = [task.chain.after for task in tasks]
    best = min(
        compiled.run(
            build_network(
                [steps_of(t, m, config) for t, m in zip(tasks, mappings, strict=True)], after, prefetched, array
            ).pipeline
        ).total_cycles
        for mappings in itertools.product(*options)
    )
    assert make_plan(tasks, config, (dataflow,)).total_cycles == best


@settings(max_examples=200, deadline=None, derandomize=True)
@given(graphs(), settings_of_arrays())
def test_bounds_hold(graph: OpGraph, values: dict) -> None:
    """No tiling is faster than its bound, moves its bytes faster than the channel, or has a larger tile than stated."""
    config = load_accelerator("edge-16x16-nm", as_settings(values))
    array = config.machine()
    for task in lower(sparse(graph, "2:4"), config):
        for nest in (task.dense, task.compressed):
            for dataflow in (0, 1, 2) if nest else ():
                found = candidates(nest, dataflow, array)
                for i in range(0, len(found.tiles), 7):
                    mapping = Mapping(DATAFLOWS[dataflow], nest is task.compressed, Tile(*found.tiles[i].tolist()))
                    steps = steps_of(task, mapping, config)
                    alone, through = durations(steps, array, False)
                    assert alone >= found.bound[i]
                    assert through >= found.dram[i]
                    assert (steps.w_bytes + steps.w_metadata_bytes).max() <= array.weight_half_bytes
                    assert steps.i_bytes.max() <= array.input_half_bytes


def sparse(graph: OpGraph, pattern: str) -> OpGraph:
    """Declare a pattern wherever it removes something."""
    try:
        return sparsify(graph, pattern, rules={"*": pattern})
    except InputError:
        return graph


@settings(max_examples=150, deadline=None, derandomize=True)
@given(graphs(), settings_of_arrays(), st.data())
def test_more_is_never_slower(graph: OpGraph, values: dict, data: st.DataObject) -> None:
    """More bandwidth, less latency, a larger buffer or more lanes never cost a cycle, by whatever amount."""
    before = total(graph, values)
    key = data.draw(st.sampled_from([key for key in values if key.startswith("memory") or key == "vector.lanes"]))
    if key == "memory.dram.latency_cycles":
        more = data.draw(st.integers(0, int(values[key])))
    elif key == "memory.dram.bytes_per_cycle":
        more = values[key] * data.draw(st.floats(1, 8))
    else:
        more = values[key] + data.draw(st.integers(0, 2000))
    after = total(graph, {**values, key: more})
    assert before is None or (after is not None and after <= before)


@settings(max_examples=100, deadline=None, derandomize=True)
@given(graphs(), settings_of_arrays())
def test_more_zeros_are_never_slower(graph: OpGraph, values: dict) -> None:
    """Sparser N:M never costs a cycle, N of N costs what dense costs, and zeros no array can skip change no time."""
    dense = total(graph, values)
    if dense is None:
        return
    cycles = [dense, *(total(sparse(graph, f"{n}:4"), values) for n in (3, 2, 1))]
    assert cycles == sorted(cycles, reverse=True)
    assert total(sparse(graph, "2:4"), values, "edge-16x16") == dense
    assert total(sparse(graph, "4:4"), values) == dense
    assert total(sparse(graph, "unstructured:0.9"), values) == dense


@settings(max_examples=100, deadline=None, derandomize=True)
@given(graphs(), settings_of_arrays(), st.sampled_from(["dense", "2:4", "1:4", "unstructured:0.5"]), st.booleans())
def test_macs_and_cycles_are_conserved(graph: OpGraph, values: dict, pattern: str, ideal: bool) -> None:
    """Effectual, skipped and gated MACs add up to the dense ones, stalls to what was not computed, ops to the total."""
    try:
        report = simulate(
            sparse(graph, pattern),
            "edge-16x16-nm",
            settings=[*as_settings(values), f"memory.ideal={str(ideal).lower()}"],
        )
    except InputError:
        return
    for record in report.ops:
        parts = (record.effectual_macs, record.skipped_macs, record.gated_macs)
        assert min(parts) >= 0
        assert sum(parts) == record.dense_macs == graph[record.name].macs
        assert min(record.stalls_by_cause.values(), default=0) >= 0
        assert sum(record.stalls_by_cause.values()) == record.stall_cycles
        assert record.compute_cycles + record.stall_cycles == record.cycles
        assert 0 <= record.utilization <= 1
        assert min(record.energy_pj.values(), default=0.0) >= 0
    assert sum(record.cycles for record in report.ops) == report.total_cycles == report.schedule.total_cycles
    if ideal:
        assert sum(record.stall_cycles for record in report.ops) == 0


def test_outputs_reach_dram_once() -> None:
    """However an op is tiled, its outputs are stored once and each input at least once."""
    graph = OpGraph.of("g", [Op(name="a", kind="linear", gemm=Gemm.matmul(100, 70, 90), weight="a")], [])
    for dataflow in ("ws", "os", "is"):
        (record,) = simulate(graph, "edge-16x16", dataflow=dataflow, settings=["memory.sram.input_bytes=600"]).ops
        assert record.dram_bytes["output"] == 7000
        assert record.dram_bytes["input"] >= 9000
        assert record.dram_bytes["weight"] >= 6300


def test_infeasible_op_names_buffer_and_bytes() -> None:
    """The error says which buffer is too small and by how many bytes."""
    gemm = Gemm(channels=64, filters=8, in_h=9, in_w=9, out_h=7, out_w=7, kernel_h=3, kernel_w=3)
    graph = OpGraph.of("g", [Op(name="conv1", kind="conv", gemm=gemm, weight="w")], [])
    message = (
        "conv1 does not fit edge-16x16: its smallest input tile takes 9 bytes, but half of memory.sram.input_bytes"
        " is 8: 2 bytes more are needed"
    )
    with pytest.raises(InputError, match=message):
        simulate(graph, "edge-16x16", settings=["memory.sram.input_bytes=16"])
