"""Verify mode: mapped tiles executed on real tensors give what torch gives, and a wrong mapping is found out."""

import itertools
from functools import cache

import numpy as np
import pytest
import torch
from hypothesis import given, settings
from networks import as_settings, graphs, settings_of_arrays
from torch import nn

import traces
from codesign import verify
from codesign.lower import lower
from codesign.schedule import make_plan, steps_of
from codesign.simulation import simulate
from codesign.sparsification import sparsify
from hw_models.accelerators import load_accelerator
from hw_models.systolic import functional
from traces.errors import InputError
from traces.zoo import ZOO, build

SMALL = [f"memory.sram.{operand}_bytes=8192" for operand in ("weight", "input", "output")]


@cache
def traced(name: str) -> traces.OpGraph:
    """Trace a reduced network of the zoo, once for all tests."""
    model, inputs = build(name, reduced=True)
    return traces.trace(model, *inputs, name=name)


@pytest.mark.parametrize("dataflow", ["auto", "os", "is"])
@pytest.mark.parametrize("weights", ["dense", "2:4"])
@pytest.mark.parametrize("name", ZOO)
def test_zoo_models(name: str, weights: str, dataflow: str) -> None:
    """Every array op of every zoo model (one block of each kind), cut into tiles, agrees with torch to 1e-4."""
    graph = sparsify(traced(name), weights)
    report = simulate(graph, "edge-16x16-nm", dataflow=dataflow, settings=SMALL, verify=True)
    assert report.verified
    assert set(report.verified) == {op.name for op in graph if op.gemm is not None}
    assert max(report.verified.values()) <= 1e-5
    if weights == "2:4":
        assert any("N:M compressed" in op.mapping for op in report.ops)


class Odd(nn.Module):
    """Convolutions of every form, and products with and without bias."""

    def __init__(self) -> None:
        super().__init__()
        self.strided = nn.Conv2d(3, 8, (3, 5), stride=(2, 1), padding=(1, 0), dilation=(1, 2))
        self.grouped = nn.Sequential(nn.Conv2d(8, 12, 3, groups=4, padding="same", bias=False), nn.BatchNorm2d(12))
        self.depthwise = nn.Conv2d(12, 24, 3, groups=12, stride=2)
        self.up = nn.ConvTranspose2d(24, 4, 3, stride=2, groups=2)
        self.line = nn.Conv1d(4, 6, 4, padding=2)
        self.cube = nn.Conv3d(1, 2, (2, 3, 1), padding=(1, 0, 0))
        self.w, self.b = nn.Parameter(torch.randn(12, 5)), nn.Parameter(torch.randn(5))

    def forward(self, x: torch.Tensor) -> torch.Tensor:
        """Use all of them."""
        x = self.up(self.depthwise(self.grouped(self.strided(x)).relu()))
        x = self.line(x.flatten(2))
        x = self.cube(x.reshape(2, 1, 6, -1, 1)).flatten(1)[:, : 12 * 7].reshape(-1, 12)
        y = torch.addmm(self.b, x, self.w)
        return y @ y.T + torch.addmm(y, x, self.w).sum()


@pytest.mark.parametrize("dataflow", ["ws", "os", "is"])
def test_odd_ops(dataflow: str) -> None:
    """Strides, dilation, groups, transposed, 1-D and 3-D convolutions and addmm agree with torch."""
    torch.manual_seed(0)
    graph = traces.trace(Odd().eval(), torch.randn(2, 3, 17, 19))
    report = simulate(graph, "edge-16x16", dataflow=dataflow, settings=SMALL, verify=True)
    assert len(report.verified) == sum(op.gemm is not None for op in graph) == 9
    assert max(report.verified.values()) <= 1e-5


@pytest.mark.parametrize("fault", ["drop", "repeat"])
def test_wrong_mapping_is_found(fault: str, monkeypatch: pytest.MonkeyPatch) -> None:
    """A schedule that drops or repeats a tile fails loudly and names the op."""
    real = functional.regions

    def faulty(*args: object):
        regions = list(real(*args))
        return regions[:-1] if fault == "drop" else [*regions, regions[0]]

    monkeypatch.setattr(functional, "regions", faulty)
    graph = traces.trace(nn.Sequential(nn.Linear(64, 64)), torch.ones(4, 64))
    with pytest.raises(verify.VerificationError, match=r"mapped ops differ from torch .*'0'"):
        simulate(graph, "edge-16x16", verify=True, settings=["memory.sram.weight_bytes=2048"])


def test_shapes_alone_cannot_be_verified() -> None:
    """A model that knows only shapes says so."""
    model, inputs = build("llama2_7b", reduced=True)
    graph = traces.trace(model.to("meta"), *(x.to("meta") for x in inputs), name="llama")
    with pytest.raises(InputError, match="verify needs a model with weights and inputs; llama has only shapes"):
        simulate(graph, verify=True)


@settings(max_examples=100, deadline=None, derandomize=True)
@given(graphs(), settings_of_arrays())
def test_executed_regions_are_the_timed_steps(graph, values: dict) -> None:
    """Verify executes just the tiles that were timed, in their order, and each MAC once."""
    config = load_accelerator("edge-16x16", as_settings(values))
    tasks = lower(graph, config)
    try:
        plan = make_plan(tasks, config, (0, 1, 2))
    except InputError:
        return
    for task, mapping in zip(tasks, plan.mappings, strict=True):
        if task.dense is None:
            continue
        steps = steps_of(task, mapping, config)
        regions = list(functional.regions(task.dense, mapping.tile))
        assert len(regions) == len(steps.cycles)
        sizes = [[part.stop - part.start for part in region] for region in regions]
        positions = task.dense.kernel_h * task.dense.kernel_w
        assert sum(int(np.prod(size)) for size in sizes) * positions == task.op.macs
        w = [(r.groups, r.filters, r.channels) for r in regions]
        loads = 1 + sum(a != b for a, b in itertools.pairwise(w))
        assert loads == len(steps.w_first)
