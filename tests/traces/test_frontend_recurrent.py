"""LSTM and GRU layers as ops."""

import numpy as np
import pytest
import torch
from torch import nn

import traces
from traces.errors import InputError


@pytest.mark.parametrize("cell", ["LSTM", "GRU"])
@pytest.mark.parametrize(
    "options", [{}, {"bias": False}, {"bidirectional": True, "num_layers": 2, "batch_first": True}]
)
def test_ops_and_values_of_a_layer(cell, options):
    """Each layer and direction is an input projection and a recurrence; the program equals torch's layer."""
    torch.manual_seed(0)
    model = getattr(nn, cell)(4, 3, **options)
    inputs = torch.randn(5, 2, 4)
    graph = traces.trace(model, inputs)
    outputs, last = model(inputs)
    got, got_last = graph.program.run((inputs,), graph.weights)
    torch.testing.assert_close(got, outputs)
    torch.testing.assert_close(got_last, last)
    steps, batch = (2, 5) if options.get("batch_first") else (5, 2)
    gates = {"LSTM": 4, "GRU": 3}[cell]
    weights = [name for name, _ in model.named_parameters() if name.startswith("weight")]
    assert sorted(graph.weights) == sorted(weights)
    for op in graph:
        if op.kind == "recurrent":
            assert (op.gemm.m, op.gemm.n, op.gemm.k, op.timesteps) == (steps * batch, gates * 3, 3, steps)
            assert op.addend_elements == op.gemm.output_elements
            assert graph.producers(op.name) == [op.name.removesuffix("hh") + "ih"]
    if options.get("num_layers"):
        assert set(graph.producers("lstm.l1.ih" if cell == "LSTM" else "gru.l1.ih")) == {
            f"{cell.lower()}.l0.hh",
            f"{cell.lower()}.l0_reverse.hh",
        }


def test_captured_hidden_states_are_those_of_every_step():
    """The operand of the recurrence is h(t-1): the initial state, then the layer's outputs, as GRUCell gives them."""
    torch.manual_seed(0)
    layer, inputs = nn.GRU(4, 6), torch.randn(5, 2, 4)
    nn.init.zeros_(layer.weight_hh_l0[12:])  # with no input either, the last two units never leave zero
    cell = nn.GRUCell(4, 6)
    cell.load_state_dict({name.removesuffix("_l0"): value for name, value in layer.state_dict().items()})
    for parameter in (layer.weight_ih_l0, layer.bias_ih_l0, layer.bias_hh_l0, *cell.parameters()):
        parameter.data.reshape(3, 6, -1)[:, 4:] = 0
    layer.weight_hh_l0.data.reshape(3, 6, -1)[:, 4:] = 0
    hidden, states = torch.zeros(2, 6), []
    for step in inputs:
        states.append(hidden)
        hidden = cell(step, hidden)
    graph = traces.capture(traces.trace(layer, inputs))
    (captured,) = graph.operands["gru.l0.hh"]
    assert np.array_equal(captured.unpack(), (torch.cat(states) != 0).numpy())
    assert not captured.unpack()[:, 4:].any()
    assert captured.unpack()[2:, :4].all()


def test_projections_are_refused():
    """An LSTM with proj_size has a third matrix per step, which no op stands for."""
    with pytest.raises(InputError, match="proj_size"):
        traces.trace(nn.LSTM(4, 6, proj_size=3), torch.randn(5, 2, 4))
