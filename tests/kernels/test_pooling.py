"""Pooling: against torch, and what happens to arrays that do not fit."""

import numpy as np
import pytest
import torch
from hypothesis import given, settings
from hypothesis import strategies as st
from torch.nn import functional

from kernels import KernelError, empty
from kernels.arrays import flat
from kernels.windows.geometry import Geometry
from kernels.windows.pooling import average_pool, max_pool, on_planes, plane_means


def image(seed: int, *shape: int) -> np.ndarray:
    """Return standard normal float32 values."""
    return np.random.default_rng(seed).standard_normal(shape, np.float32)


@settings(max_examples=120, deadline=None)
@given(
    kernel=st.integers(1, 5),
    stride=st.one_of(st.none(), st.integers(1, 6)),
    share=st.integers(0, 2),
    sizes=st.tuples(st.integers(1, 2), st.integers(1, 3), st.integers(5, 12), st.integers(5, 40)),
    seed=st.integers(0, 99),
)
def test_windows_agree_with_torch(kernel, stride, share, sizes, seed):
    """The largest of each window is torch's exactly, the mean up to rounding, for any step and padding."""
    padding = min(share, kernel // 2)
    x = image(seed, *sizes)
    tensor = torch.from_numpy(x)
    wanted = functional.max_pool2d(tensor, kernel, stride, padding).numpy()
    assert np.array_equal(max_pool(x, kernel, stride, padding), wanted)
    wanted = functional.avg_pool2d(tensor.double(), kernel, stride, padding).numpy()
    result = average_pool(tensor, kernel, stride, padding)
    assert result.dtype == np.float32
    np.testing.assert_allclose(result, wanted, rtol=0, atol=3e-6)


@settings(max_examples=40, deadline=None)
@given(st.integers(1, 2), st.integers(1, 5), st.integers(1, 60), st.integers(1, 60), st.integers(0, 99))
def test_whole_image_agrees_with_torch(batch, channels, height, width, seed):
    """Without a window the mean is that of the whole image, of torch's shape."""
    x = image(seed, batch, channels, height, width)
    wanted = functional.adaptive_avg_pool2d(torch.from_numpy(x).double(), 1).numpy()
    result = average_pool(x)
    assert result.shape == wanted.shape
    np.testing.assert_allclose(result, wanted, rtol=0, atol=3e-6)


def test_planes_with_gaps():
    """Planes may lie apart, as `kernels.empty` makes them."""
    x = image(1, 1, 5, 14, 14)
    planes, y = empty(5, 196), empty(5, 49)
    planes[:] = x.reshape(5, -1)
    on_planes(Geometry(3, 2, 1, 14, 14), 5, largest=True)(*flat(planes), *flat(y))
    assert np.array_equal(y.reshape(1, 5, 7, 7), functional.max_pool2d(torch.from_numpy(x), 3, 2, 1).numpy())
    means = np.empty(5, np.float32)
    plane_means(5, 196, *flat(planes), means)
    np.testing.assert_allclose(means, x.mean((0, 2, 3), np.float64), rtol=0, atol=3e-6)


def test_nan_and_infinity_as_torch_has_them():
    """NaN wins over every number, and a window of nothing but minus infinity keeps it."""
    x = image(2, 1, 1, 6, 20)
    x[0, 0, 2, 3], x[0, 0, :, 10:] = np.nan, -np.inf
    wanted = functional.max_pool2d(torch.from_numpy(x), 3, 2, 1).numpy()
    assert np.array_equal(max_pool(x, 3, 2, 1), wanted, equal_nan=True)
    assert np.isnan(wanted).any()


def test_out():
    """A result is written where the caller wants it."""
    x, y = image(3, 1, 2, 6, 6), np.empty((1, 2, 1, 1), np.float32)
    assert average_pool(x, out=y) is y
    np.testing.assert_allclose(y[0, :, 0, 0], x.mean((0, 2, 3)), atol=3e-6)


@pytest.mark.parametrize(
    ("change", "sentence"),
    [
        ({"x": np.zeros((1, 3, 9, 9))}, "x must be of float32"),
        ({"x": np.zeros((3, 9, 9), np.float32)}, "x must be of shape"),
        ({"kernel": 0}, "kernel must be a whole number from 1 to 32768, not 0"),
        ({"kernel": 2.0}, "kernel must be a whole number"),
        ({"kernel": 10}, "x must have at least 10x10 pixels"),
        ({"stride": 0}, "stride must be a whole number from 1 to 2147483647, not 0"),
        ({"padding": 2}, "padding must be a whole number from 0 to 1, not 2"),
        ({"out": np.zeros((1, 3, 9, 8), np.float32)}, "out must be of shape"),
    ],
)
def test_misuse(change, sentence):
    """What cannot be pooled is refused in one sentence, by both."""
    fine = {"x": np.zeros((1, 3, 9, 9), np.float32), "kernel": 3}
    for pool in (max_pool, average_pool):
        with pytest.raises(KernelError, match=sentence):
            pool(**(fine | change))


def test_a_stride_needs_a_kernel():
    """A mean of the whole image takes no stride or padding."""
    with pytest.raises(KernelError, match="kernel must be given"):
        average_pool(np.zeros((1, 3, 9, 9), np.float32), stride=2)


def test_the_mean_of_a_large_plane_keeps_its_digits():
    """A float32 sum of a million values would be off by a thousandth."""
    assert average_pool(np.full((1, 1, 1024, 1024), 0.1, np.float32)).item() == pytest.approx(0.1, rel=1e-5)
