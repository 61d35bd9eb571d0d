"""Dense 3x3 convolution: meant for the first layer of a network, where few channels meet many pixels.

A register tile sums up to 16 output channels on one strip of a row. Each tap is one register of pixels for
all of them, and each weight one multiply-add that reads it from the L1 cache.
"""

from __future__ import annotations

import functools
from collections.abc import Callable
from math import gcd

import numpy as np
from numba import njit, prange

from kernels import arrays
from kernels.arrays import ArrayLike
from kernels.machine import vector_registers
from kernels.threads import check_threads
from kernels.tile import splat
from kernels.windows.depthwise import INFINITY, Floats, over_images
from kernels.windows.geometry import Geometry, Sizes
from kernels.windows.registers import STRIDES, finished, fma_window, store_strip, strip_shape, within

KERNEL = 3


@functools.cache
def compiled(outputs: int, stride: int, lanes: int, parallel: int) -> Callable[..., None]:
    """Return the compiled kernel for one tile of output channels and one stride.

    It takes the weights as `on_planes` packs them, the bias, the number of input channels, `Geometry.sizes`, the number
    of pieces into which the rows are cut for threads, the input planes and their distance, the two bounds, the output
    and its distance.
    """
    taps = KERNEL * outputs

    @njit(cache=True, nogil=True, parallel=bool(parallel))
    def convolution(
        weight: Floats,
        bias: Floats,
        channels: int,
        sizes: Sizes,
        pieces: int,
        x: Floats,
        x_stride: int,
        low: np.float32,
        high: np.float32,
        y: Floats,
        y_stride: int,
    ) -> None:
        height, columns, padding, rows, size = sizes
        count = min(size, lanes)
        tasks = pieces if parallel else 1  # a constant of the code, or Numba's cache would mix up the two variants
        for piece in prange(tasks):
            for row in range(rows * piece // pieces, rows * (piece + 1) // pieces):
                for strip in range(0, size, lanes):
                    left = min(strip, size - count)  # the last strip overlaps the one before
                    column = left * stride - padding
                    for panel in range(bias.shape[0] // outputs):
                        acc = splat(bias, panel * outputs, outputs, 1, lanes)
                        for c in range(channels):
                            for k in range(KERNEL):
                                line = row * stride - padding + k
                                if within(line, height):
                                    offset = ((panel * channels + c) * KERNEL + k) * taps
                                    at = c * x_stride + line * columns + column
                                    acc = fma_window(acc, weight, offset, x, at, column, columns, KERNEL, stride)
                        to = panel * outputs * y_stride + row * size + left
                        store_strip(y, to, y_stride, count, finished(acc, outputs, stride, low, high))

    return convolution


def on_planes(weight: Floats, bias: Floats, geometry: Geometry, threads: int = 1) -> Callable[..., None]:
    """Return a convolution that is ready to run, ``run(x, x_stride, low, high, y, y_stride)``.

    Parameters
    ----------
    weight, bias
        float32 (M, C, 3, 3) and (M,); the weight is packed here.
    geometry
        The window and the image.
    threads
        Cores to use; they divide the rows.

    Returns
    -------
    function
        As `kernels.windows.depthwise.on_planes` returns it.

    Raises
    ------
    KernelError
        If the stride is neither 1 nor 2, or the threads are none.
    """
    geometry.limit((KERNEL,), STRIDES)
    threads = min(check_threads(threads), geometry.rows)
    channels, inputs = weight.shape[:2]
    outputs = gcd(channels, 16 if vector_registers() > 16 else 8)
    packed = weight.reshape(-1, outputs, inputs, KERNEL, KERNEL).transpose(0, 2, 3, 4, 1)
    packed = np.ascontiguousarray(packed).reshape(-1)
    _, lanes = strip_shape(geometry, 1)
    kernel = compiled(outputs, geometry.stride, lanes, int(threads > 1))
    return functools.partial(kernel, packed, bias, inputs, geometry.sizes, threads)


def conv3x3(
    weight: ArrayLike,
    x: ArrayLike,
    bias: ArrayLike = None,
    stride: int = 1,
    padding: int = 1,
    low: float = -INFINITY,
    high: float = INFINITY,
    out: ArrayLike = None,
    threads: int = 1,
) -> Floats:
    """Return the 3x3 convolution of a batch of images, bounded to ``low ... high``.

    Parameters
    ----------
    weight
        float32 (M, C, 3, 3), NumPy array or torch tensor.
    x
        float32 (batch, C, height, width).
    bias
        float32 (M,), or None for zeros.
    stride, padding
        Step of the window, 1 or 2, and zeros around the image, 0 or 1.
    low, high
        Bounds of the output: 0 and infinity for a ReLU, 0 and 6 for a ReLU6.
    out
        float32 (batch, M, rows, columns) to write, C-contiguous; None makes one.
    threads
        Cores to use.

    Raises
    ------
    KernelError
        If an array or a number is not as stated.
    """
    weight = arrays.dense("weight", weight, (None, None, KERNEL, KERNEL))
    outputs, inputs = weight.shape[:2]
    x = arrays.dense("x", x, (None, inputs, None, None))
    geometry = Geometry(KERNEL, stride, padding, *x.shape[2:])
    bias = arrays.vector("bias", bias, outputs)
    run = on_planes(weight, bias, geometry, threads)
    return over_images(run, (x, bias), outputs, geometry, low, high, out)
