"""Report: the outcome of a simulation, as an object, a table, JSON, CSV and pictures."""

from __future__ import annotations

import json
from dataclasses import asdict, dataclass, field
from pathlib import Path
from typing import Any

from codesign.report.layers import layers_csv
from codesign.report.record import OpRecord
from codesign.report.save import save
from codesign.report.table import explain, table
from codesign.report.timeline import timeline
from hw_models.base import AcceleratorConfig
from hw_models.network.network import Network
from hw_models.pipeline import Schedule

SCHEMA_VERSION = 1


@dataclass(frozen=True, eq=False)
class Report:
    """What a model took on an accelerator; see `OpRecord` for the rows.

    Attributes
    ----------
    model, engine
        Name of the model, and the executor that ran the pipeline: ``compiled`` or ``simpy``.
    config
        The accelerator, settings included.
    ops
        One record an op, in program order.
    activations
        Where the zeros of the activations come from: ``captured`` from a run on real inputs, or ``dense``.
    notes
        What a reader must know to read the figures right.
    verified
        Largest relative error of each array op's mapped execution against torch; None if not asked for.
    network, schedule
        The pipeline that was run and the times of all its tokens, for timelines.
    """

    model: str
    engine: str
    config: AcceleratorConfig
    ops: tuple[OpRecord, ...]
    activations: str
    notes: tuple[str, ...] = ()
    verified: dict[str, float] | None = None
    network: Network = field(kw_only=True)
    schedule: Schedule = field(kw_only=True)

    @property
    def total_cycles(self) -> int:
        """Cycles from the first load to the last store."""
        return sum(op.cycles for op in self.ops)

    @property
    def total_energy_pj(self) -> float:
        """Energy of all ops, in picojoules."""
        return sum(op.total_energy_pj for op in self.ops)

    @property
    def seconds(self) -> float:
        """Time at the accelerator's clock, in seconds."""
        return self.total_cycles / self.config.clock_hz

    @property
    def utilization(self) -> float:
        """Issued MACs of all ops over (PEs x cycles)."""
        issued = sum(op.effectual_macs + op.gated_macs for op in self.ops)
        return issued / (self.config.pes * self.total_cycles)

    def to_dict(self) -> dict[str, Any]:
        """Return plain data; field names are stable."""
        return {
            "schema_version": SCHEMA_VERSION,
            "model": self.model,
            "accelerator": self.config.name,
            "config": self.config.model_dump(),
            "engine": self.engine,
            "activations": self.activations,
            "clock_hz": self.config.clock_hz,
            "total_cycles": self.total_cycles,
            "total_seconds": self.seconds,
            "total_energy_pj": self.total_energy_pj,
            "utilization": self.utilization,
            "notes": list(self.notes),
            "verified_max_relative_error": self.verified,
            "ops": [{**asdict(op), "total_energy_pj": op.total_energy_pj} for op in self.ops],
        }

    def to_json(self, indent: int | None = 2) -> str:
        """Return `to_dict` as JSON."""
        return json.dumps(self.to_dict(), indent=indent, allow_nan=False)

    def table(self, *, max_rows: int | None = None, width: int = 118) -> str:
        """Return ops, totals and notes as text; with ``max_rows`` only the ops with the most cycles."""
        return table(self, max_rows=max_rows, width=width)

    def explain(self, *, max_rows: int | None = None) -> str:
        """Return the mapping of each op in words, with the cycles of the other dataflows."""
        return explain(self, max_rows=max_rows)

    def to_csv(self) -> str:
        """Return one row an op; see `codesign.report.layers.layers_csv`."""
        return layers_csv(self)

    def timeline(self) -> dict[str, Any]:
        """Return Chrome trace events; see `codesign.report.timeline.timeline`."""
        return timeline(self)

    def save(self, directory: Path | str) -> Path:
        """Write all of it into a new directory; see `codesign.report.save.save`."""
        return save(self, directory)

    def _repr_html_(self) -> str:
        from codesign.report.page import html_table

        return html_table(self, max_rows=20)

    def __repr__(self) -> str:
        return (
            f"Report({self.model} on {self.config.name}: {self.total_cycles:,} cycles,"
            f" {self.total_energy_pj / 1e6:,.1f} uJ, {100 * self.utilization:.1f} % utilization)"
        )
