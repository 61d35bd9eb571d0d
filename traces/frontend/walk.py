"""Walk: what the handlers of fx nodes share while a program is turned into ops."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

import torch
from torch import fx
from torch.fx.node import Argument

from traces.frontend.constants import active_nodes, unused
from traces.frontend.layout import Layout
from traces.frontend.names import Names
from traces.frontend.nodes import emit, emit_state
from traces.frontend.program import Program
from traces.op import Op

Handler = Callable[["Walk", fx.Node], list[Op]]


class Walk:
    """One pass over a program: which nodes are activations, the names given, the weights met."""

    def __init__(self, program: Program) -> None:
        self.program = program
        self.active = active_nodes(program.graph)
        self.names = Names()

    def is_parameter(self, node: fx.Node) -> bool:
        """Whether the node is a tensor of the model, not computed in its program."""
        return node.op == "get_attr"

    def parameter(self, node: Argument) -> str | None:
        """Return the name of the tensor of the model that the node reads; None if it is no such node."""
        return str(node.target) if isinstance(node, fx.Node) and self.is_parameter(node) else None

    def weight(self, node: fx.Node, user: fx.Node, layout: Layout) -> str:
        """Return the key of the parameter, now known to be laid out like that.

        A parameter that another op uses in another layout is given a second entry.
        """
        key, layouts = str(node.target), self.program.layouts
        if layouts.setdefault(key, layout) != layout:
            state = self.program.state
            key = unused(state, key)
            state[key] = state[str(node.target)]
            layouts[key] = layout
            user.replace_input_with(node, emit_state(user, key, state[key]))
        return key

    def view(self, after: fx.Node, target: Callable[..., Any], *args: Argument) -> fx.Node:
        """Add a value that exists to be watched: the node's result in the layout of an operand."""
        with after.graph.inserting_after(after):
            return emit(after, target, *args)

    def reshaped(self, node: fx.Node, *sizes: int) -> fx.Node:
        """Return the node, or a view of it if its shape is another."""
        value: torch.Tensor = node.meta["val"]
        return node if tuple(value.shape) == sizes else self.view(node, torch.ops.aten.reshape.default, node, sizes)
