"""Extract: walk an fx program and make the ops and edges of an `OpGraph`."""

from __future__ import annotations

import numpy as np
from numpy.typing import NDArray
from torch import fx

from traces.errors import InputError
from traces.frontend.arrays import ARRAY_HANDLERS
from traces.frontend.attention import split_attention
from traces.frontend.constants import fold_weights
from traces.frontend.fold import fold_batch_norm
from traces.frontend.nodes import aten, op_name, place
from traces.frontend.program import Program
from traces.frontend.recurrent import split_layers
from traces.frontend.vectors import FREE, VECTOR_KINDS, vector
from traces.frontend.walk import Walk
from traces.graph import OpGraph
from traces.op import Op

#: aten ops that torch must not decompose any further.
KNOWN_OPS = (frozenset(ARRAY_HANDLERS) | frozenset(VECTOR_KINDS) | FREE | aten("scaled_dot_product_attention")) - {
    "getitem"
}


def extract(program: Program, name: str, unknown: str) -> OpGraph:
    """Simplify the program in place and return its ops, edges and weights; linear in the number of nodes.

    Raises
    ------
    InputError
        For an unknown op (unless ``unknown`` is "vector"), a shape that is not fixed, or a weight that is not
        finite.
    """
    for simplify in (fold_weights, fold_batch_norm, split_attention, split_layers):
        simplify(program)
    walk = Walk(program)
    ops: list[Op] = []
    edges: list[tuple[str, str]] = []
    made_by: dict[fx.Node, tuple[str, ...]] = {}
    for node in list(program.graph.nodes):
        if node not in walk.active or node.op != "call_function":
            continue
        sources = tuple(dict.fromkeys(op for source in node.all_input_nodes for op in made_by.get(source, ())))
        made_by[node] = sources
        for op in _ops(walk, node, unknown):
            ops.append(op)
            edges += [(source, op.name) for source in made_by[node]]
            made_by[node] = (op.name,)
    program.graph.lint()
    if program.shape_only:
        return OpGraph.of(name, ops, edges)
    return OpGraph.of(name, ops, edges, weights=_weights(program), program=program)


def _ops(walk: Walk, node: fx.Node, unknown: str) -> list[Op]:
    name = op_name(node)
    if name in FREE or node.meta.get("free") or node.meta.get("val") is None:  # checks return nothing
        return []
    if name in ARRAY_HANDLERS:
        return ARRAY_HANDLERS[name](walk, node)
    if name in VECTOR_KINDS:
        return vector(walk, node, VECTOR_KINDS[name])
    if unknown == "vector":
        return vector(walk, node, name)
    raise InputError(
        f"{place(node)}: the cost of {node.target} is not known; pass unknown='vector' (--unknown vector on the"
        " command line) to count it as one lane operation per element, or replace it in the model"
    )


def _weights(program: Program) -> dict[str, NDArray[np.float32]]:
    weights: dict[str, NDArray[np.float32]] = {}
    for key, layout in program.layouts.items():
        array = program.state[key].float().numpy(force=True)
        if not np.isfinite(array).all():
            raise InputError(f"weight {key} must be finite, but holds NaN or infinity; train or load it again")
        weights[key] = layout.to_gemm(array)
        weights[key].flags.writeable = False  # it may be the model's own memory
    return weights
