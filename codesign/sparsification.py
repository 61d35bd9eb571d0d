"""Sparsify: give the ops of a graph a sparsity pattern, and mask their weights by it."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray

from codesign.patterns import Dense, Pattern, parse_pattern
from codesign.rules import assign, weighted
from traces.errors import InputError
from traces.gemm import Gemm
from traces.graph import OpGraph


def sparsify(graph: OpGraph, pattern: str | Pattern, *, rules: Mapping[str, str | Pattern] | None = None) -> OpGraph:
    """Return the graph with its weights masked by magnitude; the given graph is untouched.

    Which op gets which pattern is decided by `codesign.rules.assign`: by default all with weights but the
    first convolution, depthwise convolutions and the classifier. Weights that several ops share are masked
    once. Where weights are not in memory (meta tensors, topology tables) the pattern is only declared.

    Dense leaves an op as it is, zeros and declared pattern included. So does a pattern that finds nothing to
    remove, such as 2:4 over one or two input channels or a block larger than the matrix; a reduction shorter
    than M is masked as one short group where it is longer than N.

    Parameters
    ----------
    graph
        The traced model.
    pattern
        A pattern or its text: ``2:4``, ``unstructured:0.9``, ``group:4:0.7``, ``block:4x4:0.5``, ``dense``.
    rules
        Selector (op name, glob, ``kind:KIND``, ``first_conv``, ``classifier``) to pattern; the last that
        selects an op decides.

    Returns
    -------
    OpGraph
        With masked weights, ``patterns`` by op name, and no captured operands.

    Raises
    ------
    InputError
        If a pattern cannot be read, a rule selects no op, ops that share weights get different patterns,
        weights are not finite, or nothing at all would change though a sparse pattern was asked for.
    """
    everywhere = parse_pattern(pattern)
    chosen = assign(graph, everywhere, rules)
    patterns: dict[str, str] = {}
    weights: dict[str, NDArray[np.float32]] = {}
    shared: dict[str, tuple[str, Pattern]] = {}
    for op, key, gemm in weighted(graph):
        wanted = chosen.get(op.name, Dense())
        other, expected = shared.setdefault(key, (op.name, wanted))
        if wanted != expected:
            rule = f"{expected}, as of {other}, whose weights it shares"
            raise InputError.must(f"the pattern of {op.name}", rule, str(wanted))
        if wanted.removes(_shape(gemm), gemm.channels):
            patterns[op.name] = str(wanted)
            if key in graph.weights and key not in weights:
                weights[key] = _masked(op.name, graph.weights[key], wanted, gemm.channels)
    if not patterns and any(found.density < 1 for found in (everywhere, *chosen.values())):
        rule = f"one that removes weights somewhere in {graph.name}"
        hint = "give a rule for ops that stay dense by default: --rule '*=2:4', or rules={'*': '2:4'} in Python"
        raise InputError.must("pattern", rule, str(everywhere), hint)
    return graph.with_weights(weights, patterns)


@dataclass(frozen=True, slots=True)
class SparsityRow:
    """One op of `sparsity_summary`.

    Attributes
    ----------
    op
        Name of the op.
    pattern
        Text of its pattern, ``dense`` if it has none.
    density
        Share of its weights that is not zero; where they are not in memory, what the pattern nominally keeps.
    weight_elements
        Elements of W, zeros included.
    nonzeros
        Elements of W that are not zero; None where they are not in memory.
    metadata_bits
        Bits that say what the pattern keeps, in its packed format.
    """

    op: str
    pattern: str
    density: float
    weight_elements: int
    nonzeros: int | None
    metadata_bits: int


def sparsity_summary(graph: OpGraph) -> list[SparsityRow]:
    """Return one row for each op that has weights, in program order."""
    return [_row(graph, op.name, key, gemm) for op, key, gemm in weighted(graph)]


def _row(graph: OpGraph, name: str, key: str, gemm: Gemm) -> SparsityRow:
    pattern = parse_pattern(graph.patterns.get(name, "dense"))
    weights = graph.weights.get(key)
    nonzeros = None if weights is None else int(np.count_nonzero(weights))
    return SparsityRow(
        op=name,
        pattern=str(pattern),
        density=pattern.density if nonzeros is None else nonzeros / gemm.weight_elements,
        weight_elements=gemm.weight_elements,
        nonzeros=nonzeros,
        metadata_bits=pattern.metadata_bits(_shape(gemm), gemm.channels),
    )


def _shape(gemm: Gemm) -> tuple[int, int, int]:
    """Shape (groups, n, k) of operand W."""
    return gemm.groups, gemm.n, gemm.k


def _masked(name: str, weights: NDArray[np.float32], pattern: Pattern, run: int) -> NDArray[np.float32]:
    try:
        mask = pattern.mask(weights, run)
    except InputError as error:
        raise InputError(f"{name}: {error}") from None
    return np.where(mask, weights, np.float32(0))
