"""What every format asks of the matrix it packs, and the error that says what is wrong."""

from __future__ import annotations

import numpy as np
from numpy.typing import NDArray

from kernels.arrays import KernelError

LARGEST = 1024
"""A size that may be larger than the matrix."""


class FormatError(KernelError):
    """A matrix, or an option, that a packed format cannot take; the message is one sentence for the user."""


def checked(dense: NDArray[np.float32]) -> NDArray[np.float32]:
    """Return the matrix if it can be packed, its negative zeros made positive.

    Raises
    ------
    FormatError
        Unless it is a 2-D float32 array with at least one element, all finite.
    """
    if not isinstance(dense, np.ndarray) or dense.dtype != np.float32:
        kind = dense.dtype if isinstance(dense, np.ndarray) else type(dense).__name__
        raise FormatError(f"a matrix to pack must be a NumPy array of float32, not {kind}; convert it first")
    if dense.ndim != 2 or dense.size == 0:
        rule = "of two dimensions with at least one row and one column"
        raise FormatError(f"a matrix to pack must be {rule}, not of shape {dense.shape}")
    finite = np.isfinite(dense)
    if not finite.all():
        row, column = np.argwhere(~finite)[0]
        where = f"at row {row}, column {column}"
        raise FormatError(f"a matrix to pack must be finite, not {dense[row, column]} {where}")
    return dense + np.float32(0)


def check_count(what: str, value: int, matrix_size: int) -> None:
    """Refuse a size that is not a whole number of at least 1, or far larger than the matrix, which padding would fill.

    Raises
    ------
    FormatError
        With ``what`` as its subject.
    """
    if not isinstance(value, int) or isinstance(value, bool) or value < 1:
        raise FormatError(f"{what} must be a whole number of at least 1, not {value!r}")
    if value > max(matrix_size, LARGEST):
        raise FormatError(f"{what} must be at most {max(matrix_size, LARGEST)} for this matrix, not {value}")
