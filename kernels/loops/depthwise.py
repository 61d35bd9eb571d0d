"""Depthwise 3x3 convolution of channel-major planes, stride 1 or 2.

Input planes are padded by the caller: one row and column of zeros before, and as much behind as the windows of the
last outputs reach. A turn computes one vector of outputs; the nine weights stay in registers for a whole channel. With
stride 2, two neighbouring vectors are parted into even and odd columns.
"""

from __future__ import annotations

import numpy as np
from numpy.typing import NDArray

from kernels.arrays import KernelError
from kernels.loops.columns import clamp
from kernels.loops.nest import Block, Kernel, Repeat
from kernels.loops.op import Kind, Op, add_index, advance, binary, copy, fma, load_splat, load_vector, store_vector
from kernels.loops.program import Call, Memory, Program

Floats = NDArray[np.float32]


def depthwise_3x3(stride: int, lanes: int = 4) -> Kernel:
    """Return the depthwise kernel.

    Parameters
    ----------
    stride
        1 or 2.
    lanes
        float32 lanes of a vector; output rows are at least so wide. The last vector of a row overlaps the one before.

    Returns
    -------
    Kernel
        Parameters: ``x``, ``x_row`` (bytes of a padded input row) and ``x_plane``; ``y``, ``y_end``, ``y_row`` and
        ``y_plane``; ``whole``: the bytes of the vectors of an output row but for the last, which may overlap them;
        ``x_last``, ``y_last``: the bytes from the start of a row to that last vector; ``weights``: for each channel
        nine weights and the bias; ``limits``. Loops: ``channels``, ``rows``, ``vectors``.
    """
    if stride not in (1, 2):
        raise ValueError(f"the stride of a depthwise kernel must be 1 or 2, not {stride}")
    channel: list[Op] = [load_splat(f"w{i}", "weights", 4 * i) for i in range(9)]
    channel += [load_splat("bias", "weights", 36), advance("weights", 40)]
    channel += [copy("row", "x"), copy("out_row", "y"), add_index("out_end", "y", "y_plane")]
    row = [
        copy("top", "row"),
        add_index("middle", "top", "x_row"),
        add_index("bottom", "middle", "x_row"),
        copy("out", "out_row"),
        add_index("whole_end", "out", "whole"),
    ]
    step = _vector(stride, lanes)
    moved = [advance(one, 4 * lanes * stride) for one in ("top", "middle", "bottom")] + [advance("out", 4 * lanes)]
    last = [
        add_index("top", "row", "x_last"),
        add_index("middle", "top", "x_row"),
        add_index("bottom", "middle", "x_row"),
        add_index("out", "out_row", "y_last"),
        *step,
        *[add_index("row", "row", "x_row")] * stride,
        add_index("out_row", "out_row", "y_row"),
    ]
    vectors = Repeat("vectors", "out", "whole_end", (Block((*step, *moved)),), may_skip=True)
    rows = Repeat("rows", "out_row", "out_end", (Block(tuple(row)), vectors, Block(tuple(last))))
    advances = (add_index("x", "x", "x_plane"), add_index("y", "y", "y_plane"))
    nest = Repeat("channels", "y", "y_end", (Block(tuple(channel)), rows, Block(advances)))
    parameters = ("x", "x_row", "x_plane", "x_last", "y", "y_end", "y_row", "y_plane", "y_last", "whole", "weights")
    return Kernel(f"depthwise_{stride}", (*parameters, "limits"), (nest,), lanes)


def _vector(stride: int, lanes: int) -> list[Op]:
    """Return the ops of one vector of outputs."""
    ops: list[Op] = []
    for i, pointer in enumerate(("top", "middle", "bottom")):
        if stride == 1:
            taps = [load_vector(f"tap{j}", pointer, 4 * j) for j in range(3)]
        else:
            taps = [load_vector("left", pointer), load_vector("right", pointer, 4 * lanes)]
            taps += [binary(Kind.EVEN, "tap0", "left", "right"), binary(Kind.ODD, "tap1", "left", "right")]
            taps += [load_vector("left", pointer, 8), load_vector("right", pointer, 4 * lanes + 8)]
            taps.append(binary(Kind.EVEN, "tap2", "left", "right"))
        products = [fma("sum", f"tap{j}", f"w{3 * i + j}") for j in range(3)]
        if i == 0:
            products[0] = binary(Kind.MUL, "sum", "tap0", "w0")
        ops += [*taps, *products]
    return [*ops, binary(Kind.ADD, "sum", "sum", "bias"), *clamp(["sum"]), store_vector("out", "sum")]


def depthwise_program(
    weight: Floats,
    bias: Floats,
    x: Floats,
    stride: int = 1,
    low: float = -np.inf,
    high: float = np.inf,
    lanes: int = 4,
) -> Program:
    """Return the program of a depthwise 3x3 convolution with padding 1: clip(x * weight + bias, low, high).

    Parameters
    ----------
    weight, bias
        float32 (C, 3, 3) and (C,).
    x
        float32 (C, height, width).
    stride
        1 or 2.
    low, high
        The bounds of the outputs.
    lanes
        float32 lanes of a vector.

    Raises
    ------
    KernelError
        If a row of outputs is shorter than a vector.
    """
    channels, height, width = x.shape
    out_height, out_width = (height - 1) // stride + 1, (width - 1) // stride + 1
    if out_width < lanes:
        raise KernelError(f"a depthwise layer must have outputs at least {lanes} wide, one vector, not {out_width}")
    # A vector with stride 2 is taken from two vectors of inputs, and its last tap from two that begin 2 later.
    row = max(width + 2, stride * (out_width - lanes) + 2 * lanes + 2)
    padded = np.pad(x, ((0, 0), (1, 2), (1, row - width - 1)))
    memory = Memory()
    planes = memory.add(padded)
    out = memory.add(np.zeros((channels, out_height, out_width), np.float32))
    limits = memory.add(np.array([low, high], np.float32))
    weights = memory.add(np.concatenate((weight.reshape(channels, 9), bias[:, None]), axis=1))
    whole = (out_width - 1) // lanes
    arguments = {
        "x": planes.address,
        "x_row": 4 * row,
        "x_plane": 4 * row * padded.shape[1],
        "x_last": 4 * stride * (out_width - lanes),
        "y": out.address,
        "y_end": out.end,
        "y_row": 4 * out_width,
        "y_plane": 4 * out_width * out_height,
        "y_last": 4 * (out_width - lanes),
        "whole": 4 * lanes * whole,
        "weights": weights.address,
        "limits": limits.address,
    }
    rows = channels * out_height
    turns = {"channels": channels, "rows": rows, "vectors": rows * whole}
    return Program((Call(depthwise_3x3(stride, lanes), arguments, turns),), memory.image(), out, out.shape)
