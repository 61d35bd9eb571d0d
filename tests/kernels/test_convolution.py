"""Dense 3x3 convolution: against torch in float64, and what happens to arrays that do not fit."""

import numpy as np
import pytest
import torch
from hypothesis import given, settings
from hypothesis import strategies as st

from kernels import KernelError
from kernels.windows import convolution as module
from kernels.windows import registers as window
from kernels.windows.convolution import conv3x3


def drawn(seed: int, *shapes: tuple[int, ...]) -> list[np.ndarray]:
    """Return standard normal float32 arrays."""
    rng = np.random.default_rng(seed)
    return [rng.standard_normal(shape, np.float32) for shape in shapes]


def off(result, weight, x, bias, stride, padding, low=-np.inf, high=np.inf) -> float:
    """Return the largest error relative to the sum of the sizes of what was added."""
    weight, x, bias = (torch.from_numpy(array).double() for array in (weight, x, bias))
    wanted = torch.nn.functional.conv2d(x, weight, bias, stride, padding).clamp(low, high)
    scale = torch.nn.functional.conv2d(x.abs(), weight.abs(), bias.abs(), stride, padding)
    assert result.shape == tuple(wanted.shape)
    assert result.dtype == np.float32
    return float(((torch.from_numpy(result) - wanted).abs() / scale).max())


@settings(max_examples=80, deadline=None)
@given(
    outputs=st.sampled_from([1, 3, 16, 32]),
    inputs=st.integers(1, 5),
    stride=st.sampled_from([1, 2]),
    padding=st.integers(0, 1),
    batch=st.integers(1, 2),
    height=st.integers(3, 9),
    width=st.sampled_from([3, 14, 33, 50]),
    seed=st.integers(0, 99),
)
def test_agrees_with_torch(outputs, inputs, stride, padding, batch, height, width, seed):
    """Results are torch's in float64 up to rounding, for any number of channels."""
    weight, x, bias = drawn(seed, (outputs, inputs, 3, 3), (batch, inputs, height, width), (outputs,))
    result = conv3x3(weight, x, bias, stride, padding)
    assert off(result, weight, x, bias, stride, padding) < 1e-6


@pytest.mark.parametrize("lanes", [4, 8])
def test_other_machines(monkeypatch, lanes):
    """With the registers of a smaller machine the results are the same."""
    monkeypatch.setattr(window, "vector_lanes", lambda: lanes)
    monkeypatch.setattr(module, "vector_registers", lambda: 16)
    weight, x, bias = drawn(1, (16, 3, 3, 3), (1, 3, 9, 43), (16,))
    assert off(conv3x3(weight, x, bias, 2), weight, x, bias, 2, 1) < 1e-6


def test_first_layer_on_two_threads():
    """A first layer with ReLU6, two threads and tensors for input is torch's."""
    weight, x, bias = drawn(2, (32, 3, 3, 3), (1, 3, 64, 64), (32,))
    tensors = [torch.from_numpy(array) for array in (weight, x, bias)]
    result = conv3x3(*tensors, stride=2, low=0, high=6, threads=2)
    assert off(result, weight, x, bias, 2, 1, 0, 6) < 1e-6


@pytest.mark.parametrize(
    ("change", "sentence"),
    [
        ({"x": np.zeros((1, 3, 9, 9))}, "x must be of float32"),
        ({"x": np.zeros((1, 4, 9, 9), np.float32)}, r"x must be of shape \(any, 3, any, any\)"),
        ({"weight": np.zeros((8, 3, 4, 4), np.float32)}, r"weight must be of shape \(any, any, 3, 3\)"),
        ({"weight": np.zeros((8, 3, 3), np.float32)}, "weight must be of shape"),
        ({"bias": np.zeros(3, np.float32)}, r"bias must be of shape \(8\)"),
        ({"stride": 3}, "stride must be 1 or 2, not 3"),
        ({"padding": 2}, "padding must be a whole number from 0 to 1"),
        ({"threads": True}, "threads must be a whole number"),
        ({"out": np.zeros((1, 8, 9, 8), np.float32)}, "out must be of shape"),
    ],
)
def test_misuse(change, sentence):
    """What a kernel cannot take is refused in one sentence."""
    fine = {"weight": np.zeros((8, 3, 3, 3), np.float32), "x": np.zeros((1, 3, 9, 9), np.float32)}
    with pytest.raises(KernelError, match=sentence):
        conv3x3(**(fine | change))
