"""Plan: which tile a product of packed weights is computed with, chosen by a small cost model that can explain itself.

The model counts what the inner loop of `kernels.strips` asks of a core, in the time of one fused multiply-add on a full
register:

- an entry of a panel: its multiply-adds, its loads (a little dearer, and more so the less of the inputs fits into the
  L1 cache), and at least one latency, because the next entry adds to the same registers;
- a panel: its sums are read and written, and its loop ends with a jump that may be predicted wrongly.

It ranks; it does not predict seconds. Its constants were set by hand on one core, an AMD Zen 4 (`benchmarks/plans.py`
shows how near the choice comes to the best of all candidates on the machine at hand).
"""

from __future__ import annotations

import functools
import itertools
from collections.abc import Iterator
from dataclasses import dataclass

from kernels import machine
from kernels.strips import REST_LANES

LATENCY = 4.0
"""From one fused multiply-add to the next on the same register."""
LOAD = 1.22
"""A register from the L1 cache; 1.0 would be a load as cheap as a multiply-add, but loads conflict at times."""
MISS = 1.0
"""What a register from the L2 cache costs more."""
KEPT = 0.93
"""Part of the L1 cache that inputs keep; weights and sums pass through the rest."""
SCALAR = 0.5
"""Index and weight of an entry: two narrow loads beside the wide ones."""
PANEL = 10.0
"""To begin and end a panel, beside moving its sums."""
MOVE = 3.0
"""To read a register of sums and to write it back."""
NARROW = 0.5
"""A multiply-add on the narrow register of a rest."""


@dataclass(frozen=True, slots=True)
class Strip:
    """Adjacent columns computed with one tile.

    Attributes
    ----------
    first, count
        The columns.
    vectors
        Registers of a row of the tile.
    rest
        Columns beyond full registers (at most 4), in a narrow register of their own.
    masked
        Whether the last register of the last tile is not full.
    """

    first: int
    count: int
    vectors: int
    rest: int
    masked: bool


@dataclass(frozen=True, slots=True)
class Plan:
    """How one product is computed.

    Attributes
    ----------
    lanes
        float32 lanes of a register.
    slices
        Rows of own columns that are worked through together.
    block
        Columns of weights whose inputs stay in the L1 cache.
    strips
        The columns of activations, in order.
    cycles
        Estimated cost, in multiply-adds on a register; comparable between plans of one product only.
    """

    lanes: int
    slices: int
    block: int
    strips: tuple[Strip, ...]
    cycles: float

    def explain(self) -> str:
        """Return one line: the tile, the blocks, the strips and the estimate."""
        tiles = ", ".join(
            f"{strip.count} columns by {strip.vectors}x{self.lanes}{f'+{strip.rest}' * bool(strip.rest)}"
            for strip in self.strips
        )
        together = f"{self.slices} rows at a time, " * (self.slices > 1)
        return f"{together}blocks of {self.block} inputs, {tiles}: {self.cycles:,.0f} cycles estimated"


@dataclass(frozen=True, slots=True)
class Problem:
    """What a plan depends on.

    Attributes
    ----------
    bands, height
        Bands of rows that share columns, and the rows of one (1: every row has columns of its own).
    width
        Columns of the weights.
    entries
        Entries of all bands together.
    columns
        Columns of the activations.
    """

    bands: int
    height: int
    width: int
    entries: int
    columns: int


def plans(problem: Problem) -> list[Plan]:
    """Return all candidates, the best by estimate first."""
    return sorted(_candidates(problem), key=lambda plan: plan.cycles)


@functools.lru_cache(maxsize=4096)
def plan(problem: Problem) -> Plan:
    """Return the best plan; it is remembered."""
    return min(_candidates(problem), key=lambda candidate: candidate.cycles)


def dense_height() -> int:
    """Return the rows of a band of dense weights: enough multiply-adds for each load, in the registers there are."""
    return 4 if machine.vector_registers() > 16 else 3


def _candidates(problem: Problem) -> Iterator[Plan]:
    lanes = machine.vector_lanes()
    shared = problem.height > 1
    slices = 1 if shared or problem.bands == 1 else 2
    blocks = [block for block in (32, 64, 128, 256) if block < problem.width] + [min(problem.width, 512)]
    cuts = {
        _strips(problem.columns, most, lanes, rest)
        for most in range(1, _most_vectors(problem.height * slices, shared) + 1)
        for rest in (False, True)
    }
    for strips, block in itertools.product(sorted(cuts, key=repr), blocks):
        cycles = sum(_strip_cycles(problem, strip, lanes, slices, block) for strip in strips)
        yield Plan(lanes, slices, block, strips, cycles)


def _most_vectors(height: int, shared: bool) -> int:
    """Return the vectors of a strip that fit into the registers beside what else is held there, and are still worth it.

    Sums in half of the registers hide the latency; a wider strip only takes more of the cache.
    """
    registers = machine.vector_registers()
    return max(1, min(8, registers // 2 // height if shared else registers // height - 2))


def _strips(columns: int, most: int, lanes: int, with_rest: bool) -> tuple[Strip, ...]:
    """Cut the columns into tiles of nearly equal width, the wider first; only the last tile may be cut short.

    A rest of few columns is given to the last tile instead of taking a register, if that is asked for.
    """
    rest = columns % lanes
    rest = rest if with_rest and rest <= REST_LANES < lanes and columns > lanes else 0
    vectors = (columns - rest) // lanes if rest else -(-columns // lanes)
    tiles = -(-vectors // most)
    narrow, wider = divmod(vectors, tiles)
    masked = vectors * lanes > columns
    odd = int(masked or rest > 0)
    strips: list[Strip] = []
    first = 0
    for count, size, last in ((wider, narrow + 1, False), (tiles - wider - odd, narrow, False), (odd, narrow, True)):
        if count:
            width = min(count * size * lanes + rest * last, columns - first)
            strips.append(Strip(first, width, size, rest * last, masked and last))
            first += width
    return tuple(strips)


def _strip_cycles(problem: Problem, strip: Strip, lanes: int, slices: int, block: int) -> float:
    """Return the cost of all tiles of a strip: over all entries and all panels."""
    shared = problem.height > 1
    height = problem.height * slices
    tiles = max(1, strip.count // (strip.vectors * lanes))
    tile = height * strip.vectors
    narrow = height * NARROW * bool(strip.rest)
    missed = max(0.0, 1 - KEPT * machine.l1_bytes() / (block * strip.vectors * lanes * 4))
    loads = (strip.vectors if shared else tile) * (LOAD + MISS * missed) + height * SCALAR
    entry = max(tile + narrow, loads + narrow, LATENCY)
    panels = -(-problem.bands // slices) * -(-problem.width // block)
    return tiles * (problem.entries / slices * entry + panels * (PANEL + MOVE * tile))
