"""Candidates: every tiling considered for an op, with what it needs and a bound on what it can reach.

Tile sizes are powers of two and the whole, whatever the buffers: a larger buffer only adds candidates, so it can
never make the best one worse. The bounds are exact sums of the work, taken over the few different tile sizes that
a tiling has instead of over its tiles.

The mapper asks for more sizes (`fine`): those that cut an axis evenly, or evenly in whole rows or columns of the array.
"""

from __future__ import annotations

from typing import NamedTuple

import numba
import numpy as np

from hw_models.network.steps import Ints, Machine, bits_to_bytes, ceil_div
from hw_models.network.timing import dram_cycles
from hw_models.systolic.folds import tile_cycles
from hw_models.systolic.tiling import Nest, Tile, metadata_bits, reduction, span

#: Tilings into more tiles than this are left out: they would take gigabytes to lay out, and none is worth it.
MOST_STEPS = 1 << 22
#: Most sizes of an axis that `fine` makes.
_MOST_SIZES = 48


class Touched(NamedTuple):
    """Input rows and columns that a cut of the output positions loads: of all tiles in sum, and the most of one."""

    rows: int
    most_rows: int
    cols: int
    most_cols: int


class Candidates(NamedTuple):
    """The feasible tilings of a nest, one an entry.

    ``tiles`` has rows of `Tile`. In cycles: ``bound``, which the op's duration cannot beat; ``dram``, what all its
    transfers take; ``first_w``, what its first tile of W takes. ``least_bytes`` is what the smallest tiles of W, I
    and O need, feasible or not. ``refused`` counts the tilings that are not feasible: by what they exceed, as a sum of
    1 (half of W's buffer), 2 (I's) and 4 (O's); 0 are those of more than `MOST_STEPS` tiles. ``most_bytes`` is what the
    largest tiles of W, I and O would have needed.
    """

    tiles: Ints
    bound: Ints
    dram: Ints
    first_w: Ints
    least_bytes: Ints
    refused: Ints
    most_bytes: Ints


def powers(whole: int) -> Ints:
    """Return 1, 2, 4, ... as far as they are smaller than ``whole``, and ``whole``."""
    return np.array([2**i for i in range((whole - 1).bit_length())] + [whole], dtype=np.int64)


def fine(whole: int, *units: int) -> Ints:
    """Return sizes that cut ``whole`` evenly, itself or in multiples of a unit, and the `powers`.

    Where there are too many, some are left out, evenly; never a power.
    """
    found: set[int] = set()
    for unit in (1, *units):
        multiples = ceil_div(whole, unit)
        few = np.arange(1, int(np.sqrt(multiples)) + 1)  # sizes up to the root, and cuts into up to as many
        found.update(min(whole, int(size) * unit) for size in (*few, *-(-multiples // few)))
    kept = {int(size) for size in powers(whole)}
    others, room = sorted(found - kept), max(0, _MOST_SIZES - len(kept))
    if len(others) > room:
        others = [others[len(others) * i // room] for i in range(room)]
    return np.array(sorted(kept.union(others)), dtype=np.int64)


def candidates(nest: Nest, dataflow: int, array: Machine, *, finely: bool = False) -> Candidates:
    """Return the feasible tilings of a nest under one dataflow; ``finely`` those of all `fine` sizes."""

    def sizes(whole: int) -> Ints:
        return fine(whole, array.rows, array.cols) if finely else powers(whole)

    if nest.timestep_rows:
        positions = np.array([[1, nest.timestep_rows, 1]])
    else:
        cols = [(1, 1, c) for c in sizes(nest.out_w)[:-1]]
        rows = [(1, r, nest.out_w) for r in sizes(nest.out_h)[:-1]]
        batches = [(b, nest.out_h, nest.out_w) for b in sizes(nest.batch)]
        positions = np.array(cols + rows + batches)
    channels = sizes(nest.channels)
    if finely and nest.keep_m > 1:
        channels = np.union1d(
            channels, np.minimum(sizes(ceil_div(nest.channels, nest.keep_m)) * nest.keep_m, nest.channels)
        )
    # A chunk of channels must not cut an N:M group.
    channels = channels[(channels % nest.keep_m == 0) | (channels == nest.channels)]
    orders = 1 if nest.timestep_rows else 2  # a timestep must be over before the next one starts
    groups, filters = sizes(nest.groups), sizes(nest.filters)
    return _survey(nest, dataflow, array, positions, filters, channels, groups, orders)


@numba.njit(cache=True)
def _survey(
    nest: Nest,
    dataflow: int,
    array: Machine,
    positions: Ints,
    filters: Ints,
    channels: Ints,
    groups: Ints,
    orders: int,
) -> Candidates:
    most = len(positions) * (len(filters) * len(channels) + len(groups)) * orders
    tiles, cycles = np.empty((most, 7), np.int64), np.empty((3, most), np.int64)
    least, refused = np.full(3, np.iinfo(np.int64).max), np.zeros(8, np.int64)
    largest, found = np.zeros(3, np.int64), 0
    for p in range(len(positions)):
        touched = _touched(nest, positions[p, 1], positions[p, 2])
        for n in filters:
            for c in channels:
                for g in groups:
                    if g > 1 and (n < nest.filters or c < nest.channels):
                        continue
                    tile = Tile(g, positions[p, 0], positions[p, 1], positions[p, 2], n, c, 0)
                    w, i, o = tile_bytes(nest, tile, touched, array)
                    least[0], least[1], least[2] = min(least[0], w), min(least[1], i), min(least[2], o)
                    largest[0], largest[1], largest[2] = max(largest[0], w), max(largest[1], i), max(largest[2], o)
                    over = 1 * (w > array.weight_half_bytes)
                    over += 2 * (i > array.input_half_bytes) + 4 * (o > array.output_half_bytes)
                    if over:
                        refused[over] += orders
                        continue
                    work = nest.groups * _array_cycles(nest, tile, dataflow, array)
                    for n_outer in range(orders):
                        tile = Tile(g, positions[p, 0], positions[p, 1], positions[p, 2], n, c, n_outer)
                        if _steps(nest, tile) > MOST_STEPS:
                            refused[0] += 1
                            continue
                        cycles[:, found] = _bounds(nest, tile, touched, array, work, w)
                        tiles[found] = np.array(tile)
                        found += 1
    return Candidates(tiles[:found], cycles[0, :found], cycles[1, :found], cycles[2, :found], least, refused, largest)


@numba.njit(cache=True)
def _steps(nest: Nest, tile: Tile) -> float:
    """Return how many tiles of work a tiling makes, as a float: it may be astronomical."""
    positions = ceil_div(nest.batch, tile.batch) * ceil_div(nest.out_h, tile.rows) * ceil_div(nest.out_w, tile.cols)
    parts = float(ceil_div(nest.groups, tile.groups)) * ceil_div(nest.filters, tile.n)
    return parts * positions * ceil_div(nest.channels, tile.channels)


@numba.njit(cache=True)
def tile_bytes(nest: Nest, tile: Tile, touched: Touched, array: Machine) -> tuple[int, int, int]:
    """Return the bytes that the largest tiles of W (with metadata), I and O (partial sums) take in their buffers."""
    filters = tile.groups * tile.n
    weights = bits_to_bytes(filters * reduction(nest, tile.channels), array.weight_bits)
    w = weights + bits_to_bytes(filters, metadata_bits(nest, tile.channels))
    if nest.timestep_rows:
        inputs = tile.rows * (nest.filters + nest.channels)
    else:
        inputs = tile.groups * tile.batch * touched.most_rows * touched.most_cols * tile.channels
    outputs = filters * tile.batch * tile.rows * tile.cols
    return w, bits_to_bytes(inputs, array.input_bits), bits_to_bytes(outputs, array.accumulator_bits)


@numba.njit(cache=True)
def _bounds(
    nest: Nest, tile: Tile, touched: Touched, array: Machine, work: int, w_tile_bytes: int
) -> tuple[int, int, int]:
    """Return bound, dram and first_w of `Candidates` for a tiling that keeps the array busy ``work`` cycles.

    Besides the plain sums, the first tile of I must have come before any work, and the last tile of O goes after
    all work and all loads.
    """
    m_tiles = ceil_div(nest.batch, tile.batch) * ceil_div(nest.out_h, tile.rows) * ceil_div(nest.out_w, tile.cols)
    n_tiles, k_tiles = ceil_div(nest.filters, tile.n), ceil_div(nest.channels, tile.channels)
    w_passes = m_tiles if k_tiles > 1 or (not tile.n_outer and n_tiles > 1) else 1
    i_passes = n_tiles if k_tiles > 1 or (tile.n_outer and m_tiles > 1) else 1
    whole_tiles, rest = divmod(nest.channels, tile.channels)
    k = whole_tiles * reduction(nest, tile.channels) + reduction(nest, rest)
    metadata = whole_tiles * metadata_bits(nest, tile.channels) + metadata_bits(nest, rest)
    weights = w_passes * nest.groups * nest.filters * (k * array.weight_bits + metadata) / 8
    if nest.timestep_rows:
        first_input = tile.rows * nest.filters
        inputs = nest.out_h * nest.filters
    else:
        inputs = i_passes * nest.groups * nest.batch * touched.rows * touched.cols * nest.channels
        first_rows = span(0, tile.rows - 1, nest.stride_h, nest.pad_h, nest.dilation_h, nest.kernel_h, nest.in_h)
        first_cols = span(0, tile.cols - 1, nest.stride_w, nest.pad_w, nest.dilation_w, nest.kernel_w, nest.in_w)
        first_input = tile.groups * tile.batch * first_rows * first_cols * tile.channels
    last_m = _last(nest.batch, tile.batch) * _last(nest.out_h, tile.rows) * _last(nest.out_w, tile.cols)
    last_output = _last(nest.groups, tile.groups) * last_m * _last(nest.filters, tile.n) * nest.stored_n // nest.filters
    outputs = nest.groups * nest.batch * nest.out_h * nest.out_w * nest.stored_n
    loads = int((weights - w_tile_bytes + inputs * array.input_bits / 8) / array.bytes_per_cycle)
    first = int(first_input * array.input_bits / 8 / array.bytes_per_cycle) + array.latency_cycles
    last = int(last_output * array.output_bits / 8 / array.bytes_per_cycle)
    dram = loads + int(outputs * array.output_bits / 8 / array.bytes_per_cycle)
    g_tiles = ceil_div(nest.groups, tile.groups)
    w_loads, i_loads = w_passes * n_tiles * k_tiles * g_tiles, i_passes * m_tiles * k_tiles * g_tiles
    # A tile waits for the half that the tile two before it had, so every second load shows the latency.
    halves = max(w_loads // 2, (m_tiles + 1) // 2 if nest.timestep_rows else (i_loads + 1) // 2)
    bound = max(dram, loads + array.latency_cycles + last, first + work + last, halves * array.latency_cycles)
    return bound, dram, dram_cycles(w_tile_bytes, array.bytes_per_cycle)


@numba.njit(cache=True)
def _array_cycles(nest: Nest, tile: Tile, dataflow: int, array: Machine) -> int:
    """Return the array's cycles for one group, summed over its different tile sizes."""
    total = 0
    for b, b_count in _sizes(nest.batch, tile.batch):
        for r, r_count in _sizes(nest.out_h, tile.rows):
            for c, c_count in _sizes(nest.out_w, tile.cols):
                for n, n_count in _sizes(nest.filters, tile.n):
                    for k_channels, k_count in _sizes(nest.channels, tile.channels):
                        count = b_count * r_count * c_count * n_count * k_count
                        if count:
                            k = reduction(nest, k_channels)
                            once = tile_cycles(dataflow, b * r * c, n, k, array.rows, array.cols, array.overlap_preload)
                            total += count * once
    return total


@numba.njit(cache=True)
def _sizes(whole: int, tile: int) -> tuple[tuple[int, int], tuple[int, int]]:
    """Return the two sizes that cutting makes, each with how many of it."""
    return (tile, whole // tile), (whole % tile, 1 if whole % tile else 0)


@numba.njit(cache=True)
def _last(whole: int, tile: int) -> int:
    """Return the size of the last tile."""
    return (whole - 1) % tile + 1


@numba.njit(cache=True)
def _touched(nest: Nest, tile_rows: int, tile_cols: int) -> Touched:
    rows, most_rows = _touched_of(
        nest.out_h, tile_rows, nest.stride_h, nest.pad_h, nest.dilation_h, nest.kernel_h, nest.in_h
    )
    cols, most_cols = _touched_of(
        nest.out_w, tile_cols, nest.stride_w, nest.pad_w, nest.dilation_w, nest.kernel_w, nest.in_w
    )
    return Touched(rows, most_rows, cols, most_cols)


@numba.njit(cache=True)
def _touched_of(whole: int, tile: int, stride: int, pad: int, dilation: int, kernel: int, size: int) -> tuple[int, int]:
    """Return what tiles of one axis load in sum, and the most of one tile."""
    if kernel == 1 and pad == 0 and whole <= size:
        return whole, tile
    total = most = 0
    for first in range(0, whole, tile):
        now = span(first, min(first + tile, whole) - 1, stride, pad, dilation, kernel, size)
        total, most = total + now, max(most, now)
    return total, most
