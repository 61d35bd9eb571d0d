"""Bitmask: one bit an element says where the non-zeros are."""

from __future__ import annotations

from dataclasses import dataclass
from math import prod

import numpy as np
from numpy.typing import NDArray

from kernels.formats.check import checked


@dataclass(frozen=True, slots=True, eq=False, repr=False)
class Bitmask:
    """The non-zeros in row-major order, and a bit for every element.

    Attributes
    ----------
    shape
        (rows, columns) of the dense matrix.
    bits
        uint8 (ceil(rows * columns / 8),): the row-major mask, most significant bit first.
    values
        float32 (nonzeros,).
    """

    shape: tuple[int, int]
    bits: NDArray[np.uint8]
    values: NDArray[np.float32]

    @classmethod
    def pack(cls, dense: NDArray[np.float32]) -> Bitmask:
        """Pack a finite float32 matrix; raise `FormatError` for any other."""
        dense = checked(dense)
        occupied = dense != 0
        return cls((dense.shape[0], dense.shape[1]), np.packbits(occupied), dense[occupied])

    def to_dense(self) -> NDArray[np.float32]:
        """Return the dense matrix, equal to the one packed."""
        dense = np.zeros(self.shape, np.float32)
        occupied = np.unpackbits(self.bits, count=prod(self.shape)).view(np.bool_)
        dense[occupied.reshape(self.shape)] = self.values
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
        """``rows * columns``; the unused bits of the last byte are not counted."""
        return prod(self.shape)

    def __repr__(self) -> str:
        return f"Bitmask({self.shape[0]}x{self.shape[1]}, {self.nonzeros} non-zeros)"
