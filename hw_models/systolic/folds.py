"""Folds: how long a systolic array takes for one tile, and what it reads and writes.

An array of R x C processing elements holds one operand still and streams the others past it, skewed by a cycle a
row and a column. A matrix product larger than the array is done fold by fold:

| dataflow | rows hold | columns hold | streamed T | cycles of a fold            |
|----------|-----------|--------------|------------|-----------------------------|
| os       | M         | N            | K          | T + R + C - 2               |
| ws       | K         | N            | M          | R (preload) + T + R + C - 2 |
| is       | K         | M            | N          | R (preload) + T + R + C - 2 |

Edge folds cost the full R and C, as their data still cross the whole array. This is the timing of SCALE-Sim v3
(Samajdar et al., arXiv 1811.02883; Raj et al., ISPASS 2025), counted in cycles where it reports the index of the last.
With ``overlap_preload`` every PE has a second stationary register: the next fold is preloaded while this one
streams, and the skewed streams follow each other without a gap.
"""

from __future__ import annotations

import numba
import numpy as np

from hw_models.network.steps import ceil_div

OS, WS, IS = 0, 1, 2
DATAFLOWS = ("os", "ws", "is")


@numba.njit(cache=True)
def tile_cycles(dataflow: int, m: int, n: int, k: int, rows: int, cols: int, overlap_preload: bool) -> int:
    """Return the cycles of an (m, k) by (k, n) product on an array of rows x cols."""
    if dataflow == OS:
        return ceil_div(m, rows) * ceil_div(n, cols) * (k + rows + cols - 2)
    stationary, stream = (n, m) if dataflow == WS else (m, n)
    folds = ceil_div(k, rows) * ceil_div(stationary, cols)
    if overlap_preload:
        return rows + (folds - 1) * max(stream, rows) + stream + rows + cols - 2
    return folds * (stream + 2 * rows + cols - 2)


@numba.njit(cache=True)
def tile_accesses(dataflow: int, m: int, n: int, k: int, rows: int, cols: int) -> tuple[int, int, int]:
    """Return the SRAM accesses of operands I, W (reads) and O (writes of partial sums) for that product."""
    if dataflow == OS:
        return m * k * ceil_div(n, cols), k * n * ceil_div(m, rows), m * n
    if dataflow == WS:
        return m * k * ceil_div(n, cols), k * n, m * n * ceil_div(k, rows)
    return m * k, k * n * ceil_div(m, cols), m * n * ceil_div(k, rows)


def mapping_efficiency(dataflow: int, m: int, n: int, k: int, rows: int, cols: int) -> float:
    """Return the share of the array that folds occupy, averaged over the folds of an untiled product."""
    on_rows, on_cols = ((m, n), (k, n), (k, m))[dataflow]
    used = np.float64(on_rows) * on_cols
    return float(used / (ceil_div(on_rows, rows) * rows * ceil_div(on_cols, cols) * cols))
