"""Prune: points that need no simulation, as their bounds show that a point already evaluated is better in all."""

from __future__ import annotations

from collections.abc import Sequence

import numpy as np

from codesign.sweep.bound import Bound
from codesign.sweep.pareto import front
from codesign.sweep.study import MAXIMISED


class Prune:
    """Remembers the Pareto front of what was evaluated, and nothing else, so that its memory stays small.

    Parameters
    ----------
    objectives
        Of the study.
    keep
        Numbers of points that are never pruned: those that random search is told by.
    """

    def __init__(self, objectives: Sequence[str], keep: set[int]) -> None:
        self._objectives, self._keep = tuple(objectives), keep
        self._front = np.zeros((0, len(objectives)))

    def reason(self, number: int, bound: Bound) -> str | None:
        """Return in words why a point cannot be on the front, None if it may be."""
        if number in self._keep:
            return None
        values = [bound.least(name) for name in self._objectives]
        if None in values:
            return None
        least = np.array(
            [-v if name in MAXIMISED else v for name, v in zip(self._objectives, values, strict=True) if v is not None]
        )
        better = (self._front <= least).all(axis=1) & (self._front < least).any(axis=1)
        if not better.any():
            return None
        said = ", ".join(f"{name} {value:g}" for name, value in zip(self._objectives, values, strict=True))
        return f"a point evaluated before is better than its bounds: {said}"

    def learn(self, values: Sequence[tuple[float, ...]]) -> None:
        """Take objectives of evaluated points, all to be minimised."""
        if values:
            rows = np.concatenate([self._front, np.array(values)])
            self._front = np.unique(rows[front(rows)], axis=0)
