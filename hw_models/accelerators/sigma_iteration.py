"""One iteration of SIGMA: from the values in its multipliers to its cycles. What it models is told in `sigma`."""

from __future__ import annotations

import numba
import numpy as np
from numpy.typing import NDArray

from hw_models.accelerators.reduction_tree import climbs
from hw_models.accelerators.write_buffer import drained

Ints = NDArray[np.int64]
SUM = -1  # in place of k: the multiplier that carries a running sum
_SETTLED = 32  # columns after which outputs leave in a fixed rhythm, once their order has settled


@numba.njit(cache=True)
def iteration_cycles(
    held: Ints, ends: Ints, columns: int, multipliers: int, distribution: int, reduction: int, halving: bool
) -> tuple[int, int, int, int]:
    """Return the cycles of one iteration, by `STAGES`.

    Cycle 0 configures and the ports start to send in cycle 1. A port first sends the stationary values of its
    multipliers, then for each column what they need of it, in order of k. Cycles are linear in the column until the
    outputs reach the bus: output j of a vector leaves the tree at the latest ``start + j * slope`` of its ports.

    Parameters
    ----------
    held
        Element k whose stationary value each used multiplier holds, or -1 for the running sum, (used,).
    ends
        Multiplier after the last one of each vector, (vectors,).
    columns, multipliers, distribution, reduction, halving
        Streamed vectors, and sizes of the engine.
    """
    group = multipliers // distribution
    own_tree = 1 if group > 1 else 0
    delay, line = climbs(ends, multipliers, reduction)
    start = np.zeros((len(ends), min(group, distribution) + 1), np.int64)
    slope = np.zeros_like(start)
    kinds = np.zeros(len(ends), np.int64)  # different slopes of each vector
    needs = np.empty(group, np.int64)
    longest_load, all_sent, vector = 1, 0, 0
    for first in range(0, len(held), group):
        behind = held[first : first + group]
        sums = behind[0] == SUM
        load, need = len(behind) - sums, _distinct(behind[sums:], needs)
        longest_load = max(longest_load, load)
        if sums:  # they pass before everything else of their port, one a column
            _latest(start[0], slope[0], kinds, 0, 2 + own_tree + delay[0] + 1, 1)
            all_sent = 1 + columns
            load += columns if group > 1 else 0
        all_sent = max(all_sent, load + columns * need)
        for i in range(sums, len(behind)):
            vector += first + i == ends[vector]
            sent = 1 + load + np.searchsorted(needs[:need], behind[i])
            _latest(start[vector], slope[vector], kinds, vector, sent + own_tree + delay[first + i] + 1, need)
    written = _last_written(start, slope, kinds, line, columns, halving)
    return 1, longest_load, all_sent - longest_load, written - all_sent


@numba.njit(cache=True)
def _distinct(values: Ints, out: Ints) -> int:
    """Sort the distinct ones of a few ascending runs into ``out`` and return how many there are."""
    count = 0
    for value in values:
        at = count
        while at and out[at - 1] > value:
            at -= 1
        if at and out[at - 1] == value:
            continue
        for i in range(count, at, -1):
            out[i] = out[i - 1]
        out[at] = value
        count += 1
    return count


@numba.njit(cache=True)
def _latest(start: Ints, slope: Ints, kinds: Ints, vector: int, cycle: int, period: int) -> None:
    """Note that a vector's output j waits for ``cycle + j * period``; of equal periods the latest counts."""
    for i in range(kinds[vector]):
        if slope[i] == period:
            start[i] = max(start[i], cycle)
            return
    start[kinds[vector]] = cycle
    slope[kinds[vector]] = period
    kinds[vector] += 1


@numba.njit(cache=True)
def _last_written(start: Ints, slope: Ints, kinds: Ints, line: Ints, columns: int, halving: bool) -> int:
    """Return the cycle in which the last output is written.

    Output j of vector v reaches its line at the latest ``start[v] + j * slope[v]``. Once the order of the outputs has
    settled, each further column costs what the slowest port or the fullest line takes for it, so only the columns
    until then are looked at one by one.
    """
    vectors = len(kinds)
    if vectors == 1:
        return _arrival(start[0], slope[0], kinds[0], columns - 1) + 1
    by_line = np.argsort(line)
    first, last, slowest, fullest, in_a_row = int(start[0, 0]), 0, 0, 0, 0
    for i, v in enumerate(by_line):
        first = min(first, int(start[v, : kinds[v]].min()))
        last = max(last, int(start[v, : kinds[v]].max()))
        slowest = max(slowest, int(slope[v, : kinds[v]].max()))
        in_a_row = in_a_row + 1 if i and line[by_line[i - 1]] == line[v] else 1
        fullest = max(fullest, in_a_row)
    looked_at = min(columns, last - first + _SETTLED)
    cycles = last + looked_at * (slowest + fullest) + 1
    leaving = np.zeros(cycles, np.int64)
    arriving = np.zeros(cycles, np.int64)
    for i, v in enumerate(by_line):
        for j in range(looked_at):
            arriving[_arrival(start[v], slope[v], kinds[v], j)] += 1
        if i + 1 < vectors and line[by_line[i + 1]] == line[v]:
            continue
        queued = 0
        for cycle in range(cycles):
            queued += arriving[cycle]
            arriving[cycle] = 0
            if queued:
                leaving[cycle] += 1
                queued -= 1
    pace = max(slowest, fullest)
    return int(drained(leaving, halving)) + (columns - looked_at) * pace


@numba.njit(cache=True)
def _arrival(start: Ints, slope: Ints, kinds: int, column: int) -> int:
    """Return when an output reaches its line: all its ports have sent what it needs."""
    latest = 0
    for i in range(kinds):
        if start[i] + column * slope[i] > latest:
            latest = start[i] + column * slope[i]
    return latest
