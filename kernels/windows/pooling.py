"""Pooling: the largest or the mean of each window of a plane, and the mean of a whole plane.

A window is taken apart: first the rows that it covers are joined, whole rows at a time, then the columns of that one
row. Both are plain loops that LLVM turns into vector code by itself.
"""

from __future__ import annotations

import functools
from collections.abc import Callable

import numpy as np
from numba import njit
from numpy.typing import NDArray

from kernels import arrays
from kernels.arrays import ArrayLike, whole
from kernels.tile import add, load, total, zeros
from kernels.windows.geometry import Geometry, Sizes

Floats = NDArray[np.float32]
LANES = 8
"""A plane of 7x7 fills registers of 8 floats best."""
STRETCH = 4096
"""Floats summed in float32; more would lose digits, so that sums of stretches are added in float64."""


@njit(cache=True, nogil=True)
def plane_means(planes: int, pixels: int, x: Floats, x_stride: int, y: Floats) -> None:
    """Write the mean of each plane of ``pixels`` floats; planes begin ``x_stride`` floats apart in flat memory."""
    for plane in range(planes):
        summed = 0.0
        for begin in range(0, pixels, STRETCH):
            at, count = plane * x_stride + begin, min(STRETCH, pixels - begin)
            sums = zeros(1, 1, LANES)
            for i in range(0, count - LANES + 1, LANES):
                sums = add(sums, load(x, at + i, LANES, 1, LANES))
            rest = count % LANES
            sums = add(sums, load(x, at + count - rest, rest, 1, LANES))
            summed += total(sums, 0)
        y[plane] = summed / pixels


@functools.cache
def compiled(largest: int, known: int) -> Callable[..., None]:
    """Return the compiled pooling, the largest of each window or the mean, for a known stride or (0) any.

    It takes the number of planes, kernel and stride, `Geometry.sizes`, the input planes and their distance, the output
    and its distance.
    """

    @njit(cache=True, nogil=True)
    def pool(
        planes: int,
        kernel: int,
        stride: int,
        sizes: Sizes,
        x: Floats,
        x_stride: int,
        y: Floats,
        y_stride: int,
    ) -> None:
        height, width, padding, rows, columns = sizes
        step = known if known else stride
        least = np.float32(-np.inf if largest else 0)
        share = np.float32(1 if largest else 1 / kernel**2)
        joined = np.full(width + 2 * padding, least)
        for plane in range(planes):
            for row in range(rows):
                joined[:] = least
                middle = joined[padding : padding + width]
                top = row * step - padding
                for line in range(max(top, 0), min(top + kernel, height)):
                    begin = plane * x_stride + line * width
                    pixels = x[begin : begin + width]
                    for i in range(width):
                        value, best = pixels[i], middle[i]
                        larger = value if value > best or value != value else best  # a NaN, unequal to itself, wins
                        middle[i] = larger if largest else best + value
                begin = plane * y_stride + row * columns
                result = y[begin : begin + columns]
                result[:] = least
                for tap in range(kernel):
                    pixels = joined[tap:]
                    for i in range(columns):
                        value, best = pixels[i * step], result[i]
                        larger = value if value > best or value != value else best
                        result[i] = larger if largest else best + value
                for i in range(columns):
                    result[i] *= share

    return pool


def on_planes(geometry: Geometry, planes: int, largest: bool) -> Callable[..., None]:
    """Return a pooling that is ready to run, ``run(x, x_stride, y, y_stride)``, on flat memory; it checks nothing."""
    kernel = compiled(int(largest), geometry.stride if geometry.stride <= 2 else 0)
    return functools.partial(kernel, planes, geometry.kernel, geometry.stride, geometry.sizes)


def max_pool(x: ArrayLike, kernel: int, stride: int | None = None, padding: int = 0, out: ArrayLike = None) -> Floats:
    """Return the largest value of each window, as torch's `max_pool2d`: the padding never counts, NaN always does.

    Parameters
    ----------
    x
        float32 (batch, channels, height, width).
    kernel, stride, padding
        Side of the window, its step (None: the side), and the border around the image, at most ``kernel // 2``.
    out
        float32 (batch, channels, rows, columns) to write, C-contiguous; None makes one.

    Raises
    ------
    KernelError
        If an array or a number is not as stated.
    """
    return _pool(x, kernel, stride, padding, out, largest=True)


def average_pool(
    x: ArrayLike, kernel: int | None = None, stride: int | None = None, padding: int = 0, out: ArrayLike = None
) -> Floats:
    """Return the mean of each window, as torch's `avg_pool2d`: zeros of the padding count.

    Without a kernel it is the mean of the whole image, of shape (batch, channels, 1, 1); parameters are otherwise those
    of `max_pool`.

    Raises
    ------
    KernelError
        If an array or a number is not as stated.
    """
    if kernel is not None:
        return _pool(x, kernel, stride, padding, out, largest=False)
    whole("padding", padding, 0)
    if stride is not None or padding:
        raise arrays.KernelError("kernel must be given with a stride or padding, not None; without it all is averaged")
    x = arrays.dense("x", x, (None, None, None, None))
    batch, channels, height, width = x.shape
    shape = (batch, channels, 1, 1)
    y = np.empty(shape, np.float32) if out is None else arrays.images(out, shape, x)
    plane_means(batch * channels, height * width, x.reshape(-1), height * width, y.reshape(-1))
    return y


def _pool(x: ArrayLike, kernel: int, stride: int | None, padding: int, out: ArrayLike, largest: bool) -> Floats:
    """Pool every plane of a batch: an image after another they are as many planes at one distance."""
    x = arrays.dense("x", x, (None, None, None, None))
    batch, channels, height, width = x.shape
    geometry = Geometry(kernel, kernel if stride is None else stride, padding, height, width)
    shape = (batch, channels, geometry.rows, geometry.columns)
    y = np.empty(shape, np.float32) if out is None else arrays.images(out, shape, x)
    run = on_planes(geometry, batch * channels, largest)
    run(x.reshape(-1), height * width, y.reshape(-1), geometry.rows * geometry.columns)
    return y
