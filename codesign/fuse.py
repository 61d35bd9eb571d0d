"""Fuse: elementwise ops that can be done on another op's output on its way out."""

from __future__ import annotations

from typing import NamedTuple

from traces.graph import OpGraph
from traces.op import ELEMENTWISE_KINDS, Op


class Chain(NamedTuple):
    """An op, the elementwise ops fused onto it, and the indices of the chains whose outputs it reads."""

    op: Op
    fused: tuple[Op, ...]
    after: tuple[int, ...]

    @property
    def lane_ops(self) -> int:
        """Vector work of the chain outside of gates."""
        return sum(op.vector.lane_ops for op in (self.op, *self.fused) if op.vector)


def fuse(graph: OpGraph) -> list[Chain]:
    """Return the ops of a graph in program order, elementwise ones on a producer that has no other consumer."""
    chains: dict[str, list[Op]] = {}
    head: dict[str, str] = {}
    for op in graph:
        producers = graph.producers(op.name)
        if op.kind in ELEMENTWISE_KINDS and len(producers) == 1 and graph.consumers(producers[0]) == [op.name]:
            head[op.name] = head[producers[0]]
            chains[head[op.name]].append(op)
        else:
            head[op.name] = op.name
            chains[op.name] = [op]
    number = {name: i for i, name in enumerate(chains)}
    return [
        Chain(op, tuple(fused), tuple(sorted({number[head[name]] for name in graph.producers(op.name)})))
        for op, *fused in chains.values()
    ]
