"""Geometry: the sizes of an image before and after a square window slides over it."""

from __future__ import annotations

from dataclasses import dataclass
from typing import TypeAlias

from kernels.arrays import KernelError, whole

Sizes: TypeAlias = tuple[int, int, int, int, int]
LARGEST = 2**15
"""The largest side of a window: padding makes room for any, and memory for none larger is worth taking."""


@dataclass(frozen=True, slots=True)
class Geometry:
    """A window on an image.

    Attributes
    ----------
    kernel, stride, padding
        Side of the window, its step, and the columns and rows that are added on each side of the image; at most half
        a window, so that no window lies outside.
    height, width
        Sizes of the image, in pixels.

    Raises
    ------
    KernelError
        If a number is none of these, or the window is larger than the padded image.
    """

    kernel: int
    stride: int
    padding: int
    height: int
    width: int

    def __post_init__(self) -> None:
        whole("kernel", self.kernel, 1, LARGEST)
        whole("stride", self.stride, 1)
        whole("padding", self.padding, 0, self.kernel // 2)
        least = self.kernel - 2 * self.padding
        if min(self.height, self.width) < least:
            size = f"{self.height}x{self.width}"
            raise KernelError(f"x must have at least {least}x{least} pixels for this kernel and padding, not {size}")

    @property
    def rows(self) -> int:
        """Height of the result."""
        return (self.height + 2 * self.padding - self.kernel) // self.stride + 1

    @property
    def columns(self) -> int:
        """Width of the result."""
        return (self.width + 2 * self.padding - self.kernel) // self.stride + 1

    @property
    def sizes(self) -> Sizes:
        """What compiled kernels take: height and width of the image, padding, height and width of the result."""
        return self.height, self.width, self.padding, self.rows, self.columns

    def limit(self, kernels: tuple[int, ...], strides: tuple[int, ...]) -> None:
        """Raise `KernelError` unless the kernel and the stride are among those that a compiled kernel exists for."""
        for what, value, allowed in (("kernel", self.kernel, kernels), ("stride", self.stride, strides)):
            if value not in allowed:
                raise KernelError(f"{what} must be {' or '.join(map(str, allowed))}, not {value!r}")
