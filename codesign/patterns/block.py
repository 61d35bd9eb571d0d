"""Block: rectangular blocks."""

from __future__ import annotations

from dataclasses import dataclass

from codesign.patterns.pattern import check_size, check_sparsity
from codesign.patterns.tiled import Tiled


@dataclass(frozen=True, slots=True)
class Block(Tiled):
    """Blocks of ``rows`` output channels by ``cols`` along the reduction (``block:4x4:0.5``, half removed).

    Packed as `kernels.formats.Block`.
    """

    rows: int
    cols: int
    sparsity: float

    def __post_init__(self) -> None:
        check_size("rows of a block", self.rows)
        check_size("cols of a block", self.cols)
        check_sparsity(self.sparsity)

    @property
    def tile(self) -> tuple[int, int]:
        """The block."""
        return self.rows, self.cols

    def __str__(self) -> str:
        return f"block:{self.rows}x{self.cols}:{float(self.sparsity)}"
