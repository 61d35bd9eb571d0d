"""Search: the candidates of one op that an optimal plan could use, each with its exact duration.

What a candidate costs depends on its neighbours only through the prefetch of the next op's first W tile, which
takes w cycles of DRAM: it lasts max(alone, through + w) cycles, where ``through`` is the longest chain of
events that passes the prefetch. So a candidate is three numbers, (alone, through, first_w), and one is never needed
if another is at least as good whatever the neighbours do.
"""

from __future__ import annotations

from typing import NamedTuple

import numba
import numpy as np

from codesign.schedule.candidates import Candidates
from hw_models.network.steps import Ints, Machine
from hw_models.network.timing import durations
from hw_models.systolic.tiling import Nest, Tile, gemm_steps


class Options(NamedTuple):
    """The candidates kept, fastest alone first, and how many were tried.

    ``which`` is their number in `Candidates` (of a vector op, the number of chunks).
    """

    which: Ints
    alone: Ints
    through: Ints
    first_w: Ints
    tried: int


def search(
    nest: Nest, dataflow: int, array: Machine, found: Candidates, own_first_w: bool, next_w_most: int
) -> Options:
    """Return the candidates that no other makes superfluous, best alone first.

    ``own_first_w``: the op loads its first W tile itself, as the first op must, and any whose W is an activation.
    ``next_w_most``: no first W tile of the next op takes more DRAM cycles than this.
    """
    first_w = np.zeros_like(found.first_w) if own_first_w else found.first_w
    return _search(nest, dataflow, array, found.tiles, found.bound, found.dram, first_w, own_first_w, next_w_most)


@numba.njit(cache=True)
def _search(
    nest: Nest,
    dataflow: int,
    array: Machine,
    tiles: Ints,
    bound: Ints,
    dram: Ints,
    first_w: Ints,
    own_first_w: bool,
    next_w_most: int,
) -> Options:
    kept, index = np.empty((3, len(bound)), np.int64), np.empty(len(bound), np.int64)
    left = np.arange(len(bound))
    count = tried = 0
    while len(left):
        # Try the most promising one, then drop all that it makes superfluous.
        c = left[0]
        for other in left:
            if (bound[other], dram[other], first_w[other]) < (bound[c], dram[c], first_w[c]):
                c = other
        tile = Tile(tiles[c, 0], tiles[c, 1], tiles[c, 2], tiles[c, 3], tiles[c, 4], tiles[c, 5], tiles[c, 6])
        alone, through = durations(gemm_steps(nest, tile, dataflow, array), array, own_first_w)
        tried += 1
        if not superfluous(kept, count, alone, through, first_w[c], next_w_most):
            kept[0, count], kept[1, count], kept[2, count] = alone, through, first_w[c]
            index[count] = c
            count += 1
        stay = np.empty(len(left), np.bool_)
        for i, other in enumerate(left):
            stay[i] = other != c and not superfluous(
                kept, count, bound[other], dram[other], first_w[other], next_w_most
            )
        left = left[stay]
    by_time = np.argsort(kept[0, :count])
    return Options(index[:count][by_time], kept[0][by_time], kept[1][by_time], kept[2][by_time], tried)


@numba.njit(cache=True)
def superfluous(kept: Ints, count: int, alone: int, through: int, first_w: int, next_w_most: int) -> bool:
    """Return whether a kept candidate is as good as this one (or as its bounds) next to any neighbours.

    The predecessor loses at most the longer prefetch; this op itself loses the most at one of the corners of the
    two piecewise linear durations.
    """
    turn = min(max(alone - through, 0), next_w_most)
    for i in range(count):
        worst = max(
            _loss(kept[0, i], kept[1, i], alone, through, 0),
            _loss(kept[0, i], kept[1, i], alone, through, turn),
            _loss(kept[0, i], kept[1, i], alone, through, next_w_most),
        )
        if max(0, kept[2, i] - first_w) + worst <= 0:
            return True
    return False


@numba.njit(cache=True)
def _loss(alone: int, through: int, other_alone: int, other_through: int, next_w: int) -> int:
    """Return by how much one candidate lasts longer than another, given the prefetch of the next op."""
    return max(alone, through + next_w) - max(other_alone, other_through + next_w)
