"""Recurrent: a stack of LSTM or GRU layers as one call per layer and direction."""

from __future__ import annotations

from collections.abc import Callable
from operator import getitem
from typing import Any

import torch
from torch import fx
from torch.fx.node import Argument

from traces.errors import InputError
from traces.frontend.nodes import arguments, aten, emit, op_name, place
from traces.frontend.program import Program

_aten = torch.ops.aten
_CELLS = aten("lstm gru")


def split_layers(program: Program) -> None:
    """Rewrite every LSTM and GRU call into single-layer, one-way, time-first calls.

    Each of them carries ``meta["layer"]``: ``l0``, ``l0_reverse``, ``l1`` ... as torch names the parameters.
    The flips and concatenations between them only say in which order data is read, so they are free.

    Raises
    ------
    InputError
        For an LSTM with ``proj_size``.
    """
    for node in list(program.graph.nodes):
        if op_name(node) in _CELLS:
            with program.graph.inserting_before(node):
                results = _layers(node, arguments(node))
            for user in list(node.users):  # (outputs, last hidden states[, last cell states])
                user.replace_all_uses_with(results[user.args[1]])
                program.graph.erase_node(user)
            program.graph.erase_node(node)  # torch takes it for impure, because of its dropout
    program.graph.eliminate_dead_code()


def _layers(node: fx.Node, given: dict[str, Any]) -> list[fx.Node]:
    def free(target: Callable[..., Any], *args: Argument) -> fx.Node:
        result = emit(node, target, *args)
        result.meta["free"] = True
        return result

    directions = ("", "_reverse") if given["bidirectional"] else ("",)
    per_call = 4 if given["has_biases"] else 2
    if len(given["params"]) != given["num_layers"] * len(directions) * per_call:
        raise InputError(f"{place(node)}: nn.LSTM with proj_size is not supported; use one without, and a linear layer")
    states = given["hx"] if isinstance(given["hx"], (list, tuple)) else [given["hx"]]
    outputs: fx.Node = given["input"]
    last: list[list[fx.Node]] = [[] for _ in states]
    if given["batch_first"]:
        outputs = free(_aten.transpose.int, outputs, 0, 1)
    for call in range(given["num_layers"] * len(directions)):
        layer, direction = divmod(call, len(directions))
        if direction == 0:
            inputs, halves = outputs, []
        sequence = free(_aten.flip.default, inputs, [0]) if direction else inputs
        first = [free(_aten.slice.Tensor, state, 0, call, call + 1) for state in states]
        cell = emit(
            node,
            node.target,  # type: ignore[arg-type]  # a call_function node
            sequence,
            first if len(first) > 1 else first[0],
            list(given["params"][call * per_call : (call + 1) * per_call]),
            given["has_biases"],
            *(1, 0.0, False, False, False),  # one layer, no dropout, no training, one way, time first
        )
        cell.meta["layer"] = f"l{layer}{directions[direction]}"
        half, *ends = (free(getitem, cell, index) for index in range(1 + len(states)))
        halves.append(free(_aten.flip.default, half, [0]) if direction else half)
        for collected, end in zip(last, ends, strict=True):
            collected.append(end)
        outputs = free(_aten.cat.default, halves, -1) if len(halves) > 1 else half
    if given["batch_first"]:
        outputs = free(_aten.transpose.int, outputs, 0, 1)
    return [outputs, *(free(_aten.cat.default, ends, 0) for ends in last)]
