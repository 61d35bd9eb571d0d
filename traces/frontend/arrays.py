"""Arrays: handlers of what runs on a MAC array.

Layouts of the operands named by ``Op.input_values`` (views are added to the program where torch's differs):

===================  ======================================  =========================================
kind                 I                                       W, where it is an activation
===================  ======================================  =========================================
conv, depthwise      (batch, groups * channels, in_h, in_w)  left out (a convolution by activations)
linear               (..., k), or (groups, m, k)
matmul               (groups, m, k)                          (groups, k, n)
recurrent            (timesteps * batch, k)
===================  ======================================  =========================================

A 1-d convolution is an image 1 wide. A 3-d convolution is a batch of ``out_d`` images whose channels are
(kernel_d, channel) of a group, gathered over the depth. A transposed convolution is a linear op over the
input positions, n = (filter, kernel), and a vector op that adds the overlaps.
"""

from __future__ import annotations

from collections.abc import Sequence
from math import prod
from operator import getitem

import numpy as np
import torch
from torch import fx

from traces.frontend.layout import Layout
from traces.frontend.nodes import arguments, aten, elements, op_name, shape
from traces.frontend.walk import Handler, Walk
from traces.gemm import Gemm
from traces.op import Op
from traces.vector import LANE_OPS_PER_ELEMENT, VectorWork

_aten = torch.ops.aten
_WITH_ADDEND = aten("addmm baddbmm addmv")


def _spread(value: int | Sequence[int], rank: int) -> list[int]:
    """Torch takes one size for all dimensions, as a number or a list of one."""
    values = [value] if isinstance(value, int) else list(value)
    return values * rank if len(values) == 1 else values


def convolution(walk: Walk, node: fx.Node) -> list[Op]:
    """conv1d, conv2d, conv3d and aten.convolution, string paddings included."""
    given = arguments(node)
    if given.get("transposed"):
        return transposed_convolution(walk, node)
    image, weight, groups = given["input"], given["weight"], given["groups"]
    filters, channels, *kernel = shape(weight)
    rank = len(kernel)
    stride, dilation = _spread(given["stride"], rank), _spread(given["dilation"], rank)
    if isinstance(given["padding"], str):  # "same" pads the odd element at the end
        same = given["padding"] == "same"
        pad = [d * (k - 1) // 2 if same else 0 for d, k in zip(dilation, kernel, strict=True)]
    else:
        pad = _spread(given["padding"], rank)
    size, out = list(shape(image)[-rank:]), list(shape(node)[-rank:])
    batch = prod(shape(image)[: -rank - 1])
    out_value = node
    if rank == 3:
        image = _gather_depth(walk, image, kernel[0], stride[0], pad[0], dilation[0], out[0], groups)
        out_value = walk.view(node, _aten.movedim.int, node, -3, -4)
        batch, channels = batch * out[0], channels * kernel[0]
        size, kernel, stride, pad, dilation, out = (x[1:] for x in (size, kernel, stride, pad, dilation, out))
    if rank == 1:
        size, out, kernel, stride, dilation = ([*x, 1] for x in (size, out, kernel, stride, dilation))
        pad = [*pad, 0]
    gemm = Gemm(
        channels=channels,
        filters=filters // groups,
        batch=batch,
        groups=groups,
        **{f"in_{axis}": value for axis, value in zip("hw", size, strict=True)},
        **{f"out_{axis}": value for axis, value in zip("hw", out, strict=True)},
        **{f"kernel_{axis}": value for axis, value in zip("hw", kernel, strict=True)},
        **{f"stride_{axis}": value for axis, value in zip("hw", stride, strict=True)},
        **{f"pad_{axis}": value for axis, value in zip("hw", pad, strict=True)},
        **{f"dilation_{axis}": value for axis, value in zip("hw", dilation, strict=True)},
    )
    key = _weight(walk, node, weight, Layout.conv(shape(weight), groups))
    kind = "depthwise" if groups > 1 and channels == 1 else "conv"
    value = walk.reshaped(image, batch, groups * channels, *size)
    return [
        Op(
            name=walk.names.claim(node, kind, key),
            kind=kind,
            gemm=gemm,
            weight=key,
            input_values=(value.name,),
            output_value=out_value.name,
            bias=walk.parameter(given["bias"]),
        )
    ]


def _gather_depth(
    walk: Walk, image: fx.Node, kernel: int, stride: int, pad: int, dilation: int, out: int, groups: int
) -> fx.Node:
    """Return ([batch, ]c, d, h, w) as (batch * out_d, groups * kernel_d * c / groups, h, w)."""
    *_, channels, _, height, width = shape(image)
    value = walk.view(image, _aten.constant_pad_nd.default, image, [0, 0, 0, 0, pad, pad + dilation * (kernel - 1)])
    value = walk.view(value, _aten.unfold.default, value, -3, dilation * (kernel - 1) + 1, stride)
    value = walk.view(value, _aten.slice.Tensor, value, -4, 0, out)
    value = walk.view(value, _aten.slice.Tensor, value, -1, 0, None, dilation)
    split = [-1, groups, channels // groups, out, height, width, kernel]
    value = walk.view(value, _aten.reshape.default, value, split)
    value = walk.view(value, _aten.permute.default, value, [0, 3, 1, 6, 2, 4, 5])
    return walk.view(value, _aten.reshape.default, value, [-1, channels * kernel, height, width])


def transposed_convolution(walk: Walk, node: fx.Node) -> list[Op]:
    """conv_transpose1d/2d/3d: one product per input position, then the overlapping results are added."""
    given = arguments(node)
    image, weight, groups = given["input"], given["weight"], given["groups"]
    rank = len(shape(weight)) - 2
    positions = prod(shape(image)[-rank:]) * prod(shape(image)[: -rank - 1])
    k, n = shape(weight)[0] // groups, prod(shape(weight)[1:])
    value = walk.view(image, _aten.reshape.default, image, [-1, groups, k, prod(shape(image)[-rank:])])
    value = walk.view(value, _aten.permute.default, value, [1, 0, 3, 2])
    value = walk.view(value, _aten.reshape.default, value, [groups, positions, k])
    key = _weight(walk, node, weight, Layout.conv_transpose(shape(weight), groups))
    gemm = Gemm.matmul(positions, n, k, groups)
    name = walk.names.claim(node, "linear", key, ("", ".overlap_add"))
    added = VectorWork.of("overlap_add", gemm.output_elements, elements(node))
    return [
        Op(name=name, kind="linear", gemm=gemm, weight=key, input_values=(value.name,)),
        Op(name=f"{name}.overlap_add", kind="overlap_add", vector=added, output_value=node.name),
    ]


def linear(walk: Walk, node: fx.Node) -> list[Op]:
    """aten.linear: x of (..., k) times a weight of (n, k), bias included."""
    given = arguments(node)
    weight = given["weight"]
    if not walk.is_parameter(weight):
        weight = walk.view(weight, _aten.transpose.int, weight, 0, 1)
        return _activations(walk, node, given["input"], weight, pure=given["bias"] is None)
    bias = walk.parameter(given["bias"])
    return [_linear(walk, node, given["input"], weight, Layout.linear(shape(weight)), node, bias=bias)]


def product(walk: Walk, node: fx.Node) -> list[Op]:
    """Matrix products of every form, with an addend (addmm, baddbmm, addmv) or without."""
    with_addend = op_name(node) in _WITH_ADDEND
    addend, left, right = node.args[:3] if with_addend else (None, *node.args[:2])
    assert isinstance(left, fx.Node)
    assert isinstance(right, fx.Node)
    added = elements(node) if isinstance(addend, fx.Node) and addend in walk.active else 0
    bias = walk.parameter(addend)
    one_each = bias is not None and isinstance(addend, fx.Node) and len(shape(addend)) == 1
    pure = (addend is None or one_each) and not node.kwargs  # kwargs scale the product or the addend
    if walk.is_parameter(right):
        batch = prod(shape(right)[:-2])
        layout = Layout.product(shape(right))
        if batch == 1:
            return [_linear(walk, node, left, right, layout, node if pure else None, added, bias)]
        if shape(left)[:-2] == shape(right)[:-2]:
            value = walk.reshaped(left, batch, *shape(left)[-2:])
            return [_linear(walk, node, value, right, layout, node if pure else None, added, bias)]
    if walk.is_parameter(left) and prod(shape(left)[:-2]) == 1:  # O = W I: the same product, transposed
        matrix = len(shape(right)) > 1
        value = walk.view(right, _aten.transpose.int, right, -1, -2) if matrix else right
        rows = len(shape(left)) > 1
        out = walk.view(node, _aten.transpose.int, node, -1, -2) if matrix and rows else node
        return [_linear(walk, node, value, left, Layout.linear(shape(left)), out if addend is None else None, added)]
    return _activations(walk, node, left, right, added, pure and addend is None)


def _linear(
    walk: Walk,
    node: fx.Node,
    value: fx.Node,
    weight: fx.Node,
    layout: Layout,
    out: fx.Node | None,
    added: int = 0,
    bias: str | None = None,
) -> Op:
    groups, n, k = layout.matrix
    key = walk.weight(weight, node, layout)
    return Op(
        name=walk.names.claim(node, "linear", key),
        kind="linear",
        gemm=Gemm.matmul(elements(value) // (groups * k), n, k, groups),
        weight=key,
        addend_elements=added,
        input_values=(value.name,),
        output_value=out.name if out else "",
        bias=bias if out else None,
    )


def _activations(
    walk: Walk, node: fx.Node, left: fx.Node, right: fx.Node, added: int = 0, pure: bool = True
) -> list[Op]:
    """Return the product of two activations as groups of (m, k) by (k, n), the batch broadcast."""
    rows, columns = shape(left), shape(right)
    k = rows[-1]
    n = columns[-1] if len(columns) > 1 else 1
    if prod(columns[:-2]) == 1:  # one right factor for the whole batch
        groups, m = 1, prod(rows[:-1])
    else:
        m = rows[-2] if len(rows) > 1 else 1
        batch = np.broadcast_shapes(rows[:-2], columns[:-2])
        groups = prod(batch)
        left = _broadcast(walk, left, *batch, m, k)
        right = _broadcast(walk, right, *batch, k, n)
    values = walk.reshaped(left, groups, m, k), walk.reshaped(right, groups, k, n)
    return [
        Op(
            name=walk.names.claim(node, "matmul"),
            kind="matmul",
            gemm=Gemm.matmul(m, n, k, groups),
            addend_elements=added,
            input_values=(values[0].name, values[1].name),
            output_value=node.name if pure else "",
        )
    ]


def _broadcast(walk: Walk, node: fx.Node, *sizes: int) -> fx.Node:
    fits = len(shape(node)) < 2 or shape(node) == sizes
    return node if fits else walk.view(node, _aten.expand.default, node, sizes)


def recurrent(walk: Walk, node: fx.Node) -> list[Op]:
    """One LSTM or GRU layer, one way: the input projection of all steps, then the steps one by one."""
    given = arguments(node)
    sequence, (input_weight, hidden_weight) = given["input"], given["params"][:2]
    steps, batch, k = shape(sequence)
    rows, hidden = shape(hidden_weight)
    cell = op_name(node).removeprefix("aten.")
    first = given["hx"][0] if cell == "lstm" else given["hx"]
    layer = node.meta["layer"]
    parts = (f".{layer}.ih", f".{layer}.hh")
    name = walk.names.claim(node, cell, None, parts)
    read = (user for user in node.users if user.args[1] == 0)
    outputs = next(read, None) or walk.view(node, getitem, node, 0)  # a model may read the last state only
    earlier = walk.view(outputs, _aten.slice.Tensor, outputs, 0, 0, steps - 1)
    states = walk.view(earlier, _aten.cat.default, [first, earlier], 0)
    states = walk.view(states, _aten.reshape.default, states, [steps * batch, hidden])
    keys = [walk.weight(w, node, Layout.linear(shape(w))) for w in (input_weight, hidden_weight)]
    return [
        Op(
            name=name + parts[0],
            kind="linear",
            gemm=Gemm.matmul(steps * batch, rows, k),
            weight=keys[0],
            input_values=(sequence.name,),
        ),
        Op(
            name=name + parts[1],
            kind="recurrent",
            gemm=Gemm.matmul(steps * batch, rows, hidden),
            weight=keys[1],
            timesteps=steps,
            addend_elements=steps * batch * rows,
            gate_lane_ops=steps * batch * hidden * LANE_OPS_PER_ELEMENT[f"{cell}_gates"],
            input_values=(states.name,),
            output_value=outputs.name,
        ),
    ]


def _weight(walk: Walk, node: fx.Node, weight: fx.Node, layout: Layout) -> str | None:
    """Return the weight's key; None for a convolution by activations."""
    return walk.weight(weight, node, layout) if walk.is_parameter(weight) else None


ARRAY_HANDLERS: dict[str, Handler] = {
    **dict.fromkeys(aten("conv1d conv2d conv3d convolution"), convolution),
    **dict.fromkeys(aten("conv_transpose1d conv_transpose2d conv_transpose3d"), transposed_convolution),
    **dict.fromkeys(aten("linear"), linear),
    **dict.fromkeys(aten("mm bmm matmul mv dot addmm baddbmm addmv"), product),
    **dict.fromkeys(aten("lstm gru"), recurrent),
}
