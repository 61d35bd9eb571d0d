"""Reduction tree: MAERI's augmented adder tree (Kwon et al., ASPLOS 2018): it sums vectors of any size side by side."""

from __future__ import annotations

import numba
import numpy as np
from numpy.typing import NDArray

Ints = NDArray[np.int64]


@numba.njit(cache=True)
def climbs(ends: Ints, multipliers: int, reduction: int) -> tuple[Ints, Ints]:
    """Return how many adders each multiplier's product passes, and the bus line of each vector.

    A vector occupies neighbouring nodes of each level; it is complete where one node is left. The first of its adders,
    if odd, has a link to the next one, and the last, if even, to the one before; such an end hands its sum over the
    link, the smaller part to the larger where both ends share the link.
    """
    delay = np.empty(ends[-1], np.int64)
    line = np.empty(len(ends), np.int64)
    begin = 0
    for v, end in enumerate(ends):
        delay[begin:end] = 0
        low, high, span, adders = begin, end - 1, 1, multipliers
        while True:
            adders //= 2
            span *= 2  # multipliers below an adder
            delay[begin:end] += 1
            nodes_left, nodes_right = 2 - low % 2, 1 + high % 2  # of the vector, below its end adders
            low //= 2
            high //= 2
            if low < high and low % 2 and (high > low + 1 or nodes_left < nodes_right):
                low += 1
                delay[begin : low * span] += 1
            elif low < high and low % 2:
                delay[high * span : end] += 1
                high -= 1
            if low < high and high % 2 == 0:
                delay[high * span : end] += 1
                high -= 1
            if low == high:
                break
        line[v] = bus_line(adders, low, multipliers, reduction)
        begin = end
    return delay, line


@numba.njit(cache=True)
def bus_line(adders: int, adder: int, multipliers: int, lines: int) -> int:
    """Return the bus line of an adder in the level of so many.

    Linked pairs are numbered from the root down and left to right, and pair p drives line p mod lines; the adders
    without a link (the root, the first and last of each level) follow, as if each were half of a pair.
    """
    level, levels = 0, 0
    while 1 << level < adders:
        level += 1
    while 1 << levels < multipliers:
        levels += 1
    if adder == 0 or adder == adders - 1:
        pairs = (1 << levels - 1) - levels
        end = 0 if level == 0 else 2 * level - 1 + (adder > 0)
        return (2 * pairs + end) % lines
    above = (1 << level - 1) - level
    return (above + (adder + 1) // 2 - 1) % lines
