"""Csr: compressed sparse rows."""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray

from kernels.formats.check import checked
from kernels.formats.tiles import compress, compressed_bits, row_of


@dataclass(frozen=True, slots=True, eq=False, repr=False)
class Csr:
    """The non-zeros row by row, each with its column.

    Attributes
    ----------
    shape
        (rows, columns) of the dense matrix.
    pointers
        int32 (rows + 1,): row i owns entries ``pointers[i]`` up to ``pointers[i + 1]``.
    indices
        int32 (nonzeros,): column of each entry, ascending within a row.
    values
        float32 (nonzeros,).
    """

    shape: tuple[int, int]
    pointers: NDArray[np.int32]
    indices: NDArray[np.int32]
    values: NDArray[np.float32]

    @classmethod
    def pack(cls, dense: NDArray[np.float32]) -> Csr:
        """Pack a finite float32 matrix; raise `FormatError` for any other."""
        dense = checked(dense)
        occupied = dense != 0
        pointers, indices = compress(occupied)
        return cls((dense.shape[0], dense.shape[1]), pointers, indices, dense[occupied])

    def to_dense(self) -> NDArray[np.float32]:
        """Return the dense matrix, equal to the one packed."""
        dense = np.zeros(self.shape, np.float32)
        dense[row_of(self.pointers), self.indices] = self.values
        return dense

    @property
    def nonzeros(self) -> int:
        """Entries stored."""
        return int(self.values.size)

    def value_bits(self, bits: int) -> int:
        """Size of the values: ``nonzeros * bits``."""
        return self.nonzeros * bits

    @property
    def metadata_bits(self) -> int:
        """``32 * (rows + 1) + nonzeros * ceil(log2(columns))``: pointers and column indices."""
        return compressed_bits(*self.shape, self.nonzeros)

    def __repr__(self) -> str:
        return f"Csr({self.shape[0]}x{self.shape[1]}, {self.nonzeros} non-zeros)"
