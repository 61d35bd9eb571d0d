"""The register tile: each operation against NumPy, for whole and for cut rows."""

import numpy as np
import pytest
from numba import njit

from kernels.tile import add, clamp, fma, fma_tile, load, load_rows, splat, splat_rows, store, store_rows, total, zeros

X = np.random.default_rng(0).standard_normal(400).astype(np.float32)


@pytest.mark.parametrize("lanes", [4, 16])
@pytest.mark.parametrize("count", [1, 5, 8])
def test_loads_and_stores_touch_only_what_exists(lanes: int, count: int) -> None:
    """A row of ``count`` floats is moved, and nothing before or behind it."""

    @njit
    def move(x, y, offset, count):
        store(y, offset, 0, count, load(x, 7, count, 2, lanes))

    y = np.full(64, 9, np.float32)
    move(X, y, 3, count)
    assert np.array_equal(y[3 : 3 + count], X[7 : 7 + count])
    assert (np.delete(y, np.arange(3, 3 + count)) == 9).all()


def test_a_rank_one_update_is_an_outer_product() -> None:
    """Fma adds scalars x strip to every row, clamp bounds the result."""

    @njit
    def update(x, w, y):
        acc = add(splat(w, 10, 3, 2, 4), zeros(3, 2, 4))
        for k in range(5):
            acc = fma(acc, w, 3 * k, load(x, 8 * k, 8, 2, 4))
        store(y, 0, 8, 8, clamp(acc, np.float32(-0.5), np.float32(2)))

    y = np.empty(24, np.float32)
    update(X, X[100:], y)
    weights, strips = X[100:115].reshape(5, 3), X[:40].reshape(5, 8)
    expected = np.clip(X[110:113, None] + weights.T.astype(np.float64) @ strips, -0.5, 2)
    assert np.allclose(y.reshape(3, 8), expected, rtol=1e-6, atol=1e-6)


def test_rows_are_gathered_and_scattered() -> None:
    """load_rows, splat_rows and store_rows go by an index of rows; fma_tile multiplies element by element."""
    rows = np.array([0, 4, 2, 1], np.int32)

    @njit
    def update(x, rows, y):
        tile = load_rows(x, rows, 1, 20, 3, 6, 3, 2, 4)
        tile = fma_tile(splat_rows(x, rows, 1, 3, 2, 4), tile, tile)
        store_rows(y, rows, 1, 10, 2, 6, tile)

    y = np.zeros(50, np.float32)
    update(X, rows, y)
    grid, out = X[:400].reshape(20, 20), np.zeros((5, 10))
    for row in rows[1:]:
        out[row, 2:8] = X[row] + grid[row, 3:9].astype(np.float64) ** 2
    assert np.allclose(y.reshape(5, 10), out, rtol=1e-6)


def test_a_total_is_the_sum_of_a_row() -> None:
    """Total adds all elements of one row, and only of that."""

    @njit
    def sums(x, rows):
        tile = load_rows(x, rows, 0, 20, 0, 7, 2, 2, 4)
        return total(tile, 0), total(tile, 1)

    rows = np.array([3, 5], np.int32)
    grid = X.reshape(20, 20)
    assert np.allclose(sums(X, rows), grid[rows, :7].sum(axis=1), rtol=1e-5)
