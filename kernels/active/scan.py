"""The scan: where the non-zeros of activations are, found once and used by every window and strip of weights.

The result is a bit for each value. Lists of indices and values would cost a store of 8 bytes for each non-zero and
save nothing: taking the lowest bit off a word is two cheap instructions next to the row of multiply-adds it leads to.
"""

from __future__ import annotations

import functools
from collections.abc import Callable
from typing import Any

import numpy as np
from numba import njit
from numpy.typing import NDArray

from kernels.active.layout import Images
from kernels.active.registers import bit_count, nonzero_bits
from kernels.machine import vector_lanes

WORD = 64
"""Channels in a word."""


def nonzero_words(x: Images, batch: int, channels: int, pixels: int) -> tuple[NDArray[np.int64], int]:
    """Return where images are not zero, and in how many places.

    Returns
    -------
    words : ndarray of int64, (ceil(channels / 64), batch * pixels)
        Bit i of word (b, n * pixels + p) tells whether channel ``64 * b + i`` of pixel p of image n is not zero.
    total : int
        How many bits are set.
    """
    words = np.empty((-(-channels // WORD), batch * pixels), np.int64)
    scan = _by_pixels(vector_lanes()) if x.channel == 1 else _by_channels
    return words, scan(x.memory, batch, channels, pixels, words)


@functools.cache
def _by_pixels(lanes: int) -> Callable[..., int]:
    """Return the scan of images whose channels lie together: a few compares make a word."""
    vectors = WORD // lanes

    @njit(cache=True, nogil=True)
    def scan(x: NDArray[Any], batch: int, channels: int, pixels: int, words: NDArray[np.int64]) -> int:
        total = 0
        for pixel in range(batch * pixels):
            for block in range(words.shape[0]):
                begin = block * WORD
                word = nonzero_bits(x, pixel * channels + begin, channels - begin, vectors, lanes)
                words[block, pixel] = word
                total += bit_count(word)
        return total

    return scan


@njit(cache=True, nogil=True)
def _by_channels(x: NDArray[Any], batch: int, channels: int, pixels: int, words: NDArray[np.int64]) -> int:
    """Scan images whose pixels lie together: a channel gives one bit to the words of many pixels at once."""
    words[:] = 0
    total = np.int64(0)
    for image in range(batch):
        for channel in range(channels):
            row = words[channel >> 6, image * pixels : (image + 1) * pixels]
            at = (image * channels + channel) * pixels
            for pixel in range(pixels):
                found = np.int64(x[at + pixel] != 0)
                row[pixel] |= found << (channel & 63)
                total += found
    return int(total)
