"""Functional: run a mapping on real tensors, tile by tile in the order of its steps, to see that it computes the op."""

from __future__ import annotations

from collections.abc import Callable, Iterator
from typing import NamedTuple

import numpy as np
from numpy.typing import NDArray

from hw_models.systolic.tiling import Nest, Tile

Floats = NDArray[np.float64]


class Region(NamedTuple):
    """What one step works on: slices of groups, batch, output rows and columns, filters and channels."""

    groups: slice
    batch: slice
    rows: slice
    cols: slice
    filters: slice
    channels: slice


def regions(nest: Nest, tile: Tile) -> Iterator[Region]:
    """Yield the region of each step, in the order of `hw_models.systolic.tiling.gemm_steps`."""

    def cut(whole: int, size: int) -> list[slice]:
        return [slice(begin, min(begin + size, whole)) for begin in range(0, whole, size)]

    positions = [
        (b, r, c)
        for b in cut(nest.batch, tile.batch)
        for r in cut(nest.out_h, tile.rows)
        for c in cut(nest.out_w, tile.cols)
    ]
    filters = cut(nest.filters, tile.n)
    pairs = (
        [(p, n) for n in filters for p in positions] if tile.n_outer else [(p, n) for p in positions for n in filters]
    )
    for g in cut(nest.groups, tile.groups):
        for (b, r, c), n in pairs:
            for k in cut(nest.channels, tile.channels):
                yield Region(g, b, r, c, n, k)


def execute(
    nest: Nest,
    tile: Tile,
    image: Floats,
    weights: Floats,
    unpack: Callable[[Floats, int], Floats] | None = None,
) -> Floats:
    """Return operand O of shape (groups, batch, out_h, out_w, filters).

    Parameters
    ----------
    nest, tile
        The op and how it is cut.
    image
        Operand I of shape (batch, groups, channels, in_h, in_w), not padded.
    weights
        Operand W of shape (groups, filters, kernel_h * kernel_w, channels).
    unpack
        Takes a tile of W as a matrix (filters, kernel positions * channels) with its run of channels, packs it and
        returns what the array makes of the packed form; None for weights used as they are.
    """
    out = np.zeros((nest.groups, nest.batch, nest.out_h, nest.out_w, nest.filters))
    padded = _padded(nest, image)
    for g_range, b, r, c, n, k in regions(nest, tile):
        for g in range(g_range.start, g_range.stop):
            window = _window(nest, padded[b, g, k], r, c)
            held = weights[g, n, :, k]
            matrix = held.reshape(held.shape[0], -1)
            if unpack is not None:
                matrix = unpack(matrix, held.shape[2])
            product = window.reshape(-1, matrix.shape[1]) @ matrix.T
            out[g, b, r, c, n] += product.reshape(*window.shape[:3], -1)
    return out


def _padded(nest: Nest, image: Floats) -> Floats:
    """Return the image with zeros around it, just as large as the windows reach."""
    rows = (nest.out_h - 1) * nest.stride_h + (nest.kernel_h - 1) * nest.dilation_h + 1
    cols = (nest.out_w - 1) * nest.stride_w + (nest.kernel_w - 1) * nest.dilation_w + 1
    padded = np.zeros((*image.shape[:3], max(rows, nest.pad_h + nest.in_h), max(cols, nest.pad_w + nest.in_w)))
    padded[..., nest.pad_h : nest.pad_h + nest.in_h, nest.pad_w : nest.pad_w + nest.in_w] = image
    return padded


def _window(nest: Nest, padded: Floats, rows: slice, cols: slice) -> Floats:
    """Return the unrolled input (batch, rows, cols, kernel positions * channels) of a range of output positions."""
    parts = []
    for y in range(nest.kernel_h):
        first_row = rows.start * nest.stride_h + y * nest.dilation_h
        for x in range(nest.kernel_w):
            first_col = cols.start * nest.stride_w + x * nest.dilation_w
            last_row = first_row + (rows.stop - rows.start - 1) * nest.stride_h
            last_col = first_col + (cols.stop - cols.start - 1) * nest.stride_w
            part = padded[..., first_row : last_row + 1 : nest.stride_h, first_col : last_col + 1 : nest.stride_w]
            parts.append(np.moveaxis(part, 1, -1))
    return np.concatenate(parts, axis=-1)
