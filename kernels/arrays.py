"""The edge between a caller's arrays and compiled code that checks nothing: every array goes through here first.

Inputs are float32 NumPy arrays or torch tensors on the CPU; they are used where they lie if their rows are
contiguous, and copied if not. An output is never replaced by a copy, so one that cannot be written in place is refused.
"""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any, TypeAlias

import numpy as np
from numpy.typing import NDArray

ArrayLike: TypeAlias = Any
"""A NumPy array or a torch tensor; torch is not imported to say so."""

LINE_FLOATS = 16
"""Floats in a cache line of 64 bytes."""
WHOLE = (int, np.integer)
NUMBERS = (float, np.floating, *WHOLE)
"""What a bound may be: not text, which NumPy would turn into a number."""


class KernelError(ValueError):
    """An array or option that a kernel cannot take; the message is one sentence for the user."""


def as_numpy(what: str, x: ArrayLike) -> NDArray[Any]:
    """Return an array or torch tensor as a plain NumPy array (no subclass) over the same memory.

    Raises
    ------
    KernelError
        If it is neither, a masked array, or a tensor that NumPy cannot see (another device, sparse, bfloat16).
    """
    if type(x) is np.ndarray:
        return x
    if type(x).__module__.partition(".")[0] == "torch" and hasattr(x, "detach"):
        try:
            x = x.detach().numpy()
        except (TypeError, RuntimeError) as error:
            kind = f"{x.dtype} on {x.device}, {x.layout}"
            raise KernelError(
                f"{what} must be a dense float32 tensor on the CPU, not {kind}; convert it first"
            ) from error
    if not isinstance(x, np.ndarray) or isinstance(x, np.ma.MaskedArray):
        raise KernelError(f"{what} must be a NumPy array or a torch tensor, not {type(x).__name__}")
    return x.view(np.ndarray)


def checked(what: str, given: ArrayLike, shape: Sequence[int | None]) -> NDArray[np.float32]:
    """Return a float32 array of this shape (None: any size of at least 1) over the caller's memory.

    Raises
    ------
    KernelError
        If the type, the shape or the alignment of its elements is another.
    """
    x: NDArray[Any] = as_numpy(what, given)
    if x.dtype != np.float32:
        raise KernelError(
            f"{what} must be of float32 in this machine's byte order, not {x.dtype.str}; convert it first"
        )
    fits = x.ndim == len(shape) and all(n == m if m is not None else n > 0 for n, m in zip(x.shape, shape, strict=True))
    if not fits:
        wanted = ", ".join("any" if size is None else str(size) for size in shape)
        raise KernelError(f"{what} must be of shape ({wanted}), not {x.shape}")
    if not x.flags.aligned:
        raise KernelError(f"{what} must be aligned to its elements of 4 bytes, not at an odd address; copy it first")
    return x


def dense(what: str, x: ArrayLike, shape: Sequence[int | None]) -> NDArray[np.float32]:
    """Return a C-contiguous, writable float32 array of this shape: the caller's own, or a copy if it is not so."""
    own = checked(what, x, shape)
    return own if own.flags.c_contiguous and own.flags.writeable else np.array(own, np.float32, order="C")


def rows_lie(x: NDArray[np.float32]) -> bool:
    """Tell whether the rows of a matrix are contiguous and follow each other without overlap."""
    across = x.strides[1] == 4 or x.shape[1] == 1
    down = (x.strides[0] >= 4 * x.shape[1] and x.strides[0] % 4 == 0) or x.shape[0] == 1
    return across and down


def matrix(what: str, x: ArrayLike, shape: Sequence[int | None]) -> NDArray[np.float32]:
    """Return a writable float32 matrix with contiguous rows: the caller's own, or a copy if it is not so."""
    own = checked(what, x, shape)
    return own if rows_lie(own) and own.flags.writeable else np.array(own, np.float32, order="C")


def flat(x: NDArray[np.float32]) -> tuple[NDArray[np.float32], int]:
    """Return the memory of a matrix from `matrix` as one vector, and the distance between its rows in elements."""
    rows, columns = x.shape
    stride = columns if rows == 1 else x.strides[0] // 4
    if x.flags.c_contiguous:
        return x.reshape(-1), stride
    return np.lib.stride_tricks.as_strided(x, ((rows - 1) * stride + columns,), (4,)), stride


def output(out: ArrayLike, shape: tuple[int, int], *inputs: NDArray[np.float32]) -> NDArray[np.float32]:
    """Return the matrix to write: ``out`` if given, else a new one from `empty`.

    Raises
    ------
    KernelError
        Unless ``out`` is a writable float32 matrix of this shape whose rows are contiguous, apart from the inputs.
    """
    if out is None:
        return empty(*shape)
    own = checked("out", out, shape)
    if not (rows_lie(own) and own.flags.writeable):
        raise KernelError("out must be writable, with contiguous rows that do not overlap; make it with kernels.empty")
    if any(np.may_share_memory(own, x) for x in inputs):
        raise KernelError("out must not share memory with an input; make it with kernels.empty")
    return own


def images(out: ArrayLike, shape: tuple[int, ...], *inputs: NDArray[np.float32]) -> NDArray[np.float32]:
    """Return the images to write: a C-contiguous, writable float32 array of this shape, apart from the inputs.

    Raises
    ------
    KernelError
        If it is not so.
    """
    own = checked("out", out, shape)
    if not (own.flags.c_contiguous and own.flags.writeable):
        raise KernelError("out must be writable and C-contiguous; make it with numpy.empty")
    if any(np.may_share_memory(own, x) for x in inputs):
        raise KernelError("out must not share memory with an input; make it with numpy.empty")
    return own


def vector(what: str, x: ArrayLike, size: int) -> NDArray[np.float32]:
    """Return a contiguous float32 vector of this size; zeros for None."""
    return np.zeros(size, np.float32) if x is None else dense(what, x, (size,))


def whole(what: str, value: object, least: int, most: int = 2**31 - 1) -> None:
    """Raise `KernelError` unless a value is a whole number within bounds."""
    if isinstance(value, bool) or not isinstance(value, int) or not least <= value <= most:
        raise KernelError(f"{what} must be a whole number from {least} to {most}, not {value!r}")


def bounds(low: float, high: float) -> tuple[np.float32, np.float32]:
    """Return the bounds of an output as float32.

    Raises
    ------
    KernelError
        Unless both are numbers and the first is not above the second.
    """
    try:
        if not (isinstance(low, NUMBERS) and isinstance(high, NUMBERS)):
            raise TypeError
        pair = np.float32(low), np.float32(high)
    except (TypeError, OverflowError):
        raise KernelError(f"low and high must be numbers, not {low!r} and {high!r}") from None
    if not pair[0] <= pair[1]:
        raise KernelError(f"low must be at most high, not {low!r} with a high of {high!r}")
    return pair


def row_stride(rows: int, columns: int) -> int:
    """Return the floats between rows in `empty`: whole cache lines, an odd number of them."""
    lines = -(-columns // LINE_FLOATS)
    return LINE_FLOATS * (lines | 1 if rows > 1 else lines)


def empty(rows: int, columns: int) -> NDArray[np.float32]:
    """Return a matrix of zeros whose rows start on cache lines, an odd number of lines apart.

    Aligned rows need no load across two lines, and an odd distance spreads a column of tiles over all sets of a
    cache; wide rows an even power of two apart would all fall into a few.

    Raises
    ------
    KernelError
        If one of the sizes is no whole number.
    """
    if not (isinstance(rows, WHOLE) and isinstance(columns, WHOLE) and rows > 0 and columns > 0):
        raise KernelError(f"rows and columns must be whole numbers of at least 1, not {rows!r} and {columns!r}")
    stride = row_stride(rows, columns)
    memory = np.zeros(rows * stride + LINE_FLOATS, np.float32)
    start = (-memory.ctypes.data % 64) // 4
    return memory[start : start + rows * stride].reshape(rows, stride)[:, :columns]
