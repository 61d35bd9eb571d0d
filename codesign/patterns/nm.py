"""NM: N of every M consecutive input channels."""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray

from codesign.patterns.pattern import checked, keep_largest
from kernels.formats import nm_metadata_bits
from traces.nm import check_nm, nm_kept


@dataclass(frozen=True, slots=True)
class NM:
    """The N largest magnitudes of each M consecutive input channels at one kernel position (``2:4``).

    A run that M does not divide ends in a short group of r = run mod M weights, which keeps min(N, r). N = M
    removes nothing. Packed as `kernels.formats.NM`: N * ceil(log2(M)) bits of metadata a group, or M if fewer.
    """

    n: int
    m: int

    def __post_init__(self) -> None:
        check_nm(self.n, self.m)

    @property
    def density(self) -> float:
        """N / M."""
        return self.n / self.m

    def mask(self, weights: NDArray[np.float32], run: int) -> NDArray[np.bool_]:
        """Keep the N largest of each group: `Pattern.mask`."""
        groups, n, k = checked(weights, run)
        runs = np.abs(weights).reshape(-1, run)
        mask = np.empty(runs.shape, np.bool_)
        whole = run - run % self.m
        full = runs[:, :whole].reshape(len(runs), whole // self.m, self.m)
        mask[:, :whole] = keep_largest(full, self.n).reshape(len(runs), whole)
        mask[:, whole:] = keep_largest(runs[:, whole:], self.n)
        return mask.reshape(groups, n, k)

    def satisfied_by(self, weights: NDArray[np.float32], run: int) -> bool:
        """Tell whether no group has more than N non-zeros."""
        checked(weights, run)
        starts = np.arange(0, run, self.m)
        counts = np.add.reduceat(weights.reshape(-1, run) != 0, starts, axis=1, dtype=np.int64)
        return bool((counts <= self.n).all())

    def removes(self, shape: tuple[int, int, int], run: int) -> bool:
        """Tell whether some group of a run has more than N weights."""
        return nm_kept(run, self.n, self.m) < run

    def metadata_bits(self, shape: tuple[int, int, int], run: int) -> int:
        """Return ``groups of M * min(N * ceil(log2(M)), M)``, where a short group takes as much as a full one.

        It is 0 if nothing is removed.
        """
        groups, n, k = shape
        return nm_metadata_bits(groups * n, k, self.n, self.m, run) if self.removes(shape, run) else 0

    def __str__(self) -> str:
        return f"{self.n}:{self.m}"
