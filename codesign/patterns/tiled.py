"""Tiled: the base of the patterns that keep or remove whole tiles of a weight matrix."""

from __future__ import annotations

from abc import ABC, abstractmethod

import numpy as np
from numpy.typing import NDArray

from codesign.patterns.pattern import checked, keep_largest
from kernels.formats import compressed_bits


class Tiled(ABC):
    """Tiles of a given height (output channels) and width (reduction) are kept by their L1 norm.

    A tile never crosses from one group of a convolution into the next; those at the lower and right edges are
    cut short and compete as they are. Of T tiles in the tensor ``round(sparsity * T)`` are removed (half to
    even), but one is always left. Single weights are tiles of 1x1, 1xN groups tiles of Nx1.
    """

    __slots__ = ()
    sparsity: float

    @property
    @abstractmethod
    def tile(self) -> tuple[int, int]:
        """Height (output channels) and width (along the reduction) of a tile."""

    @property
    def density(self) -> float:
        """``1 - sparsity``."""
        return 1 - self.sparsity

    def mask(self, weights: NDArray[np.float32], run: int) -> NDArray[np.bool_]:
        """Keep the tiles of largest L1 norm: `Pattern.mask`."""
        _, n, k = shape = checked(weights, run)
        norms = self._sums(np.abs(weights))
        tiles = keep_largest(norms.reshape(-1), self._kept(shape)).reshape(norms.shape)
        height, width = self.tile
        return tiles.repeat(min(height, n), axis=1)[:, :n].repeat(min(width, k), axis=2)[:, :, :k]

    def satisfied_by(self, weights: NDArray[np.float32], run: int) -> bool:
        """Tell whether no more tiles hold a non-zero than the pattern keeps."""
        kept = self._kept(checked(weights, run))
        return int(np.count_nonzero(self._sums(np.abs(weights)))) <= kept

    def removes(self, shape: tuple[int, int, int], run: int) -> bool:
        """Tell whether at least one tile is removed."""
        groups, rows, columns = self._grid(shape)
        return self._kept(shape) < groups * rows * columns

    def metadata_bits(self, shape: tuple[int, int, int], run: int) -> int:
        """Return ``groups * 32 * (tile rows + 1) + kept tiles * ceil(log2(tile columns))``.

        That is a compressed-row index of the tiles with 32-bit pointers; 0 if nothing is removed.
        """
        if not self.removes(shape, run):
            return 0
        groups, rows, columns = self._grid(shape)
        others = compressed_bits(rows, columns, 0)  # where the kept tiles lie among the groups does not matter
        return compressed_bits(rows, columns, self._kept(shape)) + (groups - 1) * others

    def _grid(self, shape: tuple[int, int, int]) -> tuple[int, int, int]:
        groups, n, k = shape
        height, width = self.tile
        return groups, -(-n // height), -(-k // width)

    def _kept(self, shape: tuple[int, int, int]) -> int:
        groups, rows, columns = self._grid(shape)
        tiles = groups * rows * columns
        return max(1, tiles - round(self.sparsity * tiles))

    def _sums(self, magnitudes: NDArray[np.float32]) -> NDArray[np.floating]:
        """Sum over each tile, in float64 so that no sum overflows: (groups, tile rows, tile columns)."""
        sums: NDArray[np.floating] = magnitudes
        for axis, length in zip((1, 2), self.tile, strict=True):
            if length > 1:
                starts = np.arange(0, sums.shape[axis], length)
                sums = np.add.reduceat(sums, starts, axis=axis, dtype=np.float64)
        return sums
