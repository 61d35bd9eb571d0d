"""OpGraph: a traced model as a networkx graph of ops, with its weights and the zeros of its activations."""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from dataclasses import dataclass, field, replace
from typing import TYPE_CHECKING

import networkx as nx
import numpy as np
from numpy.typing import NDArray

from traces.bitmap import Bitmap
from traces.op import Op

if TYPE_CHECKING:
    from traces.frontend.program import Program


@dataclass(frozen=True, eq=False)
class OpGraph:
    """Ops and the order they depend on; treat it as immutable and use the ``with_`` methods.

    Attributes
    ----------
    name
        The model's name.
    dag
        Nodes are op names with the attribute ``op``; an edge runs from a producer to its consumer. Nodes
        were inserted in program order.
    weights
        Operand W of each weight key as float32 of shape (groups, n, k), k in the order of `Gemm`.
    patterns
        Pattern string by op name, for ops whose weights were sparsified or declared sparse (``2:4``).
    operands
        By op name, the bitmaps of its activation operands (I, and for attention W) in the program's own
        layout, from `traces.capture`; empty before.
    program
        The executable torch program behind the graph; None for topology tables and shape-only models.
    """

    name: str
    dag: nx.DiGraph[str]
    weights: Mapping[str, NDArray[np.float32]] = field(default_factory=dict)
    patterns: Mapping[str, str] = field(default_factory=dict)
    operands: Mapping[str, tuple[Bitmap, ...]] = field(default_factory=dict)
    program: Program | None = None

    @classmethod
    def of(
        cls,
        name: str,
        ops: list[Op],
        edges: list[tuple[str, str]],
        *,
        weights: Mapping[str, NDArray[np.float32]] | None = None,
        program: Program | None = None,
    ) -> OpGraph:
        """Build a graph from ops in program order and (producer, consumer) pairs of names."""
        dag: nx.DiGraph[str] = nx.DiGraph()
        for op in ops:
            if op.name in dag:
                raise ValueError(f"two ops are named {op.name}")
            dag.add_node(op.name, op=op)
        dag.add_edges_from(edges)
        declared = {op.name: op.declared for op in ops if op.declared}
        return cls(name, dag, weights or {}, declared, {}, program)

    def __iter__(self) -> Iterator[Op]:
        """Yield the ops in program order."""
        return (self[name] for name in self.dag)

    def __len__(self) -> int:
        return len(self.dag)

    def __getitem__(self, name: str) -> Op:
        op: Op = self.dag.nodes[name]["op"]
        return op

    def producers(self, name: str) -> list[str]:
        """Names of the ops whose outputs this op reads."""
        return list(self.dag.predecessors(name))

    def consumers(self, name: str) -> list[str]:
        """Names of the ops that read this op's output."""
        return list(self.dag.successors(name))

    @property
    def macs(self) -> int:
        """Dense multiply-accumulates of the whole graph."""
        return sum(op.macs for op in self)

    def with_weights(self, weights: Mapping[str, NDArray[np.float32]], patterns: Mapping[str, str]) -> OpGraph:
        """Return the graph with these weights and patterns; captured operands are dropped: they may change."""
        return replace(self, weights={**self.weights, **weights}, patterns={**self.patterns, **patterns}, operands={})

    def with_operands(self, operands: Mapping[str, tuple[Bitmap, ...]]) -> OpGraph:
        """Return the graph with captured operand bitmaps."""
        return replace(self, operands=dict(operands))

    def __repr__(self) -> str:
        arrays = sum(op.gemm is not None for op in self)
        return (
            f"OpGraph({self.name}: {len(self)} ops, {arrays} on the MAC array, {self.macs:,} MACs,"
            f" {len(self.weights)} weight tensors, {'real' if self.operands else 'no'} activations)"
        )
