"""Tiling: a mapped op as the sequence of tiles that the array works off, and the tiles that DMA moves for it.

Per op the loops are, from outside in: groups; then output rows and output columns of the GEMM in either order;
then the reduction. A tile of W or I is loaded when it differs from the one of the step before; a tile of O is
stored after its last reduction step, so partial sums never leave the chip.
"""

from __future__ import annotations

from typing import NamedTuple

import numba
import numpy as np

from hw_models.network.steps import Machine, Steps, bits_to_bytes, ceil_div
from hw_models.systolic.folds import tile_accesses, tile_cycles


class Nest(NamedTuple):
    """A `Gemm` and what else shapes its tiles, as plain integers for compiled code.

    ``keep_n`` of each ``keep_m`` weights of a run of channels are stored (1 of 1: dense); in ``flat`` nests the
    run is the whole reduction, as SCALE-Sim takes it. Recurrent nests (``steps_of`` > 0 rows of m a timestep) hold
    their input on chip and load ``addend`` elements a row of m instead.
    """

    batch: int
    in_h: int
    in_w: int
    out_h: int
    out_w: int
    kernel_h: int
    kernel_w: int
    stride_h: int
    stride_w: int
    pad_h: int
    pad_w: int
    dilation_h: int
    dilation_w: int
    channels: int
    filters: int
    groups: int
    keep_n: int
    keep_m: int
    flat: bool
    timestep_rows: int
    stored_n: int
    post_lane_ops: int
    gate_lane_ops: int


class Tile(NamedTuple):
    """A mapping's tile sizes: groups, batch, output rows and columns, filters, channels; and the loop order."""

    groups: int
    batch: int
    rows: int
    cols: int
    n: int
    channels: int
    n_outer: int


@numba.njit(cache=True)
def kept(length: int, n: int, m: int) -> int:
    """Return how many of ``length`` elements n of each m leave (a short last group keeps at most n)."""
    return length // m * n + min(n, length % m)


@numba.njit(cache=True)
def reduction(nest: Nest, channels: int) -> int:
    """Return the reduction steps that a tile of that many channels leaves after compression."""
    positions = nest.kernel_h * nest.kernel_w
    if nest.flat:
        return kept(positions * channels, nest.keep_n, nest.keep_m)
    return positions * kept(channels, nest.keep_n, nest.keep_m)


@numba.njit(cache=True)
def metadata_bits(nest: Nest, channels: int) -> int:
    """Return the index bits of one filter over that many channels: N*log2(M) a group, or M where that is less."""
    if nest.keep_n == nest.keep_m:
        return 0
    index_bits = int(np.ceil(np.log2(nest.keep_m)))
    positions = nest.kernel_h * nest.kernel_w
    runs, run = (1, positions * channels) if nest.flat else (positions, channels)
    return runs * ceil_div(run, nest.keep_m) * min(nest.keep_n * index_bits, nest.keep_m)


@numba.njit(cache=True)
def span(first: int, last: int, stride: int, pad: int, dilation: int, kernel: int, size: int) -> int:
    """Return how many input rows (or columns) the output rows first..last touch, padding left out."""
    low = max(0, first * stride - pad)
    high = min(size - 1, last * stride - pad + (kernel - 1) * dilation)
    return max(0, min(high - low + 1, (last - first + 1) * kernel))


@numba.njit(cache=True)
def gemm_steps(nest: Nest, tile: Tile, dataflow: int, array: Machine) -> Steps:
    """Return the steps of a nest cut into tiles."""
    groups_tiles = ceil_div(nest.groups, tile.groups)
    row_tiles, col_tiles = ceil_div(nest.out_h, tile.rows), ceil_div(nest.out_w, tile.cols)
    m_tiles = ceil_div(nest.batch, tile.batch) * row_tiles * col_tiles
    n_tiles = ceil_div(nest.filters, tile.n)
    k_tiles = ceil_div(nest.channels, tile.channels)
    count = groups_tiles * m_tiles * n_tiles * k_tiles
    cycles = np.empty(count, np.int64)
    w_first, w_bytes, w_meta = np.empty(count, np.int64), np.empty(count, np.int64), np.empty(count, np.int64)
    i_first, i_bytes = np.empty(count, np.int64), np.empty(count, np.int64)
    o_last, o_bytes = np.empty(count, np.int64), np.empty(count, np.int64)
    accesses = np.zeros(3, np.int64)
    loaded_w = loaded_i = stored = step = 0
    w_before = i_before = -1
    for g_tile in range(groups_tiles):
        g = min(tile.groups, nest.groups - g_tile * tile.groups)
        for outer in range(n_tiles if tile.n_outer else m_tiles):
            for inner in range(m_tiles if tile.n_outer else n_tiles):
                m_tile, n_tile = (inner, outer) if tile.n_outer else (outer, inner)
                b_tile, position = divmod(m_tile, row_tiles * col_tiles)
                r_tile, c_tile = divmod(position, col_tiles)
                b = min(tile.batch, nest.batch - b_tile * tile.batch)
                r0, c0 = r_tile * tile.rows, c_tile * tile.cols
                r, c = min(tile.rows, nest.out_h - r0), min(tile.cols, nest.out_w - c0)
                m, n = b * r * c, min(tile.n, nest.filters - n_tile * tile.n)
                footprint = (
                    b
                    * span(r0, r0 + r - 1, nest.stride_h, nest.pad_h, nest.dilation_h, nest.kernel_h, nest.in_h)
                    * span(c0, c0 + c - 1, nest.stride_w, nest.pad_w, nest.dilation_w, nest.kernel_w, nest.in_w)
                )
                for k_tile in range(k_tiles):
                    channels = min(tile.channels, nest.channels - k_tile * tile.channels)
                    k = reduction(nest, channels)
                    work = g * tile_cycles(dataflow, m, n, k, array.rows, array.cols, array.overlap_preload)
                    read_i, read_w, write_o = tile_accesses(dataflow, m, n, k, array.rows, array.cols)
                    accesses[0] += g * read_i
                    accesses[1] += g * read_w
                    accesses[2] += g * write_o
                    w_now = (g_tile * n_tiles + n_tile) * k_tiles + k_tile
                    if w_now != w_before:
                        w_first[loaded_w] = step
                        w_meta[loaded_w] = bits_to_bytes(g * n, metadata_bits(nest, channels))
                        w_bytes[loaded_w] = bits_to_bytes(g * n * k, array.weight_bits)
                        loaded_w, w_before = loaded_w + 1, w_now
                    i_now = (g_tile * m_tiles + m_tile) * k_tiles + k_tile
                    elements = g * footprint * channels
                    if nest.timestep_rows:
                        i_now, elements = m_tile, m * nest.filters
                    if i_now != i_before:
                        i_first[loaded_i] = step
                        i_bytes[loaded_i] = bits_to_bytes(elements, array.input_bits)
                        loaded_i, i_before = loaded_i + 1, i_now
                    if k_tile == k_tiles - 1:
                        work = max(work, ceil_div(g * m * n * nest.post_lane_ops, array.lanes))
                        if nest.timestep_rows and n_tile == n_tiles - 1:
                            work += ceil_div(m * nest.gate_lane_ops, array.lanes)
                        o_last[stored] = step
                        out = ceil_div(m * n * nest.stored_n, nest.filters)
                        o_bytes[stored] = bits_to_bytes(g * out, array.output_bits)
                        stored += 1
                    cycles[step] = work
                    step += 1
    return Steps(
        cycles,
        w_first[:loaded_w],
        w_bytes[:loaded_w],
        w_meta[:loaded_w],
        i_first[:loaded_i],
        i_bytes[:loaded_i],
        o_last[:stored],
        o_bytes[:stored],
        accesses,
    )
