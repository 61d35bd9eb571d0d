"""Sliced: sparse rows in lockstep, a lane or a few lanes of the registers to each.

Rows of similar length (they are sorted) make a slice; its k-th step holds the k-th entry of each of them, the values of
all in whole registers. Entries that a shorter row lacks are zeros which meet a zero after the end of x. This is
SELL-C-sigma (Kreutzer et al. 2014, https://doi.org/10.1137/130930352) with sigma the whole matrix: a vector fits any
cache, so the order of rows does not matter. Indices take 16 bits where the columns allow it. Bands of rows that share
their columns (groups, blocks) have one index for up to ``lanes`` values.
"""

from __future__ import annotations

import functools
from dataclasses import dataclass
from math import gcd
from typing import Any, TypeAlias

import numpy as np
from numba import njit, prange
from numpy.typing import NDArray

from kernels.bands import Bands, bands
from kernels.machine import vector_lanes
from kernels.matvec.memory import Floats, padded, stream
from kernels.matvec.vectors import Kernel, gather
from kernels.packed import Packed, Store
from kernels.tile import fma_tile, load, store, zeros

Ints: TypeAlias = NDArray[np.int64]
Rows: TypeAlias = NDArray[np.int32]
Indices: TypeAlias = NDArray[np.uint16] | NDArray[np.uint32]

VECTORS = 2
"""Registers of rows that go together."""
LAYOUT = "gemv slices"
"""Name of the layout that a packed matrix keeps."""


@dataclass(frozen=True, slots=True, eq=False)
class Sliced:
    """Bands of equally many rows, in slices of ``VECTORS * lanes`` rows.

    Attributes
    ----------
    group
        Lanes that share an index: rows of a band.
    lanes
        Floats of a register.
    starts
        int64 (slices + 1,): slice i owns steps ``starts[i]`` up to ``starts[i + 1]``.
    indices
        uint16 or uint32 (steps * rows of a slice / group,): column of each entry; one after the last for padding.
    values
        float32 (steps * rows of a slice,).
    rows
        int32 (slices * rows of a slice,): row that each lane sums; -1 for none.
    """

    group: int
    lanes: int
    starts: Ints
    indices: Indices
    values: Floats
    rows: Rows

    @property
    def bytes(self) -> int:
        """Bytes that a product reads: values, indices, starts and rows, padding included."""
        return self.values.nbytes + self.indices.nbytes + self.starts.nbytes + self.rows.nbytes

    def cuts(self, parts: int) -> Ints:
        """Return ``parts + 1`` slices between which there is about as much work."""
        cuts: Ints = np.searchsorted(self.starts, self.starts[-1] * np.arange(parts + 1) // parts)
        cuts[0], cuts[-1] = 0, len(self.starts) - 1
        return cuts


def sliced(part: Bands, columns: int, lanes: int) -> Sliced:
    """Return bands as slices for registers of so many lanes, a power of two."""
    group = gcd(part.height, lanes)
    share = VECTORS * lanes // group
    pieces = part.height // group
    lengths = np.repeat(np.diff(part.pointers), pieces)
    order = np.argsort(-lengths, kind="stable")
    rank = np.argsort(order, kind="stable").reshape(-1, pieces)
    steps = lengths[order][::share]
    starts = np.concatenate([[0], np.cumsum(steps)]).astype(np.int64)

    total = int(starts[-1])
    indices = stream(total * share, np.uint16 if columns < 1 << 16 else np.uint32)
    indices[:] = columns
    values = stream(total * share * group, np.float32)
    band = np.repeat(np.arange(len(part)), np.diff(part.pointers))
    entry = np.arange(len(part.columns)) - part.pointers[band]
    for piece in range(pieces):
        slices, lane = np.divmod(rank[band, piece], share)
        place = (starts[slices] + entry) * share + lane
        indices[place] = part.columns
        values.reshape(-1, group)[place] = part.values[:, piece * group : (piece + 1) * group]
    rows = np.full((len(steps) * share, group), -1, np.int32)
    rows[: len(order)] = part.rows.reshape(-1, group)[order]
    return Sliced(group, lanes, starts, indices, values, rows.reshape(-1))


@functools.cache
def compiled(group: int, lanes: int, parallel: int) -> Kernel:
    """Return the kernel for one shape of slice; x ends in a zero."""
    height = VECTORS * lanes
    share = height // group

    @njit(cache=True, nogil=True, parallel=bool(parallel))
    def gemv_sliced(
        starts: Ints, indices: Indices, values: Floats, rows: Rows, cuts: Ints, x: Floats, y: Floats
    ) -> None:
        tasks = cuts.size - 1 if parallel else 1
        for part in prange(tasks):
            sums = np.empty(height, np.float32)
            for piece in range(cuts[part], cuts[part + 1]):
                acc = zeros(1, VECTORS, lanes)
                for at in range(starts[piece], starts[piece + 1]):
                    inputs = gather(x, indices, at * share, group, VECTORS, lanes)
                    acc = fma_tile(acc, load(values, at * height, height, VECTORS, lanes), inputs)
                store(sums, 0, 0, height, acc)
                for lane in range(height):
                    row = rows[piece * height + lane]
                    if row >= 0:
                        y[row] = sums[lane]

    made: Kernel = gemv_sliced
    return made


def layouts(packed: Packed) -> list[Sliced]:
    """Return any packed matrix as slices: its bands, and rows that are left over."""

    def build(store: Store) -> list[Sliced]:
        return [sliced(part, store.shape[1], vector_lanes()) for part in bands(store, 1)]

    return packed.layout(LAYOUT, build)


def _calls(packed: Packed, threads: int) -> list[tuple[Kernel, tuple[NDArray[Any], ...]]]:
    """Return the kernel and the arrays for each part of a matrix."""
    return [
        (
            compiled(part.group, part.lanes, int(threads > 1)),
            (part.starts, part.indices, part.values, part.rows, part.cuts(threads)),
        )
        for part in layouts(packed)
    ]


def multiply(packed: Packed, x: Floats, y: Floats, threads: int) -> None:
    """Write the product of any packed matrix to y."""
    extended = padded(x, x.size + 1)
    for kernel, arrays in packed.layout(("gemv calls", threads), lambda _store: _calls(packed, threads)):
        kernel(*arrays, extended, y)
