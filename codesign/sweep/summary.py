"""Summary: what a sweep found, as an object, a table and JSON."""

from __future__ import annotations

import io
import json
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np
from rich.console import Console

from codesign.report.words import percent
from codesign.sweep.front import front_table
from codesign.sweep.pareto import front, hypervolume
from codesign.sweep.results import Results, read_results

_STATUSES = ("done", "pruned", "infeasible", "failed")


@dataclass(frozen=True)
class Summary:
    """The outcome of a sweep.

    Attributes
    ----------
    directory
        Where its store is.
    results
        All points.
    optimizer
        What chose them.
    hypervolume
        Share of the box between the best and the worst value of each objective that the optimiser's front dominates, 0
        to 1; None if no point counts.
    random_hypervolume, random_points
        The same of random search, and of how many points: as many as a learner had, or a tenth of a grid.
    """

    directory: Path
    results: Results
    optimizer: str
    hypervolume: float | None
    random_hypervolume: float | None
    random_points: int

    @property
    def counts(self) -> dict[str, int]:
        """Points by status: ``done``, ``pruned``, ``infeasible``, ``failed``."""
        return {status: self.results.count(status) for status in _STATUSES}

    @property
    def front(self) -> list[dict[str, Any]]:
        """The points of the Pareto front: the best of each objective, then those that are good in all."""
        return [self.results.row(int(at)) for at in self.results.front]

    def table(self, *, max_rows: int | None = 20, width: int = 118) -> str:
        """Return the front, counts and hypervolumes as text; with ``max_rows`` only so many points of the front."""
        columns, lines = self.results.columns, []
        if len(self.results.front):
            front_rows = front_table(self.results, len(self.results) if max_rows is None else max_rows)
            front_rows.caption = None  # what it says follows
            text = io.StringIO()
            Console(file=text, width=width).print(front_rows)
            shown = f"; the first {max_rows} are shown" if max_rows and len(self.results.front) > max_rows else ""
            lines = ["\n".join(line.rstrip() for line in text.getvalue().splitlines()), ""]
            lines.append(f"front       {len(self.results.front):,} of {len(self.results):,} points{shown}")
        else:
            lines.append(f"front       no point is left; the first reason: {next(filter(None, columns['reason']), '')}")
        counts = [f"{count:,} {status}" for status, count in self.counts.items() if count or status == "done"]
        lines.append(f"points      {', '.join(counts)}")
        if self.hypervolume is not None:
            lines.append(f"hypervolume {self.hypervolume:.4f} of the box from best to worst, by {self.optimizer}")
        if self.hypervolume is not None and self.random_hypervolume is not None:
            share = percent(self.random_hypervolume, self.hypervolume)
            lines.append(
                f"random      {self.random_hypervolume:.4f} with {self.random_points:,} points ({share} of it)"
            )
        if "failed" in columns["status"]:
            lines.append(f"failed      first of them: {columns['reason'][columns['status'].index('failed')]}")
        return "\n".join(lines)

    def to_dict(self) -> dict[str, Any]:
        """Return plain data; field names are stable."""
        return {
            "study": self.results.name,
            "directory": str(self.directory),
            "optimizer": self.optimizer,
            "objectives": list(self.results.objectives),
            "counts": self.counts,
            "hypervolume": self.hypervolume,
            "random_hypervolume": self.random_hypervolume,
            "random_points": self.random_points,
            "front": self.front,
        }

    def to_json(self, indent: int | None = 2) -> str:
        """Return `to_dict` as JSON."""
        return json.dumps(self.to_dict(), indent=indent, allow_nan=False)

    def __repr__(self) -> str:
        return f"Summary({self.results.name}: {len(self.results):,} points, {len(self.results.front)} on the front)"


def summarize(directory: Path, optimizer: str, baseline: set[int]) -> Summary:
    """Return the summary of the store in a directory; ``baseline`` are the numbers that random search chose."""
    results = read_results(directory)
    costs, columns = results.costs, results.columns
    counted = np.isfinite(costs).all(axis=1)
    by_random = np.array([number in baseline for number in columns["number"]])
    own = np.array([chosen != "random" for chosen in columns["chosen_by"]]) | (optimizer == "random")
    return Summary(
        directory,
        results,
        optimizer,
        _volume(costs, counted, counted & own),
        None if optimizer == "random" else _volume(costs, counted, counted & by_random),
        int(by_random.sum()),
    )


def _volume(costs: np.ndarray, counted: np.ndarray, chosen: np.ndarray) -> float | None:
    """Return the share of the box of all points that count which some of them dominate."""
    if not counted.any():
        return None
    if not chosen.any():
        return 0.0
    low, high = costs[counted].min(axis=0), costs[counted].max(axis=0)
    scaled = (costs[chosen] - low) / np.where(high > low, high - low, 1.0)
    return float(hypervolume(scaled[front(scaled)], np.ones(scaled.shape[1])))
