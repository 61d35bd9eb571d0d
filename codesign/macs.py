"""Macs: which of an op's multiply-accumulates are effectual, skipped and gated."""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np

from codesign.patterns import parse_pattern
from hw_models.systolic.tiling import Nest, reduction
from traces.effectual import effectual_macs
from traces.graph import OpGraph
from traces.op import Op


@dataclass(frozen=True, slots=True)
class Macs:
    """``dense = effectual + skipped + gated``: both operands non-zero; never issued; issued with a zero operand."""

    dense: int
    effectual: int
    skipped: int
    gated: int
    weight_density: float | None
    input_density: float | None


def count_macs(graph: OpGraph, op: Op, run: Nest) -> Macs:
    """Return the MACs of an array op that runs with this nest.

    Zeros are counted exactly where weights and captured activations are known. A pattern that is only declared
    leaves its nominal share of the weights; activations that were not captured count as dense.
    """
    gemm = op.gemm
    assert gemm is not None
    issued = gemm.groups * gemm.m * gemm.n * reduction(run, run.channels)
    operands = graph.operands.get(op.name, ())
    weights = graph.weights.get(op.weight or "")
    declared = graph.patterns.get(op.name)
    if weights is not None:
        nonzero = weights != 0
        effectual = effectual_macs(op, nonzero, operands)
        weight_density: float | None = float(np.count_nonzero(nonzero) / nonzero.size)
    else:
        effectual = effectual_macs(op, None, operands)
        weight_density = 1.0 if op.weight else None
        if declared is not None:
            weight_density = parse_pattern(declared).density
            effectual = min(issued, round(effectual * weight_density))
    if op.weight is None and len(operands) > 1:
        weight_density = operands[1].density
    input_density = operands[0].density if operands else None
    return Macs(gemm.macs, effectual, gemm.macs - issued, issued - effectual, weight_density, input_density)
