"""Zeros: products that skip inputs which did not change, or did not spike, as jobs."""

from __future__ import annotations

from codesign.comparison.job import Job, Variant
from codesign.rules import weighted
from traces.errors import InputError
from traces.graph import OpGraph
from traces.op import Op
from traces.workload import Workload

#: Kinds of ops that multiply one vector after the other.
_VECTORS = ("linear", "recurrent")


def encoded(graph: OpGraph) -> bool:
    """Tell whether a graph was captured on a sequence of changes or spikes."""
    return any(op.encoding for op in graph)


def zero_jobs(graph: OpGraph) -> tuple[list[Job], list[Op], list[str]]:
    """Return a job for each layer that is fed by changes or spikes, one vector at a time; other ops; those left out.

    Which inputs are zero is what was captured, vector by vector.

    Raises
    ------
    InputError
        If no layer has a kernel that skips zero inputs.
    """
    jobs: list[Job] = []
    without: list[str] = []
    for op, key, gemm in weighted(graph):
        if not op.encoding:
            continue
        if op.kind not in _VECTORS or gemm.groups > 1 or key not in graph.weights:
            without.append(op.name)
            continue
        nonzero = Workload(op, operands=tuple(graph.operands.get(op.name, ()))).inputs(0)
        zeros = 1 - float(nonzero.mean())
        weight = graph.weights[key][0]
        variant = Variant(op.encoding, op.encoding, zeros, weight, nonzero)
        jobs.append(Job((op.name,), (gemm.n, gemm.k, 1), None, weight, (variant,), gemm.m))
    if not jobs:
        rule = "one with linear or recurrent layers fed by changes or spikes, which have kernels that skip zero inputs"
        raise InputError.must("MODEL", rule, graph.name)
    names = {name for job in jobs for name in job.layers}
    return jobs, [op for op in graph if op.name not in names], without
