"""Results: the read side of a sweep's store, for the page, the pictures and the command line."""

from __future__ import annotations

import os
from collections.abc import Iterator, Mapping, Sequence
from contextlib import contextmanager
from dataclasses import dataclass
from decimal import Decimal
from functools import cached_property
from pathlib import Path
from typing import TYPE_CHECKING, Any

import numpy as np

from codesign.sweep.pareto import MOST_OBJECTIVES, front, hypervolume
from codesign.sweep.reader import open_to_read
from codesign.sweep.store import FILE, FORMAT, first_line
from codesign.sweep.study import MAXIMISED, Study, StudyFile, is_number
from traces.errors import InputError

if TYPE_CHECKING:
    import duckdb

#: What is measured of a point, and its unit.
MEASURES = {
    "cycles": "",
    "time_s": "s",
    "energy_pj": "pJ",
    "pes": "",
    "sram_bytes": "B",
    "dram_bytes": "B",
    "utilization": "%",
    "macs": "",
    "effectual_macs": "",
    "accuracy": "%",
}
#: More of these is better; less of all others.
MORE_IS_BETTER = (*MAXIMISED, "utilization")
_FIXED = ("number", "key", "chosen_by", "status", "reason", *MEASURES, "layer_cycles", "layer_energy_pj")
_LAYERS_AT_ONCE = 10_000


@dataclass(frozen=True, eq=False)
class Results:
    """All points of a sweep, in the order of their numbers.

    Attributes
    ----------
    directory
        Where the sweep is.
    about
        What the sweep says of itself: ``format``, ``code_version``, ``optimizer``, ...
    file
        The study.
    columns
        A list of values, one a point, by column; None where there is no value.
    ops
        Names of the ops by (model, target).
    """

    directory: Path
    about: dict[str, str]
    file: StudyFile
    columns: dict[str, list[Any]]
    ops: dict[tuple[str, str], list[str]]

    def __len__(self) -> int:
        return len(self.columns["number"])

    @property
    def study(self) -> Study:
        """What was asked for."""
        return self.file.study

    @property
    def name(self) -> str:
        """Name of the study."""
        return self.study.name

    @property
    def objectives(self) -> tuple[str, ...]:
        """What the sweep optimises; the first is the one that counts where there can be only one."""
        return tuple(self.study.objectives)

    @property
    def parameters(self) -> tuple[str, ...]:
        """Columns that were chosen, and not measured."""
        return tuple(name for name in self.columns if name not in _FIXED)

    @property
    def measures(self) -> tuple[str, ...]:
        """Columns that were measured of at least one point, objectives first."""
        known = [name for name in MEASURES if any(value is not None for value in self.columns.get(name, ()))]
        return tuple(dict.fromkeys((*(name for name in self.objectives if name in known), *known)))

    def count(self, status: str) -> int:
        """Return the number of points with a status: ``done``, ``pruned``, ``infeasible`` or ``failed``."""
        return self.columns["status"].count(status)

    @cached_property
    def costs(self) -> np.ndarray:
        """Objectives of all points, (points, objectives) float64; less is better, NaN for points that do not count."""
        done = np.array([status == "done" for status in self.columns["status"]])
        costs: np.ndarray = np.array([self.columns[name] for name in self.objectives], dtype=np.float64).T
        costs[~(done & np.isfinite(costs).all(axis=1))] = np.nan
        costs *= [-1.0 if name in MORE_IS_BETTER else 1.0 for name in self.objectives]
        return costs

    @cached_property
    def front(self) -> np.ndarray:
        """Rows of the Pareto front, int64: the best of each objective, then by the sum of all, scaled to the front."""
        counted = np.flatnonzero(np.isfinite(self.costs).all(axis=1))
        if not len(counted):
            return counted
        rows = counted[front(self.costs[counted])]
        best_first = np.argsort(_scaled(self.costs[rows]).sum(axis=1), kind="stable")
        ends = [int(np.argmin(self.costs[rows, j])) for j in range(len(self.objectives))]
        return rows[list(dict.fromkeys([*ends, *best_first.tolist()]))]

    @cached_property
    def hypervolume(self) -> float | None:
        """Share of the box between the best and the worst of each objective that the front dominates, 0 to 1."""
        counted = np.isfinite(self.costs).all(axis=1)
        if not counted.any() or len(self.objectives) > MOST_OBJECTIVES:
            return None
        scaled = _scaled(self.costs[counted])
        return float(hypervolume(scaled[front(scaled)], np.ones(scaled.shape[1])))

    def row(self, at: int) -> dict[str, Any]:
        """Return one point: its values by column."""
        return {name: values[at] for name, values in self.columns.items()}

    def layers(self, rows: Sequence[int]) -> dict[int, tuple[list[int], list[float]]]:
        """Read the cycles and the energy (pJ) of each op of some points, by row; points without are left out."""
        by_number = {self.columns["number"][at]: int(at) for at in rows}
        numbers = list(by_number)
        found = {}
        with _opened(self.directory) as store:
            for begin in range(0, len(numbers), _LAYERS_AT_ONCE):
                some = numbers[begin : begin + _LAYERS_AT_ONCE]
                query = "SELECT number, layer_cycles, layer_energy_pj FROM results WHERE list_contains($some, number)"
                for number, cycles, energy in store.execute(query, {"some": some}).fetchall():
                    if cycles:
                        found[by_number[number]] = (list(cycles), list(energy or ()))
        return found


def read_results(directory: Path | str) -> Results:
    """Read a sweep.

    Raises
    ------
    InputError
        If there is no sweep in the directory, it is empty, running, or from another version.
    """
    path = Path(directory)
    with _opened(path) as store:
        about = dict(store.execute("SELECT name, value FROM about").fetchall())
        if about.get("format") != FORMAT:
            raise InputError(
                f"{path} is a sweep of format {about.get('format')}, and this version of codesign reads format"
                f" {FORMAT}; use the version that made it ({about.get('code_version', 'not told')}), or sweep again"
            )
        wanted = store.execute("SELECT * EXCLUDE (layer_cycles, layer_energy_pj) FROM results ORDER BY number")
        names = [column[0] for column in wanted.description or ()]
        rows = wanted.fetchall()
        ops = {(model, target): list(names) for model, target, names in store.execute("SELECT * FROM ops").fetchall()}
    if not rows:
        raise InputError(f"{path} holds no points yet; let codesign sweep run for a while first")
    columns = {name: [_plain(row[at]) for row in rows] for at, name in enumerate(names)}
    file = StudyFile.of(about["study"], f"the study in {path}", _folder(path, about))
    return Results(path, about, file, columns, ops)


def _folder(directory: Path, about: Mapping[str, str]) -> Path:
    """Return the folder of the study, from where we are."""
    return Path(os.path.relpath(directory / about["folder"])) if "folder" in about else Path()


def levels(results: Results, name: str) -> list[Any]:
    """Return the distinct values of a column: numbers by size, anything else in the order of appearance; no None."""
    found = list(dict.fromkeys(value for value in results.columns[name] if value is not None))
    return sorted(found) if all(map(is_number, found)) else found


@contextmanager
def _opened(directory: Path) -> Iterator[duckdb.DuckDBPyConnection]:
    """Open a store to read, or say in a sentence why it cannot be."""
    with open_to_read(directory) as store:
        import duckdb

        try:
            yield store
        except duckdb.Error as error:
            raise InputError(f"{directory / FILE} is not the store of a sweep: {first_line(error)}") from None


def _plain(value: object) -> object:
    """Return a value that JSON can hold; what is no finite number is none."""
    value = float(value) if isinstance(value, Decimal) else value
    return None if isinstance(value, float) and not np.isfinite(value) else value


def _scaled(costs: np.ndarray) -> np.ndarray:
    """Scale each column to 0 (the best) to 1 (the worst); 0 where all are equal."""
    low, high = costs.min(axis=0), costs.max(axis=0)
    return np.asarray((costs - low) / np.where(high > low, high - low, 1.0))
