"""Rows: a plain dense matrix, or the rows of it that a gate keeps, times a vector.

Such a product reads every weight once and does little with it, so all that counts is how many cache lines are on
their way at any time. `TOGETHER` rows go side by side, and the first lines of the next ones are asked for while these
end: that hides where rows are skipped, and shares each read of x.
"""

from __future__ import annotations

import functools

import numpy as np
from numba import njit, prange
from numpy.typing import NDArray

from kernels import arrays
from kernels.arrays import LINE_FLOATS, ArrayLike
from kernels.machine import vector_lanes
from kernels.matvec.memory import Floats, ending, finish, matrix, result, vector
from kernels.matvec.vectors import Kernel, store_totals
from kernels.threads import check_threads
from kernels.tile import fma_tile, load, load_rows, prefetch, zeros

TOGETHER, VECTORS = 14, 1
"""Rows side by side, and registers of each at a time. Fewer leave memory idle; hardware does not follow many more."""
AHEAD = 8
"""Cache lines of the next rows that are asked for."""
INFINITY = float("inf")


@functools.cache
def compiled(lanes: int, parallel: int) -> Kernel:
    """Return the kernel; there are a multiple of `TOGETHER` rows."""
    step = VECTORS * lanes

    @njit(cache=True, nogil=True, parallel=bool(parallel))
    def gemv_rows(w: Floats, stride: int, rows: NDArray[np.int32], x: Floats, y: Floats, parts: int) -> None:
        whole = x.size - x.size % step
        tiles = rows.size // TOGETHER
        tasks = parts if parallel else 1
        for part in prange(tasks):
            for tile in range(tiles * part // parts, tiles * (part + 1) // parts):
                at = tile * TOGETHER
                following = min(at + TOGETHER, rows.size - TOGETHER)
                acc = zeros(TOGETHER, VECTORS, lanes)
                for k in range(0, whole, step):
                    weights = load_rows(w, rows, at, stride, k, step, TOGETHER, VECTORS, lanes)
                    acc = fma_tile(acc, weights, load(x, k, step, VECTORS, lanes))
                    line = AHEAD - (whole - k) // step
                    if line >= 0:
                        for i in range(following, following + TOGETHER):
                            prefetch(w, rows[i] * stride + line * LINE_FLOATS)
                if whole < x.size:
                    rest = x.size - whole
                    weights = load_rows(w, rows, at, stride, whole, rest, TOGETHER, VECTORS, lanes)
                    acc = fma_tile(acc, weights, load(x, whole, rest, VECTORS, lanes))
                store_totals(y, rows, at, acc)

    made: Kernel = gemv_rows
    return made


def multiply(weight: Floats, stride: int, x: Floats, y: Floats, gate: NDArray[np.bool_] | None, threads: int) -> None:
    """Write the products of the rows that a gate keeps (None: all) to y; the other elements stay as they are."""
    rows = _all(len(weight)) if gate is None else _kept(gate)
    if rows.size:
        compiled(vector_lanes(), int(threads > 1))(weight[0], stride, rows, x, y, threads)


@functools.lru_cache(maxsize=64)
def _all(count: int) -> NDArray[np.int32]:
    return _kept(np.ones(count, np.bool_))


def _kept(gate: NDArray[np.bool_]) -> NDArray[np.int32]:
    """Return the rows that are kept, the last one repeated to fill the last tile: it is written again, the same."""
    rows = np.empty(gate.size + TOGETHER, np.int32)
    return rows[: _fill(gate, rows)]


@njit(cache=True, nogil=True)
def _fill(gate: NDArray[np.bool_], rows: NDArray[np.int32]) -> int:
    count = 0
    for row in range(gate.size):
        rows[count] = row
        count += gate[row]
    last = rows[count - 1] if count else 0
    while count % TOGETHER:
        rows[count] = last
        count += 1
    return count


def gemv_rows(
    weight: ArrayLike,
    x: ArrayLike,
    gate: ArrayLike,
    bias: ArrayLike = None,
    low: float = -INFINITY,
    high: float = INFINITY,
    out: ArrayLike = None,
    threads: int = 1,
) -> Floats:
    """Return ``clamp(W @ x + bias, low, high)`` where a gate is true, and 0 elsewhere: skipped rows are not read.

    Parameters
    ----------
    weight
        float32 (M, K) with contiguous rows; fastest from `kernels.empty`.
    x
        float32 (K,).
    gate
        bool (M,): the outputs that are wanted, known before they are computed.
    bias
        float32 (M,), or None for zeros.
    low, high
        Bounds of the outputs that are wanted.
    out
        Contiguous float32 (M,) to write; None makes one.
    threads
        Cores to use.

    Raises
    ------
    KernelError
        If an array has another shape, type or layout.
    """
    weight, stride = matrix("weight", weight)
    x = vector("x", x, weight.shape[1])
    gate = np.ascontiguousarray(arrays.as_numpy("gate", gate))
    if gate.dtype != np.bool_ or gate.shape != (len(weight),):
        rule = f"bool of shape ({len(weight)},), one for each row of the weight"
        raise arrays.KernelError(f"gate must be {rule}, not {gate.dtype} of shape {gate.shape}")
    end = ending(bias, low, high, len(weight))
    y = result(out, len(weight), weight, x, gate, *(end or ())[:1])
    multiply(weight, stride, x, y, gate, check_threads(threads))
    if end is not None:
        finish(y, *end)
        y[~gate] = 0
    return y
