"""Spiking: Prosperity's own figures of LeNet-5, and its baselines by their formulas, on the same real spikes."""

from __future__ import annotations

import json
from collections.abc import Iterator
from dataclasses import dataclass, replace
from pathlib import Path

import numpy as np
from numpy.typing import NDArray

from codesign.validation.anchor import Anchor, Missing
from hw_models.accelerators import load_accelerator
from hw_models.accelerators.prosperity import ProsperityConfig, product_sparsity
from hw_models.accelerators.spikes import SpikeMatrix
from hw_models.base import OpwiseConfig
from traces.bitmap import Bitmap
from traces.gemm import Gemm
from traces.op import Op
from traces.workload import Workload

_SOURCE = "data file of the Prosperity authors (HPCA 2025), recomputed"
_FORMULAS = "formulas of the Prosperity authors (HPCA 2025), plain loops over the same spikes"

#: Over LeNet-5's linear layers: share of spikes, share of spikes left by product sparsity.
_BIT_DENSITY, _PRODUCT_DENSITY = 0.2536399466, 0.0156137872


@dataclass(frozen=True, eq=False)
class Layer:
    """One layer of the data file.

    Attributes
    ----------
    name, n, product_nonzeros, exact_rows, compute_cycles
        As the file has them.
    spikes
        Booleans of shape (positions, timesteps, k).
    """

    name: str
    n: int
    spikes: NDArray[np.bool_]
    product_nonzeros: int
    exact_rows: int
    compute_cycles: int

    def workload(self) -> Workload:
        """Return the layer with dense weights, its operand time-major as in a traced model."""
        positions, steps, k = self.spikes.shape
        gemm = replace(Gemm.matmul(positions, self.n, k), batch=steps)
        op = Op(name=self.name, kind="linear", gemm=gemm, weight=self.name, timesteps=steps, encoding="spikes")
        weights = np.ones((1, self.n, k), np.bool_)
        return Workload(op, weights, (Bitmap.of(self.spikes.swapaxes(0, 1), binary=True),))


def lenet5(golden: Path) -> list[Layer]:
    """Return the linear layers of LeNet-5 from ``golden/prosperity``; rows there are (position, timestep)."""
    folder, layers = golden / "prosperity", []
    with np.load(folder / "lenet5.npz") as packed:
        for row in json.loads((folder / "lenet5.json").read_text()):
            m, k, steps = row["M"], row["K"], row["time_steps"]
            spikes = np.unpackbits(packed[row["layer"]], count=m * k).view(np.bool_).reshape(m // steps, steps, k)
            counts = (row["product_nnz"], row["exact_match_rows"], row["compute_cycles"])
            layers.append(Layer(row["layer"], row["N"], spikes, *counts))
    return layers


def anchors(golden: Path | None) -> Iterator[Anchor | Missing]:
    """Yield Prosperity's densities and cycles, and the cycles of four baselines; all are exact."""
    if golden is None or not (golden / "prosperity" / "lenet5.npz").is_file():
        yield Missing("Prosperity LeNet-5", "its spikes (golden/prosperity) are not here")
        return
    layers = lenet5(golden)
    config = load_accelerator("prosperity")
    assert isinstance(config, ProsperityConfig)
    section = config.prosperity
    found = [product_sparsity(SpikeMatrix.of(x.spikes), section.tile_rows, section.tile_cols) for x in layers]
    elements = sum(layer.spikes.size for layer in layers)
    bits = sum(int(np.count_nonzero(layer.spikes)) for layer in layers) / elements
    rests = sum(int(tiles.rest.sum()) for tiles in found) / elements
    name = "Prosperity, LeNet-5"
    yield Anchor(name=f"{name}: density of spikes", source=_SOURCE, reference=_BIT_DENSITY, ours=round(bits, 10))
    yield Anchor(name=f"{name}: density left", source=_SOURCE, reference=_PRODUCT_DENSITY, ours=round(rests, 10))
    for layer, tiles in zip(layers, found, strict=True):
        for what, theirs, ours in (
            ("spikes left", layer.product_nonzeros, tiles.rest),
            ("rows equal to their prefix", layer.exact_rows, tiles.exact),
        ):
            total = int(ours.sum())
            yield Anchor(name=f"{name} {layer.name}: {what}", source=_SOURCE, reference=theirs, ours=total)
    cycles = [_cycles(config, layer) for layer in layers]
    for layer, took in zip(layers, cycles, strict=True):
        yield Anchor(name=f"{name} {layer.name}: cycles", source=_SOURCE, reference=layer.compute_cycles, ours=took)
    yield Anchor(name=f"{name}: cycles", source=_SOURCE, reference=38_651, ours=sum(cycles))
    for kind, formula in (("snn-dense", _dense), ("mint", _mint), ("sato", _sato), ("spinalflow", _mint)):
        baseline = load_accelerator(kind)
        yield Anchor(
            name=f"{kind} on the spikes of LeNet-5: cycles",
            source=_FORMULAS,
            reference=sum(formula(layer) for layer in layers),
            ours=sum(_cycles(baseline, layer) for layer in layers),
        )


def _cycles(config: object, layer: Layer) -> int:
    assert isinstance(config, OpwiseConfig)
    return config.accelerator().cost(layer.workload()).cycles


def _dense(layer: Layer) -> int:
    positions, steps, k = (int(size) for size in layer.spikes.shape)
    return -(-layer.n // 12) * (k * positions * steps // 14) + steps // 12 * positions * layer.n // 14


def _mint(layer: Layer) -> int:
    """One spike a cycle into 128 outputs; SpinalFlow's count is the same, in another order."""
    return int(np.count_nonzero(layer.spikes)) * -(-layer.n // 128)


def _sato(layer: Layer) -> int:
    busy = [0] * 128
    rows: list[int] = layer.spikes.reshape(-1, layer.spikes.shape[2]).sum(axis=1).tolist()
    for spikes in rows:
        busy[busy.index(min(busy))] += spikes
    return max(busy) * layer.n
