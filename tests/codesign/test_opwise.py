"""Op-wise accelerators: what surrounds the array is the same for all, conserved and never cheaper than it must be."""

import numpy as np
import pytest
import torch
from torch import nn

import traces
from codesign.simulation import simulate
from codesign.sparsification import sparsify
from hw_models.accelerators import load_accelerator, preset_names
from hw_models.base import OpwiseConfig
from traces.gemm import Gemm
from traces.graph import OpGraph
from traces.op import Op

OPWISE = [name for name in preset_names() if isinstance(load_accelerator(name), OpwiseConfig)]


@pytest.fixture(scope="module")
def net() -> OpGraph:
    """Return a small pruned network of every kind of op, run on real inputs."""
    torch.manual_seed(0)

    class Net(nn.Module):
        def __init__(self) -> None:
            super().__init__()
            self.conv, self.deep = nn.Conv2d(3, 8, 3, padding=1), nn.Conv2d(8, 8, 3, groups=8)
            self.attention = nn.MultiheadAttention(8, 2, batch_first=True)
            self.gru, self.out = nn.GRU(8, 16, batch_first=True), nn.Linear(16, 4)

        def forward(self, x: torch.Tensor) -> torch.Tensor:
            x = self.deep(self.conv(x).relu()).flatten(2).transpose(1, 2)
            x, _ = self.attention(x, x, x, need_weights=False)
            return self.out(self.gru(x)[0][:, -1])

    graph = traces.trace(Net().eval(), torch.randn(1, 3, 8, 8), name="net")
    return traces.capture(sparsify(graph, "2:4", rules={"*": "2:4"}))


@pytest.mark.parametrize("name", OPWISE)
def test_any_model_runs_and_is_conserved(net: OpGraph, name: str) -> None:
    """Every preset runs every kind of op; MACs, stalls and cycles add up, and both executors agree."""
    report = simulate(net, name)
    for op in report.ops:
        assert op.effectual_macs + op.skipped_macs + op.gated_macs == op.dense_macs == net[op.name].macs
        assert op.compute_cycles + sum(op.stalls_by_cause.values()) == op.cycles
        assert min(op.stalls_by_cause.values(), default=0) >= 0
        assert sum(op.waits_by_cause.values()) <= op.compute_cycles
        assert op.unit in ("array", "vector", "fallback")
    assert sum(op.cycles for op in report.ops) == report.total_cycles
    assert simulate(net, name, engine="simpy").total_cycles == report.total_cycles
    fallback = [op.name for op in report.ops if op.unit == "fallback"]
    assert bool(fallback) == any("fallback unit" in note for note in report.notes)


@pytest.mark.parametrize("name", OPWISE)
def test_ideal_memory_and_faster_dram_are_never_slower(net: OpGraph, name: str) -> None:
    """Without a memory to wait for there are no stalls; ten times the bandwidth costs nothing."""
    slow = simulate(net, name).total_cycles
    ideal = simulate(net, name, settings=["memory.ideal=true"])
    assert ideal.total_cycles <= slow
    assert not any(op.stall_cycles for op in ideal.ops)


def test_operands_that_do_not_fit_are_loaded_again() -> None:
    """Where neither operand fits half of its buffer one of them is loaded for each part of the other; groups apart."""

    def loaded(groups: int) -> dict[str, int]:
        op = Op(name="a", kind="matmul", gemm=Gemm.matmul(64, 64, 64, groups))
        settings = ["memory.sram.weight_bytes=2048", "memory.sram.input_bytes=2048", "precision.input_bits=8"]
        return simulate(OpGraph.of("g", [op], []), "prosperity", settings=settings).ops[0].dram_bytes

    once = 64 * 64
    assert sorted((loaded(1)["input"], loaded(1)["weight"])) == [once, 4 * once]
    assert sorted((loaded(3)["input"], loaded(3)["weight"])) == [3 * once, 12 * once]


def test_fallback_is_dense_at_full_utilisation() -> None:
    """What an array refuses takes its MACs over its PEs, and the note says what share that is."""
    op = Op(name="a", kind="matmul", gemm=Gemm.matmul(64, 64, 64))
    report = simulate(OpGraph.of("g", [op], []), "prosperity", settings=["memory.ideal=true"])
    assert report.total_cycles == -(-(64**3) // report.config.pes)
    assert any("100.0 % of the cycles" in note for note in report.notes)
    assert np.isclose(report.utilization, 1.0)
