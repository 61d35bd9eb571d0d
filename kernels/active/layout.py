"""How images lie in memory: by pixels (all channels of a pixel together, torch's channels_last) or by channels.

Every array here has the shape (batch, channels, height, width), whichever way it lies. Convolutions read both ways
where they lie, and write by pixels.
"""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any, NamedTuple

import numpy as np
from numpy.typing import NDArray

from kernels.arrays import ArrayLike, KernelError, as_numpy, checked


class Images(NamedTuple):
    """Images as compiled code takes them.

    Attributes
    ----------
    memory
        float32 or uint8, flat: image after image.
    pixel, channel
        Elements from one pixel to the next, and from one channel to the next; one of the two is 1.
    """

    memory: NDArray[Any]
    pixel: int
    channel: int


def empty_images(batch: int, channels: int, height: int, width: int) -> NDArray[np.float32]:
    """Return images that lie by pixels and start on a cache line; their values are arbitrary."""
    size = batch * channels * height * width
    memory = np.empty(size + 16, np.float32)
    start = (-memory.ctypes.data % 64) // 4
    return memory[start : start + size].reshape(batch, height, width, channels).transpose(0, 3, 1, 2)


def by_pixels(x: ArrayLike) -> NDArray[np.float32]:
    """Return a copy that lies by pixels, of one float32 image (channels, height, width) or a batch of them.

    The way back is ``numpy.ascontiguousarray``.

    Raises
    ------
    KernelError
        If it is no float32 array of three or four dimensions.
    """
    x = as_numpy("x", x)
    images = checked("x", x[None] if x.ndim == 3 else x, (None, None, None, None))
    copy = empty_images(*images.shape)
    copy[...] = images
    return copy.reshape(x.shape) if x.ndim == 4 else copy[0]


def read(images: NDArray[Any]) -> Images:
    """Return images of four dimensions as they lie, or a copy by pixels if they lie neither way or cannot be written.

    Compiled code is made for arrays that may be written, so one that may not would be compiled for anew.
    """
    pixels = images.transpose(0, 2, 3, 1)
    _, channels, height, width = images.shape
    if images.flags.c_contiguous and images.flags.writeable and not pixels.flags.c_contiguous:
        return Images(images.reshape(-1), 1, height * width)
    if not (pixels.flags.c_contiguous and pixels.flags.writeable):
        pixels = np.array(pixels, order="C")
    return Images(pixels.reshape(-1), channels, 1)


def written(what: str, y: ArrayLike, shape: Sequence[int], *inputs: NDArray[Any]) -> NDArray[np.float32]:
    """Return images to write, flat, by pixels, over the caller's memory.

    Raises
    ------
    KernelError
        Unless they are writable float32 of this shape, lie by pixels and share no memory with an input.
    """
    y = checked(what, y, shape)
    pixels = np.moveaxis(y, -3, -1)
    if not (pixels.flags.c_contiguous and pixels.flags.writeable):
        how = "numpy's or torch's own order" if y.flags.c_contiguous else "another order, or read-only"
        raise KernelError(
            f"{what} must be writable and lie by pixels (channels_last), not in {how}; "
            "make it with kernels.active.empty_images or by_pixels"
        )
    if any(np.may_share_memory(y, x) for x in inputs):
        raise KernelError(f"{what} must not share memory with an input; make it with kernels.active.empty_images")
    memory: NDArray[np.float32] = pixels.reshape(-1)
    return memory
