"""The scan for non-zeros and the layouts it reads."""

import numpy as np
import pytest
import torch
from hypothesis import given, settings
from hypothesis import strategies as st

from kernels.active import by_pixels, empty_images
from kernels.active.layout import read
from kernels.active.scan import WORD, nonzero_words


def places(words, channels):
    """Return the flat (pixel, channel) places of the bits that are set."""
    bits = np.unpackbits(words.astype("<i8").view(np.uint8).reshape(*words.shape, 8), axis=2, bitorder="little")
    table = bits.transpose(1, 0, 2).reshape(words.shape[1], -1)
    assert not table[:, channels:].any()
    return np.flatnonzero(table[:, :channels])


@settings(max_examples=80, deadline=None)
@given(
    seed=st.integers(0, 99),
    shape=st.tuples(st.integers(1, 3), st.integers(1, 200), st.integers(1, 5), st.integers(1, 5)),
    nonzeros=st.sampled_from((0.0, 0.05, 0.5, 1.0)),
    kind=st.sampled_from((np.float32, np.uint8)),
    pixels=st.booleans(),
)
def test_finds_what_flatnonzero_finds(seed, shape, nonzeros, kind, pixels):
    """The bits are those of numpy.flatnonzero, counted right, by pixels and by channels, of floats and of spikes."""
    random = np.random.default_rng(seed)
    x = (random.integers(-3, 4, shape) * (random.random(shape) < nonzeros)).astype(kind)
    if kind == np.float32:
        x[random.random(shape) < 0.1] = random.choice([np.nan, np.inf, -0.0, 1e-45])
    by_pixel = np.ascontiguousarray(x.transpose(0, 2, 3, 1))
    images = by_pixel.transpose(0, 3, 1, 2) if pixels else x
    words, total = nonzero_words(read(images), shape[0], shape[1], shape[2] * shape[3])
    assert words.shape == (-(-shape[1] // WORD), shape[0] * shape[2] * shape[3])
    assert total == np.count_nonzero(x)
    assert np.array_equal(places(words, shape[1]), np.flatnonzero(by_pixel))


@pytest.mark.parametrize(
    "images",
    [
        np.ones((2, 5, 3, 4), np.float32),
        by_pixels(np.ones((2, 5, 3, 4), np.float32)),
        torch.ones(2, 5, 3, 4).to(memory_format=torch.channels_last).numpy(),
        np.ones((1, 1, 3, 4), np.float32),
        np.ones((2, 5, 1, 1), np.uint8),
    ],
)
def test_reads_where_it_lies(images):
    """Images by pixels or by channels are not copied, and their distances reach every element."""
    lie = read(images)
    assert np.shares_memory(lie.memory, images)
    assert 1 in (lie.pixel, lie.channel)
    batch, channels, height, width = images.shape
    lie.memory[:] = np.arange(images.size)
    at = np.arange(batch)[:, None, None] * channels * height * width
    at = at + np.arange(channels)[:, None] * lie.channel + np.arange(height * width) * lie.pixel
    assert np.array_equal(images.reshape(batch, channels, -1), at)


def test_copies_what_lies_otherwise():
    """Images that lie neither way, or may not be written, are copied by pixels."""
    x = np.arange(48, dtype=np.float32).reshape(1, 3, 4, 4)
    frozen = x.copy()
    frozen.flags.writeable = False
    for images in x[..., ::2], x[:, :, ::-1], frozen:
        lie = read(images)
        assert not np.shares_memory(lie.memory, images)
        assert np.array_equal(lie.memory, images.transpose(0, 2, 3, 1).ravel())


def test_empty_images_start_on_a_cache_line():
    """What a convolution writes starts on 64 bytes and is channels_last to torch."""
    for _ in range(5):
        y = empty_images(1, 3, 5, 7)
        assert y.ctypes.data % 64 == 0
        assert torch.from_numpy(y).is_contiguous(memory_format=torch.channels_last)
