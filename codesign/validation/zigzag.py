"""ZigZag: ResNet-18 on a TPU-like array, mapped and timed by its analytical model, against ours.

Its other figure, a GEMM of 128^3 on 8x8x8 PEs (8,191 cycles), has no counterpart: no systolic array here adds up eight
products within a cycle.
"""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import replace
from pathlib import Path

from codesign.simulation import simulate
from codesign.validation.anchor import Anchor, Missing
from traces.load import load_model

_SOURCE = "ZigZag 3.9, run on its own ResNet-18 and tpu_like (63 s); ours on the preset tpu-like"
_CYCLES = 4_106_119
_BAND = 0.25
_NOTE = (
    "a trend, no equality: tiles, double buffering and ops without weights are modelled in different ways; the sources"
    " in the preset say what is equal and what differs"
)


def anchors(golden: Path | None) -> Iterator[Anchor | Missing]:
    """Yield ResNet-18's cycles with weights stationary, as ZigZag's array is, and with any dataflow."""
    # Cycles of dense layers do not depend on data, so the model is not run.
    graph = replace(load_model("zoo:resnet18"), program=None)
    for dataflow in ("ws", "auto"):
        cycles = simulate(graph, "tpu-like", dataflow=dataflow).total_cycles
        yield Anchor(
            name=f"ResNet-18 on tpu-like, {dataflow}: cycles",
            source=_SOURCE,
            reference=_CYCLES,
            ours=cycles,
            band=_BAND,
            note=_NOTE,
        )
