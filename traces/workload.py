"""Workload: one array op with the zeros of its real operands, as the matrices that hardware sees."""

from __future__ import annotations

from dataclasses import dataclass
from functools import cached_property

import numpy as np
from numpy.typing import NDArray

from traces.bitmap import Bitmap
from traces.effectual import effectual_macs
from traces.gemm import Gemm
from traces.op import Op

Bools = NDArray[np.bool_]


@dataclass(frozen=True, eq=False)
class Workload:
    """An array op and where its operands are not zero.

    Attributes
    ----------
    op
        An op with a `Gemm`.
    weight_nonzero
        Where a parameter W is not zero, (groups, n, k); None if its values are not known, or W is an activation.
    operands
        Bitmaps of the activation operands, from `traces.capture`; empty if they were not captured.
    pattern
        Pattern of W as declared or applied, such as ``2:4``; None for dense.
    declared_density
        Share of W that a declared pattern leaves, where W itself is not known.
    """

    op: Op
    weight_nonzero: Bools | None = None
    operands: tuple[Bitmap, ...] = ()
    pattern: str | None = None
    declared_density: float = 1.0

    @property
    def gemm(self) -> Gemm:
        """The op's loop nest."""
        assert self.op.gemm is not None
        return self.op.gemm

    @cached_property
    def weights(self) -> Bools:
        """Where W is not zero, (groups, n, k).

        Where W is not known, zeros of the declared density are drawn from a generator seeded by the op's shape, so
        that models that need positions can run; counts then are those of one random draw.
        """
        gemm = self.gemm
        shape = (gemm.groups, gemm.n, gemm.k)
        if self.weight_nonzero is not None:
            return self.weight_nonzero
        if self.op.weight is None and len(self.operands) > 1:
            return self.operands[1].unpack().reshape(gemm.groups, gemm.k, gemm.n).swapaxes(1, 2)
        if self.declared_density == 1.0:
            return np.ones(shape, dtype=np.bool_)
        return np.random.default_rng(shape).random(shape, dtype=np.float32) < self.declared_density

    def inputs(self, group: int) -> Bools:
        """Return where I is not zero, unrolled to (m, k), for one group; all ones if not captured.

        k runs over (kernel_h, kernel_w, channel) as in `Gemm`; padding is zero.
        """
        gemm = self.gemm
        if not self.operands:
            return np.ones((gemm.m, gemm.k), dtype=np.bool_)
        values = self.operands[0].unpack()
        if self.op.kind not in ("conv", "depthwise"):
            matrix: Bools = values.reshape(gemm.groups, gemm.m, gemm.k)[group]
            return matrix
        channels = slice(group * gemm.channels, (group + 1) * gemm.channels)
        return unroll(values.reshape(gemm.batch, -1, gemm.in_h, gemm.in_w)[:, channels], gemm)

    @property
    def effectual_macs(self) -> int:
        """MACs whose two operands are not zero, exact where they are known."""
        weights = self.weight_nonzero
        if weights is None and self.op.weight is not None and self.declared_density < 1:
            weights = self.weights
        return effectual_macs(self.op, weights, self.operands)


def unroll(image: Bools, gemm: Gemm) -> Bools:
    """Return an image (batch, channels, in_h, in_w) as the matrix (m, k) that a convolution multiplies."""
    rows = (gemm.out_h - 1) * gemm.stride_h + (gemm.kernel_h - 1) * gemm.dilation_h + 1
    cols = (gemm.out_w - 1) * gemm.stride_w + (gemm.kernel_w - 1) * gemm.dilation_w + 1
    shape = (*image.shape[:2], max(rows, gemm.pad_h + gemm.in_h), max(cols, gemm.pad_w + gemm.in_w))
    padded = np.zeros(shape, dtype=image.dtype)
    padded[..., gemm.pad_h : gemm.pad_h + gemm.in_h, gemm.pad_w : gemm.pad_w + gemm.in_w] = image
    out = np.empty((gemm.batch, gemm.out_h, gemm.out_w, gemm.kernel_h, gemm.kernel_w, gemm.channels), image.dtype)
    for y in range(gemm.kernel_h):
        row = slice(y * gemm.dilation_h, y * gemm.dilation_h + (gemm.out_h - 1) * gemm.stride_h + 1, gemm.stride_h)
        for x in range(gemm.kernel_w):
            col = slice(x * gemm.dilation_w, x * gemm.dilation_w + (gemm.out_w - 1) * gemm.stride_w + 1, gemm.stride_w)
            out[:, :, :, y, x] = np.moveaxis(padded[:, :, row, col], 1, -1)
    return out.reshape(gemm.m, gemm.k)
