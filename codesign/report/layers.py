"""Layers: a report as CSV, one op a row; the columns are stable."""

from __future__ import annotations

import csv
import io
from dataclasses import fields
from typing import TYPE_CHECKING

from codesign.account import CAUSES
from codesign.report.record import OpRecord
from hw_models.base import OPERANDS
from hw_models.systolic.folds import DATAFLOWS

if TYPE_CHECKING:
    from codesign.report.report import Report

#: Components of the energy, as `hw_models.systolic.counts.energy_pj` names them.
COMPONENTS = (
    "mac",
    "gated_mac",
    "register",
    "sram_weight",
    "sram_input",
    "sram_output",
    "metadata",
    "vector",
    "dram",
)

#: Column of each entry of a record's mappings, with the keys that it always has.
_FLATTENED: dict[str, tuple[str, tuple[str, ...]]] = {
    "alternatives": ("alternative_{}_cycles", DATAFLOWS),
    "stalls_by_cause": ("stalls_{}_cycles", CAUSES),
    "sram_accesses": ("sram_accesses_{}", OPERANDS),
    "sram_bytes": ("sram_bytes_{}", OPERANDS),
    "dram_accesses": ("dram_accesses_{}", OPERANDS),
    "dram_bytes": ("dram_bytes_{}", OPERANDS),
    "energy_pj": ("energy_{}_pj", COMPONENTS),
}


def layers_csv(report: Report) -> str:
    """Return one row an op, fused ones included (their figures are 0); what is not known is left empty.

    Columns are the fields of `OpRecord` in their order, mappings flattened (``stalls_weight_cycles``,
    ``dram_bytes_input``, ``energy_mac_pj``), and ``total_energy_pj``.
    """
    out = io.StringIO()
    rows = [_row(op) for op in report.ops]
    writer = csv.DictWriter(out, columns(), lineterminator="\n")
    writer.writeheader()
    writer.writerows(rows)
    return out.getvalue()


def columns() -> list[str]:
    """Return the names of the columns."""
    names: list[str] = []
    for field in fields(OpRecord):
        pattern, keys = _FLATTENED.get(field.name, (field.name, ("",)))
        names += [pattern.format(key) for key in keys]
    return [*names, "total_energy_pj"]


def _row(op: OpRecord) -> dict[str, object]:
    row: dict[str, object] = {"total_energy_pj": op.total_energy_pj}
    for field in fields(OpRecord):
        value = getattr(op, field.name)
        if field.name in _FLATTENED:
            pattern, keys = _FLATTENED[field.name]
            default = None if field.name == "alternatives" else 0
            row |= {pattern.format(key): value.get(key, default) for key in keys}
        else:
            row[field.name] = value
    return row
