"""OS mesh: dense matrix products on an output-stationary mesh, against the TPU of STONNE."""

from __future__ import annotations

import csv
from collections.abc import Iterator
from pathlib import Path

from codesign.validation.anchor import Anchor, Missing
from hw_models.accelerators import load_accelerator
from hw_models.accelerators.os_mesh import OsMesh, OsMeshConfig
from traces.gemm import Gemm
from traces.op import Op
from traces.workload import Workload

_SOURCE = "STONNE (2025-06-16), its TPU, run"
_NOTE = "its write buffer pops ceil(queued / 2) outputs a cycle, a loop of its code: our write_buffer=halving"
_READS = {"weight": "N_SRAM_weight_reads", "input": "N_SRAM_input_reads", "output": "N_SRAM_psum_writes"}


def anchors(golden: Path | None) -> Iterator[Anchor | Missing]:
    """Yield the cycles and SRAM accesses of every run; all are exact, also the one with fewer ports."""
    path = None if golden is None else golden / "stonne" / "cycles.csv"
    if path is None or not path.is_file():
        yield Missing("OS mesh", "STONNE's runs (golden/stonne/cycles.csv) are not here")
        return
    for row in csv.DictReader(path.open()):
        if row["kind"] != "TPU":
            continue
        m, n, k, rows, cols, ports, lines = (
            int(row[size]) for size in ("M", "N", "K", "ms_rows", "ms_cols", "dn_bw", "rn_bw")
        )
        cost = mesh(rows, cols, ports, lines).cost(product(m, n, k))
        name = f"OS mesh {m}x{n}x{k}, run {row['id']}, {rows}x{cols}, {ports} ports"
        yield Anchor(name=f"{name}, cycles", source=_SOURCE, reference=int(row["cycles"]), ours=cost.cycles, note=_NOTE)
        theirs = sum(int(row[column]) for column in _READS.values())
        wrong = sum(abs(cost.sram_accesses[operand] - int(row[column])) for operand, column in _READS.items())
        yield Anchor(name=f"{name}, SRAM accesses", source=_SOURCE, reference=theirs, ours=theirs + wrong)


def mesh(rows: int, cols: int, distribution: int, reduction: int) -> OsMesh:
    """Return the preset with other sizes."""
    sizes = {"array.rows": rows, "array.cols": cols}
    ports = {"os_mesh.distribution_bandwidth": distribution, "os_mesh.reduction_bandwidth": reduction}
    config = load_accelerator("os-mesh", [f"{key}={value}" for key, value in {**sizes, **ports}.items()])
    assert isinstance(config, OsMeshConfig)
    return config.accelerator()


def product(m: int, n: int, k: int) -> Workload:
    """Return a dense product of (m, k) by (k, n) matrices."""
    return Workload(Op(name="gemm", kind="linear", gemm=Gemm.matmul(m, n, k), weight="w"))
