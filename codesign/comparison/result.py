"""Comparison: simulated and measured speedups of a model on several CPUs, as an object, a table, JSON, CSV, a plot."""

from __future__ import annotations

import csv
import io
import json
from dataclasses import asdict, dataclass, fields
from pathlib import Path
from typing import TYPE_CHECKING, Any

from codesign.comparison.figures import Errors, Row, Total, crossover, errors
from codesign.report.words import printable

if TYPE_CHECKING:
    from matplotlib.axes import Axes
    from matplotlib.figure import Figure

SCHEMA_VERSION = 1


@dataclass(frozen=True, slots=True, eq=False)
class CpuResult:
    """What was found on one CPU.

    Attributes
    ----------
    name, description, clock_hz
        Of the target.
    rows
        By layer and sparsity.
    totals
        By sparsity.
    """

    name: str
    description: str
    clock_hz: float
    rows: tuple[Row, ...]
    totals: tuple[Total, ...]

    @property
    def errors(self) -> Errors | None:
        """Of the layers' simulated speedups; None if nothing was measured."""
        return errors([(r.simulated_speedup, r.measured_speedup) for r in self.rows if r.measured_speedup is not None])

    def crossover(self, *, measured: bool = False) -> float | None:
        """Return the sparsity from which on the layers with kernels are faster together than dense ones."""
        speedups = [
            (t.sparsity, t.layers_measured_speedup if measured else t.layers_simulated_speedup) for t in self.totals
        ]
        return crossover([(sparsity, speedup) for sparsity, speedup in speedups if speedup is not None])

    def to_dict(self) -> dict[str, Any]:
        """Return plain data; field names are stable."""
        found = self.errors
        return {
            "name": self.name,
            "description": self.description,
            "clock_hz": self.clock_hz,
            "mean_abs_error": found.mean if found else None,
            "worst_abs_error": found.worst if found else None,
            "rank_correlation": found.rank_correlation if found else None,
            "wrong_decisions": found.wrong if found else None,
            "simulated_crossover": self.crossover(),
            "measured_crossover": self.crossover(measured=True),
            "totals": [asdict(one) for one in self.totals],
            "rows": [asdict(one) for one in self.rows],
        }


@dataclass(frozen=True, slots=True, eq=False)
class Comparison:
    """Whether the sparsity of a model buys speed, CPU by CPU.

    Attributes
    ----------
    model
        Its name.
    weights
        The pattern that was asked for.
    cpus
        In the order in which they were asked for.
    notes
        What a reader must know to read the figures right.
    """

    model: str
    weights: str
    cpus: tuple[CpuResult, ...]
    notes: tuple[str, ...] = ()

    def __getitem__(self, name: str) -> CpuResult:
        return next(cpu for cpu in self.cpus if cpu.name == name)

    def table(self, *, layers: bool = False, width: int = 118) -> str:
        """Return totals, errors and notes as text; with ``layers`` every layer too."""
        from codesign.comparison.table import table

        return table(self, layers=layers, width=width)

    def to_dict(self) -> dict[str, Any]:
        """Return plain data; field names are stable."""
        return {
            "schema_version": SCHEMA_VERSION,
            "model": self.model,
            "weights": self.weights,
            "notes": list(self.notes),
            "cpus": [cpu.to_dict() for cpu in self.cpus],
        }

    def to_json(self, indent: int | None = 2) -> str:
        """Return `to_dict` as JSON."""
        return json.dumps(self.to_dict(), indent=indent, allow_nan=False)

    def to_csv(self) -> str:
        """Return one row a CPU, layer and sparsity; the columns are those of `Row`, after ``cpu``."""
        out = io.StringIO()
        writer = csv.DictWriter(out, ["cpu", *(field.name for field in fields(Row))], lineterminator="\n")
        writer.writeheader()
        for cpu in self.cpus:
            writer.writerows({"cpu": cpu.name, **asdict(row)} for row in cpu.rows)
        return out.getvalue()

    def plot(self) -> tuple[Figure, Axes]:
        """Draw speedup over sparsity for each CPU; see `codesign.comparison.plot.plot`."""
        from codesign.comparison.plot import plot

        return plot(self)

    def save(self, directory: Path | str) -> Path:
        """Write JSON, CSV, table and plot into a new directory; see `codesign.comparison.save.save`."""
        from codesign.comparison.save import save

        return save(self, directory)

    def __repr__(self) -> str:
        last = [f"{cpu.name} {cpu.totals[-1].simulated_speedup:.2f}x" for cpu in self.cpus if cpu.totals]
        return printable(f"Comparison({self.model}, {self.weights}: simulated {', '.join(last)})")
