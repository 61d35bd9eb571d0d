"""Core: a modelled core of `hw_models.cpus` as a target, running hand-written kernels for its instruction set."""

from __future__ import annotations

import re
from collections.abc import Iterator, Sequence
from dataclasses import replace

import networkx as nx
import numpy as np
from numpy.typing import NDArray

from codesign.comparison.job import Job, Variant
from codesign.comparison.target import Measured, Simulated
from hw_models.cpus import CpuConfig
from hw_models.cpus.layer import Core, LayerTime
from hw_models.cpus.network import PADDLE, Plans, dense_time, network_time
from hw_models.cpus.programs import matrix_vector, product
from kernels.loops.deltas import DeltaPlan
from kernels.loops.layer import SparsePlan
from kernels.loops.program import Program
from kernels.loops.update import update_program
from traces.graph import OpGraph
from traces.op import Op

#: Registers that the sums of rows that share their indices may take.
_SUMS = 16
#: Strips of rows with indices of their own, in vectors.
_STRIPS = (4, 8)


class CoreTarget:
    """A core by its config; a `Target` that cannot measure."""

    measures = False

    def __init__(self, cpu: CpuConfig) -> None:
        self.core = Core(cpu)
        self.name, self.description, self.clock_hz = cpu.name, cpu.description, cpu.clock_hz
        self.notes: tuple[str, ...] = ()
        self.lanes = cpu.core.vector_bits // 32
        # On ARM, what a public library runs: what it gains there is published, and no kernel of ours runs on it.
        self.plans = PADDLE if cpu.isa == "neon" else Plans()

    def dense(self, job: Job) -> Simulated:
        """Simulate the dense product: the faster of two orders of the loops; one vector is a row of dot products."""
        rows, width, columns = job.shape
        plan = replace(self.plans.dense, lanes=self.lanes)
        if columns < self.lanes:
            return _simulated(self.core.time(matrix_vector(rows * columns, width, self.lanes)), "dot products")
        name = f"{plan.rows}x{plan.vectors * self.lanes} tile"
        return _simulated(dense_time(self.core, job.weight, columns, plan, padded=self.plans.padded), name)

    def sparse(self, job: Job, variant: Variant) -> Simulated:
        """Simulate the product with each of a few strips, and return the fastest; or the update that skips zeros."""
        if variant.inputs is not None:
            return _simulated(self.core.time(self._update(variant, variant.inputs)), "update by columns")
        columns = job.shape[2]
        found = [
            _simulated(self.core.time(product(variant.weight, columns, plan, padded=padded)), name)
            for plan, name, padded in self._plans(variant, columns)
        ]
        return min(found, key=lambda one: one.cycles)

    def _plans(self, variant: Variant, columns: int) -> Iterator[tuple[SparsePlan | DeltaPlan, str, bool]]:
        """Yield the strips to try, each with its name and whether rows of activations are padded for it."""
        if isinstance(self.plans.sparse, DeltaPlan) and variant.form == "unstructured" and columns >= self.lanes:
            yield self.plans.sparse, f"1x{self.plans.sparse.columns} strip", False
            return
        for plan in sparse_plans(variant, self.lanes):
            yield plan, f"{plan.rows}x{plan.vectors} strip", True

    def _update(self, variant: Variant, inputs: NDArray[np.bool_]) -> Program:
        """Return the update of a state by the vector whose number of non-zeros is nearest to the mean, or by one."""
        counts = inputs.sum(axis=1)
        events = np.flatnonzero(inputs[np.argmin(np.abs(counts - counts.mean()))])
        events = events if len(events) else np.zeros(1, np.int64)
        changes = None if variant.form == "spikes" else np.ones(len(events), np.float32)
        state = np.zeros(len(variant.weight), np.float32)
        return update_program(variant.weight, state, events, changes, lanes=self.lanes)

    def others(self, graph: OpGraph, ops: Sequence[Op]) -> float:
        """Return the simulated cycles of other ops."""
        return others_cycles(self.core, graph, ops)

    def measure(self, job: Job) -> Measured | None:
        """Return None: a modelled core is not at hand."""
        return None

    def close(self) -> None:
        """Do nothing."""


def sparse_plans(variant: Variant, lanes: int) -> list[SparsePlan]:
    """Return the strips to try for a variant."""
    head, _, size = variant.form.partition(":")
    width = variant.weight.shape[1]
    if head == "unstructured":
        return [SparsePlan(vectors, lanes=lanes) for vectors in _STRIPS]
    if head in ("group", "block"):
        rows = int(size.split("x")[0])
        return [SparsePlan(max(1, _SUMS // rows), rows=rows, lanes=lanes)]
    length = -(-width // int(size)) * int(head)
    return [SparsePlan(vectors, length=length, lanes=lanes) for vectors in _STRIPS]


def others_cycles(core: Core, graph: OpGraph, ops: Sequence[Op]) -> float:
    """Return the cycles of some ops of a graph on a core, one after the other."""
    dag: nx.DiGraph[str] = nx.DiGraph()
    for op in ops:
        dag.add_node(op.name, op=op)
    return network_time(core, replace(graph, dag=dag, operands={})).cycles


def rows_together(form: str) -> int | None:
    """Return the output rows that share their indices in a pattern, None for patterns where each has its own."""
    found = re.match(r"(?:group|block):(\d+)", form)
    return int(found[1]) if found else None


def _simulated(time: LayerTime, kernel: str) -> Simulated:
    return Simulated(time.cycles, time.bound_by, time.parts, kernel)
