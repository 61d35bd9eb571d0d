"""Layout: how a torch weight tensor is laid out as the GEMM operand W, and back."""

from __future__ import annotations

from dataclasses import dataclass
from math import prod

import numpy as np
from numpy.typing import NDArray


@dataclass(frozen=True, slots=True)
class Layout:
    """An exact, invertible relayout of a torch tensor to (groups, n, k).

    The tensor is viewed with the shape ``split``, its axes are put in ``order``, and the result is viewed as
    ``matrix``. Nothing is added, dropped or rounded, so the round trip is the identity.

    >>> weight = np.arange(12.0, dtype=np.float32).reshape(2, 3, 1, 2)  # (cout, cin, kh, kw)
    >>> Layout.conv(weight.shape).to_gemm(weight)[0, 0]  # k runs over (kh, kw, c), c fastest
    array([0., 2., 4., 1., 3., 5.], dtype=float32)
    """

    shape: tuple[int, ...]
    split: tuple[int, ...]
    order: tuple[int, ...]
    matrix: tuple[int, int, int]

    @classmethod
    def conv(cls, shape: tuple[int, ...], groups: int = 1) -> Layout:
        """Return the layout of a convolution weight (cout, cin/groups, [kd,] kh, [kw]).

        k runs over (kh, kw, kd, c), c fastest: the depth of a 3-d kernel counts as channels.
        """
        cout, channels, *kernel = shape
        axes = tuple(range(3, 3 + len(kernel)))
        depth, plane = (axes[:1], axes[1:]) if len(kernel) == 3 else ((), axes)
        filters = cout // groups
        return cls(
            shape,
            (groups, filters, channels, *kernel),
            (0, 1, *plane, *depth, 2),
            (groups, filters, channels * prod(kernel)),
        )

    @classmethod
    def conv_transpose(cls, shape: tuple[int, ...], groups: int = 1) -> Layout:
        """Return the layout of a transposed convolution weight (cin, cout/groups, *kernel).

        n runs over (filter, *kernel), k over the input channels of a group.
        """
        k, n = shape[0] // groups, prod(shape[1:])
        return cls(shape, (groups, k, n), (0, 2, 1), (groups, n, k))

    @classmethod
    def linear(cls, shape: tuple[int, ...]) -> Layout:
        """Return the layout of a weight (n, k), as in ``nn.Linear``, or (k,), a single row."""
        n, k = (1, *shape)[-2:]
        return cls(shape, (1, n, k), (0, 1, 2), (1, n, k))

    @classmethod
    def product(cls, shape: tuple[int, ...]) -> Layout:
        """Return the layout of the right factor (..., k, n) of a matrix product, or (k,), a single column."""
        if len(shape) == 1:
            return cls.linear(shape)
        *batch, k, n = shape
        return cls(shape, (prod(batch), k, n), (0, 2, 1), (prod(batch), n, k))

    def to_gemm(self, weight: NDArray[np.float32]) -> NDArray[np.float32]:
        """Return the torch tensor as (groups, n, k); a view where the layout allows it."""
        return weight.reshape(self.split).transpose(self.order).reshape(self.matrix)

    def to_torch(self, matrix: NDArray[np.float32]) -> NDArray[np.float32]:
        """Return (groups, n, k) in the shape of the torch tensor."""
        ordered = matrix.reshape([self.split[axis] for axis in self.order])
        return ordered.transpose(np.argsort(self.order)).reshape(self.shape)
