"""Strips: the compiled product of panels of weights with strips of activations.

For each strip of ``vectors * lanes`` columns and each block of the reduction, panels of rows are summed in a register
tile: one fused multiply-add per entry and register, its other operand read from the L1 cache. Sums wait in the output
between blocks. The bias starts the sums of the first block, and the bounds (ReLU) end those of the last.
"""

from __future__ import annotations

import functools
from collections.abc import Callable
from typing import Any

import numpy as np
from numba import njit, prange
from numpy.typing import NDArray

from kernels.tile import clamp, fma, fma_tile, load, load_rows, splat, splat_rows, store_rows

Ints = NDArray[np.signedinteger[Any]]
Floats = NDArray[np.float32]

REST_LANES = 4
"""Columns that a strip may have beyond its full registers, held in one narrow register a row."""


@functools.cache
def compiled(
    height: int, shared: int, vectors: int, lanes: int, rest: int, masked: int, parallel: int
) -> Callable[..., None]:
    """Return the kernel for one shape of panel and strip.

    It takes the arrays of `Panels`, the activations and their row stride, the bias, the two bounds, the output and its
    row stride, the range of columns and the number of pieces into which that range is cut for threads. The range is
    whole strips of ``vectors * lanes`` columns; masked, its last strip may have fewer; with a ``rest``, the last has
    so many columns more.
    """
    width = vectors * lanes

    @njit(cache=True, nogil=True, parallel=bool(parallel))
    def spmm(
        blocks: Ints,
        starts: Ints,
        rows: Ints,
        columns: Ints,
        values: Floats,
        x: Floats,
        x_stride: int,
        bias: Floats,
        low: np.float32,
        high: np.float32,
        y: Floats,
        y_stride: int,
        first: int,
        last: int,
        pieces: int,
    ) -> None:
        last_block = blocks.shape[1] - 2
        strips = (last - first - rest + width - 1) // width
        tasks = blocks.shape[0] * pieces if parallel else 1
        for task in prange(tasks):
            part = task // pieces
            piece = task % pieces
            for strip in range(strips * piece // pieces, strips * (piece + 1) // pieces):
                at = first + strip * width
                end = at + width
                count = min(last - at, width) if masked else width
                for block in range(last_block + 1):
                    for panel in range(blocks[part, block], blocks[part, block + 1]):
                        of = panel * height
                        if block == 0:
                            acc = splat_rows(bias, rows, of, height, vectors, lanes)
                            if rest:
                                tail = splat_rows(bias, rows, of, height, 1, REST_LANES)
                        else:
                            acc = load_rows(y, rows, of, y_stride, at, count, height, vectors, lanes)
                            if rest:
                                tail = load_rows(y, rows, of, y_stride, end, rest, height, 1, REST_LANES)
                        for entry in range(starts[panel], starts[panel + 1]):
                            if shared:
                                acc = fma(
                                    acc,
                                    values,
                                    entry * height,
                                    load(x, columns[entry] * x_stride + at, count, vectors, lanes),
                                )
                                if rest:
                                    narrow = load(x, columns[entry] * x_stride + end, rest, 1, REST_LANES)
                                    tail = fma(tail, values, entry * height, narrow)
                            else:
                                own = load_rows(x, columns, entry * height, x_stride, at, count, height, vectors, lanes)
                                acc = fma_tile(acc, own, splat(values, entry * height, height, vectors, lanes))
                                if rest:
                                    few = load_rows(
                                        x, columns, entry * height, x_stride, end, rest, height, 1, REST_LANES
                                    )
                                    tail = fma_tile(tail, few, splat(values, entry * height, height, 1, REST_LANES))
                        if block == last_block:
                            acc = clamp(acc, low, high)
                            if rest:
                                tail = clamp(tail, low, high)
                        store_rows(y, rows, of, y_stride, at, count, acc)
                        if rest:
                            store_rows(y, rows, of, y_stride, end, rest, tail)

    compiled_spmm: Callable[..., None] = spmm
    return compiled_spmm
