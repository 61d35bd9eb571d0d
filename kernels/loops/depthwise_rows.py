"""Depthwise 3x3 convolution as libraries for ARM have it: several rows of outputs a turn, so that sums do not wait.

One vector of outputs is nine multiply-adds to one sum, each of which waits for the one before. Several rows share their
inputs and have sums of their own: Paddle-Lite 2.11 takes 4 rows with stride 1; with stride 2, 2 rows and three sums of
each (``conv3x3s1p01_depthwise_fp32``, ``conv3x3s2p01_depthwise_fp32``); XNNPACK's of 2019 takes 3 rows. Inputs of the
next vector are loaded as soon as this one's are used, and shifted in registers. Ops stand in that order.
"""

from __future__ import annotations

import numpy as np
from numpy.typing import NDArray

from kernels.loops.nest import Block, Kernel, Repeat
from kernels.loops.op import (
    Kind,
    Op,
    add_index,
    advance,
    binary,
    copy,
    fma,
    load_splat,
    load_vector,
    slide,
    splat_lane,
    store_vector,
)
from kernels.loops.program import Call, Memory, Program

Floats = NDArray[np.float32]

#: Rows of outputs of a turn, by stride.
ROWS = {1: 4, 2: 2}
_LANES = 4
_WEIGHTS = 12  # floats of a channel: nine weights, the bias, and what fills three vectors


def depthwise_rows(stride: int, rows: int | None = None) -> Kernel:
    """Return the kernel.

    Parameters
    ----------
    stride
        1 or 2.
    rows
        Rows of outputs of a turn; by default those of Paddle-Lite.

    Returns
    -------
    Kernel
        Parameters: ``x``, ``x_row`` and ``x_plane``; ``y``, ``y_end``, ``y_row`` and ``y_plane`` (whole bands of rows,
        whole vectors of columns); ``weights``: 12 floats a channel, the bias last but two; ``limits``. Loops:
        ``channels``, ``bands``, ``vectors``.

    Raises
    ------
    ValueError
        If the stride is neither.
    """
    if stride not in ROWS:
        raise ValueError(f"the stride of a depthwise kernel must be 1 or 2, not {stride}")
    turn = _Turn(stride, rows or ROWS[stride])
    outs = [f"out{r}" for r in range(turn.rows)]
    channel = [load_vector(f"few{i}", "weights", 16 * i) for i in range(3)]
    channel += [splat_lane(f"w{i}", f"few{i // 4}", i % 4) for i in range(9)]
    channel += [load_splat("bias", "weights", 36), advance("weights", 4 * _WEIGHTS)]
    channel += [load_splat("low", "limits"), load_splat("high", "limits", 4)]
    channel += [copy("band", "x"), copy("out_band", "y"), add_index("out_end", "y", "y_plane")]
    start = [copy("row0", "band"), copy("out0", "out_band"), add_index("whole_end", "out_band", "y_row")]
    start += [add_index(f"row{i}", f"row{i - 1}", "x_row") for i in range(1, turn.inputs)]
    start += [add_index(f"out{r}", f"out{r - 1}", "y_row") for r in range(1, turn.rows)]
    start += [op for i in range(turn.inputs) for op in turn.loads(i, 0)]
    start += [advance(f"row{i}", turn.step) for i in range(turn.inputs)]
    moved = [advance(one, 4 * _LANES) for one in outs] + [advance(f"row{i}", turn.step) for i in range(turn.inputs)]
    vectors = Repeat("vectors", "out0", "whole_end", (Block((*turn.ops(), *moved)),))
    after = [add_index("band", "band", "x_row")] * (turn.rows * stride)
    after += [add_index("out_band", "out_band", "y_row")] * turn.rows
    bands = Repeat("bands", "out_band", "out_end", (Block(tuple(start)), vectors, Block(tuple(after))))
    planes = Block((add_index("x", "x", "x_plane"), add_index("y", "y", "y_plane")))
    nest = Repeat("channels", "y", "y_end", (Block(tuple(channel)), bands, planes))
    parameters = ("x", "x_row", "x_plane", "y", "y_end", "y_row", "y_plane", "weights", "limits")
    return Kernel(f"depthwise_{turn.rows}rows_{stride}", parameters, (nest,), _LANES, scheduled=True)


class _Turn:
    """The ops of one vector of columns of some rows of outputs."""

    def __init__(self, stride: int, rows: int) -> None:
        self.stride, self.rows = stride, rows
        self.inputs, self.step = (rows - 1) * stride + 3, 4 * _LANES * stride

    def loads(self, row: int, after: int) -> list[Op]:
        """Return the loads of an input row: its vector (with stride 2 two of them), and the one after it."""
        offsets = range(after, after + self.step + 1, 16)
        return [load_vector(f"in{row}_{n}", f"row{row}", offset) for n, offset in enumerate(offsets)]

    def taps(self, row: int) -> list[Op]:
        """Return the ops that make ``tap0``, ``tap1`` and ``tap2`` of an input row."""
        now = f"in{row}_0", f"in{row}_1"
        if self.stride == 1:
            return [slide("tap1", *now, 1), slide("tap2", *now, 2)]
        parted = [binary(Kind.EVEN, "tap0", *now), binary(Kind.ODD, "tap1", *now)]
        return [*parted, slide("tap2", "tap0", f"in{row}_2", 1)]

    def ops(self) -> list[Op]:
        """Return all ops: rows of inputs one after the other, each for all rows of outputs that it belongs to."""
        ops: list[Op] = []
        for i in range(self.inputs):
            ops += self.taps(i)
            first = f"in{i}_0" if self.stride == 1 else "tap0"
            loads = self.loads(i, 0)
            owners = [r for r in reversed(range(self.rows)) if 0 <= i - r * self.stride < 3]
            for tap, name in enumerate((first, "tap1", "tap2")):
                ops += [self.product(r, i - r * self.stride, tap, name) for r in owners]
                # The next vector of this row, once its registers have been used.
                ops += loads[tap : tap + 1]
            ops += [op for r in owners if i - r * self.stride == 2 for op in self.finish(r)]
        return ops

    def product(self, row: int, down: int, tap: int, name: str) -> Op:
        """Return one multiply-add; with stride 2 each of the three columns of weights has a sum of its own."""
        weight = f"w{3 * down + tap}"
        total = f"sum{row}_{tap}" if self.stride == 2 else f"sum{row}"
        if down == 0 and (tap == 0 or self.stride == 2):
            return binary(Kind.MUL, total, name, weight)
        return fma(total, name, weight)

    def finish(self, row: int) -> list[Op]:
        """Return the ops that add the bias, bound and store a row of outputs."""
        total = f"sum{row}" if self.stride == 1 else f"sum{row}_0"
        more = [f"sum{row}_1", f"sum{row}_2"] if self.stride == 2 else []
        sums = [binary(Kind.ADD, total, total, one) for one in (*more, "bias")]
        bounds = [binary(Kind.MAX, total, total, "low"), binary(Kind.MIN, total, total, "high")]
        return [*sums, *bounds, store_vector(f"out{row}", total)]


def depthwise_rows_program(
    weight: Floats,
    bias: Floats,
    x: Floats,
    stride: int = 1,
    low: float = -np.inf,
    high: float = np.inf,
    rows: int | None = None,
) -> Program:
    """Return the program of a depthwise 3x3 convolution with padding 1: clip(x * weight + bias, low, high).

    Parameters
    ----------
    weight, bias
        float32 (C, 3, 3) and (C,).
    x
        float32 (C, height, width).
    stride, rows
        See `depthwise_rows`.
    low, high
        The bounds of the outputs.
    """
    channels, height, width = x.shape
    out_height, out_width = (height - 1) // stride + 1, (width - 1) // stride + 1
    band = rows or ROWS[stride]
    all_rows, all_columns = -(-out_height // band) * band, -(-out_width // _LANES) * _LANES
    padded = np.pad(x, ((0, 0), (1, 1), (1, 1)))
    # Columns and rows that only fill vectors and bands are computed from what lies behind, and never looked at.
    behind = 4 * padded.shape[2] * (band * stride + 3) + 64 * stride
    memory = Memory()
    planes = memory.add(padded, slack=behind)
    out = memory.add(np.zeros((channels, all_rows, all_columns), np.float32))
    limits = memory.add(np.array([low, high], np.float32))
    packed = np.zeros((channels, _WEIGHTS), np.float32)
    packed[:, :9], packed[:, 9] = weight.reshape(channels, 9), bias
    arguments = {
        "x": planes.address, "x_row": 4 * padded.shape[2], "x_plane": 4 * padded.shape[1] * padded.shape[2],
        "y": out.address, "y_end": out.end, "y_row": 4 * all_columns, "y_plane": 4 * all_rows * all_columns,
        "weights": memory.add(packed).address, "limits": limits.address,
    }  # fmt: skip
    bands = channels * all_rows // band
    turns = {"channels": channels, "bands": bands, "vectors": bands * all_columns // _LANES}
    call = Call(depthwise_rows(stride, rows), arguments, turns)
    return Program((call,), memory.image(), out, (channels, out_height, out_width))
