"""Columns: weights stored by input, so that inputs which are zero are never read.

``y = sum over k of x[k] * W[:, k]``, for k with x[k] not zero: the sparsity of activations after a ReLU, of what
changed since the last input (delta networks), of spikes. The columns that are needed are runs scattered over memory:
a single one ends before the hardware has read ahead, so `TOGETHER` go side by side, and the first lines of the next
ones are asked for while these end. Where each column starts is kept in registers (`kernels.matvec.vectors.places`);
loading it anew after each store leaves too few reads under way, and costs an eighth of the speed.
"""

from __future__ import annotations

import functools
from collections.abc import Callable
from typing import Any

import numpy as np
from numba import njit, prange
from numpy.typing import NDArray

from kernels import arrays
from kernels.active.registers import lowest_bit, nonzero_bits
from kernels.arrays import LINE_FLOATS, ArrayLike
from kernels.machine import vector_lanes
from kernels.matvec.memory import Floats, ending, finish, in_place, matrix, result, vector
from kernels.matvec.vectors import Kernel, add_streams, places
from kernels.threads import check_threads
from kernels.tile import fma, load, prefetch, splat, store

TOGETHER, VECTORS = 14, 1
"""Columns side by side, and registers of each at a time. The hardware does not follow many more."""
AHEAD = 8
"""Cache lines of the next columns that are asked for."""
WORD = 64
"""Inputs that are looked at together."""
INFINITY = float("inf")


@functools.cache
def compiled(lanes: int, weighted: int, parallel: int) -> Kernel:
    """Return the kernel that adds columns: times their values if ``weighted``, else as they are."""
    step = VECTORS * lanes

    @njit(cache=True, nogil=True, parallel=bool(parallel))
    def add_columns(w: Floats, starts: NDArray[np.int64], values: Floats, count: int, y: Floats, parts: int) -> None:
        steps = (y.size + step - 1) // step
        tasks = parts if parallel else 1
        for part in prange(tasks):
            first = steps * part // parts * step
            last = min(steps * (part + 1) // parts * step, y.size)
            whole = last - (last - first) % step
            full = count - count % TOGETHER
            for at in range(0, full, TOGETHER):
                these = places(starts, at, TOGETHER)
                scales = splat(values, at, TOGETHER, 1, lanes) if weighted else None
                following = min(at + TOGETHER, full - TOGETHER)
                for k in range(first, whole, step):
                    acc = add_streams(load(y, k, step, VECTORS, lanes), scales, w, these, k)
                    store(y, k, 0, step, acc)
                    line = AHEAD - (whole - k) // step
                    if line >= 0:
                        for i in range(following, following + TOGETHER):
                            prefetch(w, starts[i] + first + line * LINE_FLOATS)
            for k in range(first, whole, step):
                acc = load(y, k, step, VECTORS, lanes)
                for i in range(full, count):
                    acc = fma(acc, values, i, load(w, starts[i] + k, step, VECTORS, lanes))
                store(y, k, 0, step, acc)
            if whole < last:
                rest = last - whole
                acc = load(y, whole, rest, VECTORS, lanes)
                for i in range(count):
                    acc = fma(acc, values, i, load(w, starts[i] + whole, rest, VECTORS, lanes))
                store(y, whole, 0, rest, acc)

    made: Kernel = add_columns
    return made


@functools.cache
def scanner(lanes: int, weighted: int) -> Callable[..., int]:
    """Return the kernel that finds the non-zeros of a vector: where their columns start, and their factors."""
    across = WORD // lanes

    @njit(cache=True, nogil=True)
    def scan(x: NDArray[Any], stride: int, starts: NDArray[np.int64], values: Floats) -> int:
        count = 0
        for at in range(0, x.size, WORD):
            bits = nonzero_bits(x, at, x.size - at, across, lanes)
            while bits:
                k = at + lowest_bit(bits)
                starts[count] = k * stride
                values[count] = x[k] if weighted else 1
                count += 1
                bits &= bits - 1
        return count

    made: Callable[..., int] = scan
    return made


def _add(weights: Floats, stride: int, x: NDArray[Any], y: Floats, weighted: int, threads: int) -> None:
    """Add ``W @ x`` to y; x is float32, or uint8 if not weighted."""
    starts, values = np.empty(x.size, np.int64), np.empty(x.size, np.float32)
    count = scanner(vector_lanes(), weighted)(x, stride, starts, values)
    compiled(vector_lanes(), weighted, int(threads > 1))(weights[0], starts, values, count, y, threads)


def gemv_columns(
    weights_by_column: ArrayLike,
    x: ArrayLike,
    bias: ArrayLike = None,
    low: float = -INFINITY,
    high: float = INFINITY,
    out: ArrayLike = None,
    threads: int = 1,
) -> Floats:
    """Return ``clamp(W @ x + bias, low, high)``, reading only the columns of W where x is not zero.

    Parameters
    ----------
    weights_by_column
        float32 (K, M): the weights of one input after those of another, W transposed; with contiguous rows, fastest
        from `kernels.empty`.
    x
        float32 (K,), worth it from about 10 % zeros on. A zero counts as no input: it adds nothing, even to a weight
        that is not finite.
    bias
        float32 (M,), or None for zeros.
    low, high
        Bounds of the output.
    out
        Contiguous float32 (M,) to write; None makes one.
    threads
        Cores to use.

    Raises
    ------
    KernelError
        If an array has another shape, type or layout.
    """
    weights, stride = matrix("weights_by_column", weights_by_column)
    inputs, outputs = weights.shape
    x, end = vector("x", x, inputs), ending(bias, low, high, outputs)
    y = result(out, outputs, weights, x, *(end or ())[:1])
    _add(weights, stride, x, y, 1, check_threads(threads))
    if end is not None:
        finish(y, *end)
    return y


def delta_update(weights_by_column: ArrayLike, delta: ArrayLike, state: ArrayLike, threads: int = 1) -> Floats:
    """Add ``W @ delta`` to a state in place, and return it: what a delta network does with the inputs that changed.

    Neil et al., Delta Networks for Optimized Recurrent Network Computation, ICML 2017, equation 3.

    Parameters
    ----------
    weights_by_column
        float32 (K, M), as for `gemv_columns`.
    delta
        float32 (K,): change of each input; zeros cost nothing.
    state
        Contiguous float32 (M,), ``W @ x`` of the last input plus any bias.
    threads
        Cores to use.

    Raises
    ------
    KernelError
        If an array has another shape, type or layout.
    """
    weights, stride = matrix("weights_by_column", weights_by_column)
    inputs, outputs = weights.shape
    delta = vector("delta", delta, inputs)
    total = in_place("state", state, outputs, weights, delta)
    _add(weights, stride, delta, total, 1, check_threads(threads))
    return total


def spike_update(weights_by_column: ArrayLike, spikes: ArrayLike, potential: ArrayLike, threads: int = 1) -> Floats:
    """Add the weights of the inputs that spike to membrane potentials, in place and without a multiplication.

    Parameters
    ----------
    weights_by_column
        float32 (K, M), as for `gemv_columns`.
    spikes
        bool or uint8 (K,): an input spikes where it is not zero.
    potential
        Contiguous float32 (M,).
    threads
        Cores to use.

    Raises
    ------
    KernelError
        If an array has another shape, type or layout.
    """
    weights, stride = matrix("weights_by_column", weights_by_column)
    inputs, outputs = weights.shape
    spikes = np.ascontiguousarray(arrays.as_numpy("spikes", spikes))
    if spikes.dtype not in (np.bool_, np.uint8) or spikes.shape != (inputs,):
        rule = f"bool or uint8 of shape ({inputs},), one for each input of the weights"
        raise arrays.KernelError(f"spikes must be {rule}, not {spikes.dtype} of shape {spikes.shape}")
    total = in_place("potential", potential, outputs, weights, spikes)
    _add(weights, stride, spikes.view(np.uint8), total, 0, check_threads(threads))
    return total
