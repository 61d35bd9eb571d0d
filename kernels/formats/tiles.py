"""A matrix as a grid of equal tiles, and the compressed-row index of those that hold a non-zero.

CSR is the grid of 1x1 tiles, 1xN groups that of Nx1 tiles, block-CSR that of any tile: one index serves all.
"""

from __future__ import annotations

import numpy as np
from numpy.typing import NDArray

POINTER_BITS = 32


def to_tiles(dense: NDArray[np.float32], rows: int, columns: int) -> NDArray[np.float32]:
    """Cut a matrix into tiles: (grid rows, grid columns, rows, columns), edge tiles padded with zeros."""
    tall, wide = dense.shape
    padded = np.pad(dense, ((0, -tall % rows), (0, -wide % columns)))
    grid = padded.reshape(padded.shape[0] // rows, rows, padded.shape[1] // columns, columns)
    return np.ascontiguousarray(grid.transpose(0, 2, 1, 3))


def from_tiles(tiles: NDArray[np.float32], shape: tuple[int, int]) -> NDArray[np.float32]:
    """Undo `to_tiles`: join the tiles and cut the padding off."""
    grid_rows, grid_columns, rows, columns = tiles.shape
    padded = tiles.transpose(0, 2, 1, 3).reshape(grid_rows * rows, grid_columns * columns)
    return np.ascontiguousarray(padded[: shape[0], : shape[1]])


def compress(occupied: NDArray[np.bool_]) -> tuple[NDArray[np.int32], NDArray[np.int32]]:
    """Index the true cells of a grid: row pointers (grid rows + 1) and column indices, row by row."""
    pointers = np.zeros(len(occupied) + 1, np.int32)
    np.cumsum(occupied.sum(axis=1), out=pointers[1:])
    return pointers, np.nonzero(occupied)[1].astype(np.int32)


def row_of(pointers: NDArray[np.int32]) -> NDArray[np.int64]:
    """Return the grid row of each indexed cell."""
    return np.repeat(np.arange(len(pointers) - 1), np.diff(pointers))


def index_bits(choices: int) -> int:
    """Bits that tell one of so many apart: ceil(log2(choices)), which is 0 for a single one."""
    return (choices - 1).bit_length()


def compressed_bits(grid_rows: int, grid_columns: int, kept: int) -> int:
    """Metadata of a compressed grid: 32 (grid rows + 1) pointer bits and ceil(log2(grid columns)) a tile."""
    return POINTER_BITS * (grid_rows + 1) + kept * index_bits(grid_columns)
