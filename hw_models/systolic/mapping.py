"""Mapping: how one op runs on the array."""

from __future__ import annotations

from dataclasses import dataclass

from hw_models.systolic.folds import DATAFLOWS
from hw_models.systolic.tiling import Tile


@dataclass(frozen=True, slots=True)
class Mapping:
    """A dataflow, tile sizes and a loop order; vector ops are only cut into chunks.

    Attributes
    ----------
    dataflow
        ``ws``, ``os`` or ``is``; empty for a vector op.
    compressed
        Whether only the kept weights of an N:M pattern are loaded and run.
    tile
        Sizes of the buffer tiles; None for a vector op.
    chunks
        Pieces of a vector op.
    """

    dataflow: str = ""
    compressed: bool = False
    tile: Tile | None = None
    chunks: int = 1

    @property
    def dataflow_index(self) -> int:
        """The dataflow as compiled code names it."""
        return DATAFLOWS.index(self.dataflow)

    def __str__(self) -> str:
        if self.tile is None:
            return _some(self.chunks, "chunk")
        t = self.tile
        order = "n, m, k" if t.n_outer else "m, n, k"
        groups = f"{t.groups} groups x " if t.groups > 1 else ""
        batch = f"{t.batch} x " if t.batch > 1 else ""
        compressed = ", N:M compressed" if self.compressed else ""
        return (
            f"{self.dataflow}{compressed}: tiles of {groups}{batch}{t.rows} x {t.cols} outputs,"
            f" {_some(t.n, 'filter')}, {_some(t.channels, 'channel')}; loops {order}"
        )


def _some(count: int, what: str) -> str:
    return f"{count} {what}{'' if count == 1 else 's'}"
