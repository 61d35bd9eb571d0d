"""Block: block-compressed sparse rows."""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray

from kernels.formats.check import check_count, checked
from kernels.formats.tiles import compress, compressed_bits, from_tiles, row_of, to_tiles


@dataclass(frozen=True, slots=True, eq=False, repr=False)
class Block:
    """Compressed rows of rectangular blocks.

    Attributes
    ----------
    shape
        (rows, columns) of the dense matrix.
    block
        (rows, columns) of a block; where it does not divide the matrix, edge blocks are padded with zeros.
    pointers
        int32 (block rows of the matrix + 1,): block row i owns blocks ``pointers[i]`` up to ``pointers[i + 1]``.
    indices
        int32 (kept,): block column of each block, ascending within a block row.
    values
        float32 (kept, block rows, block columns).
    """

    shape: tuple[int, int]
    block: tuple[int, int]
    pointers: NDArray[np.int32]
    indices: NDArray[np.int32]
    values: NDArray[np.float32]

    @classmethod
    def pack(cls, dense: NDArray[np.float32], rows: int, columns: int) -> Block:
        """Pack a finite float32 matrix, keeping each block that holds a non-zero; `FormatError` for any other."""
        dense = checked(dense)
        check_count("rows of a block", rows, dense.shape[0])
        check_count("columns of a block", columns, dense.shape[1])
        tiles = to_tiles(dense, rows, columns)
        occupied = (tiles != 0).any(axis=(2, 3))
        pointers, indices = compress(occupied)
        return cls((dense.shape[0], dense.shape[1]), (rows, columns), pointers, indices, tiles[occupied])

    def to_dense(self) -> NDArray[np.float32]:
        """Return the dense matrix, equal to the one packed."""
        tiles = np.zeros((len(self.pointers) - 1, self._grid_columns, *self.block), np.float32)
        tiles[row_of(self.pointers), self.indices] = self.values
        return from_tiles(tiles, self.shape)

    @property
    def _grid_columns(self) -> int:
        return -(-self.shape[1] // self.block[1])

    @property
    def nonzeros(self) -> int:
        """Values that are not zero (a kept block may hold zeros)."""
        return int(np.count_nonzero(self.values))

    def value_bits(self, bits: int) -> int:
        """Size of the values: ``kept blocks * block rows * block columns * bits``, edge padding included."""
        return int(self.values.size) * bits

    @property
    def metadata_bits(self) -> int:
        """``32 * (ceil(rows / r) + 1) + kept blocks * ceil(log2(ceil(columns / c)))`` for r x c blocks."""
        return compressed_bits(len(self.pointers) - 1, self._grid_columns, len(self.indices))

    def __repr__(self) -> str:
        rows, columns = self.block
        return f"Block({self.shape[0]}x{self.shape[1]}, {rows}x{columns} blocks, {self.nonzeros} non-zeros)"
