"""Figures: rows of a comparison, and how far predicted speedups are from measured ones."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass

import numpy as np

#: A measured speedup that is nearer to 1 than this says neither sparse nor dense is faster.
MARGIN = 0.1


@dataclass(frozen=True, slots=True, kw_only=True)
class Row:
    """A layer with weights of one sparsity on one CPU; the names are those of the JSON output, and stable.

    Attributes
    ----------
    layer
        The first of the layers that are alike, and how many ``count`` of them there are.
    count
        How many layers the row stands for; with zeros of inputs, times the vectors of the sequence.
    m, k, columns
        Outputs, inputs, and columns of activations (pixels, tokens or batch).
    pattern, sparsity
        As a user writes it, and the share of weights that it removes.
    density
        The share of weights that is left in this layer.
    dense_cycles, sparse_cycles, simulated_speedup
        Of one layer, by the model, and their ratio.
    dense_kernel
        The dense library or tile that is fastest by the model.
    bound_by
        What limits the sparse layer by the model.
    dense_seconds, sparse_seconds, measured_speedup
        Of one layer, measured; None where nothing was.
    baseline
        The fastest dense library or tile as measured; empty where nothing was.
    eager_speedup
        Measured speedup over eager torch, which packs dense weights anew in every call; None where it was not timed.
    ratio
        Simulated over measured speedup; None without a measured one.
    """

    layer: str
    count: int
    m: int
    k: int
    columns: int
    pattern: str
    sparsity: float
    density: float
    dense_cycles: float
    sparse_cycles: float
    simulated_speedup: float
    dense_kernel: str
    bound_by: str
    dense_seconds: float | None = None
    sparse_seconds: float | None = None
    measured_speedup: float | None = None
    baseline: str = ""
    eager_speedup: float | None = None
    ratio: float | None = None


@dataclass(frozen=True, slots=True, kw_only=True)
class Total:
    """All layers of a sparsity on one CPU, each as often as the model has it.

    Attributes
    ----------
    pattern, sparsity
        As in `Row`.
    layers_dense_cycles, layers_sparse_cycles
        Of the layers that have a sparse kernel.
    layers_simulated_speedup, layers_measured_speedup
        Of these layers together.
    others_cycles
        Simulated cycles of all other ops; they are dense on both sides.
    simulated_speedup, measured_speedup
        Of the whole model. What the other ops take is simulated in both.
    """

    pattern: str
    sparsity: float
    layers_dense_cycles: float
    layers_sparse_cycles: float
    layers_simulated_speedup: float
    layers_measured_speedup: float | None
    others_cycles: float
    simulated_speedup: float
    measured_speedup: float | None


def total(rows: Sequence[Row], others_cycles: float, clock_hz: float) -> Total:
    """Add up the rows of one sparsity."""
    dense = sum(row.count * row.dense_cycles for row in rows)
    sparse = sum(row.count * row.sparse_cycles for row in rows)
    pairs = [(row.count, row.dense_seconds, row.sparse_seconds) for row in rows]
    known = [(count, a, b) for count, a, b in pairs if a is not None and b is not None]
    layers = whole = None
    if len(known) == len(rows):
        dense_s, sparse_s = (sum(one[0] * one[side] for one in known) for side in (1, 2))
        layers = dense_s / sparse_s
        whole = (dense_s + others_cycles / clock_hz) / (sparse_s + others_cycles / clock_hz)
    return Total(
        pattern=rows[0].pattern,
        sparsity=rows[0].sparsity,
        layers_dense_cycles=dense,
        layers_sparse_cycles=sparse,
        layers_simulated_speedup=dense / sparse,
        layers_measured_speedup=layers,
        others_cycles=others_cycles,
        simulated_speedup=(dense + others_cycles) / (sparse + others_cycles),
        measured_speedup=whole,
    )


@dataclass(frozen=True, slots=True)
class Errors:
    """How far simulated speedups are from measured ones.

    Attributes
    ----------
    mean, worst
        Of the absolute relative errors.
    rank_correlation
        Spearman's, of simulated and measured speedups; None of fewer than two, or if all are equal.
    wrong
        Rows where the model says the other of sparse and dense is faster, of those whose measured margin is over
        `MARGIN`.
    count
        Rows compared.
    """

    mean: float
    worst: float
    rank_correlation: float | None
    wrong: int
    count: int


def errors(pairs: Sequence[tuple[float, float]]) -> Errors | None:
    """Compare (simulated, measured) speedups; None if there are none."""
    if not pairs:
        return None
    simulated, measured = np.array(pairs, float).T
    off = np.abs(simulated / measured - 1)
    clear = (measured > 1 + MARGIN) | (measured < 1 / (1 + MARGIN))
    wrong = int(np.count_nonzero(clear & ((simulated > 1) != (measured > 1))))
    return Errors(float(off.mean()), float(off.max()), spearman(simulated, measured), wrong, len(pairs))


def spearman(x: np.ndarray, y: np.ndarray) -> float | None:
    """Return Spearman's rank correlation: Pearson's of the ranks, equal values sharing their mean rank.

    >>> spearman(np.array([1.0, 2.0, 3.0]), np.array([10.0, 30.0, 20.0]))
    0.5
    """
    ranks = [np.searchsorted(np.sort(v), v) + np.searchsorted(np.sort(v), v, side="right") for v in (x, y)]
    a, b = (rank - rank.mean() for rank in ranks)
    norm = float(np.sqrt((a * a).sum() * (b * b).sum()))
    return float((a * b).sum()) / norm if norm else None


def crossover(points: Sequence[tuple[float, float]]) -> float | None:
    """Return the sparsity from which on sparse is faster, between (sparsity, speedup) points by a straight line.

    Returns
    -------
    float or None
        The lowest sparsity if all points are above 1; None if the last is below.

    >>> crossover([(0.0, 0.5), (0.5, 0.75), (0.7, 1.25)])
    0.6
    """
    ordered = sorted(points)
    below = [i for i, (_, speedup) in enumerate(ordered) if speedup < 1]
    if not below:
        return ordered[0][0] if ordered else None
    if below[-1] == len(ordered) - 1:
        return None
    (low, under), (high, over) = ordered[below[-1] : below[-1] + 2]
    return round(low + (high - low) * (1 - under) / (over - under), 6)
