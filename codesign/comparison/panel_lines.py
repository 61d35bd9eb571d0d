"""Panel lines: every cache line that the host's sparse kernel touches, in its order, through a model of the caches.

The kernel is `kernels.strips`; what is followed here is its loop nest over the real panels of the weights. Activations
are as the layer before left them, weights as the last call did, as far as they fit.
"""

from __future__ import annotations

from dataclasses import dataclass
from typing import Any

import numba
import numpy as np
from numpy.typing import NDArray

from hw_models.cpus import CpuConfig
from hw_models.cpus.cache import WRITTEN, Hierarchy
from kernels.arrays import row_stride
from kernels.panels import Panels
from kernels.plan import Strip

Ints = NDArray[np.int64]

LINE = 64
LINE_FLOATS = 16
#: Lines of one call that are followed before the rest is extrapolated.
BUDGET = 300_000
#: Cores that share a last cache: with busy neighbours one gets its share of it.
SHARERS = 8
#: From this size on NumPy asks for pages of 2 MB; below, the system gives pages of 4 KB.
HUGE_FROM = 4 << 20
_PAGE, _HUGE = 4096 // LINE, (2 << 20) // LINE


@dataclass(frozen=True, slots=True)
class Matrices:
    """Where the operands of a product (M, K) x (K, columns) lie, in lines: inputs, outputs and packed weights."""

    rows: int
    inputs: int
    columns: int

    @property
    def stride(self) -> int:
        """Lines from one row of inputs or outputs to the next."""
        return row_stride(max(self.rows, 2), self.columns) // LINE_FLOATS

    @property
    def x(self) -> int:
        """First line of the inputs."""
        return 1 << 20

    @property
    def y(self) -> int:
        """First line of the outputs, in a page of its own."""
        return self._after(self.x, self.inputs)

    @property
    def weights(self) -> int:
        """First line of the weights."""
        return self._after(self.y, self.rows)

    def _after(self, first: int, rows: int) -> int:
        return first + -(-rows * self.stride // _HUGE) * _HUGE + _PAGE

    def pages(self, lines: Ints, weight_lines: int) -> Ints:
        """Return the pages of lines, repeated ones left out, as accesses of a `Hierarchy`."""
        sizes = [rows * self.stride * LINE >= HUGE_FROM for rows in (self.inputs, self.rows)]
        sizes.append(weight_lines * LINE >= HUGE_FROM)
        which = np.searchsorted((self.y, self.weights), lines, side="right")
        page = lines // np.where(sizes, _HUGE, _PAGE)[which] + (which << 40)
        return page[np.flatnonzero(np.diff(page, prepend=-1))] * 2


class Memory:
    """The caches and the table of pages of one core while a product runs."""

    def __init__(self, cpu: CpuConfig, matrices: Matrices, weight_lines: int) -> None:
        plain = [
            cache.model_copy(update={"prefetch": None, "bytes": cache.bytes // (SHARERS if cache.shared else 1)})
            for cache in cpu.caches
        ]
        table = cpu.caches[0].model_copy(update={"bytes": 64 * LINE, "ways": 64, "prefetch": None})
        self.caches, self.table = Hierarchy(plain, cpu.tlb), Hierarchy([table], cpu.tlb)
        self.matrices, self.weight_lines = matrices, weight_lines
        m = matrices
        self.caches.run(np.arange(m.weights, m.weights + weight_lines, dtype=np.int64) * 2)
        self.caches.run(np.arange(m.y, m.y + m.rows * m.stride, dtype=np.int64) * 2 + WRITTEN)
        self.caches.run(np.arange(m.x, m.x + m.inputs * m.stride, dtype=np.int64) * 2 + WRITTEN)

    def touch(self, accesses: Ints) -> NDArray[np.float64]:
        """Return the lines filled from L2, L3 and memory, and the pages looked up beyond the first table."""
        fills = self.caches.run(accesses)
        pages = self.table.run(self.matrices.pages(accesses >> 1, self.weight_lines))
        levels = fills.demand + fills.written
        beyond = np.zeros(3)  # a machine without an L3 has two
        beyond[: len(levels) - 1], beyond[2] = levels[:-1], levels[-1]
        return np.append(beyond, float(pages.demand.sum()))


def fills(panels: Panels, strip: Strip, lanes: int, memory: Memory) -> NDArray[np.float64]:
    """Return what `Memory.touch` counts in one call of the kernel: all tiles of a strip, all panels.

    Tile by tile and block by block is followed until the budget is spent; the rest is taken to cost the mean of what
    was followed after the first tile (or, if that was not finished, of all).
    """
    m = memory.matrices
    tiles = tiles_of(strip, lanes)
    lines = -(-strip.vectors * lanes // LINE_FLOATS)
    blocks = [(part, block) for part in range(len(panels.blocks)) for block in range(panels.blocks.shape[1] - 1)]
    shape = (panels.height, int(panels.shared), lines)
    buffer = np.empty(_most(panels, lines), np.int64)
    found: list[NDArray[np.float64]] = []
    for tile in range(tiles):
        at = (strip.first + tile * strip.vectors * lanes) // LINE_FLOATS
        total, seen = np.zeros(4), 0
        for done, (part, block) in enumerate(blocks, 1):
            span = panels.blocks[part, block], panels.blocks[part, block + 1]
            places = (m.x + at, m.y + at, m.weights, m.stride)
            arrays = (panels.starts, panels.rows, panels.columns)
            used = _walk(*arrays, *shape, *span, block > 0, *places, buffer)
            total += memory.touch(buffer[:used])
            seen += used
            if seen > 4 * BUDGET and not tile:
                return total * (len(blocks) / done) * tiles
        found.append(total)
        if seen * len(found) > BUDGET and len(found) > 1:
            break
    steady = np.mean(found[1:], axis=0) if len(found) > 1 else found[0]
    whole: NDArray[np.float64] = np.sum(found, axis=0) + steady * (tiles - len(found))
    return whole


def tiles_of(strip: Strip, lanes: int) -> int:
    """Return the tiles of a strip."""
    return max(1, -(-(strip.count - strip.rest) // (strip.vectors * lanes)))


def _most(panels: Panels, lines: int) -> int:
    """Return how many lines a block of panels touches at most."""
    first, last = panels.blocks[:, :-1].ravel(), panels.blocks[:, 1:].ravel()
    entries = int((panels.starts[last] - panels.starts[first]).max(initial=0))
    reads = lines * (1 if panels.shared else panels.height)
    return entries * (reads + 1 + panels.height) + 2 * panels.height * lines * int((last - first).max(initial=0)) + 8


@numba.njit(cache=True)
def _walk(
    starts: NDArray[np.signedinteger[Any]],
    rows: NDArray[np.signedinteger[Any]],
    columns: NDArray[np.signedinteger[Any]],
    height: int,
    shared: int,
    lines: int,
    first: int,
    last: int,
    loads_sums: bool,
    x: int,
    y: int,
    weights: int,
    stride: int,
    out: Ints,
) -> int:
    """Write what panels ``first`` up to ``last`` access in a tile, ``line * 2 + written``; return how much."""
    used = 0
    entry_bytes = 4 * height + (4 if shared else 4 * height)
    before = -1
    reads = 1 if shared else height
    for panel in range(first, last):
        if loads_sums:
            for row in range(panel * height, (panel + 1) * height):
                for t in range(lines):
                    out[used] = (y + rows[row] * stride + t) * 2
                    used += 1
        for entry in range(starts[panel], starts[panel + 1]):
            line = entry * entry_bytes // 64
            if line != before:
                out[used] = (weights + line) * 2
                used += 1
                before = line
            for place in range(entry * reads, (entry + 1) * reads):
                for t in range(lines):
                    out[used] = (x + columns[place] * stride + t) * 2
                    used += 1
        for row in range(panel * height, (panel + 1) * height):
            for t in range(lines):
                out[used] = (y + rows[row] * stride + t) * 2 + 1
                used += 1
    return used
