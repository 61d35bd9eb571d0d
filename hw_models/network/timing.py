"""Timing of one op between its neighbours: what the planner minimises, equal to the executors to the cycle.

DMA works off one list of transfers in order. A transfer is listed under the step that frees its buffer (each
operand has two halves), loads before stores, the load that is needed first ahead. The first W tile of the next
op is prefetched as soon as a half is free. As the last store of an op ends after all else of it, ops meet in a
known state and their durations add up.
"""

from __future__ import annotations

import numba
import numpy as np

from hw_models.network.steps import Ints, Machine, Steps

LONG = 1 << 50  # cycles; longer than any op, so that the chain through the prefetch decides
W, I, O, NEXT_W = 0, 1, 2, 3  # noqa: E741 - the operands are called so everywhere


@numba.njit(cache=True)
def transfers(steps: Steps, own_first_w: bool, next_w: bool) -> tuple[Ints, Ints, Ints]:
    """Return the list of DMA transfers: operand, index of the tile, and the step that must be over (-1: none).

    ``own_first_w`` tells whether the op loads its first W tile itself (else its predecessor did), ``next_w``
    whether it prefetches one for the op after it.
    """
    loads_w = len(steps.w_first) + next_w
    total = loads_w - (0 if own_first_w or not len(steps.w_first) else 1) + len(steps.i_first) + len(steps.o_last)
    operand, index, after = np.empty(total, np.int64), np.empty(total, np.int64), np.empty(total, np.int64)
    w = 0 if own_first_w or not len(steps.w_first) else 1
    i = o = 0
    never = len(steps.cycles) + 1
    for at in range(total):
        # A load may start when the tile two before it is used up: the step before its predecessor's first.
        after_w = never if w == loads_w else -1 if w == 0 else steps.w_first[w - 1] - 1
        after_i = never if i == len(steps.i_first) else -1 if i == 0 else steps.i_first[i - 1] - 1
        after_o = never if o == len(steps.o_last) else steps.o_last[o]
        if min(after_w, after_i) <= after_o:
            need_w = never if w >= len(steps.w_first) else steps.w_first[w]
            need_i = never if i == len(steps.i_first) else steps.i_first[i]
            if after_w < after_i or (after_w == after_i and need_w <= need_i):
                operand[at] = W if w < len(steps.w_first) else NEXT_W
                index[at], after[at] = w, after_w
                w += 1
            else:
                operand[at], index[at], after[at] = I, i, after_i
                i += 1
        else:
            operand[at], index[at], after[at] = O, o, after_o
            o += 1
    return operand, index, after


@numba.njit(cache=True)
def dram_cycles(count: int, bytes_per_cycle: float) -> int:
    """Return the cycles for which a transfer of so many bytes occupies the DRAM channel."""
    return int(np.ceil(count / bytes_per_cycle))


@numba.njit(cache=True)
def durations(steps: Steps, array: Machine, own_first_w: bool) -> tuple[int, int]:
    """Return how long an op lasts, from the end of its predecessor's last store to the end of its own last one.

    It lasts ``max(alone, through + w)`` cycles if the prefetch of the next op's first W tile takes w cycles of DRAM:
    ``through`` is the longest chain of events that passes the prefetch.
    """
    listed = transfers(steps, own_first_w, True)
    alone = _duration(steps, array, *listed, 0)
    return alone, _duration(steps, array, *listed, LONG) - LONG


@numba.njit(cache=True)
def _duration(steps: Steps, array: Machine, operand: Ints, index: Ints, after: Ints, next_w_cycles: int) -> int:
    count = len(steps.cycles)
    end = np.zeros(count, np.int64)
    w_there = np.zeros(len(steps.w_first) + 1, np.int64)
    i_there = np.zeros(len(steps.i_first), np.int64)
    o_gone = np.zeros(len(steps.o_last), np.int64)
    dma = busy = 0
    step = w = i = o = 0
    for at in range(len(operand) + 1):
        last = count - 1 if at == len(operand) else after[at]
        while step <= last:
            while w + 1 < len(steps.w_first) and steps.w_first[w + 1] <= step:
                w += 1
            while i + 1 < len(steps.i_first) and steps.i_first[i + 1] <= step:
                i += 1
            start = max(busy, w_there[w], i_there[i])
            if o >= 2:
                start = max(start, o_gone[o - 2])
            busy = start + steps.cycles[step]
            end[step] = busy
            if steps.o_last[o] == step:
                o += 1
            step += 1
        if at == len(operand):
            break
        if last >= 0:
            dma = max(dma, end[last])
        which, tile = operand[at], index[at]
        if which == W:
            dma += dram_cycles(steps.w_bytes[tile] + steps.w_metadata_bytes[tile], array.bytes_per_cycle)
            w_there[tile] = dma + array.latency_cycles
        elif which == I:
            dma += dram_cycles(steps.i_bytes[tile], array.bytes_per_cycle)
            i_there[tile] = dma + array.latency_cycles
        elif which == O:
            dma += dram_cycles(steps.o_bytes[tile], array.bytes_per_cycle)
            o_gone[tile] = dma
        else:
            dma += next_w_cycles
    return dma
