"""Rank: the fastest candidates of one op that runs alone, each with its exact duration."""

from __future__ import annotations

from typing import NamedTuple

import numba
import numpy as np

from codesign.schedule.candidates import Candidates
from hw_models.network.steps import Ints, Machine
from hw_models.network.timing import durations
from hw_models.systolic.tiling import Nest, Tile, gemm_steps


class Ranked(NamedTuple):
    """Candidates whose exact duration was needed: their numbers in `Candidates`, cycles, bytes of DRAM and tiles.

    All that could be among the fastest asked for are there, with all that tie with the last of them.
    """

    which: Ints
    cycles: Ints
    dram_bytes: Ints
    steps: Ints


def rank(nest: Nest, dataflow: int, array: Machine, found: Candidates, most: int) -> Ranked:
    """Return the ``most`` fastest candidates.

    The op loads its first tile of W itself. Candidates are tried in the order of their bounds, until no bound is as
    low as the duration of the last one that is wanted.
    """
    # All its transfers, the first tile of W among them, share the channel.
    bound = np.maximum(found.bound, found.dram + found.first_w)
    order = np.argsort(bound, kind="stable")
    return _rank(nest, dataflow, array, found.tiles, bound, order, most)


@numba.njit(cache=True)
def _rank(nest: Nest, dataflow: int, array: Machine, tiles: Ints, bound: Ints, order: Ints, most: int) -> Ranked:
    found = np.empty((4, len(order)), np.int64)
    fastest = np.full(most, np.iinfo(np.int64).max)  # sorted
    count = 0
    for c in order:
        if bound[c] > fastest[-1]:
            break
        tile = Tile(tiles[c, 0], tiles[c, 1], tiles[c, 2], tiles[c, 3], tiles[c, 4], tiles[c, 5], tiles[c, 6])
        steps = gemm_steps(nest, tile, dataflow, array)
        cycles = durations(steps, array, True)[0]
        moved = steps.w_bytes.sum() + steps.w_metadata_bytes.sum() + steps.i_bytes.sum() + steps.o_bytes.sum()
        found[0, count], found[1, count], found[2, count], found[3, count] = c, cycles, moved, len(steps.cycles)
        count += 1
        if cycles < fastest[-1]:
            fastest[-1] = cycles
            fastest.sort()
    return Ranked(found[0, :count], found[1, :count], found[2, :count], found[3, :count])
