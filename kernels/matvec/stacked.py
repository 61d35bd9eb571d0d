"""Stacked: a packed dense matrix with a row in each lane of the registers, as one stream in the order of reading.

Beside a matrix whose rows lie together (`kernels.matvec.rows`) this reads x far less often, and so it is the fastest
dense product of a vector: what sparse ones have to be compared with.
"""

from __future__ import annotations

import functools

import numpy as np
from numba import njit, prange

from kernels.machine import vector_lanes
from kernels.matvec.memory import Floats, stream
from kernels.matvec.vectors import Kernel
from kernels.packed import Packed, Store
from kernels.tile import fma, load, store, zeros

VECTORS = 2
"""Registers of rows that go together: enough sums to keep up with memory."""


@functools.cache
def compiled(lanes: int, parallel: int) -> Kernel:
    """Return the kernel; y is a multiple of ``VECTORS * lanes`` rows."""
    height = VECTORS * lanes

    @njit(cache=True, nogil=True, parallel=bool(parallel))
    def gemv_stacked(values: Floats, x: Floats, y: Floats, parts: int) -> None:
        slices = y.size // height
        tasks = parts if parallel else 1
        for part in prange(tasks):
            at = slices * part // parts * x.size * height
            for piece in range(slices * part // parts, slices * (part + 1) // parts):
                acc = zeros(1, VECTORS, lanes)
                for k in range(x.size):
                    acc = fma(acc, x, k, load(values, at, height, VECTORS, lanes))
                    at += height
                store(y, piece * height, 0, height, acc)

    made: Kernel = gemv_stacked
    return made


def fits(store: Store) -> bool:
    """Tell whether a packed matrix is dense."""
    return isinstance(store, np.ndarray)


def _stacked(store: Store) -> Floats:
    assert isinstance(store, np.ndarray)
    rows, columns = store.shape
    height = VECTORS * vector_lanes()
    slices = -(-rows // height)
    values: Floats = stream(slices * height * columns, np.float32)
    for piece, target in enumerate(values.reshape(slices, columns, height)):
        part = store[piece * height : (piece + 1) * height]
        target[:, : len(part)] = part.T
    return values


def multiply(packed: Packed, x: Floats, y: Floats, threads: int) -> None:
    """Write the product of a packed dense matrix to y."""
    values = packed.layout("gemv stacked", _stacked)
    height = VECTORS * vector_lanes()
    whole = y if y.size % height == 0 else np.empty(-(-y.size // height) * height, np.float32)
    compiled(vector_lanes(), int(threads > 1))(values, x, whole, threads)
    if whole is not y:
        y[:] = whole[: y.size]
