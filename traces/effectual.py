"""Effectual MACs: how many multiplications have two operands that are not zero."""

from __future__ import annotations

import numpy as np
from numpy.typing import NDArray

from traces.bitmap import Bitmap
from traces.errors import InputError
from traces.gemm import Gemm
from traces.op import Op


def effectual_macs(op: Op, weight_nonzero: NDArray[np.bool_] | None = None, operands: tuple[Bitmap, ...] = ()) -> int:
    """Return the exact number of an array op's MACs whose both operands are not zero.

    O(m, n) sums over k, so the pairs of non-zeros are counted per k: nnz of column k of I, times nnz of row k
    of W. Nothing is unrolled.

    Parameters
    ----------
    op
        An op with a `Gemm`.
    weight_nonzero
        Where W is not zero, (groups, n, k); None if W is dense or an activation.
    operands
        Bitmaps of the activation operands as `traces.capture` gives them, I first. Without them I is dense,
        padding included (as `Gemm.macs` counts it); with them padding is zero.

    Raises
    ------
    InputError
        If the op does not run on a MAC array or a shape does not fit it.
    """
    gemm = op.gemm
    if gemm is None:
        raise InputError.must(f"op {op.name}", "an op of a MAC array, with a gemm", op.kind)
    inputs = np.full((gemm.groups, gemm.k), gemm.m, dtype=np.int64)
    weights = np.full((gemm.groups, gemm.k), gemm.n, dtype=np.int64)
    if operands:
        conv = op.kind in ("conv", "depthwise")
        wanted = (gemm.batch, gemm.groups * gemm.channels, gemm.in_h, gemm.in_w)
        if np.prod(operands[0].shape) != np.prod(wanted) or (conv and operands[0].shape != wanted):
            raise InputError.must(f"shape of operand I of {op.name}", f"like {wanted}", operands[0].shape)
        values = operands[0].unpack()
        inputs = _conv_columns(gemm, values) if conv else _count(values.reshape(gemm.groups, gemm.m, gemm.k), 1)
    if weight_nonzero is not None:
        if weight_nonzero.shape != (gemm.groups, gemm.n, gemm.k):
            rule = f"(groups, n, k) = {(gemm.groups, gemm.n, gemm.k)}"
            raise InputError.must(f"shape of operand W of {op.name}", rule, weight_nonzero.shape)
        weights = _count(weight_nonzero, 1)
    elif len(operands) > 1:
        weights = _count(operands[1].unpack().reshape(gemm.groups, gemm.k, gemm.n), 2)
    return int(np.vdot(inputs, weights))


def _count(values: NDArray[np.bool_], axis: int | tuple[int, ...]) -> NDArray[np.int64]:
    return np.asarray(np.count_nonzero(values, axis=axis), dtype=np.int64)


def _conv_columns(gemm: Gemm, image: NDArray[np.bool_]) -> NDArray[np.int64]:
    """Return nnz of each column of the unrolled image, (groups, k): a strided slice per kernel position."""
    counts = np.zeros((gemm.groups, gemm.kernel_h, gemm.kernel_w, gemm.channels), dtype=np.int64)
    for row in range(gemm.kernel_h):
        rows = _reached(row * gemm.dilation_h - gemm.pad_h, gemm.stride_h, gemm.out_h, gemm.in_h)
        for column in range(gemm.kernel_w):
            columns = _reached(column * gemm.dilation_w - gemm.pad_w, gemm.stride_w, gemm.out_w, gemm.in_w)
            nonzeros = _count(image[:, :, rows, columns], (0, 2, 3))
            counts[:, row, column] = nonzeros.reshape(gemm.groups, gemm.channels)
    return counts.reshape(gemm.groups, gemm.k)


def _reached(first: int, stride: int, count: int, size: int) -> slice:
    """Return which of ``size`` elements the positions first, first + stride, ... (``count`` of them) hit."""
    start = first if first >= 0 else first % stride
    return slice(min(start, size), max(0, min(size, first + (count - 1) * stride + 1)), stride)
