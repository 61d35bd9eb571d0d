"""Pareto: which points no other beats, and how much of the space of objectives they dominate.

All objectives are minimised. A point dominates another if it is nowhere worse and somewhere better. The hypervolume
(Zitzler and Thiele, PPSN 1998) is the volume of all that a set of points dominates, up to a reference point; it
grows with every point that is added to the front. It is exact here: the space is cut into slabs along the last
objective, between the values that points have there; in each, what is dominated has one objective less.
"""

from __future__ import annotations

import numba
import numpy as np
from numpy.typing import ArrayLike, NDArray

from traces.errors import InputError

#: Largest number of objectives that `hypervolume` takes: each one more multiplies its time by the number of points.
MOST_OBJECTIVES = 4


def front(values: ArrayLike) -> NDArray[np.bool_]:
    """Return which points no other dominates; of equal points all are kept.

    Parameters
    ----------
    values
        Objectives to minimise, (n, k); inf is worse than any number.

    Raises
    ------
    InputError
        If ``values`` is not two-dimensional, or holds NaN.
    """
    rows = _checked(values)
    if not len(rows) or not rows.shape[1]:
        return np.ones(len(rows), dtype=np.bool_)
    # No point is dominated by one that comes after it in this order.
    order = np.lexsort(rows.T[::-1])
    mask = np.zeros(len(rows), dtype=np.bool_)
    mask[order] = _front(np.ascontiguousarray(rows[order]))
    return mask


def hypervolume(values: ArrayLike, reference: ArrayLike) -> float:
    """Return the volume that the points dominate, up to the reference point.

    Parameters
    ----------
    values
        Objectives to minimise, (n, k) with k of 1 to 4; those that do not reach the reference add nothing.
    reference
        The corner that bounds the volume, (k,).

    Raises
    ------
    InputError
        If shapes do not fit, there are more than four objectives, or a value is NaN or minus infinity.
    """
    rows = _checked(values)
    corner = np.asarray(reference, dtype=np.float64)
    objectives = rows.shape[1]
    if corner.shape != (objectives,):
        raise InputError.must("reference", f"one number for each of the {objectives} objectives", corner.shape)
    if not 1 <= objectives <= MOST_OBJECTIVES:
        raise InputError.must("values", f"of 1 to {MOST_OBJECTIVES} objectives", objectives)
    if not np.isfinite(corner).all() or np.isneginf(rows).any():
        raise InputError("a hypervolume needs finite values; scale the objectives and choose a finite reference")
    rows = rows[(rows < corner).all(axis=1)]
    rows = np.unique(rows[front(rows)], axis=0)
    # Always four axes: one that is not there gives every point a thickness of 1.
    padded = np.zeros((len(rows), MOST_OBJECTIVES))
    padded[:, :objectives] = rows
    up_to = np.ones(MOST_OBJECTIVES)
    up_to[:objectives] = corner
    return float(_volume4(padded, up_to))


def _checked(values: ArrayLike) -> NDArray[np.float64]:
    rows = np.asarray(values, dtype=np.float64)
    if rows.ndim != 2:
        raise InputError.must("values", "an array of points by objectives (n, k)", rows.shape)
    if np.isnan(rows).any():
        raise InputError("values must be numbers, not NaN; leave out points that could not be evaluated")
    return rows


@numba.njit(cache=True)
def _front(rows: NDArray[np.float64]) -> NDArray[np.bool_]:
    """Return which of the rows, in lexicographic order, are not dominated."""
    keep = np.zeros(len(rows), np.bool_)
    kept, count = np.empty(len(rows), np.int64), 0
    for i in range(len(rows)):
        dominated = False
        for j in range(count):
            other, better = rows[kept[j]], False
            for k in range(rows.shape[1]):
                if other[k] > rows[i, k]:
                    break
                better = better or other[k] < rows[i, k]
            else:
                if better:
                    dominated = True
                    break
        if not dominated:
            keep[i] = True
            kept[count] = i
            count += 1
    return keep


@numba.njit(cache=True)
def _volume4(rows: NDArray[np.float64], corner: NDArray[np.float64]) -> float:
    """Return the volume in four dimensions, slab by slab along the last."""
    rows = rows[np.argsort(rows[:, 3])]
    total = 0.0
    for i in range(len(rows)):
        end = rows[i + 1, 3] if i + 1 < len(rows) else corner[3]
        if end > rows[i, 3]:
            total += (end - rows[i, 3]) * _volume3(rows[: i + 1], corner)
    return total


@numba.njit(cache=True)
def _volume3(rows: NDArray[np.float64], corner: NDArray[np.float64]) -> float:
    """Return the volume in the first three dimensions, slab by slab along the third.

    The points so far make a staircase in the first two, kept sorted; a point takes away the steps that it dominates.
    """
    rows = rows[np.argsort(rows[:, 2])]
    x, y = np.empty(len(rows) + 1), np.empty(len(rows) + 1)  # the staircase: x rises, y falls
    steps, total = 0, 0.0
    for i in range(len(rows)):
        at = 0
        while at < steps and x[at] < rows[i, 0]:
            at += 1
        beaten = (at > 0 and y[at - 1] <= rows[i, 1]) or (at < steps and x[at] == rows[i, 0] and y[at] <= rows[i, 1])
        if not beaten:
            until = at
            while until < steps and y[until] >= rows[i, 1]:
                until += 1
            rest = steps - until
            x[at + 1 : at + 1 + rest] = x[until:steps].copy()
            y[at + 1 : at + 1 + rest] = y[until:steps].copy()
            x[at], y[at] = rows[i, 0], rows[i, 1]
            steps = at + 1 + rest
        end = rows[i + 1, 2] if i + 1 < len(rows) else corner[2]
        if end > rows[i, 2]:
            area = 0.0
            for s in range(steps):
                area += ((x[s + 1] if s + 1 < steps else corner[0]) - x[s]) * (corner[1] - y[s])
            total += (end - rows[i, 2]) * area
    return total
