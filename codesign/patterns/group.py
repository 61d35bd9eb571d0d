"""Group: 1xN groups of output channels."""

from __future__ import annotations

from dataclasses import dataclass

from codesign.patterns.pattern import check_size, check_sparsity
from codesign.patterns.tiled import Tiled


@dataclass(frozen=True, slots=True)
class Group(Tiled):
    """``size`` consecutive output channels keep the same inputs (``group:4:0.7``: 1x4 groups, 70 % removed).

    Packed as `kernels.formats.Group`.
    """

    size: int
    sparsity: float

    def __post_init__(self) -> None:
        check_size("size of a group", self.size)
        check_sparsity(self.sparsity)

    @property
    def tile(self) -> tuple[int, int]:
        """A column of ``size`` output channels."""
        return self.size, 1

    def __str__(self) -> str:
        return f"group:{self.size}:{float(self.sparsity)}"
