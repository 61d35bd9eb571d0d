"""EIE: one real fully connected layer on 64 PEs, against the authors' simulator."""

from __future__ import annotations

from collections.abc import Iterator
from pathlib import Path

import numpy as np

from codesign.validation.anchor import Anchor, Missing
from hw_models.accelerators.eie import run_products

_SOURCE = "simulator of EIE's authors (Han et al., ISCA 2016), run on its own FC layer"
_BAND = 0.005
_CYCLES = {8: 7926, 16: 7794, 64: 7794}
_LINE_READS = {32: 158_921, 64: 100_900, 128: 60_396}
_ENTRY_BITS = 8
_CLOCK_HZ = 800e6


def anchors(golden: Path | None) -> Iterator[Anchor | Missing]:
    """Yield cycles by queue depth, efficiency and time at depth 8, and line reads by width of the matrix SRAM."""
    path = None if golden is None else golden / "eie" / "fc_layer.npz"
    if path is None or not path.is_file():
        yield Missing("EIE", "the data of its layer (golden/eie/fc_layer.npz) are not here")
        return
    data = np.load(path)
    entries = data["entries_per_column_and_pe"].astype(np.int32)
    active = np.ones((1, len(entries)), np.bool_)  # the last column is the bias
    active[0, :-1] = np.unpackbits(data["activation_nonzero"], count=len(entries) - 1)
    for depth, reference in _CYCLES.items():
        run = run_products(active, entries, depth, 64 // _ENTRY_BITS)
        name = f"EIE FC layer, queue depth {depth}"
        yield Anchor(name=f"{name}, cycles", source=_SOURCE, reference=reference, ours=run.cycles, band=_BAND)
        if depth == 8:
            efficiency = run.entries / entries.shape[1] / run.cycles
            yield Anchor(name=f"{name}, efficiency", source=_SOURCE, reference=0.894501, ours=efficiency, band=_BAND)
            us = run.cycles / _CLOCK_HZ * 1e6
            yield Anchor(name=f"{name}, us at 800 MHz", source=_SOURCE, reference=9.91, ours=us, band=_BAND)
    for bits, reference in _LINE_READS.items():
        run = run_products(active, entries, 8, bits // _ENTRY_BITS)
        name = f"EIE FC layer, reads of the matrix SRAM, {bits} bit wide"
        yield Anchor(name=name, source=_SOURCE, reference=reference, ours=run.line_reads, band=_BAND)
