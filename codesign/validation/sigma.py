"""SIGMA: flexible sparse matrix products, against STONNE's cycles."""

from __future__ import annotations

import csv
from collections.abc import Iterator
from pathlib import Path

import numpy as np

from codesign.validation.anchor import Anchor, Missing
from hw_models.accelerators import load_accelerator
from hw_models.accelerators.sigma import Sigma, SigmaConfig
from traces.gemm import Gemm
from traces.op import Op
from traces.workload import Bools, Workload

_SOURCE = "STONNE (2025-06-16), SparseGEMM, run"
_NOTE = "its write buffer pops ceil(queued / 2) outputs a cycle, a loop of its code: our write_buffer=halving"


def anchors(golden: Path | None) -> Iterator[Anchor | Missing]:
    """Yield the cycles and the stationary reads of every run; all are exact, also those with fewer ports."""
    folder = None if golden is None else golden / "stonne"
    if folder is None or not (folder / "cycles.csv").is_file() or not (folder / "stationary_bitmaps.npz").is_file():
        yield Missing("SIGMA", "STONNE's runs and bitmaps (golden/stonne) are not here")
        return
    bitmaps = np.load(folder / "stationary_bitmaps.npz")
    for row in csv.DictReader((folder / "cycles.csv").open()):
        if row["kind"] != "SparseGEMM":
            continue
        m, n, k = (int(row[size]) for size in "MNK")
        stays, columns = (m, n) if row["dataflow"] == "MK_STA_KN_STR" else (n, m)
        bitmap = np.unpackbits(bitmaps[row["id"]], count=stays * k).view(np.bool_).reshape(stays, k)
        sizes = tuple(int(row[size]) for size in ("num_ms", "dn_bw", "rn_bw"))
        cost = engine(*sizes).cost(product(bitmap, columns))
        name = f"SIGMA {m}x{n}x{k}, run {row['id']}, {' / '.join(map(str, sizes))} multipliers / ports / lines"
        yield Anchor(name=f"{name}, cycles", source=_SOURCE, reference=int(row["cycles"]), ours=cost.cycles, note=_NOTE)
        reads = int(row["N_SRAM_weight_reads"])
        yield Anchor(
            name=f"{name}, stationary reads", source=_SOURCE, reference=reads, ours=cost.sram_accesses["weight"]
        )


def engine(multipliers: int, distribution: int, reduction: int) -> Sigma:
    """Return the preset with other sizes, W stationary."""
    sizes = {"array.rows": 1, "array.cols": multipliers, "sigma.stationary": "weights"}
    ports = {"sigma.distribution_bandwidth": distribution, "sigma.reduction_bandwidth": reduction}
    config = load_accelerator("sigma", [f"{key}={value}" for key, value in {**sizes, **ports}.items()])
    assert isinstance(config, SigmaConfig)
    return config.accelerator()


def product(bitmap: Bools, columns: int) -> Workload:
    """Return the product of a stationary W, (n, k), with so many dense vectors."""
    n, k = bitmap.shape
    return Workload(Op(name="gemm", kind="linear", gemm=Gemm.matmul(columns, n, k), weight="w"), bitmap[None])
