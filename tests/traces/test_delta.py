"""Capturing the changes of sequences."""

import subprocess
import sys

import numpy as np
import pytest
import torch
from hypothesis import given
from hypothesis import strategies as st
from torch import nn
from torch.nn import functional

import traces
from traces.delta import capture_delta, parse_activations, run_delta, tracing_inputs
from traces.delta_rule import DeltaRule
from traces.errors import InputError


class Residual(nn.Module):
    """Two convolutions, the second one depthwise, beside a shortcut that must see the value as it is."""

    def __init__(self):
        super().__init__()
        self.first = nn.Conv2d(2, 4, 3, padding=1)
        self.second = nn.Conv2d(4, 4, 3, padding=1, groups=4)
        self.last = nn.Linear(4, 3)

    def forward(self, image):
        """Return scores (batch, 3) of images (batch, 2, 6, 6)."""
        hidden = self.first(image).relu()
        return self.last((self.second(hidden) + hidden).mean((2, 3)))


@pytest.fixture(scope="module")
def net():
    """Return the residual net, its graph of one frame, and five frames in which a corner moves."""
    torch.manual_seed(0)
    model, frames = Residual(), torch.randn(1, 2, 6, 6).repeat(5, 1, 1, 1)
    frames[1:, :, :2, :3] += torch.randn(4, 2, 2, 3)
    return model, traces.trace(model, frames[:1], name="residual"), frames


def slow_residual(model, frames, threshold):
    """Accumulate W * delta layer by layer, first frame dense; return the outputs and each layer's deltas."""

    def quantised(value):
        return torch.round(value / threshold) * threshold if threshold else value

    layers = {
        "first": lambda x: functional.conv2d(x, model.first.weight, padding=1),
        "second": lambda x: functional.conv2d(x, model.second.weight, padding=1, groups=4),
        "last": lambda x: functional.linear(x, model.last.weight),
    }
    bias = {"first": model.first.bias[:, None, None], "second": model.second.bias[:, None, None]}
    bias["last"] = model.last.bias
    sent, sums, deltas, outputs = {}, {}, {name: [] for name in layers}, []

    def step(name, value):
        now = quantised(value)
        delta = now - sent.get(name, torch.zeros_like(now))
        deltas[name].append(torch.ones_like(now) if name not in sent else (now != sent[name]))
        sums[name] = sums.get(name, 0) + layers[name](delta)
        sent[name] = now
        return sums[name] + bias[name]

    with torch.no_grad():
        for frame in frames:
            hidden = step("first", frame[None]).relu()
            outputs.append(step("last", (step("second", hidden) + hidden).mean((2, 3))))
    return torch.stack(outputs), {name: torch.cat(values).bool().numpy() for name, values in deltas.items()}


def test_threshold_zero_is_the_dense_result_exactly(net):
    """Nothing is rounded at threshold 0: every output has the bits of the program's own run."""
    model, graph, frames = net
    outputs = run_delta(graph, frames, threshold=0.0)
    assert torch.equal(outputs, torch.stack([graph.program.run((frame[None],)) for frame in frames]))
    torch.testing.assert_close(outputs[:, 0], model(frames))


@pytest.mark.parametrize("threshold", [0.0, 0.05, 0.3, 2.0])
def test_frames_agree_with_accumulated_deltas(net, threshold):
    """Outputs are those of y += W * delta on rounded operands; bitmaps are where those deltas are not zero."""
    model, graph, frames = net
    outputs, deltas = slow_residual(model, frames, threshold)
    torch.testing.assert_close(run_delta(graph, frames, threshold=threshold), outputs, rtol=1e-4, atol=1e-5)
    captured = capture_delta(graph, frames, threshold=threshold)
    for name in ("first", "second"):
        got = captured.operands[name][0].unpack()
        assert got.shape == (5, *deltas[name].shape[1:])
        # A value at a rounding boundary may fall either way after another order of sums.
        assert np.count_nonzero(got != deltas[name]) <= (0 if name == "first" or threshold else got.size // 4)


def test_the_graph_does_the_work_of_all_frames(net):
    """Gemms and vector work grow by T, array ops tell their steps, and unchanged pixels have no events."""
    _, graph, frames = net
    captured = capture_delta(graph, frames, threshold=0.1)
    assert captured.macs == 5 * graph.macs
    for op in captured:
        if op.vector is not None:
            assert op.vector.lane_ops == 5 * graph[op.name].vector.lane_ops
        else:
            assert (op.timesteps, op.encoding, op.gemm.batch) == (5, "delta", 5)
    first = captured.operands["first"][0].unpack()
    assert first[0].all()
    assert not first[1:, :, 2:].any()
    assert not first[1:, :, :, 3:].any()
    assert captured.program is graph.program
    assert not graph.operands
    assert list(captured.dag.edges) == list(graph.dag.edges)
    nonzero = captured.weights["first.weight"] != 0
    assert traces.effectual_macs(captured["first"], nonzero, captured.operands["first"]) < captured["first"].macs


def test_batches_stay_within_their_frame():
    """Frames of the traced shape, batch included, give a time-major batch; fp16 is rounded in float32."""
    torch.manual_seed(0)
    model, frames = nn.Linear(4, 2).half(), torch.randn(3, 2, 4).half()
    graph = traces.trace(model, frames[0])
    (bitmap,) = capture_delta(graph, frames, threshold=0.25).operands["linear"]
    levels = torch.round(frames.float() / 0.25)
    want = np.concatenate([np.ones((2, 4)), (levels[1] != levels[0]), (levels[2] != levels[1])])
    assert np.array_equal(bitmap.unpack().reshape(6, 4), want)


class Attention(nn.Module):
    """A projection, a product of two activations and a weight on the left."""

    def __init__(self):
        super().__init__()
        self.project = nn.Linear(4, 4)
        self.left = nn.Parameter(torch.randn(5, 3))
        self.batched = nn.Parameter(torch.randn(2, 4, 6))

    def forward(self, tokens):
        """Return mixed tokens (2, 5, 6) of (2, 3, 4)."""
        queries = self.project(tokens)
        mixed = queries @ tokens.transpose(1, 2) @ queries
        return torch.matmul(self.left, mixed) @ self.batched


def test_products_of_activations_have_no_delta_form():
    """They stay plain, as more groups; products with a weight, on either side and batched, become deltas."""
    torch.manual_seed(0)
    model, frames = Attention(), torch.randn(4, 2, 3, 4)
    graph = traces.trace(model, frames[0], unknown="vector")
    captured = capture_delta(graph, frames, threshold=0.5)
    torch.testing.assert_close(run_delta(graph, frames, threshold=0.0), torch.stack([model(f) for f in frames]))
    for op in captured:
        if op.gemm is None:
            continue
        before = graph[op.name].gemm
        assert op.gemm.macs == 4 * before.macs
        if op.weight is None:
            assert (op.encoding, op.timesteps, op.gemm.groups) == ("", 1, 4 * before.groups)
        else:
            assert (op.encoding, op.timesteps, op.gemm.m) == ("delta", 4, 4 * before.m)
        assert 0 <= traces.effectual_macs(op, None, captured.operands[op.name]) <= op.macs
    (batched,) = [op for op in captured if op.weight == "batched"]
    by_group = captured.operands[batched.name][0].unpack()
    assert by_group.shape == (2, 4 * 5, 4)
    assert by_group[:, :5].all()


@given(st.sampled_from(("delta:", "delta: ", " delta:")), st.floats(1e-6, 1e6))
def test_activations_are_parsed(prefix, threshold):
    """The text after the colon is the threshold."""
    assert parse_activations(f"{prefix}{threshold!r}") == threshold


@pytest.mark.parametrize("text", ["delta", "delta:", "delta:x", "0.1", "spikes:0.1", "delta:0.1:2", ""])
def test_other_texts_are_refused(text):
    """A missing or odd encoding or number is told with the form to use."""
    with pytest.raises(InputError, match=r"--activations must be of the form delta:THRESHOLD, such as delta:0.1, not"):
        parse_activations(text)


@pytest.mark.parametrize("number", ["-0.1", "nan", "inf", "1e-30", "1e30"])
def test_thresholds_out_of_range_are_refused(net, number):
    """Negative, NaN, infinite and unusable thresholds are told by value, on the command line and in Python."""
    with pytest.raises(InputError, match=r"--activations delta:.*: THRESHOLD must be 0 or a number from .*, not"):
        parse_activations(f"delta:{number}")
    with pytest.raises(InputError, match=r"^threshold must be 0 or a number"):
        capture_delta(net[1], net[2], threshold=float(number))
    with pytest.raises(InputError, match=r"^hidden_threshold must be"):
        DeltaRule(threshold=0.0, hidden_threshold=float(number))


def test_a_quantum_of_zero_is_refused():
    """A grid of no step is no grid."""
    with pytest.raises(InputError, match="quantum must be above 0, or None for floating point, not 0"):
        DeltaRule(threshold=0.1, quantum=0)


@pytest.mark.parametrize(
    ("change", "message"),
    [
        (lambda f: (f[:1],), r"input 0 must have at least 2 frames, not 1: .* a single frame has no time"),
        (lambda f: (f[:, :1],), r"input 0 must be a sequence of T frames, of shape \(T, 1, 2, 6, 6\) or"),
        (lambda f: (f[0],), r"or \(T, 2, 6, 6\), not \(2, 6, 6\)"),
        (lambda f: (f, f), "the number of inputs must be 1, as traced, not 2"),
        (lambda f: (f.double(),), "input 0 must be of dtype torch.float32 as traced, not 'torch.float64'"),
        (lambda f: (f * float("nan"),), "input 0 must hold finite numbers, but holds NaN or infinity"),
        (lambda f: ([f],), "input 0 must be a torch.Tensor, not 'list'"),
        (lambda f: (), r"input 0 must have at least 2 frames, not 1"),
    ],
)
def test_what_is_no_sequence_is_refused(net, change, message):
    """Wrong shapes, single frames, NaN and wrong types are told in a sentence."""
    with pytest.raises(InputError, match=message):
        capture_delta(net[1], *change(net[2]), threshold=0.1)


def test_sequences_of_several_inputs_have_one_length():
    """Two inputs must be equally long; a batch given as one frame is told to be one."""

    class Sum(nn.Linear):
        def forward(self, left, right):
            return super().forward(left + right)

    graph = traces.trace(Sum(3, 2), torch.ones(2, 3), torch.ones(2, 3))
    with pytest.raises(InputError, match=r"the inputs must be sequences of the same length, not \[4, 5\]"):
        capture_delta(graph, torch.ones(4, 2, 3), torch.ones(5, 2, 3), threshold=0.1)
    with pytest.raises(InputError, match="this is a single frame, which has no time"):
        capture_delta(graph, threshold=0.1)


def test_graphs_that_cannot_be_run_are_refused(net):
    """Shapes alone have no changes, and changes are captured once."""
    shapes = traces.trace(nn.Linear(2, 2, device="meta"), torch.ones(1, 2))
    with pytest.raises(InputError, match="knows only shapes, so there are no changes to capture"):
        capture_delta(shapes, torch.ones(3, 2), threshold=0.1)
    with pytest.raises(InputError, match="has its changes captured already"):
        capture_delta(capture_delta(net[1], net[2], threshold=0.1), net[2], threshold=0.1)


def test_models_are_traced_on_what_their_sequence_needs(net):
    """A recurrent model on the whole sequence, any other on its own inputs or the first frame."""
    sequence, own = (torch.zeros(5, 2, 6, 6),), (torch.zeros(2, 2, 6, 6),)
    assert tracing_inputs(nn.Sequential(nn.GRU(3, 3)), sequence, own) is sequence
    assert tracing_inputs(net[0], sequence, own) is own
    assert tracing_inputs(net[0], sequence)[0].shape == (1, 2, 6, 6)
    with pytest.raises(InputError, match="time along its first dimension, not a single number"):
        tracing_inputs(net[0], (torch.tensor(1.0),))


def test_importing_delta_does_not_import_torch():
    """Parsing thresholds needs no torch."""
    code = "import sys, traces.delta; traces.delta.parse_activations('delta:1'); assert 'torch' not in sys.modules"
    subprocess.run([sys.executable, "-c", code], check=True)
