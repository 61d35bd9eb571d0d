"""Products: the loop nests of the two gradients of an array op, and the weights of the first.

With O = I * W of a convolution (of stride s, dilation d, padding p, as in `traces.gemm.Gemm`):

* the weight gradient dW = I^T * dO is a convolution of I by dO: its channels are the samples, its kernel is the
  output image with dilation s, its stride is d, its output image is the kernel;
* the input gradient dI = dO * W^T is a convolution of dO by the flipped kernel. With a stride, the input pixels of
  each remainder y mod s see their own part of the kernel (the others would only meet inserted zeros), so it is one
  convolution for each remainder, a *phase*. Where windows do not overlap (stride >= kernel) each output
  position writes a patch of its own: one product.
"""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray

from traces.gemm import Gemm
from traces.op import Op


@dataclass(frozen=True, slots=True)
class Phase:
    """A part of an input gradient.

    Attributes
    ----------
    suffix
        Of the op's name: empty where there is one phase, else ``.`` and the remainders of row and column.
    gemm
        Its loop nest; the reduction runs over the output channels, fastest, and the taps.
    rows, cols
        Taps of the kernel that it uses, in the order of its own kernel.
    """

    suffix: str
    gemm: Gemm
    rows: tuple[int, ...]
    cols: tuple[int, ...]


@dataclass(frozen=True, slots=True)
class _Axis:
    """One phase along one axis: taps in descending order, and the convolution that they make."""

    remainder: int
    taps: tuple[int, ...]
    out: int
    pad: int
    dilation: int


def input_gradient(gemm: Gemm) -> list[Phase]:
    """Return the phases of dI = dO * W^T that are not all zero."""
    kernel_rows, kernel_cols = tuple(range(gemm.kernel_h)), tuple(range(gemm.kernel_w))
    if _apart(gemm.kernel_h, gemm.dilation_h, gemm.stride_h) and _apart(gemm.kernel_w, gemm.dilation_w, gemm.stride_w):
        patches = Gemm(
            channels=gemm.filters,
            filters=gemm.k,
            in_h=gemm.out_h,
            in_w=gemm.out_w,
            out_h=gemm.out_h,
            out_w=gemm.out_w,
            batch=gemm.batch,
            groups=gemm.groups,
        )
        return [Phase("", patches, kernel_rows, kernel_cols)]
    down = _phases(gemm.in_h, gemm.kernel_h, gemm.stride_h, gemm.dilation_h, gemm.pad_h)
    across = _phases(gemm.in_w, gemm.kernel_w, gemm.stride_w, gemm.dilation_w, gemm.pad_w)
    alone = len(down) * len(across) == 1
    return [
        Phase("" if alone else f".{row.remainder}{col.remainder}", _phase(gemm, row, col), row.taps, col.taps)
        for row in down
        for col in across
    ]


def weight_gradient(op: Op) -> Gemm:
    """Return the nest of dW = I^T * dO: m runs over the reduction of the forward op, k over its rows."""
    gemm = op.gemm
    assert gemm is not None
    if op.kind not in ("conv", "depthwise"):
        return Gemm.matmul(m=gemm.k, n=gemm.n, k=gemm.m, groups=gemm.groups)
    return Gemm(
        channels=gemm.batch,
        filters=gemm.filters,
        in_h=gemm.in_h,
        in_w=gemm.in_w,
        out_h=gemm.kernel_h,
        out_w=gemm.kernel_w,
        kernel_h=gemm.out_h,
        kernel_w=gemm.out_w,
        stride_h=gemm.dilation_h,
        stride_w=gemm.dilation_w,
        dilation_h=gemm.stride_h,
        dilation_w=gemm.stride_w,
        pad_h=gemm.pad_h,
        pad_w=gemm.pad_w,
        batch=gemm.channels,
        groups=gemm.groups,
    )


def transposed(weights: NDArray[np.float32], gemm: Gemm) -> NDArray[np.float32]:
    """Return W (groups, n, k) as (groups, channels, kernel_h, kernel_w, n): ready to be pruned along n."""
    split = weights.reshape(gemm.groups, gemm.filters, gemm.kernel_h, gemm.kernel_w, gemm.channels)
    return np.ascontiguousarray(split.transpose(0, 4, 2, 3, 1))


def phase_weights(backward: NDArray[np.float32], phase: Phase) -> NDArray[np.float32]:
    """Return the part of a `transposed` tensor that a phase multiplies with, (groups, n, k) of its own nest."""
    groups, channels, *_ = backward.shape
    if phase.gemm.filters == channels:
        taps = backward[:, :, list(phase.rows)][:, :, :, list(phase.cols)]
    else:  # patches: the taps are output columns
        taps = backward.transpose(0, 2, 3, 1, 4)
    return np.ascontiguousarray(taps.reshape(groups, phase.gemm.n, phase.gemm.k))


def _apart(kernel: int, dilation: int, stride: int) -> bool:
    return kernel == 1 or (dilation == 1 and stride >= kernel)


def _phases(size: int, kernel: int, stride: int, dilation: int, pad: int) -> list[_Axis]:
    """Return what each remainder of the input positions by the stride sees of the kernel, if it sees any."""
    found = []
    for remainder in range(min(stride, size)):
        taps = [tap for tap in range(kernel) if (remainder + pad - tap * dilation) % stride == 0][::-1]
        if taps:
            first = (remainder + pad - taps[0] * dilation) // stride
            step = (taps[0] - taps[1]) * dilation // stride if len(taps) > 1 else 1
            found.append(_Axis(remainder, tuple(taps), len(range(remainder, size, stride)), max(0, -first), step))
    return found


def _phase(gemm: Gemm, row: _Axis, col: _Axis) -> Gemm:
    return Gemm(
        channels=gemm.filters,
        filters=gemm.channels,
        in_h=gemm.out_h,
        in_w=gemm.out_w,
        out_h=row.out,
        out_w=col.out,
        kernel_h=len(row.taps),
        kernel_w=len(col.taps),
        pad_h=row.pad,
        pad_w=col.pad,
        dilation_h=row.dilation,
        dilation_w=col.dilation,
        batch=gemm.batch,
        groups=gemm.groups,
    )
