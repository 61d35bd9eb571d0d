"""Tracing real torch models: values, MACs, names, errors."""

import numpy as np
import pytest
import torch
from torch import nn
from torch.nn import functional
from torch.utils._pytree import tree_leaves
from torch.utils.flop_counter import FlopCounterMode

import traces
from traces.errors import InputError


class Residual(nn.Module):
    """A small CNN: strided, depthwise, grouped and shared convolutions, batch norm, in-place relu, a residual."""

    def __init__(self):
        super().__init__()
        self.stem = nn.Sequential(nn.Conv2d(3, 8, 3, stride=2, padding=1, bias=False), nn.BatchNorm2d(8), nn.ReLU6())
        self.deep = nn.Conv2d(8, 8, 3, padding=1, groups=8)
        self.norm = nn.BatchNorm2d(8)
        self.shared = nn.Conv2d(8, 8, 3, padding=2, dilation=2, groups=2)
        self.fc = nn.Linear(8, 5)

    def forward(self, x):
        """Run it."""
        x = self.stem(x)
        y = functional.relu(self.norm(self.deep(x)), inplace=True)
        y = self.shared(self.shared(y)) + x
        y = functional.max_pool2d(y, 2)
        return self.fc(functional.adaptive_avg_pool2d(y, 1).flatten(1)).softmax(-1)


class Odd(nn.Module):
    """Products in every form, views written in place, a tied weight, dict and tuple outputs."""

    def __init__(self):
        super().__init__()
        self.w = nn.Parameter(torch.randn(5, 6))
        self.experts = nn.Parameter(torch.randn(3, 6, 7))
        self.emb = nn.Embedding(10, 6)
        self.normed = nn.utils.parametrizations.weight_norm(nn.Conv1d(7, 2, 1))

    def forward(self, x, index):
        """Run it."""
        left = self.w @ x
        grouped = torch.bmm(x.transpose(1, 2), self.experts)
        summed = torch.einsum("bkc,nk->bnc", x, self.w)
        rows = self.emb(index)
        rows[:, 0].mul_(0.5)
        scores = torch.baddbmm(rows, rows, x[:, :, :1] @ torch.ones(1, 6))
        tied = functional.linear(rows, self.emb.weight)
        vector = self.w @ rows[0, 0]
        return {"a": (left, summed), "b": self.normed(grouped.transpose(1, 2)), "c": [scores, tied, vector.dot(vector)]}


class Volumes(nn.Module):
    """Convolutions of other ranks, string padding, transposed, padding modes."""

    def __init__(self):
        super().__init__()
        self.c1 = nn.Sequential(nn.Conv1d(4, 6, 4, padding="same", dilation=2), nn.BatchNorm1d(6), nn.GELU())
        self.c3 = nn.Conv3d(4, 6, (3, 2, 3), padding=(1, 0, 2), stride=(2, 1, 1), dilation=(2, 1, 1), groups=2)
        self.up = nn.ConvTranspose2d(6, 4, 3, stride=2, padding=1, groups=2)
        self.mirror = nn.Conv2d(4, 4, (4, 3), padding="same", padding_mode="reflect")

    def forward(self, x):
        """Run it."""
        y = self.c3(x).mean(2)
        return self.mirror(self.up(y)), self.c1(x.mean((3, 4)))


class Cells(nn.Module):
    """Recurrent layers and cells."""

    def __init__(self):
        super().__init__()
        self.lstm = nn.LSTM(4, 3, num_layers=2, bidirectional=True, batch_first=True)
        self.gru = nn.GRU(6, 5, bias=False)
        self.cell = nn.GRUCell(5, 5)

    def forward(self, x):
        """Run it."""
        y, (h, c) = self.lstm(x)
        z, last = self.gru(y.transpose(0, 1), torch.ones(1, x.shape[0], 5))
        return self.cell(z[0], self.cell(z[1], last[0])), h, c


def transformer():
    """Return an encoder layer, which has a fused fast path in eval mode."""
    return nn.TransformerEncoderLayer(8, 2, 16, batch_first=True, activation="gelu")


class Attend(nn.Module):
    """Multi-head attention with three different inputs and with its weights returned."""

    def __init__(self):
        super().__init__()
        self.attention = nn.MultiheadAttention(6, 2)

    def forward(self, x):
        """Run it."""
        return self.attention(x, x * 2, x + 1)


CASES = {
    "residual": (Residual, lambda: (torch.randn(2, 3, 12, 12),)),
    "odd": (Odd, lambda: (torch.randn(3, 6, 4), torch.randint(0, 10, (3, 6)))),
    "volumes": (Volumes, lambda: (torch.randn(2, 4, 9, 6, 5),)),
    "cells": (Cells, lambda: (torch.randn(2, 3, 4),)),
    "transformer": (transformer, lambda: (torch.randn(2, 5, 8),)),
    "attention": (Attend, lambda: (torch.randn(4, 2, 6),)),
}


@pytest.fixture(scope="module", params=CASES)
def case(request):
    """Return (model in train mode, inputs, graph) of each case."""
    make, inputs = CASES[request.param]
    torch.manual_seed(0)
    model, inputs = make(), inputs()
    for module in model.modules():
        if isinstance(module, nn.modules.batchnorm._BatchNorm):
            nn.init.uniform_(module.running_mean, -1, 1)
            nn.init.uniform_(module.running_var, 0.5, 2)
            nn.init.uniform_(module.weight, 0.5, 2)
    return model, inputs, traces.trace(model, *inputs)


def evaluated(model, inputs):
    """Return the model's own outputs in eval mode, flat."""
    model.eval()
    with torch.no_grad():
        outputs = model(*inputs)
    model.train()
    return outputs


def test_program_computes_what_the_model_computes(case):
    """With the graph's own weights written back, outputs equal the model's, in its own nesting."""
    model, inputs, graph = case
    want, got = evaluated(model, inputs), graph.program.run(inputs, graph.weights)
    assert type(got) is type(want)
    for ours, theirs in zip(tree_leaves(got), tree_leaves(want), strict=True):
        torch.testing.assert_close(ours, theirs, rtol=1e-4, atol=1e-5)


def test_macs_are_half_of_torchs_flops(case):
    """Torch's flop counter, on the unfused program, agrees with the graph; it knows no fused RNN or mv."""
    model, inputs, graph = case
    if isinstance(model, Cells):
        pytest.skip("torch does not count recurrent layers")
    counter = FlopCounterMode(display=False)
    with counter:
        graph.program.run(inputs)
    uncounted = sum(op.macs for op in graph if op.gemm and op.gemm.m == 1) if isinstance(model, Odd) else 0
    assert graph.macs == counter.get_total_flops() / 2 + uncounted


def test_new_weights_change_the_output_and_not_the_model(case):
    """Zeroing a weight in ``run`` does what zeroing it in the model does; the model keeps its own."""
    model, inputs, graph = case
    before = [parameter.clone() for parameter in model.parameters()]
    zeros = {key: np.zeros_like(weight) for key, weight in graph.weights.items()}
    got = tree_leaves(graph.program.run(inputs, zeros))
    own = tree_leaves(graph.program.run(inputs))
    assert any(not torch.equal(a, b) for a, b in zip(got, own, strict=True))
    assert all(torch.equal(a, b) for a, b in zip(before, model.parameters(), strict=True))
    assert model.training


def convolved(gemm, image, weight):
    """Return the convolution that a Gemm describes; what it reads past the padded end is zero."""
    beyond = []
    for axis in "wh":
        size, out, kernel, stride, pad, dilation = (
            getattr(gemm, f"{name}_{axis}") for name in ("in", "out", "kernel", "stride", "pad", "dilation")
        )
        beyond += [pad, (out - 1) * stride + dilation * (kernel - 1) + 1 - pad - size]
    kernel = weight.reshape(-1, gemm.kernel_h, gemm.kernel_w, gemm.channels).permute(0, 3, 1, 2)
    stride, dilation = (gemm.stride_h, gemm.stride_w), (gemm.dilation_h, gemm.dilation_w)
    padded = functional.pad(image, beyond)
    return functional.conv2d(padded, kernel, stride=stride, dilation=dilation, groups=gemm.groups)


def test_operands_multiply_to_the_output(case):
    """I and W in the documented layouts give every array op's output value, up to one bias per column."""
    _, inputs, graph = case
    values = {}
    graph.program.run(inputs, watch=lambda name, value: values.setdefault(name, value.double()))
    for op in graph:
        if op.gemm is None or not op.output_value or op.addend_elements:
            continue
        gemm, left = op.gemm, values[op.input_values[0]]
        weight = torch.tensor(graph.weights[op.weight]).double() if op.weight else None
        if op.kind in ("conv", "depthwise"):
            product, positions = convolved(gemm, left, weight), (0, 2, 3)
        else:
            right = values[op.input_values[1]] if weight is None else weight.transpose(1, 2)
            product, positions = left.reshape(gemm.groups, gemm.m, gemm.k) @ right, (0, 1)
        bias = values[op.output_value].reshape(product.shape) - product
        torch.testing.assert_close(bias, bias.mean(positions, keepdim=True).expand_as(bias), rtol=0, atol=1e-5)
        assert weight is not None or bias.abs().max() < 1e-5


def test_batch_norm_is_folded_and_relu_stays():
    """Both norms of the CNN disappear into their convolutions, under the convolutions' weight keys."""
    graph = traces.trace(Residual(), torch.randn(1, 3, 8, 8))
    assert [(op.name, op.kind) for op in graph] == [
        ("stem.0", "conv"),
        ("stem.2", "relu6"),
        ("deep", "depthwise"),
        ("relu", "relu"),
        ("shared", "conv"),
        ("shared_1", "conv"),
        ("add", "add"),
        ("max_pool", "max_pool"),
        ("adaptive_avg_pool", "adaptive_avg_pool"),
        ("fc", "linear"),
        ("softmax", "softmax"),
    ]
    assert graph["shared"].weight == graph["shared_1"].weight == "shared.weight"
    assert sorted(graph.producers("add")) == ["shared_1", "stem.2"]
    assert set(graph.weights) == {"stem.0.weight", "deep.weight", "shared.weight", "fc.weight"}


def test_tracing_twice_gives_the_same_graph():
    """Names, values and edges are deterministic."""
    model, inputs = Odd(), (torch.randn(3, 6, 4), torch.randint(0, 10, (3, 6)))
    first, second = traces.trace(model, *inputs), traces.trace(model, *inputs)
    assert list(first) == list(second)
    assert list(first.dag.edges) == list(second.dag.edges)


def test_constants_shaped_like_an_input_multiply_as_activations():
    """A factor that takes its shape from an input is no weight, but the product counts and runs."""

    class Ones(nn.Module):
        """A product with ones."""

        def forward(self, x):
            """Run it."""
            return x @ torch.ones_like(x).t()

    inputs = torch.randn(3, 4)
    graph = traces.trace(Ones(), inputs)
    assert [(op.kind, op.macs) for op in graph] == [("matmul", 36)]
    assert [bitmap.shape for bitmap in traces.capture(graph).operands["matmul"]] == [(1, 3, 4), (1, 4, 3)]
    torch.testing.assert_close(graph.program.run((inputs,)), inputs @ torch.ones(4, 3))


def test_meta_models_give_shapes_only():
    """A model too large for any memory is traced on the meta device, without weights or program."""
    with torch.device("meta"):
        model = nn.Sequential(nn.Linear(2**20, 2**20), nn.ReLU(), nn.Linear(2**20, 8))
    graph = traces.trace(model, torch.ones(3, 2**20))
    assert graph.macs == 3 * 2**40 + 3 * 2**23
    assert graph.program is None
    assert not graph.weights
    assert graph["0"].weight == "0.weight"


def test_half_precision_weights_become_float32():
    """Bf16 weights are given as float32 and written back as bf16."""
    model = nn.Linear(4, 3).bfloat16()
    inputs = torch.randn(2, 4).bfloat16()
    graph = traces.trace(model, inputs)
    assert graph.weights["weight"].dtype == np.float32
    assert torch.equal(graph.program.run((inputs,), graph.weights), model(inputs))


class Unknown(nn.Module):
    """Calls an op that no table has."""

    def __init__(self):
        super().__init__()
        self.block = nn.Sequential(nn.Identity(), Inverse())

    def forward(self, x):
        """Run it."""
        return self.block(x)


class Inverse(nn.Module):
    """A matrix inverse."""

    def forward(self, x):
        """Run it."""
        return torch.linalg.inv(x)


def test_unknown_ops_are_named_with_their_place():
    """The sentence names the op, the module and the way out; the way out works."""
    with pytest.raises(InputError, match=r"in module block.1 \(Inverse\): the cost of aten.linalg_inv_ex.default"):
        traces.trace(Unknown(), torch.eye(3))
    graph = traces.trace(Unknown(), torch.eye(3), unknown="vector")
    assert [op.kind for op in graph] == ["aten.linalg_inv_ex"]
    assert graph["block.1.linalg_inv_ex"].vector.elements_in == 9


@pytest.mark.parametrize(
    ("call", "message"),
    [
        (lambda: traces.trace("resnet", torch.ones(1)), r"the model must be a torch.nn.Module, not 'str'"),
        (lambda: traces.trace(nn.ReLU(), [1.0]), r"input 0 must be a torch.Tensor, not 'list'"),
        (lambda: traces.trace(nn.ReLU(), torch.ones(1), unknown="skip"), r"unknown must be 'error' or 'vector'"),
        (lambda: traces.trace(nn.Linear(3, 4), torch.ones(2, 5)), r"Linear cannot be run and exported on .*\(2, 5\)"),
        (lambda: traces.trace(nn.Linear(3, 4)), r"Linear cannot be run and exported on"),
    ],
)
def test_bad_calls_are_told_in_a_sentence(call, message):
    """Wrong models, inputs and options give one line without torch's traceback."""
    with pytest.raises(InputError, match=message) as caught:
        call()
    assert "\n" not in str(caught.value)


def test_weights_must_be_finite():
    """NaN in a weight is refused by the weight's name."""
    model = nn.Sequential(nn.Linear(2, 2))
    model[0].weight.data[0, 0] = float("nan")
    with pytest.raises(InputError, match=r"weight 0\.weight must be finite"):
        traces.trace(model, torch.ones(1, 2))


def test_control_flow_is_refused():
    """torch.cond has no fixed cost."""

    class Branch(nn.Module):
        """One of two branches."""

        def forward(self, x):
            """Run it."""
            return torch.cond(x.sum() > 0, lambda y: y + 1, lambda y: y - 1, (x,))

    with pytest.raises(InputError, match="control flow"):
        traces.trace(Branch(), torch.ones(2))
