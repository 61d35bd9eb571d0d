"""Calibration: what one machine and one engine make of the things a model counts, in cycles each.

A model here is a sum: it counts what a kernel does (multiply-adds, loads, panels of rows, cache lines from each level)
and each count costs a constant number of cycles. The constants of a machine are fitted once, on half of a list of
shapes, by `benchmarks/compare.py`, and kept with the package; no constant belongs to a shape or a pattern.
"""

from __future__ import annotations

import functools
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np
import yaml
from numpy.typing import NDArray

import hw_models.cpus
from traces.errors import InputError

PATH = Path(hw_models.cpus.__file__).parent / "calibration.yaml"

Counts = Mapping[str, float]


@dataclass(frozen=True, slots=True)
class Calibration:
    """The constants of one target.

    Attributes
    ----------
    cycles
        For each model (``sparse``, ``dense``, ...), what each thing it counts costs, in cycles.
    """

    cycles: Mapping[str, Mapping[str, float]]

    def parts(self, model: str, counts: Counts) -> dict[str, float]:
        """Return the cycles of everything counted; what has no constant costs nothing."""
        cost = self.cycles[model]
        return {name: cost.get(name, 0.0) * count for name, count in counts.items()}


@functools.cache
def _contents() -> dict[str, Any]:
    contents: dict[str, Any] = yaml.safe_load(PATH.read_text(encoding="utf-8"))
    return contents


def provenance() -> dict[str, Any]:
    """Return on what the constants were fitted: machine, date, versions, shapes of the split, held-out errors."""
    found: dict[str, Any] = _contents()["provenance"]
    return found


def calibration(target: str) -> Calibration:
    """Return the constants of a target.

    Raises
    ------
    InputError
        If there are none.
    """
    targets = _contents()["targets"]
    if target not in targets:
        raise InputError.must("a calibrated target", f"one of {', '.join(targets)}", target)
    return Calibration(targets[target])


def fitted(counts: Sequence[Counts], cycles: Sequence[float]) -> dict[str, float]:
    """Return the constant of each thing counted that explains measured cycles best.

    Least squares of the relative errors with constants that are not negative, weighted so that a few disturbed
    measurements do not decide (iteratively reweighted towards absolute errors).

    Parameters
    ----------
    counts
        For each measurement, how often each thing happened.
    cycles
        What was measured.
    """
    names = sorted({name for one in counts for name in one})
    matrix = np.array([[one.get(name, 0.0) for name in names] for one in counts]) / np.array(cycles)[:, None]
    weights = np.ones(len(matrix))
    solution = np.zeros(len(names))
    for _ in range(12):
        solution = _non_negative(matrix * weights[:, None], weights)
        weights = 1 / np.sqrt(np.abs(matrix @ solution - 1) + 0.02)
    return {name: float(f"{value:.4g}") for name, value in zip(names, solution, strict=True)}


def _non_negative(matrix: NDArray[np.float64], wanted: NDArray[np.float64]) -> NDArray[np.float64]:
    """Return the least squares solution without negative entries (Lawson and Hanson, 1974)."""
    size = matrix.shape[1]
    scale = np.linalg.norm(matrix, axis=0)
    scale[scale == 0] = 1.0
    scaled = matrix / scale
    x = np.zeros(size)
    active = np.zeros(size, np.bool_)
    for _ in range(10 * size):
        gradient = scaled.T @ (wanted - scaled @ x)
        gradient[active] = -np.inf
        best = int(np.argmax(gradient))
        if active.all() or gradient[best] <= 1e-10:
            break
        active[best] = True
        while True:
            trial = np.zeros(size)
            trial[active] = np.linalg.lstsq(scaled[:, active], wanted, rcond=None)[0]
            if (trial[active] > 0).all():
                x = trial
                break
            low = active & (trial <= 0)
            step = float(np.min(x[low] / np.maximum(x[low] - trial[low], 1e-300)))
            x = x + step * (trial - x)
            active &= x > 1e-12
            x[~active] = 0.0
    solution: NDArray[np.float64] = x / scale
    return solution
