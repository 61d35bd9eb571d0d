"""Spike workloads for the tests of the spiking accelerators."""

from __future__ import annotations

from dataclasses import replace

import numpy as np

from hw_models.accelerators import load_accelerator
from hw_models.base import OpwiseConfig
from traces.bitmap import Bitmap
from traces.gemm import Gemm
from traces.op import Op
from traces.workload import Workload

SPIKING = ("prosperity", "mint", "sato", "ptb", "snn-dense", "spinalflow", "loas")


def accelerator(name: str, *settings: str):
    """Return a spiking accelerator with settings."""
    config = load_accelerator(name, settings)
    assert isinstance(config, OpwiseConfig)
    return config.accelerator()


def linear(spikes: np.ndarray, weights: np.ndarray) -> Workload:
    """Return a linear op of spikes (positions, timesteps, k), its operand time-major, and weights (n, k)."""
    positions, steps, k = spikes.shape
    gemm = replace(Gemm.matmul(positions, len(weights), k), batch=steps)
    op = Op(name="fc", kind="linear", gemm=gemm, weight="w", timesteps=steps, encoding="spikes")
    return Workload(op, weights[None], (Bitmap.of(spikes.swapaxes(0, 1), binary=True),))


def drawn(seed: int, positions: int, steps: int, k: int, n: int, density: float = 0.3, kept: float = 0.5) -> Workload:
    """Return a linear op with random spikes and weights."""
    rng = np.random.default_rng(seed)
    return linear(rng.random((positions, steps, k)) < density, rng.random((n, k)) < kept)
