"""Fused attention, split into products."""

import pytest
import torch
from torch import nn
from torch.nn import functional

import traces


class Attention(nn.Module):
    """One fused call with fixed options."""

    def __init__(self, **options):
        super().__init__()
        self.options = options

    def forward(self, query, key, value, *mask):
        """Run it."""
        return functional.scaled_dot_product_attention(query, key, value, *mask, **self.options)


def queries(heads=4, key_heads=4, rows=5, columns=7):
    """Return random queries, keys and values of 2 sequences."""
    generator = torch.Generator().manual_seed(0)
    sizes = ((heads, rows, 8), (key_heads, columns, 8), (key_heads, columns, 6))
    return [torch.randn(2, *size, generator=generator) for size in sizes]


BOOLEAN = torch.tensor([[True, False] * 3 + [True]] * 4 + [[False] * 7])
CASES = {
    "plain": ({}, queries(), 4),
    "causal": ({"is_causal": True}, queries(), 5),
    "scaled": ({"scale": 0.3}, queries(), 4),
    "grouped": ({"enable_gqa": True}, queries(key_heads=2), 4),
    "boolean mask with an empty row": ({"attn_mask": BOOLEAN}, queries(), 5),
    "float mask": ({"attn_mask": torch.linspace(-3, 3, 35).reshape(5, 7)}, queries(), 5),
    "mask from an input": ({}, [*queries(), BOOLEAN.expand(2, 1, 5, 7)], 5),
    "no heads": ({}, [tensor[0, 0] for tensor in queries()], 4),
}


@pytest.mark.parametrize("name", CASES)
def test_split_attention_equals_the_fused_call(name):
    """Every option of the fused call gives torch's result, product by product."""
    options, inputs, length = CASES[name]
    model = Attention(**options)
    graph = traces.trace(model, *inputs)
    torch.testing.assert_close(graph.program.run(inputs), model(*inputs), rtol=1e-5, atol=1e-5)
    assert len(graph) == length
    batch, rows, columns = inputs[0].shape[:-2].numel(), 5, 7
    assert [op.macs for op in graph if op.gemm] == [batch * rows * columns * 8, batch * rows * columns * 6]
    assert [op.name for op in graph if op.gemm] == ["qk", "av"]


def test_causal_zeros_are_seen():
    """The captured weights of causal attention are the lower triangle."""
    graph = traces.capture(traces.trace(Attention(is_causal=True), *queries(rows=6, columns=6)))
    weights, values = graph.operands["av"]
    assert weights.unpack().tolist() == [torch.ones(6, 6).tril().bool().tolist()] * 8
    assert values.density == 1.0
