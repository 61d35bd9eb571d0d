"""Prosperity: spiking accelerator that reuses the sum of one row of spikes for rows that contain it.

Source: Wei et al., "Prosperity: Accelerating Spiking Neural Networks via Product Sparsity", HPCA 2025, and its authors'
data. The spike matrix is cut into tiles of 256 rows by 16 columns. In a tile, a row with two or more spikes looks for
its prefix: of the rows whose spikes are a subset of its own, the one with the most (the first of equals; an equal row
only if it comes earlier). The prefix's partial sum is taken over, only the rest of the spikes is added.

Adders: a cycle for each spike of the rests, and one for each row that equals its prefix (its sum is copied), for every
128 outputs. Detector: a cycle for each row with two or more spikes, and one for every 8 rows of the matrix.

Two ways to overlap them. ``whole`` is the authors': an op takes the longer of all detection and all adding. In
``tiles`` the adders wait for the detection of each tile, with two tiles of room between them.

Not modelled: the prefix forest's dispatch order within a tile, which hides latencies and costs no cycle.
"""

from __future__ import annotations

from typing import Literal, NamedTuple

import numba
import numpy as np
from pydantic import Field

from hw_models.accelerators.spikes import (
    COMPARATOR32_PJ,
    Counts,
    SpikeMatrix,
    SpikingAccelerator,
    Tally,
    Words,
    popcount,
)
from hw_models.base import OpwiseConfig
from hw_models.config import Config
from hw_models.pipeline import Fifo, Pipeline, Stage, compiled
from traces.workload import Bools

_ROWS_PASSED_A_CYCLE = 8  # through the detector without a search


class ProsperitySection(Config):
    """Tiles and their overlap."""

    tile_rows: int = Field(ge=1, le=4096)
    tile_cols: Literal[8, 16, 32, 64]
    overlap: Literal["whole", "tiles"]
    chip_mw: float = Field(gt=0)


class ProsperityConfig(OpwiseConfig):
    """Config of Prosperity; ``array`` is its adders, one output each."""

    kind: Literal["prosperity"]
    prosperity: ProsperitySection

    def accelerator(self) -> Prosperity:
        """Return the accelerator with this config."""
        return Prosperity(self)


class ProductSparsity(NamedTuple):
    """What the prefixes of a spike matrix save; tiles run along k first.

    Attributes
    ----------
    rest, exact, searched
        By tile: spikes of the rests, rows equal to their prefix, rows with two or more spikes. int64 (tiles,).
    rest_by_column
        Spikes of the rests by column of the matrix, int64 (k,).
    active, prefixed
        Over all tiles: rows with a spike, rows with a prefix.
    """

    rest: Counts
    exact: Counts
    searched: Counts
    rest_by_column: Counts
    active: int
    prefixed: int


def product_sparsity(spikes: SpikeMatrix, tile_rows: int, tile_cols: int) -> ProductSparsity:
    """Return what every tile adds, from the real spikes."""
    words = spikes.words.reshape(spikes.rows, -1)
    return ProductSparsity(*_tiles(words, spikes.k, tile_rows, tile_cols))


@numba.njit(cache=True)
def _tiles(
    words: Words, k: int, tile_rows: int, tile_cols: int
) -> tuple[Counts, Counts, Counts, Counts, int, int]:  # pragma: no cover (compiled)
    rows = words.shape[0]
    across = (k + tile_cols - 1) // tile_cols
    tiles = ((rows + tile_rows - 1) // tile_rows) * across
    rest, exact, searched = np.zeros(tiles, np.int64), np.zeros(tiles, np.int64), np.zeros(tiles, np.int64)
    by_column = np.zeros(across * tile_cols, np.int64)
    active = prefixed = 0
    none = np.uint64(0)
    every = np.uint64(0xFFFFFFFFFFFFFFFF) >> np.uint64(64 - tile_cols)
    value, ones = np.zeros(tile_rows, np.uint64), np.zeros(tile_rows, np.int64)
    ordered, ordered_row = np.zeros(tile_rows, np.uint64), np.zeros(tile_rows, np.int64)
    first = np.zeros(tile_cols + 2, np.int64)  # of the rows with so many spikes, in falling order
    for tile in range(tiles):
        top, column = tile // across * tile_rows, tile % across * tile_cols
        size, word, shift = min(tile_rows, rows - top), column // 64, np.uint64(column % 64)
        first[:] = 0
        for i in range(size):
            value[i] = (words[top + i, word] >> shift) & every
            ones[i] = popcount(value[i])
            first[tile_cols - ones[i] + 1] += 1
        for c in range(tile_cols + 1):
            first[c + 1] += first[c]
        for i in range(size):  # now first[c] is where the rows with tile_cols - c spikes begin
            at = first[tile_cols - ones[i]]
            ordered[at], ordered_row[at] = value[i], i
            first[tile_cols - ones[i]] += 1
        for i in range(size):  # and here where they end
            left = value[i]
            if ones[i] > 0:
                active += 1
            if ones[i] > 1:
                searched[tile] += 1
                same = first[tile_cols - ones[i] - 1] if ones[i] < tile_cols else 0
                end, zeros = first[tile_cols - ones[i]], first[tile_cols - 1]
                for at in range(same, zeros):
                    if (at >= end or ordered_row[at] < i) and ordered[at] & ~value[i] == none:
                        left ^= ordered[at]
                        prefixed += 1
                        if left == none:
                            exact[tile] += 1
                        break
            rest[tile] += popcount(left)
            for c in range(tile_cols):
                by_column[column + c] += np.int64((left >> np.uint64(c)) & np.uint64(1))
    return rest, exact, searched, by_column[:k], active, prefixed


def pipeline(found: ProductSparsity, rows: int, folds: int, section: ProsperitySection) -> Pipeline:
    """Return the detector and the adders, a token a tile and fold of outputs."""
    across = len(found.rest) // -(-rows // section.tile_rows)
    passed = -(-np.minimum(np.arange(len(found.rest) // across + 1) * section.tile_rows, rows) // _ROWS_PASSED_A_CYCLE)
    detect = found.searched.copy()
    detect[::across] += np.diff(passed)
    stages = (Stage("detect", np.tile(detect, folds)), Stage("add", np.tile(found.rest + found.exact, folds)))
    return Pipeline(stages, () if section.overlap == "whole" else (Fifo("detect", "add", capacity=2),))


class Prosperity(SpikingAccelerator):
    """The accelerator."""

    def __init__(self, config: ProsperityConfig) -> None:
        self.config: ProsperityConfig = config
        self.chip_mw = config.prosperity.chip_mw

    def tally(self, spikes: SpikeMatrix, weights: Bools) -> Tally:
        """Return what one group takes: MACs that a prefix saves count as skipped."""
        section, bits, n = self.config.prosperity, self.config.precision, len(weights)
        folds = -(-n // self.config.pes)
        found = product_sparsity(spikes, section.tile_rows, section.tile_cols)
        schedule = compiled.run(pipeline(found, spikes.rows, folds, section))
        rest, searched = int(found.rest.sum()), int(found.searched.sum())
        adding = folds * (rest + int(found.exact.sum()))
        tile_rows = spikes.rows * -(-spikes.k // section.tile_cols)
        entry_bits = section.tile_cols + (section.tile_rows - 1).bit_length()  # rest and prefix of a row
        return Tally(
            cycles=schedule.total_cycles,
            issued=rest * n,
            effectual=int(np.vdot(found.rest_by_column, np.count_nonzero(weights, axis=0))),
            sram_bits={
                "input": folds * tile_rows * section.tile_cols,
                "weight": rest * n * bits.weight_bits,
                # every tile adds to the sums of its rows (read and write); a prefix's sum is one more read
                "output": (2 * found.active + found.prefixed) * n * bits.accumulator_bits,
                "metadata": folds * 2 * tile_rows * entry_bits,
            },
            control_pj=folds * searched * section.tile_rows * section.tile_cols / 32 * COMPARATOR32_PJ,
            waits={"detection": schedule.total_cycles - adding},
        )
