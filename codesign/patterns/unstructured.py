"""Unstructured: single weights."""

from __future__ import annotations

from dataclasses import dataclass
from math import prod

from codesign.patterns.pattern import check_sparsity
from codesign.patterns.tiled import Tiled


@dataclass(frozen=True, slots=True)
class Unstructured(Tiled):
    """The largest magnitudes of the whole tensor (``unstructured:0.9``); ``sparsity`` is the share removed."""

    sparsity: float

    def __post_init__(self) -> None:
        check_sparsity(self.sparsity)

    @property
    def tile(self) -> tuple[int, int]:
        """A single weight."""
        return 1, 1

    def metadata_bits(self, shape: tuple[int, int, int], run: int) -> int:
        """Return the size of a bitmask of one bit a weight or of the CSR index, whichever is smaller."""
        return min(prod(shape), Tiled.metadata_bits(self, shape, run))

    def __str__(self) -> str:
        return f"unstructured:{float(self.sparsity)}"
