"""Depthwise convolution: each channel under a kernel of its own, 3x3 or 5x5, with a stride of 1 or 2.

A strip of a plane is worked through from top to bottom. Each input row is loaded once and serves all output rows that
see it, whose sums roll through the registers: for 3x3 and a stride of 1, three loads feed nine multiply-adds. Rows and
columns outside the plane are skipped or masked, so nothing is copied.
"""

from __future__ import annotations

import functools
from collections.abc import Callable

import numpy as np
from numba import njit, prange
from numpy.typing import NDArray

from kernels import arrays
from kernels.arrays import ArrayLike, KernelError
from kernels.machine import vector_registers
from kernels.threads import check_threads
from kernels.tile import splat, zeros
from kernels.windows.geometry import Geometry, Sizes
from kernels.windows.registers import STRIDES, finished, roll, slide, store_strip, strip_shape, within

KERNELS = (3, 5)
ANY: Sizes = (0, 0, 0, 0, 0)
NARROW = 8
"""Results this narrow get a compiled kernel of their own: LLVM unrolls their few rows, which saves up to a sixth."""
INFINITY = float("inf")
Floats = NDArray[np.float32]


@functools.cache
def compiled(
    kernel: int, stride: int, vectors: int, lanes: int, parallel: int, fixed: Sizes = ANY
) -> Callable[..., None]:
    """Return the compiled kernel for one window and one shape of strip.

    It takes the weights (flat, channel by channel), the bias, `Geometry.sizes`, the number of pieces into which the
    channels are cut for threads, the input planes and their distance, the two bounds, the output and its distance.
    With ``fixed`` sizes it is for these only.
    """
    known = int(fixed != ANY)
    taps, width = kernel * kernel, vectors * lanes
    live = -(-kernel // stride)  # output rows that one input row can belong to
    later = stride - 1

    @njit(cache=True, nogil=True, parallel=bool(parallel))
    def depthwise(
        weight: Floats,
        bias: Floats,
        sizes: Sizes,
        pieces: int,
        x: Floats,
        x_stride: int,
        low: np.float32,
        high: np.float32,
        y: Floats,
        y_stride: int,
    ) -> None:
        height, columns, padding, rows, size = fixed if known else sizes
        channels = bias.shape[0]
        count = min(size, width)
        top = -((kernel - 1 - padding) // stride)  # the first step that sees an input row
        tasks = pieces if parallel else 1  # a constant of the code, or Numba's cache would mix up the two variants
        for piece in prange(tasks):
            first = channels * piece // pieces
            last = channels * (piece + 1) // pieces
            # Where a strip is all of a row, its masks are made once for all channels.
            together = last - first if size <= width else 1
            for begin in range(first, last, together):
                for strip in range(0, size, width):
                    left = min(strip, size - count)  # the last strip overlaps the one before
                    column = left * stride - padding
                    for c in range(begin, min(begin + together, last)):
                        weights = splat(weight, c * taps, taps, 1, lanes)
                        fresh = splat(bias, c, 1, vectors, lanes)
                        acc = zeros(live, vectors, lanes)
                        for _ in range(live):
                            acc = roll(acc, fresh)
                        for row in range(top, rows):
                            line = stride * row + kernel - padding - stride
                            at = c * x_stride + line * columns + column
                            if within(line, height) and within(line + later, height):
                                acc = slide(acc, weights, x, at, column, columns, 0, stride, stride)
                            elif stride == 2:
                                if within(line, height):
                                    acc = slide(acc, weights, x, at, column, columns, 0, 1, stride)
                                if within(line + 1, height):
                                    acc = slide(acc, weights, x, at + columns, column, columns, later, stride, stride)
                            if row >= 0:
                                to = c * y_stride + row * size + left
                                store_strip(y, to, 0, count, finished(acc, 1, stride, low, high))
                            acc = roll(acc, fresh)

    return depthwise


def on_planes(weight: Floats, bias: Floats, geometry: Geometry, threads: int = 1) -> Callable[..., None]:
    """Return a depthwise convolution that is ready to run, ``run(x, x_stride, low, high, y, y_stride)``.

    Parameters
    ----------
    weight, bias
        float32 (C, kernel, kernel) and (C,), C-contiguous.
    geometry
        The window and the image.
    threads
        Cores to use; they divide the channels.

    Returns
    -------
    function
        It checks nothing. ``x`` and ``y`` are flat memory of C planes that begin ``x_stride`` and ``y_stride`` floats
        apart (`kernels.arrays.flat`), the bounds are np.float32.

    Raises
    ------
    KernelError
        If there is no compiled kernel for the window, or the threads are none.
    """
    geometry.limit(KERNELS, STRIDES)
    threads = min(check_threads(threads), len(bias))
    most = 4 if geometry.kernel == 3 and vector_registers() > 16 else 2
    vectors, lanes = strip_shape(geometry, most)
    fixed = geometry.sizes if max(geometry.rows, geometry.columns) <= NARROW else ANY
    kernel = compiled(geometry.kernel, geometry.stride, vectors, lanes, int(threads > 1), fixed)
    return functools.partial(kernel, weight.reshape(-1), bias, geometry.sizes, threads)


def depthwise(
    weight: ArrayLike,
    x: ArrayLike,
    bias: ArrayLike = None,
    stride: int = 1,
    padding: int | None = None,
    low: float = -INFINITY,
    high: float = INFINITY,
    out: ArrayLike = None,
    threads: int = 1,
) -> Floats:
    """Return the depthwise convolution of a batch of images, bounded to ``low ... high``.

    Parameters
    ----------
    weight
        float32 (C, k, k) or (C, 1, k, k), NumPy array or torch tensor; k is 3 or 5.
    x
        float32 (batch, C, height, width).
    bias
        float32 (C,), or None for zeros.
    stride, padding
        Step of the window, 1 or 2, and zeros around the image, at most ``k // 2``, which is also what None means.
    low, high
        Bounds of the output: 0 and infinity for a ReLU, 0 and 6 for a ReLU6.
    out
        float32 (batch, C, rows, columns) to write, C-contiguous; None makes one.
    threads
        Cores to use.

    Raises
    ------
    KernelError
        If an array or a number is not as stated.
    """
    weight = arrays.as_numpy("weight", weight)
    if weight.ndim == 4 and weight.shape[1] == 1:
        weight = weight[:, 0]
    if weight.ndim != 3 or weight.shape[1] != weight.shape[2]:
        raise KernelError(f"weight must be of shape (C, k, k) or (C, 1, k, k), not {weight.shape}")
    channels, kernel, _ = weight.shape
    weight = arrays.dense("weight", weight, (None, kernel, kernel))
    x = arrays.dense("x", x, (None, channels, None, None))
    geometry = Geometry(kernel, stride, kernel // 2 if padding is None else padding, *x.shape[2:])
    bias = arrays.vector("bias", bias, channels)
    run = on_planes(weight, bias, geometry, threads)
    return over_images(run, (x, weight, bias), channels, geometry, low, high, out)


def over_images(
    run: Callable[..., None],
    inputs: tuple[Floats, ...],
    channels: int,
    geometry: Geometry,
    low: float,
    high: float,
    out: ArrayLike,
) -> Floats:
    """Return what a function from `on_planes` computes of each image: (batch, channels, rows, columns).

    The images are the first of the inputs; the others are what the function reads beside, apart from ``out`` as well.
    """
    x = inputs[0]
    shape = (len(x), channels, geometry.rows, geometry.columns)
    y = np.empty(shape, np.float32) if out is None else arrays.images(out, shape, *inputs)
    limits = arrays.bounds(low, high)
    for image, result in zip(x, y, strict=True):
        planes = arrays.flat(image.reshape(len(image), -1))
        run(*planes, *limits, *arrays.flat(result.reshape(channels, -1)))
    return y
