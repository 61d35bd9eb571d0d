"""NM: N of every M consecutive elements of a row."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Any

import numpy as np
from numpy.typing import NDArray

from kernels.formats.check import FormatError, check_count, checked
from kernels.formats.tiles import index_bits


def nm_metadata_bits(rows: int, columns: int, n: int, m: int, run: int) -> int:
    """Metadata of an N:M matrix: ``rows * groups * min(N * ceil(log2(M)), M)``, and 0 where N is M.

    A group records the index of each of its N values or, where that is smaller, a bitmap of M bits; a short
    group takes as much as a full one. ``groups = columns / run * ceil(run / M)`` is the number in a row.
    """
    groups = columns // run * -(-run // m)
    return 0 if n == m else rows * groups * min(n * index_bits(m), m)


@dataclass(frozen=True, slots=True, eq=False, repr=False)
class NM:
    """N values of each group of M consecutive elements of a row, with their places in the group.

    A row is made of runs (the input channels at one kernel position); groups do not cross from one run into
    the next, so a run that M does not divide ends in a short group. Every group takes N slots; those that
    are not needed hold zeros.

    Attributes
    ----------
    shape
        (rows, columns) of the dense matrix.
    n, m
        At most N of M consecutive elements are not zero.
    run
        Length of a run; it divides the columns.
    indices
        Unsigned integers (rows, groups * N): place of each value in its group, ascending within the group.
    values
        float32 (rows, groups * N).
    """

    shape: tuple[int, int]
    n: int
    m: int
    run: int
    indices: NDArray[np.unsignedinteger[Any]]
    values: NDArray[np.float32]

    @classmethod
    def pack(cls, dense: NDArray[np.float32], n: int, m: int, run: int | None = None) -> NM:
        """Pack a finite float32 matrix that is N:M sparse along its rows (``run`` is a whole row if not given).

        Raises
        ------
        FormatError
            If the matrix has too many non-zeros in some group, or an argument is out of its range.
        """
        dense = checked(dense)
        rows, columns = dense.shape
        run = columns if run is None else run
        for what, value in (("N of N:M", n), ("M of N:M", m), ("run", run)):
            check_count(what, value, columns)
        if n > m:
            raise FormatError(f"N of N:M must be at most M, not {n}:{m}")
        if columns % run:
            raise FormatError(f"run must divide the {columns} columns of the matrix, not be {run}")
        runs = dense.reshape(rows, columns // run, run)
        groups = np.pad(runs, ((0, 0), (0, 0), (0, -run % m))).reshape(rows, -1, m)
        counts = np.count_nonzero(groups, axis=2)
        if counts.max() > n:
            row, group = np.argwhere(counts > n)[0]
            position, within = divmod(int(group), -(-run // m))
            start = position * run + within * m
            raise FormatError(
                f"a {n}:{m} matrix must have at most {n} non-zeros in each group of {m},"
                f" not {counts[row, group]} at row {row} from column {start}; mask it first"
            )
        # The non-zeros come first in a stable sort of "is zero"; zeros fill up the rest of the N slots.
        places = np.sort(np.argsort(groups == 0, axis=2, kind="stable")[..., :n], axis=2)
        values = np.take_along_axis(groups, places, axis=2).reshape(rows, -1)
        indices = places.astype(np.min_scalar_type(m - 1)).reshape(rows, -1)
        return cls((rows, columns), n, m, run, indices, values)

    def to_dense(self) -> NDArray[np.float32]:
        """Return the dense matrix, equal to the one packed."""
        rows, columns = self.shape
        slots = (rows, -1, self.n)
        groups = np.zeros((rows, self.values.shape[1] // self.n, self.m), np.float32)
        places = self.indices.reshape(slots).astype(np.intp)
        np.put_along_axis(groups, places, self.values.reshape(slots), axis=2)
        runs = groups.reshape(rows, columns // self.run, -1)[..., : self.run]
        return runs.reshape(self.shape)

    @property
    def nonzeros(self) -> int:
        """Values that are not zero (slots of a group with fewer than N are)."""
        return int(np.count_nonzero(self.values))

    def value_bits(self, bits: int) -> int:
        """Size of the values: ``rows * groups * N * bits``, unused slots included."""
        return int(self.values.size) * bits

    @property
    def metadata_bits(self) -> int:
        """``rows * groups * min(N * ceil(log2(M)), M)``: see `nm_metadata_bits`."""
        return nm_metadata_bits(*self.shape, self.n, self.m, self.run)

    def __repr__(self) -> str:
        return f"NM({self.shape[0]}x{self.shape[1]}, {self.n}:{self.m}, {self.nonzeros} non-zeros)"
