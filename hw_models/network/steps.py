"""Steps: an op as the sequence of tiles that a unit works off, and the tiles that DMA moves for it."""

from __future__ import annotations

from typing import NamedTuple

import numba
import numpy as np
from numpy.typing import NDArray

Ints = NDArray[np.int64]


class Machine(NamedTuple):
    """What of a config shapes the steps: the array, the vector unit, operand widths, buffer halves, DRAM."""

    rows: int
    cols: int
    overlap_preload: bool
    lanes: int
    weight_bits: int
    input_bits: int
    output_bits: int
    accumulator_bits: int
    weight_half_bytes: int
    input_half_bytes: int
    output_half_bytes: int
    bytes_per_cycle: float
    latency_cycles: int


class Steps(NamedTuple):
    """A mapped op. Step t is one tile on the array (or vector unit); the rest are tiles that DMA moves.

    ``w_first``/``i_first`` give the first step that uses each loaded tile, ``o_last`` the last step of each stored
    one. ``accesses`` are SRAM accesses of I, W and O by the array.
    """

    cycles: Ints
    w_first: Ints
    w_bytes: Ints
    w_metadata_bytes: Ints
    i_first: Ints
    i_bytes: Ints
    o_last: Ints
    o_bytes: Ints
    accesses: Ints


@numba.njit(cache=True)
def ceil_div(a: int, b: int) -> int:
    """Return a / b rounded up."""
    return -(-a // b)


@numba.njit(cache=True)
def bits_to_bytes(elements: int, bits: int) -> int:
    """Return the bytes that hold so many elements of so many bits."""
    return ceil_div(elements * bits, 8)


@numba.njit(cache=True)
def vector_steps(elements_in: int, elements_out: int, lane_ops: int, chunks: int, array: Machine) -> Steps:
    """Return the steps of a vector op cut into that many chunks of (nearly) equal size."""
    none = np.zeros(0, np.int64)
    at = np.arange(chunks + 1)
    load = np.diff(at * elements_in // chunks)
    store = np.diff(at * elements_out // chunks)
    work = np.diff(at * lane_ops // chunks)
    return Steps(
        -(-work // array.lanes),
        none,
        none,
        none,
        at[:-1].copy(),
        -(-load * array.input_bits // 8),
        at[:-1].copy(),
        -(-store * array.output_bits // 8),
        np.zeros(3, np.int64),
    )
