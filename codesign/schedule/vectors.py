"""Vectors: into how many chunks to cut a vector op, so that loads, work and stores overlap."""

from __future__ import annotations

import numba
import numpy as np

from codesign.schedule.candidates import powers
from codesign.schedule.search import Options, superfluous
from hw_models.network.steps import Ints, Machine, bits_to_bytes, ceil_div, vector_steps
from hw_models.network.timing import dram_cycles, durations


def vector_options(
    elements_in: int, elements_out: int, lane_ops: int, array: Machine, own_first: bool, next_w_most: int
) -> Options:
    """Return the numbers of chunks (as ``index``) that no other makes superfluous; empty if no chunk fits."""
    chunks = powers(max(elements_in, elements_out, 1))
    return _search(elements_in, elements_out, lane_ops, array, chunks, own_first, next_w_most)


@numba.njit(cache=True)
def _search(
    elements_in: int,
    elements_out: int,
    lane_ops: int,
    array: Machine,
    chunks: Ints,
    own_first: bool,
    next_w_most: int,
) -> Options:
    fits = np.array(
        [
            bits_to_bytes(ceil_div(elements_in, c), array.input_bits) <= array.input_half_bytes
            and bits_to_bytes(ceil_div(elements_out, c), array.output_bits) <= array.output_half_bytes
            for c in chunks
        ]
    )
    chunks = chunks[fits]
    bound, dram = np.empty(len(chunks), np.int64), np.empty(len(chunks), np.int64)
    for at, c in enumerate(chunks):
        loads = _transfers(elements_in, c, array.input_bits, array)
        stores = _transfers(elements_out, c, array.output_bits, array)
        work = _cut(lane_ops, c, array.lanes)
        first = dram_cycles(bits_to_bytes(elements_in // c, array.input_bits), array.bytes_per_cycle)
        last = dram_cycles(bits_to_bytes(ceil_div(elements_out, c), array.output_bits), array.bytes_per_cycle)
        dram[at] = loads + stores
        waits = (c + 1) // 2 * array.latency_cycles  # every second load waits for the half of the one two before it
        bound[at] = max(dram[at], array.latency_cycles + last + max(loads, first + work), waits)
    kept, index = np.empty((3, len(chunks)), np.int64), np.empty(len(chunks), np.int64)
    count = tried = 0
    for at in np.argsort(bound):
        if superfluous(kept, count, bound[at], dram[at], 0, next_w_most):
            continue
        steps = vector_steps(elements_in, elements_out, lane_ops, chunks[at], array)
        kept[0, count], kept[1, count] = durations(steps, array, own_first)
        kept[2, count] = 0
        index[count] = chunks[at]
        count, tried = count + 1, tried + 1
    by_time = np.argsort(kept[0, :count])
    return Options(index[:count][by_time], kept[0][by_time], kept[1][by_time], kept[2][by_time], tried)


@numba.njit(cache=True)
def _cut(whole: int, pieces: int, per_cycle: int) -> int:
    """Return the cycles of all pieces that ``whole`` is cut into, each rounded up."""
    larger = whole % pieces
    return larger * ceil_div(whole // pieces + 1, per_cycle) + (pieces - larger) * ceil_div(whole // pieces, per_cycle)


@numba.njit(cache=True)
def _transfers(elements: int, pieces: int, bits: int, array: Machine) -> int:
    """Return the DRAM cycles of all pieces that a tensor is cut into."""
    larger = elements % pieces
    small = dram_cycles(bits_to_bytes(elements // pieces, bits), array.bytes_per_cycle)
    large = dram_cycles(bits_to_bytes(elements // pieces + 1, bits), array.bytes_per_cycle)
    return larger * large + (pieces - larger) * small
