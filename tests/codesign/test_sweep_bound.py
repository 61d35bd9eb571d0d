"""Bounds: never above what a simulation gives, whatever the network, the pattern and the array."""

import itertools
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from sweep_studies import small, table, write

from codesign import run_sweep, sparsify
from codesign.sweep.bound import Bound, Bounds
from codesign.sweep.evaluate import Evaluator
from codesign.sweep.point import task_of
from codesign.sweep.prune import Prune
from codesign.sweep.space import read_space
from codesign.sweep.study import StudyFile
from codesign.sweep.traced import pack
from traces.bitmap import Bitmap
from traces.gemm import Gemm
from traces.graph import OpGraph
from traces.op import Op
from traces.vector import VectorWork

BOUNDED = ("cycles", "time_s", "energy_pj", "dram_bytes")


@st.composite
def networks(draw: st.DrawFn) -> OpGraph:
    """Draw a chain of convolutions, products and vector ops, with random weights and zeros of activations."""
    random = np.random.default_rng(draw(st.integers(0, 99)))
    ops: list[Op] = []
    weights: dict[str, Any] = {}
    operands: dict[str, tuple[Bitmap, ...]] = {}
    for at in range(draw(st.integers(1, 4))):
        kind = draw(st.sampled_from(["conv", "conv", "linear", "depthwise", "add", "relu"]))
        name = f"op{at}"
        if kind in ("add", "relu"):
            count = draw(st.integers(1, 5000))
            work = VectorWork.of(kind, count * (1 + (kind == "add")), count)
            ops.append(Op(name=name, kind=kind, vector=work))
            continue
        if kind == "linear":
            gemm = Gemm.matmul(draw(st.integers(1, 70)), draw(st.integers(1, 90)), draw(st.integers(1, 130)))
            shape: tuple[int, ...] = (gemm.m, gemm.k)
        else:
            kernel, stride, pad = draw(st.sampled_from([(1, 1, 0), (1, 2, 0), (3, 1, 1), (3, 2, 1), (5, 3, 2)]))
            side = draw(st.integers(kernel, 17))
            out = (side + 2 * pad - kernel) // stride + 1
            groups = draw(st.integers(2, 20)) if kind == "depthwise" else 1
            gemm = Gemm(
                channels=1 if kind == "depthwise" else draw(st.integers(1, 40)),
                filters=1 if kind == "depthwise" else draw(st.integers(1, 60)),
                in_h=side, in_w=side, out_h=out, out_w=out, kernel_h=kernel, kernel_w=kernel,
                stride_h=stride, stride_w=stride, pad_h=pad, pad_w=pad, batch=draw(st.integers(1, 2)), groups=groups,
            )  # fmt: skip
            shape = (gemm.batch, gemm.groups * gemm.channels, side, side)
        ops.append(Op(name=name, kind=kind, gemm=gemm, weight=name))
        weights[name] = random.standard_normal((gemm.groups, gemm.n, gemm.k)).astype(np.float32)
        operands[name] = (Bitmap.of(random.random(shape) < 0.6),)
    edges = [(a.name, b.name) for a, b in itertools.pairwise(ops)]
    graph = OpGraph.of("drawn", ops, edges, weights=weights)
    patterns = draw(st.sampled_from(["dense", "2:4", "1:8", "unstructured:0.7"]))
    if weights and patterns != "dense" and any(op.gemm and op.gemm.k > 1 for op in ops):
        graph = sparsify(graph, "dense", rules={"*": patterns})
    return graph.with_operands(operands)


CONFIGS = st.fixed_dictionaries(
    {
        "array.rows": st.integers(1, 40),
        "array.cols": st.integers(1, 40),
        "array.overlap_preload": st.booleans(),
        "array.zero_gating": st.booleans(),
        "array.nm_max_m": st.sampled_from([0, 4, 16]),
        "vector.lanes": st.integers(1, 40),
        "precision.weight_bits": st.sampled_from([4, 8, 16]),
        "memory.ideal": st.sampled_from([False, False, True]),
        "memory.sram.weight_bytes": st.sampled_from([2048, 16384, 524288]),
        "memory.sram.input_bytes": st.sampled_from([2048, 16384, 524288]),
        "memory.sram.output_bytes": st.sampled_from([4096, 262144]),
        "memory.dram.bytes_per_cycle": st.floats(0.5, 70),
        "memory.dram.latency_cycles": st.integers(0, 200),
    }
)


@settings(max_examples=60)
@given(graph=networks(), values=CONFIGS, dataflow=st.sampled_from(["auto", "ws", "os", "is"]))
def test_bounds_hold(graph: OpGraph, values: dict[str, Any], dataflow: str) -> None:
    """Bounds are at most what the simulation gives, and what is known of a config without one is what it gives."""
    entry = {"base": "systolic-32x32-nm", "set": values, "dataflow": dataflow}
    text = f"name: x\nmodels: [a.csv]\naccelerators: [{entry!r}]\n".replace("True", "true").replace("False", "false")
    space = read_space(StudyFile.of(text, "drawn", Path()))
    traced = pack(graph)
    point = space.point(0)
    task = task_of(space, point, traced.digest, 0)
    bound = Bounds(space, {(0, 0): traced.packed}).of(point, task.config, None)
    found = Evaluator({traced.digest: traced.packed})(task)
    if found.status == "infeasible":
        return
    assert found.status == "done", found.reason
    for name in BOUNDED:
        least = bound.least(name)
        assert least is not None
        assert least <= getattr(found, name), name
    assert bound.known["pes"] == found.pes
    assert bound.known["sram_bytes"] == found.sram_bytes


def test_bounds_are_near(tmp_path: Path) -> None:
    """On a network that computes a lot, the bound of cycles is more than half of what the simulation gives."""
    gemm = Gemm.matmul(512, 256, 512)
    graph = OpGraph.of("one", [Op(name="a", kind="linear", gemm=gemm, weight="a")], [])
    space = read_space(StudyFile.read(write(tmp_path, small(tmp_path))))
    traced = pack(graph)
    task = task_of(space, space.point(0), traced.digest, 0)
    bound = Bounds(space, {(0, 0): traced.packed}).of(space.point(0), task.config, None)
    cycles = Evaluator({traced.digest: traced.packed})(task).cycles
    assert cycles is not None
    assert cycles / 2 < (bound.least("cycles") or 0) <= cycles


def test_pruning_loses_nothing(tmp_path: Path) -> None:
    """With and without pruning a study has the same Pareto front; every pruned point is dominated in truth."""
    study = small(
        tmp_path,
        weights=["dense", "2:4", "unstructured:0.8"],
        accelerators=[
            {
                "base": "systolic-32x32-nm",
                "set": {
                    "array.rows": {"from": 4, "to": 40, "step": 4},
                    "array.cols": [4, 8, 16],
                    "memory.dram.bytes_per_cycle": [8, 32],
                    "memory.sram.weight_bytes": [65536, 524288],
                },
            }
        ],
    )
    path = write(tmp_path, study)
    pruned = run_sweep(path, out=tmp_path / "pruned", workers=1)
    whole = run_sweep(write(tmp_path, study | {"prune": False}), out=tmp_path / "whole", workers=1)
    assert pruned.counts["pruned"] > 0
    assert whole.counts["pruned"] == 0
    assert [row["number"] for row in pruned.front] == [row["number"] for row in whole.front]
    truth = {row[0]: row for row in table(tmp_path / "whole")}
    columns = list(whole.results.columns)
    front = [(row["cycles"], row["energy_pj"]) for row in whole.front]
    for number, status in zip(pruned.results.columns["number"], pruned.results.columns["status"], strict=True):
        if status == "pruned":
            row = truth[number]
            cycles, energy = row[columns.index("cycles")], row[columns.index("energy_pj")]
            assert any(c <= cycles and e <= energy and (c, e) != (cycles, energy) for c, e in front)


def test_only_what_is_worse_is_pruned() -> None:
    """A point is pruned if another is better in something and as good in all else; never one of the baseline."""
    prune = Prune(["cycles", "accuracy"], {7})
    prune.learn([(100.0, -0.7)])
    for cycles, accuracy, gone in ((100, 0.7, False), (101, 0.7, True), (100, 0.6, True), (99, 0.1, False)):
        bound = Bound({"accuracy": accuracy}, {"cycles": cycles})
        assert (prune.reason(1, bound) is not None) == gone
        assert prune.reason(7, bound) is None
    assert prune.reason(1, Bound({"accuracy": 0.1})) is None


def test_bytes_of_a_graph_are_the_graph() -> None:
    """Packing keeps ops, order, patterns and the places of all zeros; equal graphs give equal bytes."""
    from codesign.sweep.traced import unpack

    random = np.random.default_rng(0)
    ops = [
        Op(name="a", kind="linear", gemm=Gemm.matmul(3, 5, 7), weight="w", input_values=("x",)),
        Op(name="b", kind="add", vector=VectorWork.of("add", 30, 15)),
    ]
    weights = {"w": np.where(random.random((1, 5, 7)) < 0.5, random.random((1, 5, 7)), 0).astype(np.float32)}
    graph = OpGraph.of("g", ops, [("a", "b")], weights=weights)
    graph = graph.with_operands({"a": (Bitmap.of(random.random((3, 7)) < 0.5, binary=True),)})
    back = unpack(pack(graph).packed)
    assert list(back) == ops
    assert list(back.dag.edges) == [("a", "b")]
    assert np.array_equal(back.weights["w"], weights["w"] != 0)
    assert np.array_equal(back.operands["a"][0].unpack(), graph.operands["a"][0].unpack())
    assert back.operands["a"][0].binary
    assert pack(back) == pack(graph)


@pytest.mark.parametrize("name", ["cycles", "energy_pj"])
def test_no_bound_is_no_reason(name: str) -> None:
    """Nothing is pruned by an objective of which nothing is known."""
    prune = Prune([name], set())
    prune.learn([(1.0,)])
    assert prune.reason(0, Bound({})) is None
