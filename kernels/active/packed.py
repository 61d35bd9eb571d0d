"""A dense convolution's weights in the order in which non-zero activations ask for them."""

from __future__ import annotations

from dataclasses import dataclass
from typing import NamedTuple

import numpy as np
from numpy.typing import NDArray

from kernels.arrays import ArrayLike, KernelError, checked, empty, whole
from kernels.machine import l1_bytes, vector_lanes, vector_registers

LARGEST = 15
"""The largest side of a kernel: its taps share the registers."""


class Phase(NamedTuple):
    """The columns of a kernel that meet the same columns of the input: those ``stride`` apart.

    Seen by its own input columns, a phase is a convolution of stride 1 along the row.

    Attributes
    ----------
    first
        The first of the kernel's columns.
    taps
        How many there are.
    values
        float32, flat: (strips of outputs, rows of the kernel, inputs, taps, outputs of a strip).
    block
        Input channels whose weights for one row of the kernel stay in the L1 cache.
    """

    first: int
    taps: int
    values: NDArray[np.float32]
    block: int


@dataclass(frozen=True, slots=True, repr=False, eq=False)
class ActiveWeight:
    """A convolution with dense weights for sparse activations, from `pack_active`.

    Attributes
    ----------
    shape
        (M, C, rows, columns) of the weight.
    stride, padding
        Of the convolution, the same both ways.
    vectors, lanes
        Registers of a strip of output channels, and floats in one.
    phases
        As many as the stride, or as the kernel has columns if they are fewer.
    """

    shape: tuple[int, int, int, int]
    stride: int
    padding: int
    vectors: int
    lanes: int
    phases: tuple[Phase, ...]

    def __repr__(self) -> str:
        """Return the sizes in one line."""
        sizes = "x".join(map(str, self.shape))
        return f"ActiveWeight({sizes}, stride {self.stride}, padding {self.padding})"

    def output_size(self, height: int, width: int) -> tuple[int, int]:
        """Return height and width of the output for those of an input.

        Raises
        ------
        KernelError
            If the padded input is smaller than the kernel.
        """
        rows, columns = self.shape[2:]
        if height + 2 * self.padding < rows or width + 2 * self.padding < columns:
            around = f"{height}x{width} with a padding of {self.padding}"
            raise KernelError(
                f"x must be at least as large as the kernel of {rows}x{columns}, not {around}; pad it first"
            )
        tall = (height + 2 * self.padding - rows) // self.stride + 1
        return tall, (width + 2 * self.padding - columns) // self.stride + 1


def pack_active(weight: ArrayLike, stride: int = 1, padding: int = 0) -> ActiveWeight:
    """Pack a dense convolution for inputs with many zeros.

    Parameters
    ----------
    weight
        float32 (M, C, rows, columns), finite, at most 15 rows and columns.
    stride, padding
        Of the convolution, the same both ways; the padding at most 15.

    Raises
    ------
    KernelError
        If one of them cannot be used.
    """
    weight = checked("weight", weight, (None, None, None, None))
    if max(weight.shape[2:]) > LARGEST:
        raise KernelError(f"weight must have at most {LARGEST} rows and columns, not shape {weight.shape}")
    if not np.isfinite(weight).all():
        raise KernelError("weight must be finite, not NaN or infinite: a zero activation would hide it")
    whole("stride", stride, 1)
    whole("padding", padding, 0, LARGEST)
    outputs, columns = weight.shape[0], weight.shape[3]
    lanes = vector_lanes()
    vectors = _strip_vectors(outputs, -(-columns // stride), lanes)
    phases = tuple(_phase(weight, first, stride, vectors * lanes) for first in range(min(stride, columns)))
    m, c, height, width = weight.shape
    return ActiveWeight((m, c, height, width), stride, padding, vectors, lanes, phases)


def _strip_vectors(outputs: int, taps: int, lanes: int) -> int:
    """Return the registers of a strip: all taps' sums and a few more fit, and all strips are about as wide.

    Strips of 64 channels are enough: wider ones share the cost of a non-zero no better, and leave room for fewer
    input channels in the L1 cache.
    """
    most = max(1, min(8, 64 // lanes, (vector_registers() - 4) // taps))
    strips = -(-outputs // (most * lanes))
    return -(-outputs // (strips * lanes))


def _phase(weight: NDArray[np.float32], first: int, stride: int, strip: int) -> Phase:
    outputs, inputs, height, _ = weight.shape
    columns = weight[..., first::stride]
    taps = columns.shape[-1]
    strips = -(-outputs // strip)
    full = np.zeros((strips * strip, inputs, height, taps), np.float32)
    full[:outputs] = columns
    values = empty(1, full.size)[0]
    values[:] = full.reshape(strips, strip, inputs, height, taps).transpose(0, 3, 2, 4, 1).reshape(-1)
    block = 64
    while block > 8 and block * taps * strip * 4 > 3 * l1_bytes() // 4:
        block //= 2
    return Phase(first, taps, values, block)
