"""Memory for weights that are read once from end to end, and for the vectors at both ends of a product."""

from __future__ import annotations

import threading
from typing import Any, TypeAlias

import numpy as np
from numba import njit
from numpy.typing import NDArray

from kernels import arrays
from kernels.arrays import ArrayLike

Floats: TypeAlias = NDArray[np.float32]
Ending: TypeAlias = tuple[Floats, np.float32, np.float32]

HUGE = 2 << 20
"""Bytes of a huge page; 4 KB pages would cost an address translation every 64 cache lines."""
LINE = 64
FLOAT = np.dtype(np.float32)


BLOCK = 16 << 20
"""Bytes of memory that small streams are taken from."""
_lock = threading.Lock()
_rest: NDArray[np.uint8] = np.zeros(0, np.uint8)


def stream(count: int, dtype: type[np.generic]) -> NDArray[Any]:
    """Return zeros in huge pages, whose memory starts on a cache line.

    What is small shares its pages with the streams before and after it, as the layers of a model do; they are given
    back when none of these is left.
    """
    global _rest
    size = count * np.dtype(dtype).itemsize
    lines = -(-size // LINE) * LINE
    if lines > BLOCK // 4:
        return _pages(lines)[:size].view(dtype)
    with _lock:
        if lines > _rest.size:
            _rest = _pages(BLOCK)
        taken, _rest = _rest[:size], _rest[lines:]
    return taken.view(dtype)


def _pages(size: int) -> NDArray[np.uint8]:
    """Return zeros that start on a huge page and fill whole ones.

    NumPy asks Linux for huge pages for what it allocates; Linux gives them to the whole ones inside. So the size is
    rounded up to whole pages, and one more leaves room to start on a boundary.
    """
    memory = np.zeros(-(-size // HUGE) * HUGE + HUGE, np.uint8)
    start = -memory.ctypes.data % HUGE
    return memory[start : start + size]


def vector(what: str, given: ArrayLike, size: int) -> Floats:
    """Return what `kernels.arrays.dense` does, in a tenth of the time where nothing is wrong."""
    x: Floats = given
    fine = type(given) is np.ndarray and x.dtype == FLOAT and x.shape == (size,) and x.flags.carray
    return x if fine else arrays.dense(what, given, (size,))


def matrix(what: str, given: ArrayLike) -> tuple[Floats, int]:
    """Return a matrix as `kernels.arrays.matrix` does, and the distance between its rows in elements.

    A kernel takes ``matrix[0]``, the first row, for the memory of all of them: it counts on from there.
    """
    x: Floats = given
    if not (type(given) is np.ndarray and x.dtype == FLOAT and x.ndim == 2 and x.size and x.flags.carray):
        x = arrays.matrix(what, given, (None, None))
    return x, x.strides[0] // 4 if len(x) > 1 else x.shape[1]


def padded(x: Floats, size: int) -> Floats:
    """Return a copy of a vector, followed by zeros up to a size."""
    copy = np.zeros(size, np.float32)
    copy[: x.size] = x
    return copy


def result(out: ArrayLike, size: int, *inputs: NDArray[Any]) -> Floats:
    """Return the vector to write, all zeros: ``out`` if given, else a new one on cache lines.

    Raises
    ------
    KernelError
        Unless ``out`` is a contiguous, writable float32 vector of this size, apart from the inputs.
    """
    if out is None:
        fresh: Floats = arrays.empty(1, size)[0]
        return fresh
    y: Floats = in_place("out", out, size, *inputs)
    y[:] = 0
    return y


def in_place(what: str, given: ArrayLike, size: int, *inputs: NDArray[Any]) -> Floats:
    """Return a vector that is written in place; raise `KernelError` if it cannot be."""
    y: Floats = arrays.checked(what, given, (size,))
    if not y.flags.carray:
        raise arrays.KernelError(f"{what} must be contiguous and writable; make it with numpy.empty")
    if any(np.may_share_memory(y, x) for x in inputs):
        raise arrays.KernelError(f"{what} must not share memory with an input; make it with numpy.empty")
    return y


def ending(bias: ArrayLike, low: float, high: float, size: int) -> Ending | None:
    """Return the checked bias and bounds, or None if sums are to stay as they are; raise `KernelError` if wrong."""
    least, most = arrays.bounds(low, high)
    if bias is None and least == -np.inf and most == np.inf:
        return None
    return arrays.vector("bias", bias, size), least, most


@njit(cache=True, nogil=True)
def finish(y: Floats, bias: Floats, low: np.float32, high: np.float32) -> None:
    """Add the bias to sums and hold them within the bounds, in place; a NaN stays one."""
    for i in range(y.size):
        value = y[i] + bias[i]
        value = low if value < low else value
        y[i] = high if value > high else value
