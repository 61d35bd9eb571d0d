"""Plans: which tiles and strips are worth trying in which engine; found by experiment, the fastest is chosen by timing.

V8 takes 15 of its 16 vector registers for a tile of 6 x 8, and a load-and-splat is one instruction. Cranelift, the
compiler of wasmtime, issues all loads of a block first and overwrites a factor of a fused multiply-add instead of its
sum: it wants fewer registers in use, and weights that are loaded four at a time.
"""

from __future__ import annotations

import re
from dataclasses import dataclass

from kernels.arrays import KernelError
from kernels.loops.layer import DensePlan, Layer, Plan, SparsePlan


@dataclass(frozen=True, slots=True)
class WasmPlan:
    """How a layer is computed in WebAssembly.

    Attributes
    ----------
    plan
        The tile or strip.
    fused
        Whether multiply-adds are one operator of relaxed SIMD.
    """

    plan: Plan
    fused: bool


DENSE = {
    "wasmtime": (
        WasmPlan(DensePlan(8, 1, shuffle=True, unroll=2), fused=True),
        WasmPlan(DensePlan(4, 2, shuffle=True), fused=True),
        WasmPlan(DensePlan(3, 3, shuffle=True), fused=True),
        WasmPlan(DensePlan(6, 2, shuffle=True, unroll=2), fused=True),
        WasmPlan(DensePlan(5, 2, shuffle=True), fused=False),
    ),
    "v8": (
        WasmPlan(DensePlan(6, 2), fused=True),
        WasmPlan(DensePlan(5, 2), fused=True),
        WasmPlan(DensePlan(5, 2, shuffle=True), fused=True),
        WasmPlan(DensePlan(4, 2), fused=True),
        WasmPlan(DensePlan(3, 3), fused=True),
        WasmPlan(DensePlan(5, 2), fused=False),
    ),
}
"""Dense tiles by engine."""

STRIPS = {
    "wasmtime": ((4, 1), (4, 4), (7, 1), (7, 2), (8, 1), (8, 2), (10, 1), (12, 1)),
    "v8": ((4, 1), (4, 4), (7, 1), (7, 2), (8, 1), (8, 2), (10, 1), (12, 1), (13, 1)),
}
"""Vectors of a piece, and pieces of a strip, for rows with indices of their own."""

GROUP_PIECES = (1, 8)
"""Pieces of a strip for rows that share their indices."""

GROUP_ROWS = (4, 2)
"""Rows that share their indices and are taken together: a larger group is several, each with the indices again."""

GROUP_REGISTERS = 8
"""Vector registers for the sums of rows that share their indices; the rest holds inputs and weights."""

BLOCK = 128
"""Inputs of a block of the reduction: of 16 columns each, 8 KiB."""


def plans(engine: str, pattern: str, layer: Layer, fused: bool = True) -> list[WasmPlan]:
    """Return the plans to try for a layer.

    Parameters
    ----------
    engine
        ``wasmtime`` or ``v8``.
    pattern
        ``dense``, ``unstructured``, ``group:R`` (R output rows share their indices) or ``N:M``.
    layer
        What is computed.
    fused
        Whether the engine has relaxed SIMD; without, no plan uses it.

    Raises
    ------
    KernelError
        If the pattern is none of these.
    """
    if pattern == "dense":
        found = list(DENSE[engine])
    else:
        found = [WasmPlan(plan, fused=True) for plan in _sparse(engine, pattern, layer.weight.shape[1])]
        if engine == "wasmtime":
            found += [WasmPlan(one.plan, fused=False) for one in found if one.plan.vectors == 4]
    return list(dict.fromkeys(WasmPlan(one.plan, one.fused and fused) for one in found))


def _sparse(engine: str, pattern: str, inputs: int) -> list[SparsePlan]:
    """Return strips for a sparse pattern."""
    blocks = (None, BLOCK) if inputs > BLOCK else (None,)
    match = re.fullmatch(r"(group|[1-9]\d*):([1-9]\d*)", pattern)
    if pattern == "unstructured":
        strips = [
            SparsePlan(vectors, block=block, pieces=pieces) for vectors, pieces in STRIPS[engine] for block in blocks
        ]
        return strips + [SparsePlan(4, block=block, unroll=2) for block in blocks]
    if match is None:
        raise KernelError(f"a pattern must be dense, unstructured, group:R or N:M, not {pattern!r}")
    head, size = match[1], int(match[2])
    if head != "group":
        length = -(-inputs // size) * int(head)
        return [SparsePlan(vectors, length=length, pieces=pieces) for vectors, pieces in STRIPS[engine]]
    together = [rows for rows in GROUP_ROWS if size % rows == 0] or [size]
    return [
        SparsePlan(max(1, GROUP_REGISTERS // rows), rows=rows, block=block, shuffle=shuffle, pieces=pieces)
        for rows in together
        for pieces in GROUP_PIECES
        for block in blocks
        for shuffle in ((True,) if engine == "wasmtime" else (True, False))
    ]
