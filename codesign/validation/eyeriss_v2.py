"""Eyeriss v2: its PE on layers of a real sparse MobileNet, against the Sparseloop authors' cycles."""

from __future__ import annotations

from collections.abc import Iterator
from pathlib import Path

import numpy as np
from numpy.typing import NDArray

from codesign.validation.anchor import Anchor, Missing
from hw_models.accelerators import load_accelerator
from hw_models.accelerators.eyeriss_v2 import EyerissV2, EyerissV2Config
from traces.bitmap import Bitmap
from traces.gemm import Gemm
from traces.op import Op
from traces.workload import Workload

_SOURCE = "Sparseloop's artifact (Wu et al., MICRO 2022), masks of a real sparse MobileNet-0.5, recomputed"
_CYCLES = {"L07": 1_702_140, "L13": 1_144_158, "L21": 1_677_684, "L25": 948_572}


def anchors(golden: Path | None) -> Iterator[Anchor | Missing]:
    """Yield the PE's cycles on each layer, exact; the note tells what densities alone would have given."""
    config = load_accelerator("eyeriss-v2-pe")
    assert isinstance(config, EyerissV2Config)
    for layer, reference in _CYCLES.items():
        name = f"Eyeriss v2 PE, MobileNet {layer}, cycles"
        path = None if golden is None else golden / "eyeriss_v2_pe" / f"{layer}.npz"
        if path is None or not path.is_file():
            yield Missing(name, f"the masks of the layer (golden/eyeriss_v2_pe/{layer}.npz) are not here")
            continue
        data = np.load(path)
        inputs = _mask(data["activations"], data["shape_positions_channels"])
        weights = _mask(data["weights"], data["shape_filters_channels"])
        (m, k), n = inputs.shape, len(weights)
        op = Op(name=layer, kind="linear", gemm=Gemm.matmul(m, n, k), weight=layer)
        cost = EyerissV2(config).cost(Workload(op, weights[None], (Bitmap.of(inputs),)))
        uniform = m * n * k * inputs.mean() * weights.mean()
        note = f"uniform density would give {uniform:,.0f}, {100 * (uniform / reference - 1):+.1f} %"
        yield Anchor(name=name, source=_SOURCE, reference=reference, ours=cost.cycles, note=note)


def _mask(packed: NDArray[np.uint8], shape: NDArray[np.int64]) -> NDArray[np.bool_]:
    rows, cols = (int(size) for size in shape)
    return np.unpackbits(packed, count=rows * cols).view(np.bool_).reshape(rows, cols)
