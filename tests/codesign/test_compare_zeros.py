"""Zeros of inputs: recurrent and linear layers that skip what did not change or did not spike."""

import dataclasses

import numpy as np
import pytest
import torch
from torch import nn

import codesign
from codesign.comparison.job import Variant
from codesign.comparison.vector import skipping_counts
from codesign.comparison.zeros import encoded, zero_jobs
from hw_models.cpus import load_cpu
from kernels import machine
from traces.bitmap import Bitmap
from traces.delta import capture_delta
from traces.gemm import Gemm
from traces.graph import OpGraph
from traces.op import Op


@pytest.fixture(scope="module")
def deltas() -> OpGraph:
    """Return a GRU on a sequence of which a third changes."""
    torch.manual_seed(0)
    sequence = torch.randn(12, 1, 32).cumsum(0)
    sequence[:, :, ::2] = sequence[:1, :, ::2]
    return capture_delta(codesign.trace(nn.GRU(32, 48), sequence, name="gru"), sequence, threshold=0.01)


def spiking(density: float) -> OpGraph:
    """Return one layer with spikes of a density over 6 timesteps, and a dense one."""
    spikes = np.random.default_rng(0).random((6, 1, 64)) < density
    gemm = dataclasses.replace(Gemm.matmul(1, 40, 64), batch=6)
    layer = Op(name="fc", kind="linear", gemm=gemm, weight="w", timesteps=6, encoding="spikes")
    other = Op(name="head", kind="linear", gemm=Gemm.matmul(6, 10, 40), weight="v")
    weights = {"w": np.ones((1, 40, 64), np.float32), "v": np.ones((1, 10, 40), np.float32)}
    graph = OpGraph.of("snn", [layer, other], [("fc", "head")], weights=weights)
    return graph.with_operands({"fc": (Bitmap.of(spikes, binary=True),)})


def test_jobs_are_vectors_with_their_real_zeros(deltas: OpGraph) -> None:
    """One product a vector of the sequence; inputs that never change are zero after the first frame."""
    jobs, _, without = zero_jobs(deltas)
    assert without == []
    assert {job.shape[2] for job in jobs} == {1}
    first = jobs[0].variants[0]
    assert first.inputs is not None
    assert jobs[0].times == len(first.inputs) == 12
    assert not first.inputs[1:, ::2].any()
    assert first.sparsity == pytest.approx(1 - first.inputs.mean())
    assert encoded(deltas)


def test_totals_count_every_vector(deltas: OpGraph) -> None:
    """A row stands for as many products as the layer has vectors."""
    found = codesign.compare(deltas, cpus=["host", "cortex-a53"], measure=False)
    assert found.weights == "zeros of inputs (delta)"
    for cpu in found.cpus:
        assert {row.count for row in cpu.rows} == {12}
        total = cpu.totals[0]
        assert total.layers_dense_cycles == pytest.approx(12 * sum(row.dense_cycles for row in cpu.rows))


def test_fewer_spikes_are_faster() -> None:
    """On every core, a tenth of the spikes take less than all of them."""
    for name in ("host", "cortex-a76"):
        few, all_of_them = (
            codesign.compare(spiking(density), cpus=[name], measure=False)[name].rows[0].sparse_cycles
            for density in (0.1, 1.0)
        )
        assert few < all_of_them


def test_counts_are_columns_of_weights() -> None:
    """What is read is a column for each input that is not zero, on average over the vectors."""
    inputs = np.zeros((2, 64), np.bool_)
    inputs[0, :10] = True
    counts = skipping_counts(Variant("spikes", "spikes", 0.9, np.ones((48, 64), np.float32), inputs), load_cpu("zen4"))
    assert counts["event"] == 5
    assert counts["line"] == 5 * 48 * 4 / 64
    assert counts["fma"] * machine.vector_lanes() == 5 * 48


def test_measured_on_the_host() -> None:
    """Updates are timed against a dense product with one vector."""
    row = codesign.compare(spiking(0.2), cpus=["host"])["host"].rows[0]
    assert row.measured_speedup is not None
    assert row.measured_speedup > 0
    assert row.pattern == "spikes"


def test_what_cannot_be_compared_is_said(deltas: OpGraph) -> None:
    """Plain graphs need weights; engines have no dense product with one vector; zeros cannot be swept."""
    plain = codesign.trace(nn.Linear(8, 8), torch.ones(1, 8), name="plain")
    with pytest.raises(codesign.InputError, match="weights must be given with plain"):
        codesign.compare(plain)
    with pytest.raises(codesign.InputError, match="wasm-v8 has no dense product with one vector"):
        codesign.compare(deltas, cpus=["wasm-v8"])
    with pytest.raises(codesign.InputError, match="must be left out with activations"):
        codesign.compare(deltas, sparsities=[0.5])
