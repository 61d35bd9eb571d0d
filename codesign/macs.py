"""Macs: which of an op's multiply-accumulates are effectual, skipped and gated."""

from __future__ import annotations

from dataclasses import dataclass
from weakref import WeakKeyDictionary

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
    declared = graph.patterns.get(op.name)
    effectual, weight_density = _zeros(graph, op)
    if weight_density is None and op.weight:
        weight_density = 1.0
        if declared is not None:
            weight_density = parse_pattern(declared).density
            effectual = min(issued, round(effectual * weight_density))
    if op.weight is None and len(operands) > 1:
        weight_density = operands[1].density
    input_density = operands[0].density if operands else None
    return Macs(gemm.macs, effectual, gemm.macs - issued, issued - effectual, weight_density, input_density)


#: What `_zeros` has counted, by graph: it takes as long as all else of a simulation, and no accelerator changes it.
_counted: WeakKeyDictionary[OpGraph, dict[str, tuple[int, float | None]]] = WeakKeyDictionary()


def _zeros(graph: OpGraph, op: Op) -> tuple[int, float | None]:
    """Return the MACs of an op with two operands that are not zero, and the density of W if its values are known."""
    known = _counted.setdefault(graph, {})
    if op.name not in known:
        weights = graph.weights.get(op.weight or "")
        nonzero = None if weights is None else weights != 0
        density = None if nonzero is None else float(np.count_nonzero(nonzero) / nonzero.size)
        known[op.name] = effectual_macs(op, nonzero, graph.operands.get(op.name, ())), density
    return known[op.name]
