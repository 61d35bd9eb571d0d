"""Gemm: the loop nest of everything that runs on a multiply-accumulate array."""

from __future__ import annotations

from dataclasses import dataclass, fields

from traces.errors import InputError


@dataclass(frozen=True, slots=True, kw_only=True)
class Gemm:
    """``O[g, m, n] = sum over k of I[g, m, k] * W[g, k, n]``: convolution, linear layer or matrix product.

    A convolution is the product of its unrolled input: m runs over (batch, out_h, out_w), k over
    (kernel_h, kernel_w, channel) with the channel fastest, n over the filters of one group. A plain
    matrix product is the case of a 1x1 kernel on an image ``m`` high and 1 wide. Counts are per group.

    Raises
    ------
    InputError
        If a size is not positive, a padding is negative, or the window does not fit the input.
    """

    channels: int
    filters: int
    in_h: int
    in_w: int = 1
    out_h: int
    out_w: int = 1
    kernel_h: int = 1
    kernel_w: int = 1
    stride_h: int = 1
    stride_w: int = 1
    pad_h: int = 0
    pad_w: int = 0
    dilation_h: int = 1
    dilation_w: int = 1
    batch: int = 1
    groups: int = 1

    def __post_init__(self) -> None:
        for field in fields(self):
            value, least = getattr(self, field.name), 0 if field.name.startswith("pad") else 1
            if not isinstance(value, int) or value < least:
                raise InputError.must(field.name, f"a whole number of at least {least}", value)
        if self.macs >= 2**62:
            raise InputError(
                f"an op must have fewer than 2^62 multiply-accumulates, not {self.macs:.1e}; is a size mistyped?"
            )

    @classmethod
    def matmul(cls, m: int, n: int, k: int, groups: int = 1) -> Gemm:
        """Return the nest of ``groups`` products of (m, k) by (k, n) matrices."""
        return cls(channels=k, filters=n, in_h=m, out_h=m, groups=groups)

    @property
    def m(self) -> int:
        """Rows of the output matrix: output positions of the whole batch."""
        return self.batch * self.out_h * self.out_w

    @property
    def n(self) -> int:
        """Columns of the output matrix: filters of one group."""
        return self.filters

    @property
    def k(self) -> int:
        """Length of the reduction: kernel positions times input channels of one group."""
        return self.kernel_h * self.kernel_w * self.channels

    @property
    def macs(self) -> int:
        """Dense multiply-accumulates, padding included."""
        return self.groups * self.m * self.n * self.k

    @property
    def weight_elements(self) -> int:
        """Elements of operand W."""
        return self.groups * self.n * self.k

    @property
    def input_elements(self) -> int:
        """Elements of operand I as stored, each counted once (not unrolled, padding left out)."""
        return self.groups * self.batch * self.in_h * self.in_w * self.channels

    @property
    def output_elements(self) -> int:
        """Elements of operand O."""
        return self.groups * self.m * self.n
