"""Temporal: the copies of each op that a time loop in ``forward`` leaves behind, folded into one op of many steps.

Export unrolls a loop over time: T copies of every layer, with one weight. Hardware that knows of time sees one layer
with T times the rows, whose weights are fetched once. Folding finds the copies and merges them:

- array ops with the same weight and loop nest, into one whose batch is T * batch, time-major;
- the adds, multiplies and compares of a neuron, over all steps, into one vector op of kind ``neuron``: it reads
  currents and gives spikes, and its state stays inside;
- other vector ops of one module, kind and size (pools), if there are as many in every step, or every one but the first.

Copies that wait for one another through other array ops (a recurrent connection; weights shared across depth) cannot
run as one batch and stay apart. So does whatever is not repeated.
"""

from __future__ import annotations

import re
from collections import Counter, defaultdict
from collections.abc import Iterable, Sequence
from dataclasses import replace
from itertools import chain, count
from typing import TYPE_CHECKING

import networkx as nx
import numpy as np

from traces.bitmap import Bitmap
from traces.capture import capture
from traces.errors import InputError
from traces.graph import OpGraph
from traces.op import ELEMENTWISE_KINDS, Op
from traces.vector import VectorWork

if TYPE_CHECKING:
    import torch

_OF_NEURONS = ELEMENTWISE_KINDS - {"batch_norm"} | {
    "add",
    "sub",
    "mul",
    "div",
    "where",
    "compare",
    "logical",
    "maximum",
}

Group = tuple[str, ...]


def fold_time(graph: OpGraph) -> OpGraph:
    """Return the graph with the copies of each op in time merged into one op.

    Array ops whose operand I was captured and holds nothing but 0 and 1 get the encoding ``spikes``, merged or not. The
    graph has no program any more, as its ops are no values of it: sparsify and capture before.

    Parameters
    ----------
    graph
        From `traces.trace`; captured on its example inputs first if it has any and was not captured yet.

    Returns
    -------
    OpGraph
        Each merged op stands where its first copy stood and has its name; a neuron has its module's.
    """
    if not graph.operands and graph.program is not None and graph.program.example_inputs is not None:
        graph = capture(graph)
    groups = _without_cycles(graph, [*_array_groups(graph), *_vector_groups(graph)])
    of = {name: group for group in groups for name in group}
    names = _names(graph, groups)
    dag: nx.DiGraph[str] = _quotient(graph, of)
    order = {name: index for index, name in enumerate(graph.dag)}
    ops, operands, patterns = [], {}, {}
    for first in nx.lexicographical_topological_sort(dag, key=order.__getitem__):
        group, name = of.get(first, (first,)), names.get(first, first)
        op = replace(_merged(graph, group), name=name) if len(group) > 1 else graph[first]
        if first in graph.operands:
            operands[name] = _stacked(op, [graph.operands[copy] for copy in group])
            if operands[name][:1] and operands[name][0].binary and not op.encoding:
                op = replace(op, encoding="spikes")
        if first in graph.patterns:
            patterns[name] = graph.patterns[first]
        ops.append(op)
    edges = [(names.get(a, a), names.get(b, b)) for a, b in dag.edges]
    folded = OpGraph.of(graph.name, ops, edges, weights=graph.weights)
    return replace(folded, patterns=patterns).with_operands(operands)


def check_spikes(inputs: Iterable[torch.Tensor], what: str = "input") -> None:
    """Raise `InputError` unless every element of the inputs, which were declared to be spikes, is 0 or 1."""
    for index, values in enumerate(inputs):
        wrong = values[(values != 0) & (values != 1)]
        if len(wrong):
            raise InputError(
                f"{what} {index} must hold spikes (0 or 1), but {len(wrong)} of its {values.numel()} values are others,"
                f" such as {wrong[0].item():g}; compare it with a threshold first, or do not declare it to be spikes"
            )


def _array_groups(graph: OpGraph) -> list[Group]:
    """Return the copies of each array op with a weight, in program order."""
    copies: defaultdict[tuple[object, ...], list[str]] = defaultdict(list)
    for op in graph:
        if op.gemm is not None and op.weight is not None and op.timesteps == 1:
            copies[op.weight, op.kind, op.gemm, op.bias].append(op.name)
    return [tuple(names) for names in copies.values() if len(names) > 1]


def _vector_groups(graph: OpGraph) -> list[Group]:
    """Return the ops of each neuron, and the copies of other vector ops."""
    counts = Counter(len(group) for group in _array_groups(graph))
    if not counts:
        return []
    steps = counts.most_common(1)[0][0]
    neurons = _neurons(graph, steps)
    taken = {name for group in neurons for name in group}
    alike: defaultdict[tuple[object, ...], list[str]] = defaultdict(list)
    for op in graph:
        if op.vector is not None and op.name not in taken:
            alike[_path(op), op.kind, op.vector].append(op.name)
    groups = []
    for names in alike.values():
        # A functional op may occur several times a step, and in the first it may be done with constants alone.
        copies = next((copies for copies in (steps, steps - 1) if copies > 1 and len(names) % copies == 0), None)
        if copies is not None:
            each = len(names) // copies
            groups += [tuple(names[i::each]) for i in range(each)]
    return neurons + groups


def _neurons(graph: OpGraph, steps: int) -> list[Group]:
    """Return elementwise ops of one module that hang together, through the state too, and fire in every step."""
    members = {op.name: _path(op) for op in graph if op.kind in _OF_NEURONS}
    joined: nx.Graph[str] = nx.Graph()
    joined.add_nodes_from(members)
    joined.add_edges_from((a, b) for a, b in graph.dag.edges if a in members and members[a] == members.get(b))
    order = {name: index for index, name in enumerate(graph.dag)}
    groups = [tuple(sorted(part, key=order.__getitem__)) for part in nx.connected_components(joined)]
    return [g for g in groups if len(g) > 1 and sum(graph[name].kind == "compare" for name in g) >= steps]


def _path(op: Op) -> str:
    """Return the module that the op was called in, or that it is; empty for the model's own forward."""
    return re.sub(rf"(^|\.){re.escape(op.kind)}$", "", re.sub(r"_\d+$", "", op.name))


def _quotient(graph: OpGraph, of: dict[str, Group]) -> nx.DiGraph[str]:
    """Return the graph of groups, each under the name of its first op."""
    first = {name: of[name][0] if name in of else name for name in graph.dag}
    dag: nx.DiGraph[str] = nx.DiGraph()
    dag.add_nodes_from(dict.fromkeys(first.values()))
    dag.add_edges_from((first[a], first[b]) for a, b in graph.dag.edges if first[a] != first[b])
    return dag


def _without_cycles(graph: OpGraph, groups: list[Group]) -> list[Group]:
    """Return the groups that can be one op each: of those that wait for each other, vector ops are split up first."""
    while True:
        of = {name: group for group in groups for name in group}
        cycles = [part for part in nx.strongly_connected_components(_quotient(graph, of)) if len(part) > 1]
        if not cycles:
            return groups
        tied = {of[first] for part in cycles for first in part if first in of}
        vectors = {group for group in tied if graph[group[0]].vector is not None}
        groups = [group for group in groups if group not in (vectors or tied)]


def _names(graph: OpGraph, groups: Sequence[Group]) -> dict[str, str]:
    """Return a neuron's name, by the name of its first op: that of its module if no other op has it."""
    used, names = set(graph.dag), {}
    for group in groups:
        if len({graph[name].kind for name in group}) > 1:
            path = _path(graph[group[0]])
            base = path if path and path not in used else f"{path}.neuron".lstrip(".")
            numbered = chain([base], (f"{base}_{i}" for i in count(1)))
            names[group[0]] = next(name for name in numbered if name not in used)
            used.add(names[group[0]])
    return names


def _merged(graph: OpGraph, group: Group) -> Op:
    """Return the op that a group becomes; `Op.input_values` and the like have no counterpart in the program."""
    ops = [graph[name] for name in group]
    op = replace(ops[0], input_values=(), output_value="")
    if op.gemm is not None:
        gemm = replace(op.gemm, batch=len(ops) * op.gemm.batch)
        return replace(op, gemm=gemm, timesteps=len(ops), addend_elements=len(ops) * op.addend_elements)
    works = [copy.vector for copy in ops if copy.vector is not None]
    lane_ops = sum(work.lane_ops for work in works)
    elements_in, elements_out = sum(w.elements_in for w in works), sum(w.elements_out for w in works)
    if len({copy.kind for copy in ops}) > 1:  # what passes between the ops of a neuron does not leave it
        inside = set(group)
        elements_in = sum(_elements(graph[name]) for name in _sources(graph, group)) or works[0].elements_in
        leaving = [copy for copy in ops if not inside.issuperset(graph.consumers(copy.name))]
        elements_out = sum(_elements(copy) for copy in leaving) or _elements(ops[-1])
        op = replace(op, kind="neuron")
    return replace(op, vector=VectorWork(elements_in=elements_in, elements_out=elements_out, lane_ops=lane_ops))


def _sources(graph: OpGraph, group: Group) -> set[str]:
    return {name for copy in group for name in graph.producers(copy)} - set(group)


def _elements(op: Op) -> int:
    """Return the elements of an op's result."""
    if op.gemm is not None:
        return op.gemm.output_elements
    assert op.vector is not None
    return op.vector.elements_out


def _stacked(op: Op, copies: list[tuple[Bitmap, ...]]) -> tuple[Bitmap, ...]:
    """Return each operand of the merged op, time-major in its batch."""
    if len(copies) == 1:
        return copies[0]
    assert op.gemm is not None
    stacked = []
    for steps in zip(*copies, strict=True):
        values = [bitmap.unpack() for bitmap in steps]
        if op.kind not in ("conv", "depthwise"):
            values = [value.reshape(op.gemm.groups, -1, op.gemm.k) for value in values]
        axis = 0 if op.kind in ("conv", "depthwise") else 1
        stacked.append(Bitmap.of(np.concatenate(values, axis), binary=all(bitmap.binary for bitmap in steps)))
    return tuple(stacked)
