"""Dense: nothing is removed."""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray

from codesign.patterns.pattern import checked


@dataclass(frozen=True, slots=True)
class Dense:
    """Every weight is kept (``dense``)."""

    @property
    def density(self) -> float:
        """The whole."""
        return 1.0

    def mask(self, weights: NDArray[np.float32], run: int) -> NDArray[np.bool_]:
        """Return a mask that is all True."""
        return np.ones(checked(weights, run), np.bool_)

    def satisfied_by(self, weights: NDArray[np.float32], run: int) -> bool:
        """Be content with any weights."""
        checked(weights, run)
        return True

    def removes(self, shape: tuple[int, int, int], run: int) -> bool:
        """Remove nothing."""
        return False

    def metadata_bits(self, shape: tuple[int, int, int], run: int) -> int:
        """Need none."""
        return 0

    def __str__(self) -> str:
        return "dense"
