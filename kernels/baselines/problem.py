"""What dense libraries are asked to compute: a convolution or a linear layer, with bias and ReLU."""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray

Array = NDArray[np.float32]


@dataclass(frozen=True)
class Convolution:
    """A 2-D convolution of (batch, inputs, height, width), padded by ``kernel // 2`` on each side.

    Its weight is (outputs, inputs / groups, kernel, kernel); ``groups == inputs == outputs`` is a depthwise one.
    """

    outputs: int
    inputs: int
    height: int
    width: int
    kernel: int = 1
    stride: int = 1
    groups: int = 1
    batch: int = 1

    @property
    def padding(self) -> int:
        """Zeros on each side."""
        return self.kernel // 2

    @property
    def pointwise(self) -> bool:
        """Whether it is a matrix product on every pixel."""
        return (self.kernel, self.stride, self.groups) == (1, 1, 1)

    @property
    def x_shape(self) -> tuple[int, ...]:
        """Shape of the input."""
        return (self.batch, self.inputs, self.height, self.width)

    @property
    def weight_shape(self) -> tuple[int, ...]:
        """Shape of the weight."""
        return (self.outputs, self.inputs // self.groups, self.kernel, self.kernel)

    @property
    def y_shape(self) -> tuple[int, ...]:
        """Shape of the output."""
        height, width = ((n + 2 * self.padding - self.kernel) // self.stride + 1 for n in (self.height, self.width))
        return (self.batch, self.outputs, height, width)

    @property
    def flops(self) -> int:
        """Multiplications and additions of one call, those with padding included."""
        return 2 * int(np.prod(self.y_shape)) * int(np.prod(self.weight_shape[1:]))

    def product(self, weight: NDArray[np.float64], x: NDArray[np.float64]) -> NDArray[np.float64]:
        """Return the convolution in float64: one batched matrix product for each weight of the window."""
        _, channels, rows, columns = self.y_shape
        pad = self.padding
        x = np.pad(x, ((0, 0), (0, 0), (pad, pad), (pad, pad)))
        parts = weight.reshape(self.groups, channels // self.groups, -1, self.kernel, self.kernel)
        y = np.zeros((self.batch, self.groups, channels // self.groups, rows * columns))
        for i in range(self.kernel):
            for j in range(self.kernel):
                seen = x[:, :, i : i + self.stride * rows : self.stride, j : j + self.stride * columns : self.stride]
                seen = seen[:, :, :rows, :columns].reshape(self.batch, self.groups, -1, rows * columns)
                y += parts[None, :, :, :, i, j] @ seen
        return y.reshape(self.y_shape)


@dataclass(frozen=True)
class Linear:
    """A linear layer: (batch, inputs) times the transpose of a weight of (outputs, inputs); a batch of 1 is a GEMV."""

    outputs: int
    inputs: int
    batch: int = 1

    @property
    def x_shape(self) -> tuple[int, ...]:
        """Shape of the input."""
        return (self.batch, self.inputs)

    @property
    def weight_shape(self) -> tuple[int, ...]:
        """Shape of the weight."""
        return (self.outputs, self.inputs)

    @property
    def y_shape(self) -> tuple[int, ...]:
        """Shape of the output."""
        return (self.batch, self.outputs)

    @property
    def flops(self) -> int:
        """Multiplications and additions of one call."""
        return 2 * self.batch * self.outputs * self.inputs

    def product(self, weight: NDArray[np.float64], x: NDArray[np.float64]) -> NDArray[np.float64]:
        """Return the product in float64."""
        return x @ weight.T


Problem = Convolution | Linear


def conv1x1(outputs: int, inputs: int, height: int, width: int, batch: int = 1) -> Convolution:
    """Return a convolution of one pixel."""
    return Convolution(outputs, inputs, height, width, batch=batch)


def conv3x3(outputs: int, inputs: int, height: int, width: int, stride: int = 1, batch: int = 1) -> Convolution:
    """Return a convolution of 3x3 pixels."""
    return Convolution(outputs, inputs, height, width, 3, stride, batch=batch)


def depthwise(channels: int, size: int, kernel: int = 3, stride: int = 1, batch: int = 1) -> Convolution:
    """Return a convolution of each channel by itself, on a square input."""
    return Convolution(channels, channels, size, size, kernel, stride, channels, batch)


@dataclass(frozen=True)
class Operands:
    """What one problem is computed on.

    Attributes
    ----------
    weight, bias : ndarray of float32
        Of the problem's ``weight_shape``, and (outputs,).
    inputs : tuple of ndarray of float32
        Of the problem's ``x_shape``: call number i takes number ``i % len(inputs)``.
    relu : bool
        Whether negative results become zero.
    copies : int
        How often each contender stores its packed weight: call number i reads copy ``i % copies``. More than one keeps
        the weights out of caches that are larger than they.
    """

    weight: Array
    bias: Array
    inputs: tuple[Array, ...]
    relu: bool = True
    copies: int = 1


def draw(problem: Problem, seed: int = 0, inputs: int = 2, relu: bool = True, copies: int = 1) -> Operands:
    """Return operands of independent standard normal values."""
    random = np.random.default_rng(seed)
    weight = random.standard_normal(problem.weight_shape, np.float32)
    bias = random.standard_normal(problem.outputs, np.float32)
    xs = tuple(random.standard_normal(problem.x_shape, np.float32) for _ in range(inputs))
    return Operands(weight, bias, xs, relu, copies)


def reference(problem: Problem, operands: Operands, number: int) -> tuple[NDArray[np.float64], NDArray[np.float64]]:
    """Return the result of one call in float64, and the sum of magnitudes that bounds its float32 rounding errors."""
    weight, x = operands.weight.astype(np.float64), operands.inputs[number % len(operands.inputs)].astype(np.float64)
    bias = operands.bias.astype(np.float64).reshape((-1,) + (1,) * (x.ndim - 2))
    y = problem.product(weight, x) + bias
    bound = problem.product(np.abs(weight), np.abs(x)) + np.abs(bias)
    return np.maximum(y, 0) if operands.relu else y, bound
