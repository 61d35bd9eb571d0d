"""Reading and writing nodes of an fx graph."""

from __future__ import annotations

import operator
from collections.abc import Callable
from math import prod
from typing import Any

import torch
from torch import fx
from torch.fx.node import Argument, map_arg
from torch.utils._pytree import tree_map

from traces.errors import InputError


def aten(names: str) -> frozenset[str]:
    """Return the names of aten ops, given as words, as `op_name` gives them.

    >>> sorted(aten("mm bmm"))
    ['aten.bmm', 'aten.mm']
    """
    return frozenset(f"aten.{name}" for name in names.split())


def op_name(node: fx.Node) -> str:
    """Return ``aten.relu`` for any overload of it, in place or not; "getitem"; or "" if it is no call."""
    if node.op != "call_function":
        return ""
    if node.target is operator.getitem:
        return "getitem"
    if isinstance(node.target, torch._ops.OpOverload):
        namespace, _, name = node.target._schema.name.partition("::")
        in_place = node.target._schema.is_mutable and name.endswith("_") and not name.endswith("__")
        return f"{namespace}.{name.removesuffix('_') if in_place else name}"
    return str(node.target)


def arguments(node: fx.Node) -> dict[str, Any]:
    """Return the arguments of an aten call by the names of its schema, defaults filled in."""
    assert isinstance(node.target, torch._ops.OpOverload)
    schema = node.target._schema.arguments
    given = dict(zip((a.name for a in schema), node.args, strict=False)) | dict(node.kwargs)
    return {a.name: given.get(a.name, a.default_value) for a in schema}


def tensor(node: fx.Node) -> torch.Tensor:
    """Return the node's value as export saw it (fake: shape and dtype only); the first of several."""
    value = node.meta.get("val")
    while isinstance(value, (tuple, list)) and value:
        value = value[0]
    if not isinstance(value, torch.Tensor):
        raise InputError(f"{place(node)}: {node.target} gives no tensor, so it cannot be costed")
    return value


def shape(node: fx.Node) -> tuple[int, ...]:
    """Return the shape of the node's value.

    Raises
    ------
    InputError
        If a size depends on data or is dynamic.
    """
    sizes = tuple(tensor(node).shape)
    if not all(isinstance(size, int) for size in sizes):
        raise InputError(
            f"{place(node)}: {node.target} must have a fixed shape, not {sizes}; the size depends on data or is"
            " dynamic, so export the model with fixed shapes and without data-dependent indexing"
        )
    return sizes


def elements(node: fx.Node) -> int:
    """Return the number of elements of the node's value."""
    return prod(shape(node))


def module_path(node: fx.Node) -> tuple[str, str]:
    """Return path and type name of the innermost module the node was called in ("", "" if unknown)."""
    stack = list((node.meta.get("nn_module_stack") or {}).values())
    if not stack:
        return "", ""
    path, kind = stack[-1]
    path = str(path).removeprefix("L['self']").replace("['", ".").replace("']", "").strip(".")
    path = path.split("@")[0].split(".parametrizations.")[0]
    return path, kind if isinstance(kind, str) else f"{kind.__module__}.{kind.__qualname__}"


def place(node: fx.Node) -> str:
    """Return where in the model the node is, for messages."""
    path, kind = module_path(node)
    return f"in module {path} ({kind.rpartition('.')[2]})" if path else "in the model's own forward"


def emit(like: fx.Node, target: Callable[..., Any], *args: Argument, label: str = "", **kwargs: Argument) -> fx.Node:
    """Add a call at the graph's insertion point, in the module of the node ``like``.

    A ``label`` names the op that comes of it; ``meta["val"]`` is worked out on the meta device.
    """
    node = like.graph.call_function(target, args, kwargs)
    node.meta["nn_module_stack"] = like.meta.get("nn_module_stack")
    if label:
        node.meta["label"] = label
    on_meta: Any = map_arg((args, kwargs), _on_meta)
    device = {"device": "meta"} if "device" in kwargs else {}
    node.meta["val"] = target(*on_meta[0], **on_meta[1] | device)
    return node


def emit_state(like: fx.Node, key: str, value: torch.Tensor) -> fx.Node:
    """Add a read of the state entry ``key`` before the node ``like``."""
    with like.graph.inserting_before(like):
        node = like.graph.create_node("get_attr", key)
    node.meta["val"] = value
    return node


def _on_meta(node: fx.Node) -> Any:  # noqa: ANN401 (a tensor, or a tuple of several)
    def move(value: object) -> object:
        if not isinstance(value, torch.Tensor):
            return value
        return torch.empty_strided(value.shape, value.stride(), dtype=value.dtype, device="meta")

    return tree_map(move, node.meta["val"])
