"""`codesign.compare`: what is compared, that the sums are sums, and that nothing but measured times changes."""

import json

import matplotlib
import numpy as np
import pytest
import torch
from torch import nn

import codesign
from codesign.comparison.job import Job, at_sparsities, jobs_of
from codesign.comparison.targets import target_names
from codesign.patterns import parse_pattern
from traces.graph import OpGraph
from traces.topology import read_topology


class Net(nn.Module):
    """A first convolution, a depthwise one, three 1x1 convolutions (two alike), a 3x3 one, two linear layers."""

    def __init__(self) -> None:
        super().__init__()
        self.first = nn.Conv2d(3, 16, 3, padding=1)
        self.depthwise = nn.Conv2d(16, 16, 3, padding=1, groups=16)
        self.narrow = nn.Conv2d(16, 32, 1)
        self.wide = nn.Sequential(nn.Conv2d(32, 32, 1), nn.ReLU(), nn.Conv2d(32, 32, 1))
        self.square = nn.Conv2d(32, 32, 3, padding=1)
        self.linear = nn.Linear(32 * 64, 48)
        self.classifier = nn.Linear(48, 10)

    def forward(self, x: torch.Tensor) -> torch.Tensor:
        """Return the classes."""
        x = self.square(self.wide(self.narrow(self.depthwise(self.first(x)))))
        return self.classifier(self.linear(x.flatten(1)))


@pytest.fixture(scope="module")
def graph() -> OpGraph:
    """Return the net, traced on one image."""
    torch.manual_seed(0)
    return codesign.trace(Net(), torch.randn(1, 3, 8, 8), name="net")


def jobs(graph: OpGraph, *patterns: str, **options: int) -> list[Job]:
    """Return the jobs of some patterns."""
    found, _, _ = jobs_of(graph, [parse_pattern(one) for one in patterns], {}, **{"batch": 1, "seed": 0, **options})
    return found


def test_products_have_kernels_and_the_rest_is_dense(graph: OpGraph) -> None:
    """1x1 convolutions and linear layers are compared; what is pruned without a kernel is named."""
    found, others, without = jobs_of(graph, [parse_pattern("unstructured:0.5")], {}, 1, 0)
    assert [job.layers for job in found] == [("narrow",), ("wide.0", "wide.2"), ("linear",)]
    assert [job.shape for job in found] == [(32, 16, 64), (32, 32, 64), (48, 2048, 1)]
    assert without == ["square"]
    assert {"first", "depthwise", "square", "classifier"} <= {op.name for op in others}


def test_weights_are_those_of_sparsify(graph: OpGraph) -> None:
    """A job's weights are the masked weights that `codesign.sparsify` gives the layer."""
    sparse = codesign.sparsify(graph, "group:4:0.7")
    for job in jobs(graph, "group:4:0.7"):
        key = graph[job.layers[0]].weight
        assert key is not None
        np.testing.assert_array_equal(job.variants[0].weight, sparse.weights[key][0])


def test_batch_multiplies_columns(graph: OpGraph) -> None:
    """A batch has as many times the columns."""
    one, more = jobs(graph, "2:4"), jobs(graph, "2:4", batch=5)
    assert [5 * job.shape[2] for job in one] == [job.shape[2] for job in more]


def test_sparsities_are_a_patterns_own_or_asked_for() -> None:
    """A sweep keeps the kind of pattern; N:M has none to sweep, dense has no kernel."""
    assert [str(one) for one in at_sparsities(parse_pattern("block:4x2:0.5"), [0.0, 0.9])] == [
        "block:4x2:0.0",
        "block:4x2:0.9",
    ]
    with pytest.raises(codesign.InputError, match="sparsity of its own"):
        at_sparsities(parse_pattern("2:4"), [0.5])
    with pytest.raises(codesign.InputError, match="one that a kernel takes: unstructured"):
        at_sparsities(parse_pattern("dense"), None)


@pytest.fixture(scope="module")
def simulated(graph: OpGraph) -> codesign.Comparison:
    """Return the net on one target of each kind, not measured."""
    cpus = ["host", "wasm-wasmtime", "wasm-v8", "cortex-a53"]
    return codesign.compare(graph, weights="unstructured:0.9", cpus=cpus, sparsities=[0.9, 0, 0.5], measure=False)


def test_json_holds_what_was_promised(simulated: codesign.Comparison) -> None:
    """Names, errors and rows of every CPU; null where nothing was measured."""
    values = json.loads(simulated.to_json())
    assert [cpu["name"] for cpu in values["cpus"]] == ["host", "wasm-wasmtime", "wasm-v8", "cortex-a53"]
    for cpu in values["cpus"]:
        assert cpu["mean_abs_error"] is cpu["worst_abs_error"] is cpu["rank_correlation"] is None
        assert len(cpu["rows"]) == 3 * 3
        for row in cpu["rows"]:
            assert row["measured_speedup"] is row["ratio"] is None
            assert row["simulated_speedup"] == pytest.approx(row["dense_cycles"] / row["sparse_cycles"])
            assert row["bound_by"]
            assert row["pattern"] == f"unstructured:{row['sparsity']}"


def test_totals_are_sums_of_rows(simulated: codesign.Comparison) -> None:
    """Layers count as often as the model has them; the other ops stand on both sides."""
    for cpu in simulated.cpus:
        for total in cpu.totals:
            rows = [row for row in cpu.rows if row.sparsity == total.sparsity]
            dense = sum(row.count * row.dense_cycles for row in rows)
            sparse = sum(row.count * row.sparse_cycles for row in rows)
            assert total.layers_simulated_speedup == pytest.approx(dense / sparse)
            whole = (dense + total.others_cycles) / (sparse + total.others_cycles)
            assert total.simulated_speedup == pytest.approx(whole)
            assert total.others_cycles > 0
            assert min(dense / sparse, 1) <= whole <= max(dense / sparse, 1)


def test_more_zeros_are_faster(simulated: codesign.Comparison) -> None:
    """On every CPU and for every layer, a tenth of the weights take fewer cycles than half or all of them.

    Half need not take less than all: without zeros, inputs are read in order.
    """
    for cpu in simulated.cpus:
        for layer in {row.layer for row in cpu.rows}:
            cycles = [row.sparse_cycles for row in cpu.rows if row.layer == layer]
            assert cycles[2] < min(cycles[:2])


def test_simulation_is_deterministic(graph: OpGraph, simulated: codesign.Comparison) -> None:
    """The same question has the same answer."""
    again = codesign.compare(graph, weights="unstructured:0.5", sparsities=[0.5], measure=False)
    before = [row for row in simulated["host"].rows if row.sparsity == 0.5]
    assert list(again["host"].rows) == before


def test_csv_has_a_row_for_each_layer(simulated: codesign.Comparison) -> None:
    """One line a CPU, layer and sparsity, under the names of the fields."""
    head, *lines = simulated.to_csv().splitlines()
    assert head.startswith("cpu,layer,count,m,k,columns,pattern,sparsity")
    assert len(lines) == 4 * 3 * 3


def test_plot_marks_the_crossover(simulated: codesign.Comparison) -> None:
    """A curve a CPU, one point a sparsity, and a mark on the line of 1 where a curve crosses it."""
    fig, ax = simulated.plot()
    assert isinstance(fig, matplotlib.figure.Figure)
    curves = [line for line in ax.get_lines() if len(line.get_xdata()) == 3]
    assert len(curves) == 4
    for cpu, curve in zip(simulated.cpus, curves, strict=True):
        assert list(curve.get_ydata()) == [one.layers_simulated_speedup for one in cpu.totals]
    marks = [line for line in ax.get_lines() if line.get_marker() == "d"]
    crossing = [at for cpu in simulated.cpus if (at := cpu.crossover()) not in (None, 0)]
    assert [float(mark.get_xdata()[0]) for mark in marks] == pytest.approx([100 * at for at in crossing])


def test_one_sparsity_plots_a_point(graph: OpGraph) -> None:
    """Without a sweep there is one point a CPU and no crossover."""
    found = codesign.compare(graph, weights="2:4", measure=False)
    assert next(line.get_marker() for line in found.plot()[1].get_lines()) == "o"
    assert "faster from" in found.table()


def test_measured_on_the_host(graph: OpGraph) -> None:
    """Times are taken on this machine; speedup, ratio and error follow from them."""
    found = codesign.compare(graph, weights="group:4:0.9", cpus=["host"])["host"]
    for row in found.rows:
        assert row.dense_seconds is not None
        assert row.sparse_seconds is not None
        assert row.measured_speedup == pytest.approx(row.dense_seconds / row.sparse_seconds)
        assert row.ratio == pytest.approx(row.simulated_speedup / row.measured_speedup)
        assert row.baseline
    assert found.errors is not None
    assert found.errors.worst == pytest.approx(max(abs(row.ratio - 1) for row in found.rows if row.ratio))
    assert found.totals[0].measured_speedup is not None


def test_rules_give_layers_patterns_of_their_own(graph: OpGraph) -> None:
    """A rule reaches layers that stay dense by default, and each row says its pattern."""
    found = codesign.compare(graph, weights="2:4", rules={"classifier": "unstructured:0.5"}, measure=False)["host"]
    assert {row.layer: row.pattern for row in found.rows}["classifier"] == "unstructured:0.5"
    assert len(found.totals) == 1


def test_topology_tables_get_drawn_weights(tmp_path) -> None:
    """A table of shapes has no weights: they are drawn, the same for the same seed."""
    path = tmp_path / "gemm.csv"
    path.write_text("Layer, M, N, K,\na, 64, 48, 32,\nb, 64, 48, 64,\n")
    graph = read_topology(str(path))
    found = jobs(graph, "unstructured:0.75")
    assert found
    for job in found:
        assert np.count_nonzero(job.variants[0].weight) == round(0.25 * job.weight.size)
    assert (jobs(graph, "unstructured:0.75")[0].weight == found[0].weight).all()
    assert (jobs(graph, "unstructured:0.75", seed=1)[0].weight != found[0].weight).any()


def test_names_are_host_engines_and_cores() -> None:
    """Everything that can be named can be made."""
    assert {"host", "wasm-wasmtime", "wasm-v8", "cortex-a53", "cortex-a76", "neoverse-n1"} <= set(target_names())
