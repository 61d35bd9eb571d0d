"""The mapper: its best is the best of all, its promises are kept, and what it refuses does not fit."""

import itertools
import json
import re

import numpy as np
import pytest
from click.testing import CliRunner
from hypothesis import assume, given, settings
from hypothesis import strategies as st
from networks import as_settings, graphs, settings_of_arrays

from codesign.cli import main
from codesign.lower import Task, lower
from codesign.mapped import OpMappings
from codesign.mapper import gemm_graph, map_ops
from codesign.mapper_text import explain, summary, table
from codesign.schedule import steps_of
from codesign.schedule.candidates import MOST_STEPS, candidates, fine, powers
from codesign.simulation import simulate
from hw_models.accelerators import load_accelerator
from hw_models.network.network import build_network
from hw_models.pipeline import compiled, simpy_engine
from hw_models.systolic.config import SystolicConfig
from hw_models.systolic.folds import DATAFLOWS
from hw_models.systolic.mapping import Mapping
from hw_models.systolic.tiling import Tile
from traces.errors import InputError
from traces.gemm import Gemm
from traces.graph import OpGraph
from traces.op import Op

SMALL = ["memory.sram.weight_bytes=96", "memory.sram.input_bytes=80", "memory.sram.output_bytes=256"]


def small(*more: str, base: str = "edge-16x16-nm") -> SystolicConfig:
    """Return an array of 3x4 with tiny buffers."""
    config = load_accelerator(base, ["array.rows=3", "array.cols=4", *SMALL, *more])
    assert isinstance(config, SystolicConfig)
    return config


def executed(task: Task, mapping: Mapping, config: SystolicConfig, engine=compiled) -> int:
    """Return what an executor takes for one op alone."""
    steps = steps_of(task, mapping, config)
    return engine.run(build_network([steps], [()], [False], config.machine()).pipeline).total_cycles


def conv_graph() -> OpGraph:
    """Return a strided convolution of two groups."""
    gemm = Gemm(channels=4, filters=6, in_h=7, in_w=9, out_h=4, out_w=5, kernel_h=3, kernel_w=3, stride_h=2, stride_w=2,
                pad_h=1, pad_w=1, groups=2)  # fmt: skip
    return OpGraph.of("conv", [Op(name="conv", kind="conv", gemm=gemm, weight="w")], [])


@pytest.mark.parametrize(("m", "n", "k"), [(12, 10, 14), (7, 13, 5), (1, 16, 9), (16, 1, 12)])
@pytest.mark.parametrize("dataflow", DATAFLOWS)
def test_the_best_is_the_best_of_all_tilings_of_a_gemm(m: int, n: int, k: int, dataflow: str) -> None:
    """No tiling of the sizes searched, laid out by hand and run by the executor, is faster; the counts agree."""
    config = small()
    (task,) = lower(gemm_graph(m, n, k), config)
    machine, times, refused = config.machine(), [], 0
    for r, f, c, outer in itertools.product(fine(m, 3, 4), fine(n, 3, 4), fine(k, 3, 4), (0, 1)):
        fits = f * c <= machine.weight_half_bytes and r * c <= machine.input_half_bytes
        if fits and r * f * 4 <= machine.output_half_bytes:
            tile = Tile(1, 1, int(r), 1, int(f), int(c), outer)
            times.append(executed(task, Mapping(dataflow, False, tile), config))
        else:
            refused += 1
    (found,) = map_ops(gemm_graph(m, n, k), config, dataflow=dataflow, top=25)
    assert [mapped.cycles for mapped in found.ranked] == sorted(times)[:25]
    assert (found.bounded, found.infeasible) == (len(times), refused)
    assert 0 < found.exact <= found.bounded


@settings(max_examples=25, deadline=None, derandomize=True)
@given(graphs(most=1), settings_of_arrays(), st.sampled_from(["dense", "2:4"]))
def test_the_best_is_the_best_of_all_candidates(graph: OpGraph, values: dict, pattern: str) -> None:
    """For any op, array and pattern, the executor takes longer for every other candidate, dense ones too."""
    config = load_accelerator("edge-16x16-nm", as_settings(values))
    assert isinstance(config, SystolicConfig)
    graph = graph if pattern == "dense" else graph.with_weights({}, {op.name: pattern for op in graph})
    (task,) = lower(graph, config)
    assume(task.dense is not None)
    nests = [nest for nest in (task.compressed, task.dense) if nest is not None]
    ways = [
        (nest, dataflow, tile)
        for nest in nests
        for dataflow in config.dataflows
        for tile in candidates(nest, dataflow, config.machine(), finely=True).tiles.tolist()
    ]
    assume(0 < len(ways) < 1500)
    every = [
        executed(task, Mapping(DATAFLOWS[dataflow], nest is task.compressed, Tile(*tile)), config)
        for nest, dataflow, tile in ways
    ]
    (found,) = map_ops(graph, config, top=5)
    assert [mapped.cycles for mapped in found.ranked] == sorted(every)[:5]
    assert found.bounded == len(every)


@pytest.mark.parametrize("graph", [gemm_graph(30, 20, 40), gemm_graph(30, 20, 40, "2:4"), conv_graph()])
def test_promises_are_kept_by_both_executors(graph: OpGraph) -> None:
    """Each of the top mappings takes what was promised; its parts add up; what is moved is what the report says."""
    config = small()
    (task,) = lower(graph, config)
    (found,) = map_ops(graph, config, top=6)
    assert len(found.ranked) == 6
    for mapped in found.ranked:
        assert executed(task, mapped.mapping, config) == mapped.cycles
        assert executed(task, mapped.mapping, config, simpy_engine) == mapped.cycles
        parts = (mapped.array_cycles, mapped.fill_cycles, mapped.wait_cycles, mapped.drain_cycles)
        assert sum(parts) == mapped.cycles
        assert min(parts) >= 0
        assert mapped.cycles >= max(found.least_array_cycles, found.least_dram_cycles)
        assert sum(mapped.dram_bytes.values()) >= found.least_dram_bytes
    assert found.best[found.ranked[0].mapping.dataflow] == found.ranked[0]
    assert all(mapped.cycles >= found.ranked[0].cycles for mapped in (*found.best.values(), found.planned))


@pytest.mark.parametrize("graph", [gemm_graph(50, 30, 70), gemm_graph(50, 30, 70, "2:4"), conv_graph()])
def test_planned_is_what_simulate_takes(graph: OpGraph) -> None:
    """The fastest mapping of powers of two is the one that a simulation of the op alone finds, with its traffic."""
    report = simulate(graph, small())
    (found,) = map_ops(graph, small())
    assert found.planned.cycles == report.total_cycles
    assert found.planned.array_cycles == report.ops[0].compute_cycles
    by_report = report.ops[0].dram_bytes
    weights = by_report["weight"] + by_report["metadata"]
    if str(found.planned.mapping) == report.ops[0].mapping:
        assert found.planned.dram_bytes == {**{o: by_report[o] for o in ("input", "output")}, "weight": weights}


def test_two_to_four_weights_are_mapped_compressed_and_faster() -> None:
    """A sparse problem is no reason to refuse; on an array that cannot skip it is mapped as dense."""
    (dense,), (sparse,) = (map_ops(gemm_graph(64, 64, 64, pattern), small()) for pattern in ("dense", "2:4"))
    assert sparse.ranked[0].mapping.compressed
    assert sparse.ranked[0].cycles < dense.ranked[0].cycles
    assert sparse.bounded > dense.bounded
    (gated,) = map_ops(gemm_graph(64, 64, 64, "unstructured:0.9"), small())
    assert gated.ranked == dense.ranked


def test_identical_ops_are_searched_once() -> None:
    """Ops of the same shape and pattern share one entry, others have their own; order and names are kept."""
    ops = [Op(name=f"op{i}", kind="linear", gemm=Gemm.matmul(8, size, 8), weight=f"w{i}")
           for i, size in enumerate((4, 6, 4, 4))]  # fmt: skip
    graph = OpGraph.of("four", ops, []).with_weights({}, {"op3": "2:4"})
    found = map_ops(graph, small())
    assert [op.names for op in found] == [("op0", "op2"), ("op1",), ("op3",)]
    assert [op.names for op in map_ops(graph, small(), names=["op3", "op2"])] == [("op3",), ("op2",)]
    assert "4 ops, 3 of them different" in summary(found)


@given(st.integers(1, 5000), st.lists(st.integers(1, 128), max_size=2))
def test_fine_sizes_hold_the_powers_and_stay_few(whole: int, units: list[int]) -> None:
    """Sizes are sorted, in range, among them all powers and the whole, and no more than 48."""
    sizes = fine(whole, *units).tolist()
    assert sizes == sorted(set(sizes))
    assert set(powers(whole).tolist()) <= set(sizes)
    assert sizes[0] == 1
    assert sizes[-1] == whole
    assert len(sizes) <= 48


def test_fine_sizes_cut_evenly_into_any_small_number_of_tiles() -> None:
    """Where there is room, each number of tiles has its smallest size, in elements and in rows of the array."""
    sizes = set(fine(200, 16).tolist())
    assert {-(-200 // tiles) for tiles in range(1, 201)} <= sizes
    assert {-(-13 // tiles) * 16 for tiles in range(2, 14)} <= sizes


def test_explain_says_what_is_lost_and_what_does_not_fit() -> None:
    """The words hold the best's parts, the other dataflows' losses, and each buffer with its bytes and counts."""
    (found,) = map_ops(gemm_graph(40, 40, 40), small())
    said = explain(found)
    best = found.ranked[0]
    assert f"best: {best.mapping}" in said
    assert f"  {best.cycles:,} cycles: array {best.array_cycles:,}, first tiles {best.fill_cycles:,}" in said
    for dataflow, mapped in found.best.items():
        if dataflow != best.mapping.dataflow:
            assert f"best under {dataflow}: {mapped.mapping}\n  {mapped.cycles - best.cycles:+,} cycles" in said
    assert f"not feasible: {found.infeasible:,} of {found.infeasible + found.bounded:,} mappings" in said
    weights = next(refusal for refusal in found.refused if "weight" in refusal.buffer)
    assert weights.half_bytes == 48
    assert weights.most_bytes == 1600
    assert f"{weights.mappings:,} exceed half of memory.sram.weight_bytes, 48 bytes; the largest tile is 1,600" in said
    lines = table(found).splitlines()
    assert len(lines) == 2 + len(found.ranked)
    assert lines[2].split()[:2] == ["1", f"{best.cycles:,}"]


def test_too_many_tiles_are_counted() -> None:
    """Tilings into more tiles than are tried are told apart from those that fit no buffer."""
    (found,) = map_ops(gemm_graph(2048, 64, 2048), load_accelerator("systolic-32x32"), dataflow="ws", top=1)
    sizes = [fine(size, 32) for size in (2048, 64, 2048)]
    tiles = [
        np.prod([-(-w // s) for w, s in zip((2048, 64, 2048), cut, strict=True)]) for cut in itertools.product(*sizes)
    ]
    assert found.too_many_tiles == 2 * sum(count > MOST_STEPS for count in tiles)


@pytest.mark.parametrize(
    ("call", "sentence"),
    [
        (lambda: map_ops(gemm_graph(4, 4, 4), "eie"), "eie has no mapping to choose; only systolic arrays have"),
        (lambda: map_ops(gemm_graph(4, 4, 4), small("memory.ideal=true")), "with ideal memory there are no tiles"),
        (lambda: map_ops(gemm_graph(4, 4, 4), small(), top=0), "top must be at least 1, not 0"),
        (
            lambda: map_ops(gemm_graph(4, 4, 4), small(), dataflow="rs"),
            "dataflow must be auto or one of edge-16x16-nm's",
        ),
        (lambda: map_ops(gemm_graph(4, 4, 4), small(), names=["gem"]), "4x4x4 has no op 'gem'; did you mean gemm?"),
        (lambda: gemm_graph(4, 0, 4), "n must be at least 1, not 0"),
        (
            lambda: map_ops(gemm_graph(4, 4, 4), small("memory.sram.output_bytes=6")),
            "gemm does not fit edge-16x16-nm: its smallest output tile takes 4 bytes, but half of"
            " memory.sram.output_bytes is 3: 2 bytes more are needed",
        ),
    ],
)
def test_wrong_input_gets_one_sentence(call, sentence: str) -> None:
    """What cannot be mapped is told, with what to do."""
    with pytest.raises(InputError, match=re.escape(sentence)):
        call()


def run(*args: str) -> str:
    """Run the command and return its output."""
    done = CliRunner().invoke(main, ["map", *args])
    assert done.exit_code == 0, done.output
    return done.stdout


def test_the_command_prints_what_python_finds(tmp_path) -> None:
    """Table, explanation, JSON and the summary of a model hold the figures of `map_ops`."""
    (found,) = map_ops(gemm_graph(24, 40, 32, "2:4"), "edge-16x16-nm", top=3)
    args = ("24x40x32", "--on", "edge-16x16-nm", "--weights", "2:4", "--top", "3")
    assert table(found) in run(*args)
    assert explain(found) in run(*args, "--explain")
    assert f"{found.bounded:,} feasible mappings bounded, {found.exact:,} of them timed exactly" in run(*args)
    (printed,) = json.loads(run(*args, "--json"))
    assert printed == json.loads(json.dumps(found.to_dict()))
    assert printed["ranked"][0]["mapping"]["tile"]["n"] == found.ranked[0].mapping.tile.n
    topology = tmp_path / "two.csv"
    topology.write_text("Layer, M, N, K\na, 24, 40, 32\nb, 24, 40, 32\n")
    assert "2 ops, 1 of them different" in run(str(topology), "--on", "edge-16x16-nm")
    assert run(str(topology), "--op", "b").startswith("b on systolic-32x32: m x n x k = 24 x 40 x 32")


@pytest.mark.parametrize(
    ("args", "sentence"),
    [
        (["4x4x4", "--json", "--explain"], "--explain must be left out with --json"),
        (["4x4x4", "--op", "gemm"], "--op must be left out with 4x4x4"),
        (["4x4x4", "--weights", "2:1"], "--weights 2:1: "),
        (["4x4x4", "--on", "eie"], "eie has no mapping to choose"),
    ],
)
def test_the_command_tells_what_is_wrong(args: list[str], sentence: str) -> None:
    """One line on stderr, exit code 2."""
    done = CliRunner().invoke(main, ["map", *args])
    assert done.exit_code == 2
    assert sentence in done.stderr
    assert len(done.stderr.splitlines()) == 1


def test_results_compare_equal_whatever_the_time_they_took() -> None:
    """Two searches of the same op give equal results."""
    first, second = (map_ops(gemm_graph(9, 9, 9), small()) for _ in range(2))
    assert first == second
    assert all(isinstance(op, OpMappings) for op in first)
