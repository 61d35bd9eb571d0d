"""Panels: the order in which a sparse matrix times a dense one is computed.

A panel is a few rows of weights that are worked through together, entry by entry. Two kinds serve all formats:

- *shared*: every row of the panel has its weights in the same columns (groups of output channels, rows of blocks),
  so a strip of inputs is loaded once for all of them;
- *own*: each row has columns of its own (unstructured, N:M); two rows together hide latency and share the loop.

Panels are made for a block of columns at a time, so that the inputs they read stay in the L1 cache while all
rows pass over them. Within a block the rows are sorted by length: neighbours in a panel are then nearly equally
long (the shorter is padded with zeros), and the exit of the inner loop is predicted, because lengths hardly change.
Sorted, sliced rows are known as SELL-C-sigma (Kreutzer et al., 2014); here C is 1 or 2 and sigma is all rows.
"""

from __future__ import annotations

from dataclasses import dataclass
from itertools import pairwise

import numpy as np
from numpy.typing import NDArray

from kernels.bands import Bands


@dataclass(frozen=True, slots=True, eq=False, repr=False)
class Panels:
    """All entries of some rows of a sparse matrix, in the order in which they are used.

    Attributes
    ----------
    height
        Rows of a panel.
    shared
        Whether the rows of a panel share their columns.
    blocks
        int64 (parts, column blocks + 1): block b of part p is panels ``blocks[p, b]`` up to ``blocks[p, b + 1]``.
    starts
        int64 (panels + 1): the first entry of each panel.
    rows
        int32 (panels * height): the row of the matrix that each row of a panel is.
    columns
        int32 (entries,) if shared, else (entries * height,).
    values
        float32 (entries * height,).
    """

    height: int
    shared: bool
    blocks: NDArray[np.int64]
    starts: NDArray[np.int64]
    rows: NDArray[np.int32]
    columns: NDArray[np.int32]
    values: NDArray[np.float32]

    @property
    def bytes(self) -> int:
        """Memory that a product reads of them."""
        arrays = (self.blocks, self.starts, self.rows, self.columns, self.values)
        return sum(array.nbytes for array in arrays)

    def __repr__(self) -> str:
        kind = "shared" if self.shared else "own"
        return (
            f"Panels({len(self.starts) - 1} of {self.height} rows, {kind} columns, {self.blocks.shape[1] - 1} blocks)"
        )


def panels(bands: Bands, width: int, block: int, slices: int, parts: int) -> Panels:
    """Order the entries of bands for execution.

    Parameters
    ----------
    bands
        The matrix, whose number of bands ``slices`` divides.
    width
        Columns of the matrix.
    block
        Columns of a block.
    slices
        Bands worked through together; more than one only where a band is a single row.
    parts
        Parts of about equal work into which the rows are split, one for each thread.
    """
    count, height = bands.rows.shape
    blocks = -(-width // block)
    band = np.repeat(np.arange(count), np.diff(bands.pointers))
    of = bands.columns // block
    lengths = np.bincount(band * blocks + of, minlength=count * blocks)
    within = np.arange(len(band)) - (np.cumsum(lengths) - lengths)[band * blocks + of]
    lengths = lengths.reshape(count, blocks).T

    # In each block and part, long bands come first; neighbours make a panel, as long as its first band.
    split = _split(bands, slices, parts)
    part = np.searchsorted(split, np.arange(count), side="right") - 1
    order = np.lexsort((-lengths, np.broadcast_to(part, lengths.shape)))
    rank = np.empty_like(order)
    np.put_along_axis(rank, order, np.arange(count)[None], axis=1)
    longest = np.take_along_axis(lengths, order[:, ::slices], axis=1)

    # Panels lie part by part, block by block. An empty one matters only where sums begin and end.
    kept = longest > 0
    kept[[0, -1]] = True
    edges = split // slices
    grid = np.arange(longest.size).reshape(longest.shape)
    runs = [grid[b, first:last][kept[b, first:last]] for first, last in pairwise(edges) for b in range(blocks)]
    sequence = np.concatenate(runs)
    ends = np.cumsum([0] + [len(run) for run in runs])
    starts = np.concatenate([[0], np.cumsum(longest.ravel()[sequence])])
    start = np.zeros(longest.size, np.int64)
    start[sequence] = starts[:-1]

    turn = rank[of, band]
    entry = start[of * longest.shape[1] + turn // slices] + within
    columns = np.zeros((starts[-1], slices), np.int32)
    values = np.zeros((starts[-1], slices, height), np.float32)
    columns[entry, turn % slices] = bands.columns
    values[entry, turn % slices] = bands.values
    together = order.reshape(-1, slices)[sequence]
    return Panels(
        height=slices * height,
        shared=height > 1,
        blocks=np.stack([ends[p * blocks : (p + 1) * blocks + 1] for p in range(parts)]).astype(np.int64),
        starts=starts.astype(np.int64),
        rows=bands.rows[together].astype(np.int32).ravel(),
        columns=columns.ravel(),
        values=values.ravel(),
    )


def _split(bands: Bands, slices: int, parts: int) -> NDArray[np.int64]:
    """Return the bands at which parts of about equal work begin; each is a multiple of the slices."""
    count = len(bands.rows)
    work = bands.pointers + np.arange(count + 1)  # a band costs something even when it is empty
    marks = np.searchsorted(work, work[-1] * np.arange(parts + 1) / parts)
    marks = np.minimum(-(-marks // slices) * slices, count)
    marks[0], marks[-1] = 0, count
    return np.asarray(marks, np.int64)
