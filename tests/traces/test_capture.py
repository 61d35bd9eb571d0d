"""Capturing activations."""

import subprocess
import sys

import numpy as np
import pytest
import torch
from torch import nn

import traces
from traces.errors import InputError


@pytest.fixture(scope="module")
def graph():
    """Return a traced perceptron of 6, 5 and 3 units with relu, and batch 4."""
    torch.manual_seed(0)
    return traces.trace(nn.Sequential(nn.Linear(6, 5), nn.ReLU(), nn.Linear(5, 3)), torch.randn(4, 6))


def test_bitmaps_are_the_zeros_of_torchs_activations(graph):
    """Operands hold exactly the non-zeros of what each layer reads, on the inputs given."""
    inputs = torch.randn(4, 6).relu()
    captured = traces.capture(graph, inputs)
    weight, bias = graph.weights["0.weight"][0], graph.program.state["0.bias"].numpy()
    hidden = inputs.numpy() @ weight.T + bias > 0
    assert np.array_equal(captured.operands["0"][0].unpack(), inputs.numpy() != 0)
    assert np.array_equal(captured.operands["2"][0].unpack(), hidden)
    assert not graph.operands


def test_sparsified_weights_are_what_runs(graph):
    """With the first layer's weights zeroed the second one sees only its bias."""
    sparse = graph.with_weights({"0.weight": np.zeros((1, 5, 6), dtype=np.float32)}, {})
    (bitmap,) = traces.capture(sparse).operands["2"]
    assert np.array_equal(bitmap.unpack(), np.tile(graph.program.state["0.bias"].numpy() > 0, (4, 1)))


def test_effectual_macs_of_a_captured_graph_match_masked_products(graph):
    """Counted MACs are the products of non-zeros of the real operands."""
    captured = traces.capture(graph)
    (bitmap,) = captured.operands["2"]
    weight = captured.weights["2.weight"] > 0.1
    want = (bitmap.unpack()[:, None, :] & weight[0][None]).sum()
    assert traces.effectual_macs(captured["2"], weight, captured.operands["2"]) == want


def test_values_are_dropped_as_they_go(graph):
    """Only the values asked for are shown, each once."""
    seen = []
    graph.program.run(graph.program.example_inputs, watch=lambda name, _: seen.append(name), values={"relu"})
    assert seen == ["relu"]


@pytest.mark.parametrize(
    ("inputs", "message"),
    [
        ((torch.ones(4, 6), torch.ones(1)), "the number of inputs must be 1, as traced, not 2"),
        ((torch.ones(3, 6),), r"input 0 must be of shape \(4, 6\) and dtype torch.float32 as traced, not \(3, 6\)"),
        ((torch.ones(4, 6).double(),), "dtype torch.float32 as traced, not .* torch.float64"),
        (([1.0],), r"input 0 must be a torch.Tensor, not 'list'"),
    ],
)
def test_inputs_must_be_those_of_the_trace(graph, inputs, message):
    """Wrong number, shape, dtype or type is told in a sentence."""
    with pytest.raises(InputError, match=message):
        traces.capture(graph, *inputs)


def test_weights_must_be_those_of_the_graph(graph):
    """Unknown keys and wrong shapes are told in a sentence."""
    inputs = graph.program.example_inputs
    with pytest.raises(InputError, match="must name a weight of the model"):
        graph.program.run(inputs, {"3.weight": np.zeros((1, 1, 1), dtype=np.float32)})
    with pytest.raises(InputError, match=r"must be \(groups, n, k\) = \(1, 5, 6\)"):
        graph.program.run(inputs, {"0.weight": np.zeros((1, 6, 5), dtype=np.float32)})


def test_shape_only_models_cannot_be_captured():
    """Without a program there is nothing to run."""
    graph = traces.trace(nn.Linear(2, 2, device="meta"), torch.ones(1, 2))
    with pytest.raises(InputError, match="knows only shapes"):
        traces.capture(graph)


def test_importing_traces_does_not_import_torch():
    """The package's own import stays light, with ``capture`` a function whichever way it is reached."""
    code = "import sys, traces; from traces.capture import capture; assert traces.capture is capture; " + (
        "assert 'torch' not in sys.modules"
    )
    subprocess.run([sys.executable, "-c", code], check=True)
