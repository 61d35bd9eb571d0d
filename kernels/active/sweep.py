"""The sweep: non-zero activations push their products into a window of outputs that slides over them.

A row of the kernel with ``taps`` columns touches ``taps`` neighbouring outputs with every pixel, so the sums of these
stay in registers while the window moves along a row of pixels: each non-zero is one broadcast and one row of
multiply-adds with weights that lie together. Weights are met in panels (a strip of output channels, a row of the
kernel, a block of input channels) that stay in the L1 cache for many rows of pixels, while those of the next panel
are fetched. Between panels, sums wait in the output.
"""

from __future__ import annotations

import functools
from collections.abc import Callable
from typing import NamedTuple

import numpy as np
from numba import njit, prange
from numpy.typing import NDArray

from kernels.active.registers import lowest_bit, part, slide
from kernels.tile import add, clamp, fma, load, prefetch, store, zeros

Floats = NDArray[np.float32]

PIXELS = 512
"""About so many outputs, but whole rows, are swept before the next panel: sums and inputs stay in the L2 cache."""


class Extent(NamedTuple):
    """The sizes of a sweep; ``pixel`` and ``channel`` are the distances of `kernels.active.layout.Images`."""

    batch: int
    inputs: int
    height: int
    width: int
    outputs: int
    out_height: int
    out_width: int
    kernel_rows: int
    stride: int
    padding: int
    pixel: int
    channel: int


@functools.cache
def compiled(taps: int, vectors: int, lanes: int, spikes: int, parallel: int) -> Callable[..., None]:
    """Return the kernel for one phase of a convolution.

    It takes the activations (of spikes any floats: their bits say all), the words of the scan, the phase's weights,
    first column and block, bias, bounds, output, `Extent`, whether sums start from the bias rather than from the
    output, whether they end within the bounds, and the number of pieces into which rows are cut for threads.
    """
    strip, wide, oldest = vectors * lanes, taps * vectors, (taps - 1) * vectors
    row = wide * lanes

    @njit(cache=True, nogil=True, parallel=bool(parallel))
    def sweep(
        x: Floats,
        words: NDArray[np.int64],
        weights: Floats,
        column: int,
        block: int,
        bias: Floats,
        low: np.float32,
        high: np.float32,
        y: Floats,
        size: Extent,
        starts: bool,
        ends: bool,
        pieces: int,
    ) -> None:
        mask = -1 if block == 64 else (1 << block) - 1
        rows = size.batch * size.out_height
        steps = size.out_width + taps - 1
        tasks = pieces if parallel else 1
        for piece in prange(tasks):
            first_row, end_row = rows * piece // pieces, rows * (piece + 1) // pieces
            tiles = min(end_row - first_row, ((end_row - first_row) * size.out_width + PIXELS - 1) // PIXELS)
            for tile in range(tiles):
                top = first_row + (end_row - first_row) * tile // tiles
                bottom = first_row + (end_row - first_row) * (tile + 1) // tiles
                share = (block * row // ((bottom - top) * steps) + 16) // 16 * 16
                taken = 0
                for m in range(0, size.outputs, strip):
                    count = min(strip, size.outputs - m)
                    for down in range(size.kernel_rows):
                        for c in range(0, size.inputs, block):
                            first = starts and down == 0 and c == 0
                            last = ends and down + 1 == size.kernel_rows and c + block >= size.inputs
                            coming = taken + min(block, size.inputs - c) * row
                            stop = min(coming + block * row, weights.size)
                            for out_row in range(top, bottom):
                                image = out_row // size.out_height
                                in_row = out_row % size.out_height * size.stride + down - size.padding
                                inside = 0 <= in_row < size.height
                                if not (inside or first or last):
                                    continue
                                word_row = (image * size.height + in_row) * size.width
                                corner = image * size.inputs * size.height * size.width + c * size.channel
                                sums = out_row * size.out_width * size.outputs + m
                                acc = zeros(1, wide, lanes)
                                for step in range(steps):
                                    for line in range(coming, min(coming + share, stop), 16):
                                        prefetch(weights, line)
                                    coming += share
                                    if step >= size.out_width:
                                        acc = slide(acc, zeros(1, vectors, lanes))
                                    elif first:
                                        acc = slide(acc, load(bias, m, count, vectors, lanes))
                                    else:
                                        acc = slide(acc, load(y, sums + step * size.outputs, count, vectors, lanes))
                                    in_column = step * size.stride + column - size.padding
                                    if inside and 0 <= in_column < size.width:
                                        word = (words[c >> 6, word_row + in_column] >> (c & 63)) & mask
                                        values = corner + (in_row * size.width + in_column) * size.pixel
                                        while word != 0:
                                            bit = lowest_bit(word)
                                            word &= word - 1
                                            weight = load(weights, taken + bit * row, row, wide, lanes)
                                            at = values + bit * size.channel
                                            acc = add(acc, weight) if spikes else fma(acc, x, at, weight)
                                    if step >= taps - 1:
                                        done = part(acc, oldest, vectors)
                                        if last:
                                            done = clamp(done, low, high)
                                        store(y, sums + (step - taps + 1) * size.outputs, 0, count, done)
                            taken += min(block, size.inputs - c) * row

    return sweep
