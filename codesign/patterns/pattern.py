"""Pattern: what every sparsity pattern can do, and what they share."""

from __future__ import annotations

from typing import Any, Protocol, runtime_checkable

import numpy as np
from numpy.typing import NDArray

from traces.errors import InputError


@runtime_checkable
class Pattern(Protocol):
    """A rule for which weights are kept. ``str(pattern)`` is the text that `parse_pattern` reads back."""

    @property
    def density(self) -> float:
        """Nominal share of the weights that is kept; short groups and rounding make the real one differ."""

    def mask(self, weights: NDArray[np.float32], run: int) -> NDArray[np.bool_]:
        """Return what to keep of a (groups, n, k) tensor: the largest magnitudes, of equal ones the first.

        The count is exact, and is one of the whole tensor. `InputError` if the weights are not finite float32
        of three dimensions, or the run does not divide k.
        """

    def satisfied_by(self, weights: NDArray[np.float32], run: int) -> bool:
        """Tell whether the zeros of a tensor are at least what the pattern asks for, and where it asks."""

    def removes(self, shape: tuple[int, int, int], run: int) -> bool:
        """Tell whether a mask of a tensor of this shape holds any False; small tensors may have no room."""

    def metadata_bits(self, shape: tuple[int, int, int], run: int) -> int:
        """Bits that say what is kept, in the packed format of the pattern; 0 where nothing is removed.

        It depends on the shape alone, because the number of what is kept does.
        """


def checked(weights: NDArray[np.float32], run: int) -> tuple[int, int, int]:
    """Return the shape of a weight tensor that a pattern can be applied to; `InputError` for any other."""
    if not isinstance(weights, np.ndarray) or weights.dtype != np.float32:
        kind = weights.dtype.name if isinstance(weights, np.ndarray) else type(weights).__name__
        raise InputError.must("weights", "a NumPy array of float32", kind, "convert them first")
    if weights.ndim != 3 or weights.size == 0:
        raise InputError.must("weights", "of a shape (groups, n, k) without a zero", weights.shape)
    finite = np.isfinite(weights)
    if not finite.all():
        where = tuple(int(index) for index in np.argwhere(~finite)[0])
        raise InputError(f"weights must be finite, not {weights[where]} at index {where}; check the checkpoint")
    if run < 1 or weights.shape[2] % run:
        raise InputError.must("run", f"a divisor of the reduction length {weights.shape[2]}", run)
    groups, n, k = weights.shape
    return groups, n, k


def keep_largest(scores: NDArray[Any], kept: int) -> NDArray[np.bool_]:
    """Mark the ``kept`` largest along the last axis, of equal ones the first."""
    length = scores.shape[-1]
    if kept >= length:
        return np.ones(scores.shape, np.bool_)
    threshold = np.partition(scores, length - kept, axis=-1)[..., length - kept, None]
    larger, tied = scores > threshold, scores == threshold
    spare = kept - np.count_nonzero(larger, axis=-1, keepdims=True)
    mask: NDArray[np.bool_] = larger | (tied & (np.cumsum(tied, axis=-1) <= spare))
    return mask


def check_sparsity(value: float) -> None:
    """Refuse a sparsity that is not a number in [0, 1) with an `InputError`."""
    number = isinstance(value, int | float) and not isinstance(value, bool)
    if not number or not 0 <= value < 1:
        hint = "it is the share removed, 0.9 for nine tenths"
        raise InputError.must("sparsity", "a number from 0 up to, but not including, 1", value, hint)


def check_size(what: str, value: int) -> None:
    """Refuse a group or block size that is not a whole number of at least 1 with an `InputError`."""
    if not isinstance(value, int) or isinstance(value, bool) or value < 1:
        raise InputError.must(what, "a whole number of at least 1", value)
