"""Attention: the fused attention call as the products, scale, mask and softmax it consists of."""

from __future__ import annotations

from math import sqrt
from typing import Any

import torch
from torch import fx

from traces.frontend.nodes import arguments, aten, emit, op_name, shape, tensor
from traces.frontend.program import Program

_aten = torch.ops.aten
_FUSED = aten(
    "scaled_dot_product_attention _scaled_dot_product_flash_attention_for_cpu _scaled_dot_product_efficient_attention"
)


def split_attention(program: Program) -> None:
    """Rewrite every fused attention into matmul, scale, mask, softmax, matmul.

    softmax(Q K^T * scale + mask) V, as torch documents ``scaled_dot_product_attention``: ``is_causal`` keeps
    the lower triangle from the top left, a boolean mask keeps what is True, a row with nothing to attend to
    gives zeros. Dropout is left out: a model is costed as it is used.
    """
    for node in list(program.graph.nodes):
        if op_name(node) in _FUSED:
            with program.graph.inserting_before(node):
                result = _attention(node, arguments(node))
            if op_name(node) == "aten.scaled_dot_product_attention":
                node.replace_all_uses_with(result)
            else:  # (output, log-sum-exp, ...): inference reads the first
                for user in list(node.users):
                    user.replace_all_uses_with(result)
                    program.graph.erase_node(user)
            program.graph.erase_node(node)
    program.graph.eliminate_dead_code()


def _attention(node: fx.Node, given: dict[str, Any]) -> fx.Node:
    query, key, value = given["query"], given["key"], given["value"]
    mask = given.get("attn_mask", given.get("attn_bias"))
    scale = given["scale"] if given.get("scale") is not None else 1 / sqrt(shape(query)[-1])
    if given.get("enable_gqa"):
        key, value = (_repeat_heads(node, heads, shape(query)[-3]) for heads in (key, value))
    scores = emit(node, _aten.matmul.default, query, emit(node, _aten.transpose.int, key, -2, -1), label="qk")
    scores = emit(node, _aten.mul.Tensor, scores, scale, label="scale")
    if given["is_causal"]:
        square, device = [shape(query)[-2], shape(key)[-2]], tensor(query).device
        ones = emit(node, _aten.ones.default, square, dtype=torch.bool, device=device)
        mask = emit(node, _aten.tril.default, ones)
    if mask is None:
        weights = emit(node, _aten.softmax.int, scores, -1, label="softmax")
    else:
        if tensor(mask).dtype == torch.bool:
            scores = emit(node, _aten.where.ScalarOther, mask, scores, float("-inf"), label="mask")
        else:
            scores = emit(node, _aten.add.Tensor, scores, mask, label="mask")
        weights = emit(node, _aten._safe_softmax.default, scores, -1, label="softmax")
    return emit(node, _aten.matmul.default, weights, value, label="av")


def _repeat_heads(node: fx.Node, heads: fx.Node, count: int) -> fx.Node:
    """Give each query head its key head: the same data read again, no work."""
    times = count // shape(heads)[-3]
    if times == 1:
        return heads
    repeated = emit(node, _aten.repeat_interleave.self_int, heads, times, -3)
    repeated.meta["free"] = True
    return repeated
