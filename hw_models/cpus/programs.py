"""Programs: the ops of a network as programs of `kernels.loops`, so that a core can be timed on them.

Values of activations do not matter to time and are zero; weights are the real ones.
"""

from __future__ import annotations

from dataclasses import replace

import numpy as np
from numpy.typing import NDArray

from kernels.loops import (
    Block,
    Kernel,
    Kind,
    Node,
    Op,
    Repeat,
    add_index,
    advance,
    binary,
    copy,
    depthwise_3x3,
    fma,
    load_vector,
    store_vector,
    zero,
)
from kernels.loops.deltas import DeltaPlan, delta_program
from kernels.loops.depthwise_rows import depthwise_rows_program
from kernels.loops.layer import DensePlan, Layer, Plan
from kernels.loops.program import Call, Memory, Program

Array = NDArray[np.float32]

_DOT_VECTORS = 4


def product(weight: Array, columns: int, plan: Plan | DeltaPlan, *, padded: bool = True) -> Program:
    """Return the program of a matrix (M, K) times (K, ``columns``) activations, their rows padded or not."""
    zeros, bias = np.zeros((weight.shape[1], columns), np.float32), np.zeros(len(weight), np.float32)
    if isinstance(plan, DeltaPlan):
        return delta_program(weight, bias, zeros, plan, 0.0, 6.0)
    return Layer(weight, bias, zeros, 0.0, 6.0).program(plan, padded)


def in_panels(program: Program, plan: DensePlan, outputs: int, panel_bytes: int) -> Program:
    """Return a dense program whose calls take so many rows of weights that these stay in a cache of that size.

    Without it, all weights pass once for every strip of columns; with it, all activations pass once for every panel.
    """
    calls: list[Call] = []
    tile = 4 * plan.rows + program.calls[0].arguments["reduction"]
    tiles = -(-outputs // plan.rows)
    a_panel = max(1, panel_bytes // tile)
    for first in range(0, tiles, a_panel):
        count = min(a_panel, tiles - first)
        for call in program.calls:
            own = dict(call.arguments)
            own["weights"] += first * tile
            own["weights_end"] = own["weights"] + count * tile
            own["y"] += first * plan.rows * own["y_stride"]
            turns = {
                name: turn if name == "strips" else turn * count // tiles for name, turn in call.iterations.items()
            }
            calls.append(replace(call, arguments=own, iterations=turns))
    return replace(program, calls=tuple(calls))


def packed(program: Program, inputs: int) -> Program:
    """Return a dense program that reads activations packed strip by strip, as libraries lay them out first.

    Rows of a strip then lie next to each other, where rows of an image far apart share sets of a cache. The copy is not
    part of it.
    """
    first = min(call.arguments["x"] for call in program.calls)
    calls = []
    for call in program.calls:
        width = (call.arguments["x_end"] - call.arguments["x"]) // call.iterations["strips"]
        (loop,) = call.kernel.body
        assert isinstance(loop, Repeat)
        kernel = replace(
            call.kernel,
            name=f"{call.kernel.name}_packed",
            parameters=(*call.kernel.parameters, "x_strip"),
            body=(replace(loop, body=tuple(_by_strip(node) for node in loop.body)),),
        )
        own = dict(call.arguments) | {"x_strip": inputs * width, "x_stride": width}
        own["x"] = first + (own["x"] - first) * inputs
        own["x_end"] = own["x"] + own["x_strip"] * call.iterations["strips"]
        calls.append(replace(call, kernel=kernel, arguments=own))
    return replace(program, calls=tuple(calls))


def _by_strip(node: Node) -> Node:
    """Return a block whose step to the next strip of ``x`` goes by the register ``x_strip``."""
    if not isinstance(node, Block):
        return node
    return Block(tuple(add_index("x", "x", "x_strip") if op.out == "x" else op for op in node.ops))


def depthwise(channels: int, height: int, width: int, stride: int, lanes: int) -> Program:
    """Return the 3x3 depthwise program for ``channels`` planes of (height, width) outputs."""
    memory = Memory()
    in_row = 4 * ((width - 1) * stride + 3 + 2 * lanes * stride)
    rows = (height - 1) * stride + 3
    x = memory.add(np.zeros((channels * rows, in_row // 4), np.float32))
    y = memory.add(np.zeros((channels * height, max(width, lanes)), np.float32))
    weights = memory.add(np.zeros((channels, 10), np.float32))
    limits = memory.add(np.array([0, 6], np.float32))
    vectors = -(-width // lanes)
    y_row = 4 * max(width, lanes)
    last = max(width - lanes, 0)
    arguments = {
        "x": x.address, "x_row": in_row, "x_plane": rows * in_row, "x_last": 4 * stride * last,
        "y": y.address, "y_end": y.end, "y_row": y_row, "y_plane": height * y_row, "y_last": 4 * last,
        "whole": 4 * lanes * (vectors - 1), "weights": weights.address, "limits": limits.address,
    }  # fmt: skip
    turns = {"channels": channels, "rows": channels * height, "vectors": channels * height * (vectors - 1)}
    kernel = depthwise_3x3(stride, lanes)
    call = Call(kernel, {name: arguments[name] for name in kernel.parameters}, turns)
    return Program((call,), memory.image(), y, y.shape)


def depthwise_by_rows(channels: int, height: int, width: int, stride: int, rows: int) -> Program:
    """Return the 3x3 depthwise program of libraries for ARM, for ``channels`` planes of (height, width) outputs."""
    x = np.zeros((channels, height * stride, width * stride), np.float32)
    weight, bias = np.zeros((channels, 3, 3), np.float32), np.zeros(channels, np.float32)
    return depthwise_rows_program(weight, bias, x, stride, 0.0, 6.0, rows)


def matrix_vector(outputs: int, inputs: int, lanes: int) -> Program:
    """Return the program of a dense matrix times one vector: a dot product for each output."""
    step = lanes * _DOT_VECTORS
    width = -(-inputs // step) * step
    memory = Memory()
    x = memory.add(np.zeros((1, width), np.float32))
    y = memory.add(np.zeros((outputs, lanes), np.float32))
    weights = memory.add(np.zeros((outputs, width), np.float32))
    inner: list[Op] = []
    for v in range(_DOT_VECTORS):
        offset = 4 * lanes * v
        inner += [load_vector(f"x{v}", "input", offset), load_vector(f"w{v}", "weight", offset)]
        inner.append(fma(f"sum{v}", f"x{v}", f"w{v}"))
    inner += [advance("input", 4 * step), advance("weight", 4 * step)]
    sums = [f"sum{v}" for v in range(_DOT_VECTORS)]
    start = Block((*(zero(one) for one in sums), copy("input", "x")))
    end = [binary(Kind.ADD, sums[0], sums[0], one) for one in sums[1:]]
    end += [binary(Kind.ADD, sums[0], sums[0], sums[0])] * 2  # the lanes are added pair by pair
    end += [store_vector("y", sums[0]), advance("y", 4 * lanes)]
    row = (start, Repeat("inputs", "input", "x_end", (Block(tuple(inner)),)), Block(tuple(end)))
    parameters = ("x", "x_end", "y", "y_end", "weights")
    nest = (Block((copy("weight", "weights"),)), Repeat("outputs", "y", "y_end", row))
    kernel = Kernel("matrix_vector", parameters, nest, lanes)
    arguments = {"x": x.address, "x_end": x.end, "y": y.address, "y_end": y.end, "weights": weights.address}
    return Program(
        (Call(kernel, arguments, {"outputs": outputs, "inputs": outputs * width // step}),), memory.image(), y, y.shape
    )


def elementwise(elements: int, operands: int, ops_each: int, lanes: int) -> Program:
    """Return the program of an element-wise op: ``operands`` inputs, ``ops_each`` operations an element."""
    step = 4 * lanes
    turns = -(-elements // (step))
    memory = Memory()
    x = memory.add(np.zeros((operands * turns, step), np.float32))
    y = memory.add(np.zeros((turns, step), np.float32))
    plane = 4 * step * turns
    body: list[Op] = []
    if operands > 1:
        body.append(add_index("other", "x", "plane"))
    for v in range(4):
        offset = 4 * lanes * v
        body.append(load_vector(f"a{v}", "x", offset))
        if operands > 1:
            body.append(load_vector(f"b{v}", "other", offset))
        second = f"b{v}" if operands > 1 else f"a{v}"
        body += [binary(Kind.ADD, f"a{v}", f"a{v}", second)] * ops_each
        body.append(store_vector("y", f"a{v}", offset))
    body += [advance("x", 4 * step), advance("y", 4 * step)]
    parameters = ("x", "x_end", "plane", "y")
    kernel = Kernel(
        f"elementwise_{operands}_{ops_each}",
        parameters,
        (Repeat("vectors", "x", "x_end", (Block(tuple(body)),)),),
        lanes,
    )
    arguments = {"x": x.address, "x_end": x.address + plane, "plane": plane, "y": y.address}
    return Program((Call(kernel, arguments, {"vectors": turns}),), memory.image(), y, y.shape)
