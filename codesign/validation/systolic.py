"""Systolic: SCALE-Sim's cycles and SRAM accesses, layer by layer, summed by topology, dataflow and array."""

from __future__ import annotations

import csv
from collections.abc import Iterator
from pathlib import Path

from codesign.report.record import OpRecord
from codesign.simulation import simulate
from codesign.validation.anchor import Anchor, Missing
from traces.gemm import Gemm
from traces.graph import OpGraph
from traces.op import Op

_SOURCE = "SCALE-Sim 3.0.0, run in stall-free mode"
_TABLES = ("dense.csv", "nm_layerwise.csv")


def anchors(golden: Path | None) -> Iterator[Anchor | Missing]:
    """Yield one anchor for the cycles and one for the SRAM accesses of each run of the tables; all are exact.

    SCALE-Sim reports the index of the last cycle of a layer, so its figures are taken plus one. Left out are its O
    writes under os (it adds rows + columns a fold) and its I reads of N:M weights under ws (it multiplies by M/N).
    """
    if golden is None or not (golden / "scalesim").is_dir():
        yield Missing("SCALE-Sim", "its tables (golden/scalesim) are not here")
        return
    for table in _TABLES:
        runs: dict[str, list[dict[str, str]]] = {}
        for row in csv.DictReader((golden / "scalesim" / table).open()):
            key = f"{Path(row['topology']).stem}, {row['dataflow']} {row['array_rows']}x{row['array_cols']}"
            runs.setdefault(key, []).append(row)
        for name, rows in runs.items():
            yield from _run(f"{name}, {len(rows)} layers" + (", N:M" if rows[0]["nm_ratio"] else ""), rows)


def _run(name: str, rows: list[dict[str, str]]) -> Iterator[Anchor]:
    """Compare one run of SCALE-Sim; a mismatch of any single layer shows in the sum of absolute differences."""
    cycles = accesses = wrong_cycles = wrong_accesses = 0
    for row in rows:
        record = _simulate(row)
        theirs = int(row["compute_cycles"]) + 1
        cycles += theirs
        wrong_cycles += abs(record.cycles - theirs)
        counts = {"input": float(row["sram_ifmap_reads"]), "weight": float(row["sram_filter_reads"])}
        counts["output"] = float(row["sram_ofmap_writes"])
        if row["dataflow"] == "os":
            del counts["output"]
        if row["nm_ratio"] and row["dataflow"] == "ws":
            del counts["input"]
        accesses += round(sum(counts.values()))
        wrong_accesses += round(sum(abs(record.sram_accesses[operand] - count) for operand, count in counts.items()))
    yield Anchor(name=f"{name}: cycles", source=_SOURCE, reference=cycles, ours=cycles + wrong_cycles)
    yield Anchor(name=f"{name}: SRAM accesses", source=_SOURCE, reference=accesses, ours=accesses + wrong_accesses)


def _simulate(row: dict[str, str]) -> OpRecord:
    m, n, k = (int(row[key]) for key in ("M", "N", "K"))
    op = Op(name="gemm", kind="linear", gemm=Gemm.matmul(m, n, k), weight="w", declared=row["nm_ratio"] or None)
    settings = ["memory.ideal=true", f"array.rows={row['array_rows']}", f"array.cols={row['array_cols']}"]
    graph = OpGraph.of("gemm", [op], [])
    return simulate(graph, "systolic-32x32-nm", dataflow=row["dataflow"], settings=settings).ops[0]
