"""Vector ops: kinds, sizes and work."""

import pytest
import torch
from torch import nn
from torch.nn import functional

import traces


class Call(nn.Module):
    """A function as a model, with a constant at hand."""

    def __init__(self, function):
        super().__init__()
        self.function = function
        self.register_buffer("constant", torch.ones(4, 1, 1))

    def forward(self, *inputs):
        """Run it."""
        return self.function(*inputs, self.constant)


IMAGE, N = torch.randn(2, 4, 6, 6), 2 * 4 * 6 * 6
CASES = [
    ("relu", lambda x, _: functional.relu(x, inplace=True), (N, N, N)),
    ("relu6", lambda x, _: functional.relu6(x), (N, N, N)),
    ("clamp", lambda x, _: x.clamp(-1, 1), (N, N, N)),
    ("scale", lambda x, _: 2 * x, (N, N, N)),
    ("scale", lambda x, c: x - c, (N, N, N)),
    ("mul", lambda x, _: x * x, (N, N, N)),
    ("softmax", lambda x, _: x.softmax(-1), (N, N, 5 * N)),
    ("layer_norm", lambda x, _: functional.layer_norm(x, (6,)), (N, N, 7 * N)),
    ("mean", lambda x, _: x.mean((2, 3)), (N, 8, N)),
    ("max", lambda x, _: x.amax(1), (N, N // 4, N)),
    ("max_pool", lambda x, _: functional.max_pool2d(x, 3, stride=1), (N, 2 * 4 * 16, 2 * 4 * 16 * 9)),
    ("avg_pool", lambda x, _: functional.avg_pool2d(x, (2, 3)), (N, N // 6, N)),
    ("adaptive_avg_pool", lambda x, _: functional.adaptive_avg_pool2d(x, 2), (N, 32, N)),
    ("upsample", lambda x, _: functional.interpolate(x, scale_factor=2, mode="bilinear"), (N, 4 * N, 16 * N)),
    ("copy", lambda x, _: torch.cat([x, x[:, :1]], 1), (N + N // 4, N + N // 4, N + N // 4)),
]


@pytest.mark.parametrize(("kind", "function", "work"), CASES)
def test_work_follows_from_shapes(kind, function, work):
    """Elements in, elements out and lane operations of each kind, from the sizes of its tensors."""
    (op,) = traces.trace(Call(function), IMAGE)
    assert op.kind == kind
    assert (op.vector.elements_in, op.vector.elements_out, op.vector.lane_ops) == work


def test_two_operands_are_read_and_added_once_per_output():
    """A residual reads both sides and does one addition per element."""
    (op,) = traces.trace(Call(lambda x, y, _: x + y), IMAGE, IMAGE)
    assert (op.kind, op.vector.elements_in, op.vector.lane_ops) == ("add", 2 * N, N)


def test_what_moves_no_data_is_free():
    """Views, dropout, casts and whatever depends on no input give no op, and edges pass through them."""

    def function(x, constant):
        table = torch.arange(6).float().sin() * constant
        x = functional.dropout(x.permute(0, 2, 3, 1).reshape(2, 36, 4), training=False)
        first, second = x.relu().double().float().chunk(2, 1)
        return first.transpose(1, 2).unflatten(-1, (3, 6)), second + second.new_zeros(1), table

    graph = traces.trace(Call(function), IMAGE)
    assert [op.kind for op in graph] == ["relu", "scale"]
    assert graph.producers("scale") == ["relu"]
