"""Constants: what does not depend on the inputs, and weights that the model computes from its parameters."""

from __future__ import annotations

from typing import Any

import torch
from torch import fx

from traces.frontend.nodes import aten, emit_state, module_path, op_name
from traces.frontend.program import Program

#: Calls that read no more than the shape of their operand.
_SHAPE_ONLY = aten(
    "zeros_like ones_like full_like empty_like rand_like randn_like new_zeros new_ones new_full new_empty"
    " sym_size sym_numel"
)

#: Operands of array ops that may be weights.
_WEIGHT_ARGUMENTS: dict[str, tuple[int, ...]] = {
    **dict.fromkeys(aten("conv1d conv2d conv3d convolution linear"), (1,)),
    **dict.fromkeys(aten("conv_transpose1d conv_transpose2d conv_transpose3d"), (1,)),
    **dict.fromkeys(aten("mm bmm matmul mv dot"), (0, 1)),
    **dict.fromkeys(aten("addmm baddbmm addmv"), (1, 2)),
}


def active_nodes(graph: fx.Graph) -> set[fx.Node]:
    """Return the nodes whose value depends on the data of an input (linear time)."""
    active: set[fx.Node] = set()
    for node in graph.nodes:
        if node.op == "placeholder" or (
            any(source in active for source in node.all_input_nodes) and op_name(node) not in _SHAPE_ONLY
        ):
            active.add(node)
    return active


def fold_weights(program: Program) -> None:
    """Compute weights that are expressions of parameters once, so that each is one entry of the state.

    Slices of a packed projection, transposes, weight norm and other parametrizations are such expressions.
    """
    active = active_nodes(program.graph)
    folded: dict[str, fx.Node] = {}
    for node in list(program.graph.nodes):
        for index in _WEIGHT_ARGUMENTS.get(op_name(node), ()) if node in active else ():
            weight = node.args[index]
            if isinstance(weight, fx.Node) and weight not in active and weight.op != "get_attr":
                call = f"{weight.target}{weight.args}{weight.kwargs}"  # the same for each step of an unrolled loop
                if call not in folded:
                    folded[call] = _fold(program, weight)
                weight.replace_all_uses_with(folded[call])
    program.graph.eliminate_dead_code()


def _fold(program: Program, weight: fx.Node) -> fx.Node:
    """Return a read of the weight, computed now; the weight itself if it has the shape of an input in it."""
    expression = _expression(weight)
    if any(node.op == "placeholder" for node in expression):  # its shape comes from an input
        return weight
    values: dict[fx.Node, Any] = {}
    with torch.no_grad():
        for node in expression:
            if node.op == "get_attr":
                values[node] = program.state[str(node.target)]
            else:
                args, kwargs = fx.node.map_arg((node.args, node.kwargs), values.__getitem__)
                values[node] = node.target(*args, **kwargs)  # type: ignore[operator]  # a call_function node
    roots = [str(node.target) for node in expression if node.op == "get_attr"]
    key = roots[0] if len(roots) == 1 else f"{module_path(weight)[0]}.weight".lstrip(".")
    if not (key in roots and all(len(node.users) == 1 for node in expression[:-1])):
        key = unused(program.state, key)
    program.state[key] = values[weight].detach()
    return emit_state(weight, key, program.state[key])


def _expression(result: fx.Node) -> list[fx.Node]:
    """Return the nodes that ``result`` is computed from, itself included, in program order."""
    found, pending = {result}, [result]
    while pending:
        for source in pending.pop().all_input_nodes:
            if source not in found:
                found.add(source)
                pending.append(source)
    return sorted(found)  # nodes compare by their place in the graph


def unused(state: dict[str, torch.Tensor], key: str) -> str:
    """Return ``key``, or key_1, key_2 ... if it is taken."""
    candidate, count = key, 0
    while candidate in state:
        count += 1
        candidate = f"{key}_{count}"
    return candidate
