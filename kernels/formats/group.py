"""Group: 1xN groups, where N consecutive output channels keep the same inputs."""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray

from kernels.formats.check import check_count, checked
from kernels.formats.tiles import compress, compressed_bits, from_tiles, row_of, to_tiles


@dataclass(frozen=True, slots=True, eq=False, repr=False)
class Group:
    """Compressed rows of column groups: one index serves ``size`` consecutive rows.

    Attributes
    ----------
    shape
        (rows, columns) of the dense matrix.
    size
        Rows of a group; where it does not divide the rows, the last groups are padded with zeros.
    pointers
        int32 (ceil(rows / size) + 1,): band i of rows owns groups ``pointers[i]`` up to ``pointers[i + 1]``.
    indices
        int32 (kept,): column of each group, ascending within a band.
    values
        float32 (kept, size).
    """

    shape: tuple[int, int]
    size: int
    pointers: NDArray[np.int32]
    indices: NDArray[np.int32]
    values: NDArray[np.float32]

    @classmethod
    def pack(cls, dense: NDArray[np.float32], size: int) -> Group:
        """Pack a finite float32 matrix, keeping each group that holds a non-zero; `FormatError` for any other."""
        dense = checked(dense)
        check_count("size of a group", size, dense.shape[0])
        tiles = to_tiles(dense, size, 1)[..., 0]
        occupied = (tiles != 0).any(axis=2)
        pointers, indices = compress(occupied)
        return cls((dense.shape[0], dense.shape[1]), size, pointers, indices, tiles[occupied])

    def to_dense(self) -> NDArray[np.float32]:
        """Return the dense matrix, equal to the one packed."""
        tiles = np.zeros((len(self.pointers) - 1, self.shape[1], self.size, 1), np.float32)
        tiles[row_of(self.pointers), self.indices, :, 0] = self.values
        return from_tiles(tiles, self.shape)

    @property
    def nonzeros(self) -> int:
        """Values that are not zero (a kept group may hold zeros)."""
        return int(np.count_nonzero(self.values))

    def value_bits(self, bits: int) -> int:
        """Size of the values: ``kept groups * size * bits``, padding of a last short group included."""
        return int(self.values.size) * bits

    @property
    def metadata_bits(self) -> int:
        """``32 * (ceil(rows / size) + 1) + kept groups * ceil(log2(columns))``: pointers and indices."""
        return compressed_bits(len(self.pointers) - 1, self.shape[1], len(self.indices))

    def __repr__(self) -> str:
        return f"Group({self.shape[0]}x{self.shape[1]}, 1x{self.size}, {self.nonzeros} non-zeros)"
