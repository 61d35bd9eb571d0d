"""Batch: the same model on more samples at a time, from the shapes alone."""

from __future__ import annotations

from dataclasses import replace

from traces.errors import InputError
from traces.graph import OpGraph
from traces.op import Op
from traces.vector import VectorWork


def with_batch(graph: OpGraph, batch: int) -> OpGraph:
    """Return the graph as if its inputs were ``batch`` times as many samples.

    Products with a parameter get so many times the rows, products of two activations (attention) so many times
    the groups, and vector ops so many times the elements. Weights and patterns stay; captured operands and the
    program are dropped, as both are of the traced batch.

    Raises
    ------
    InputError
        If ``batch`` is not a whole number of at least 1.
    """
    if not isinstance(batch, int) or isinstance(batch, bool) or batch < 1:
        raise InputError.must("batch", "a whole number of at least 1", batch)
    if batch == 1:
        return graph
    ops = [_repeated(op, batch) for op in graph]
    fresh = OpGraph.of(graph.name, ops, list(graph.dag.edges))
    return fresh.with_weights(graph.weights, graph.patterns)


def _repeated(op: Op, batch: int) -> Op:
    gemm, vector = op.gemm, op.vector
    if gemm is not None:
        rows = op.weight is not None
        gemm = replace(gemm, batch=gemm.batch * batch) if rows else replace(gemm, groups=gemm.groups * batch)
    if vector is not None:
        vector = VectorWork(
            elements_in=vector.elements_in * batch,
            elements_out=vector.elements_out * batch,
            lane_ops=vector.lane_ops * batch,
        )
    return replace(
        op,
        gemm=gemm,
        vector=vector,
        addend_elements=op.addend_elements * batch,
        gate_lane_ops=op.gate_lane_ops * batch,
        input_values=(),
        output_value="",
    )
