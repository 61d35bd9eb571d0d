"""Bitmap: which elements of a tensor are not zero, one bit each."""

from __future__ import annotations

from dataclasses import dataclass
from math import prod
from typing import Any

import numpy as np
from numpy.typing import NDArray


@dataclass(frozen=True, slots=True, eq=False)
class Bitmap:
    """The non-zero pattern of a tensor, packed eight elements a byte.

    >>> Bitmap.of(np.array([[1.0, 0.0], [0.0, -2.0]]))
    Bitmap(2x2, 50.0 % non-zero)
    """

    shape: tuple[int, ...]
    packed: NDArray[np.uint8]
    binary: bool = False  # whether every element that is not zero is known to be one: a spike train

    @classmethod
    def of(cls, values: NDArray[Any], *, binary: bool = False) -> Bitmap:
        """Keep the zeros of an array of any shape and dtype."""
        return cls(tuple(values.shape), np.packbits(values != 0), binary)

    def unpack(self) -> NDArray[np.bool_]:
        """Return the pattern as a boolean array of the tensor's shape."""
        return np.unpackbits(self.packed, count=prod(self.shape)).view(np.bool_).reshape(self.shape)

    @property
    def nonzeros(self) -> int:
        """How many elements are not zero."""
        return int(np.bitwise_count(self.packed).sum())

    @property
    def density(self) -> float:
        """Share of elements that are not zero (1.0 for an empty tensor)."""
        size = prod(self.shape)
        return self.nonzeros / size if size else 1.0

    def __repr__(self) -> str:
        return f"Bitmap({'x'.join(map(str, self.shape))}, {100 * self.density:.1f} % non-zero)"
