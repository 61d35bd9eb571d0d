"""The whole of ResNet-50: both executors agree on every start and finish."""

from pathlib import Path

import pytest
from speed import resnet50_csv

from codesign.simulation import simulate
from codesign.sparsification import sparsify
from traces.topology import read_topology


@pytest.mark.parametrize(
    ("accelerator", "dataflow"),
    [("systolic-32x32", "ws"), ("systolic-32x32-nm", "auto"), ("edge-16x16", "os"), ("systolic-128x128", "is")],
)
def test_executors_agree_on_resnet50(tmp_path: Path, accelerator: str, dataflow: str) -> None:
    """54 layers with buffers and DRAM: the SimPy executor ends every token in the cycle the compiled one does."""
    graph = sparsify(read_topology(resnet50_csv(tmp_path / "resnet50.csv")), "2:4")
    fast = simulate(graph, accelerator, dataflow=dataflow)
    slow = simulate(graph, accelerator, dataflow=dataflow, engine="simpy")
    assert fast.schedule.pipeline.tokens > 500
    for stage, ends in slow.schedule.end_cycles.items():
        assert (fast.schedule.end_cycles[stage] == ends).all()
        assert (fast.schedule.start(stage) == slow.schedule.start(stage)).all()
    assert [op.stalls_by_cause for op in fast.ops] == [op.stalls_by_cause for op in slow.ops]
