"""Depthwise convolution: against torch in float64, on planes that lie apart, and with arrays that do not fit."""

import numpy as np
import pytest
import torch
from hypothesis import given, settings
from hypothesis import strategies as st

from kernels import KernelError, empty
from kernels.arrays import flat
from kernels.windows import depthwise as module
from kernels.windows import registers as window
from kernels.windows.depthwise import depthwise, on_planes
from kernels.windows.geometry import Geometry

# Wide results share compiled kernels; each narrow one has its own, so only a few are tried.
WIDE = (19, 33, 77)
NARROW = ((7, 7, 3, 1), (14, 14, 3, 2), (7, 7, 5, 1), (1, 1, 3, 1), (2, 3, 5, 2))


def drawn(seed: int, *shapes: tuple[int, ...]) -> list[np.ndarray]:
    """Return standard normal float32 arrays."""
    rng = np.random.default_rng(seed)
    return [rng.standard_normal(shape, np.float32) for shape in shapes]


def off(result, weight, x, bias, stride, padding, low=-np.inf, high=np.inf) -> float:
    """Return the largest error relative to the sum of the sizes of what was added."""
    weight, x, bias = (torch.from_numpy(array).double() for array in (weight, x, bias))
    options = {"stride": stride, "padding": padding, "groups": len(weight)}
    wanted = torch.nn.functional.conv2d(x, weight[:, None], bias, **options).clamp(low, high)
    scale = torch.nn.functional.conv2d(x.abs(), weight[:, None].abs(), bias.abs(), **options)
    assert result.shape == tuple(wanted.shape)
    assert result.dtype == np.float32
    return float(((torch.from_numpy(result) - wanted).abs() / scale).max())


@settings(max_examples=80, deadline=None)
@given(
    kernel=st.sampled_from([3, 5]),
    stride=st.sampled_from([1, 2]),
    less=st.integers(0, 2),
    batch=st.integers(1, 2),
    channels=st.integers(1, 4),
    height=st.integers(5, 12),
    width=st.sampled_from(WIDE),
    seed=st.integers(0, 99),
)
def test_agrees_with_torch(kernel, stride, less, batch, channels, height, width, seed):
    """Results are torch's in float64 up to rounding, for all windows, paddings and strips."""
    padding = max(kernel // 2 - less, 0)
    weight, x, bias = drawn(seed, (channels, kernel, kernel), (batch, channels, height, width), (channels,))
    result = depthwise(weight, x, bias, stride, padding)
    assert off(result, weight, x, bias, stride, padding) < 1e-6


@pytest.mark.parametrize(("height", "width", "kernel", "stride"), NARROW)
def test_narrow_planes(height, width, kernel, stride):
    """Planes narrower than a register are right as well, with a weight of four dimensions and no bias."""
    weight, x = drawn(0, (6, 1, kernel, kernel), (2, 6, height, width))
    result = depthwise(torch.from_numpy(weight), torch.from_numpy(x), stride=stride)
    assert off(result, weight[:, 0], x, np.zeros(6, np.float32), stride, kernel // 2) < 1e-6


@pytest.mark.parametrize(("kernel", "stride", "width"), [(3, 1, 21), (3, 2, 21), (5, 2, 21), (5, 1, 5)])
@pytest.mark.parametrize("lanes", [4, 8])
def test_other_machines(monkeypatch, lanes, kernel, stride, width):
    """With the registers of a smaller machine the results are the same."""
    monkeypatch.setattr(window, "vector_lanes", lambda: lanes)
    monkeypatch.setattr(module, "vector_registers", lambda: 16)
    weight, x, bias = drawn(1, (3, kernel, kernel), (1, 3, 9, width), (3,))
    assert off(depthwise(weight, x, bias, stride), weight, x, bias, stride, kernel // 2) < 1e-6


@pytest.mark.parametrize("stride", [1, 2])
@pytest.mark.parametrize("size", [7, 30])
def test_planes_with_gaps(stride, size):
    """Planes may lie apart: what is between them, NaN here, is never used, and what is between results is kept."""
    weight, x, bias = drawn(2, (5, 3, 3), (1, 5, size, size), (5,))
    geometry = Geometry(3, stride, 1, size, size)
    padded, y = empty(5, size * size + 20), empty(5, geometry.rows * geometry.columns + 20)
    padded[:], y[:] = np.nan, 7
    padded[:, : size * size] = x[0].reshape(5, -1)
    memory, distance = flat(padded)
    on_planes(weight, bias, geometry)(memory, distance, np.float32(-np.inf), np.float32(np.inf), *flat(y))
    result = y[:, :-20].reshape(1, 5, geometry.rows, geometry.columns)
    assert off(result, weight, x, bias, stride, 1) < 1e-6
    assert (y[:, -20:] == 7).all()


def test_bounds_threads_and_out():
    """A ReLU6 on two threads into the caller's array is torch's; NaN stays NaN."""
    weight, x, bias = drawn(3, (5, 3, 3), (2, 5, 11, 40), (5,))
    out = np.empty((2, 5, 11, 40), np.float32)
    assert depthwise(weight, x, bias, low=0, high=6, out=out, threads=2) is out
    assert off(out, weight, x, bias, 1, 1, 0, 6) < 1e-6
    x[0, 2, 4, 20] = np.nan
    assert np.isnan(depthwise(weight, x, bias, low=0, high=6)).sum() == 9


def test_lying_otherwise():
    """An input that is not contiguous is copied, not misread."""
    weight, x, bias = drawn(4, (3, 3, 3), (1, 6, 9, 38), (3,))
    view = x[:, ::2, :, ::2]
    assert off(depthwise(weight, view, bias), weight, np.ascontiguousarray(view), bias, 1, 1) < 1e-6


ODD = np.frombuffer(b"\0" * (4 * 3 * 81 + 1), np.uint8)[1:].view(np.float32).reshape(1, 3, 9, 9)


@pytest.mark.parametrize(
    ("change", "sentence"),
    [
        ({"x": np.zeros((1, 3, 9, 9))}, "x must be of float32"),
        ({"x": np.zeros((1, 4, 9, 9), np.float32)}, r"x must be of shape \(any, 3, any, any\)"),
        ({"x": np.zeros((3, 9, 9), np.float32)}, "x must be of shape"),
        ({"x": np.zeros((1, 3, 0, 9), np.float32)}, "x must be of shape"),
        ({"x": ODD}, "x must be aligned"),
        ({"x": [1.0]}, "x must be a NumPy array or a torch tensor, not list"),
        ({"weight": np.zeros((3, 4, 4), np.float32)}, "kernel must be 3 or 5, not 4"),
        ({"weight": np.zeros((3, 3, 5), np.float32)}, r"weight must be of shape \(C, k, k\)"),
        ({"weight": np.zeros((3, 2, 3, 3), np.float32)}, r"weight must be of shape \(C, k, k\)"),
        ({"weight": np.zeros((3, 3, 3), np.int32)}, "weight must be of float32"),
        ({"bias": np.zeros(4, np.float32)}, r"bias must be of shape \(3\)"),
        ({"stride": 3}, "stride must be 1 or 2, not 3"),
        ({"stride": 1.0}, "stride must be a whole number"),
        ({"padding": 2}, "padding must be a whole number from 0 to 1, not 2"),
        ({"padding": -1}, "padding must be a whole number"),
        ({"x": np.zeros((1, 3, 2, 9), np.float32), "padding": 0}, "x must have at least 3x3 pixels"),
        ({"low": 1, "high": 0}, "low must be at most high"),
        ({"threads": 0}, "threads must be a whole number"),
        ({"out": np.zeros((1, 3, 9, 8), np.float32)}, "out must be of shape"),
        ({"out": np.zeros((1, 3, 9, 18), np.float32)[..., ::2]}, "out must be writable and C-contiguous"),
    ],
)
def test_misuse(change, sentence):
    """What a kernel cannot take is refused in one sentence."""
    fine = {"weight": np.zeros((3, 3, 3), np.float32), "x": np.zeros((1, 3, 9, 9), np.float32)}
    with pytest.raises(KernelError, match=sentence):
        depthwise(**(fine | change))


def test_out_apart_from_the_input():
    """The result cannot be written over the input."""
    x = np.zeros((1, 3, 9, 9), np.float32)
    with pytest.raises(KernelError, match="out must not share memory"):
        depthwise(np.zeros((3, 3, 3), np.float32), x, out=x)
