"""DeltaGRU and DeltaLSTM against torch and against a slow step-by-step reference."""

from math import exp, tanh

import numpy as np
import pytest
import torch
from hypothesis import given, settings
from hypothesis import strategies as st
from torch import nn

import traces
from traces import zoo
from traces.delta import capture_delta, run_delta
from traces.errors import InputError

CELLS = {"GRU": nn.GRU, "LSTM": nn.LSTM}


@pytest.mark.parametrize("cell", CELLS)
@pytest.mark.parametrize(
    "options", [{}, {"bias": False}, {"bidirectional": True, "num_layers": 2, "batch_first": True}]
)
def test_threshold_zero_is_torchs_layer(cell, options):
    """Without a threshold all outputs and last states are torch's to 1e-5, also over 80 steps."""
    torch.manual_seed(0)
    model, inputs = CELLS[cell](4, 8, **options), torch.randn(80, 2, 4)
    if options.get("batch_first"):
        inputs = inputs.transpose(0, 1).contiguous()
    want = model(inputs)
    got = run_delta(traces.trace(model, inputs), threshold=0.0)
    torch.testing.assert_close(got, tuple(want) if cell == "GRU" else want, rtol=0, atol=1e-5)


def sigmoid(x):
    """Return the logistic function of a number."""
    return 1 / (1 + exp(-x))


def slow_cell(cell, layer, sequence, tx, th, quantum=None):
    """Walk a layer unit by unit and step by step; return outputs, dx and dh, each (steps, batch, units)."""
    hidden, gates = layer.hidden_size, {"GRU": 3, "LSTM": 4}[cell]
    w_ih, w_hh = layer.weight_ih_l0.tolist(), layer.weight_hh_l0.tolist()
    b_ih, b_hh = layer.bias_ih_l0.tolist(), layer.bias_hh_l0.tolist()

    def grid(x):
        return round(x / quantum) * quantum if quantum else x

    outputs, all_dx, all_dh = [], [], []
    for sample in sequence.transpose(0, 1).tolist():
        xp, hp = [0.0] * len(sample[0]), [0.0] * hidden
        h, c = [0.0] * hidden, [0.0] * hidden
        m_x, m_h = list(b_ih), list(b_hh)  # the parts that W_ih dx and W_hh dh add into
        outputs.append([]), all_dx.append([]), all_dh.append([])
        for x in sample:
            dx, dh = [0.0] * len(xp), [0.0] * hidden
            for j, now in enumerate(map(grid, x)):
                if abs(now - xp[j]) >= tx:
                    dx[j], xp[j] = now - xp[j], now
            for j, now in enumerate(h):
                if abs(now - hp[j]) >= th:
                    dh[j], hp[j] = now - hp[j], now
            for row in range(gates * hidden):
                m_x[row] += sum(w * d for w, d in zip(w_ih[row], dx, strict=True))
                m_h[row] += sum(w * d for w, d in zip(w_hh[row], dh, strict=True))
            for u in range(hidden):
                a = [m_x[gate * hidden + u] for gate in range(gates)]
                b = [m_h[gate * hidden + u] for gate in range(gates)]
                if cell == "GRU":
                    r, z = sigmoid(a[0] + b[0]), sigmoid(a[1] + b[1])
                    h[u] = grid((1 - z) * tanh(a[2] + r * b[2]) + z * h[u])
                else:
                    i, f, o = sigmoid(a[0] + b[0]), sigmoid(a[1] + b[1]), sigmoid(a[3] + b[3])
                    c[u] = f * c[u] + i * tanh(a[2] + b[2])
                    h[u] = grid(o * tanh(c[u]))
            outputs[-1].append(list(h)), all_dx[-1].append(dx), all_dh[-1].append(dh)
    return (np.swapaxes(np.array(values), 0, 1) for values in (outputs, all_dx, all_dh))


@settings(max_examples=15, deadline=None)
@given(
    cell=st.sampled_from(sorted(CELLS)),
    seed=st.integers(0, 99),
    tx=st.floats(0.001, 1.5),
    th=st.floats(0.001, 0.5),
    quantum=st.sampled_from([None, 2.0**-8, 2.0**-4]),
)
def test_any_threshold_agrees_with_the_slow_reference(cell, seed, tx, th, quantum):
    """Outputs, dx and dh are those of the formulas, walked number by number."""
    torch.manual_seed(seed)
    layer, sequence = CELLS[cell](3, 4), torch.randn(9, 2, 3)
    graph = traces.trace(layer, sequence)
    rule = {"threshold": tx, "hidden_threshold": th, "quantum": quantum}
    outputs, dx, dh = slow_cell(cell, layer, sequence, tx, th, quantum)
    np.testing.assert_allclose(run_delta(graph, sequence, **rule)[0].detach(), outputs, atol=1e-6)
    captured = capture_delta(graph, sequence, **rule)
    name = cell.lower() + ".l0"
    assert np.array_equal(captured.operands[f"{name}.ih"][0].unpack(), dx.reshape(18, 3) != 0)
    assert np.array_equal(captured.operands[f"{name}.hh"][0].unpack(), dh.reshape(18, 4) != 0)


def test_the_graph_of_a_recurrent_model():
    """Only the layers' two products carry deltas; what follows them is plain, and shapes stay as traced."""
    model, inputs = zoo.build("gru", reduced=True)
    graph = traces.trace(model, *inputs)
    captured = capture_delta(graph, threshold=0.2)
    assert captured.macs == graph.macs
    for op in captured:
        if op.name.startswith("recurrent"):
            assert (op.encoding, op.timesteps) == ("delta", 5)
            assert op.gemm == graph[op.name].gemm
        elif op.gemm is not None:
            assert (op.encoding, op.timesteps) == ("", 1)
            assert captured.operands[op.name] != ()
    still = capture_delta(graph, torch.zeros(1, 5, 8), threshold=0.2)
    assert still.operands["recurrent.l0.ih"][0].nonzeros == 0


def test_bad_sequences_are_refused():
    """A wrong length, a single step and NaN are told in a sentence."""
    graph = traces.trace(nn.GRU(3, 4), torch.randn(6, 1, 3))
    with pytest.raises(InputError, match=r"input 0 must be of shape \(6, 1, 3\) .* as traced, not \(7, 1, 3\)"):
        capture_delta(graph, torch.randn(7, 1, 3), threshold=0.1)
    with pytest.raises(InputError, match="input 0 must hold finite numbers"):
        capture_delta(graph, torch.full((6, 1, 3), float("nan")), threshold=0.1)
    with pytest.raises(InputError, match="the sequence must be at least 2 steps long to have changes, not 1"):
        capture_delta(traces.trace(nn.GRU(3, 4), torch.randn(1, 1, 3)), threshold=0.1)
