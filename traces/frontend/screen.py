"""Screen: let through of a ``.pt2`` program's JSON only what is data.

``torch.export.load`` (2.13) trusts its file: it looks node targets up with ``getattr`` from ``torch``, gives
symbolic sizes to ``sympy.sympify`` (which evaluates), imports the modules that a tree's context names, and
pastes the names of nodes, arguments and guards into Python source that it executes. So every string of the
file is checked here against what it may be, and whatever is not needed to cost a model is dropped.
"""

from __future__ import annotations

import json
import re
from functools import cache
from typing import Any

import torch
from torch.export import default_decompositions

from traces.errors import InputError
from traces.frontend.extract import KNOWN_OPS

_IDENTIFIER = re.compile(r"([A-Za-z_]\w*)?", re.ASCII)
_PATH = re.compile(r"(\w+([.@]\w+)*)?", re.ASCII)
_TEXT = re.compile(r"[\w .,>-]*", re.ASCII)  # no quotes: torch pastes strings between quotes
_MODULES = re.compile(r"[\w.,;@\[\]'()<>: -]*", re.ASCII)
_NUMBER = re.compile(r"-?Infinity|NaN")
_VERSION = re.compile(r"[\w.+-]*", re.ASCII)

#: Which strings a JSON key may hold; under every other key a string must be an identifier.
_STRINGS = {
    **dict.fromkeys(("parameter_name", "buffer_name", "tensor_constant_name", "fqn"), _PATH),
    **dict.fromkeys(("as_string", "as_strings"), _TEXT),
    "as_float": _NUMBER,
    "nn_module_stack": _MODULES,
    "torch_version": _VERSION,
}
_MUST_BE_EMPTY = {
    "as_expr": "sizes that are not fixed",
    "expr_str": "sizes that are not fixed",
    "range_constraints": "sizes that are not fixed",
    "as_custom_obj": "a custom object",
    "custom_obj": "a custom object",
    "custom_obj_values": "a custom object",
    "treespec_namedtuple_fields": "named tuples as inputs or outputs",
}
_DROPPED = {"guards_code": list, "metadata": dict}
_TREES = ("builtins.tuple", "builtins.list", "builtins.dict", "collections.OrderedDict", None)
_REGIONS = {f"torch.ops.higher_order.wrap_with_{name}" for name in ("set_grad_enabled", "autocast")}


def screen(document: object) -> Any:  # noqa: ANN401 (JSON)
    """Return the decoded JSON without what is not needed.

    Raises
    ------
    InputError
        At the first thing that may be more than data, named in the sentence.
    """
    return _screen(document, "")


def _screen(value: object, key: str) -> Any:  # noqa: ANN401 (JSON)
    if isinstance(value, dict):
        return {name: _entry(item, name) for name, item in value.items()}
    if isinstance(value, list):
        return [_screen(item, key) for item in value]
    if isinstance(value, str):
        if key in ("target", "as_operator"):
            _check_target(value)
        elif key in ("in_spec", "out_spec"):
            return _tree_text(value)
        elif not _STRINGS.get(key, _IDENTIFIER).fullmatch(value) or _special(value):
            raise InputError(f"the program holds {value[:80]!r} as {key or 'a value'}, which is more than a name")
    return value


def _entry(value: object, key: str) -> Any:  # noqa: ANN401 (JSON)
    if key in _MUST_BE_EMPTY and value:
        raise InputError(
            f"the program uses {_MUST_BE_EMPTY[key]} ({key}), which is not supported; export it with fixed shapes"
            " and plain tensors in tuples, lists or dicts"
        )
    if not _PATH.fullmatch(key) or _special(key):
        raise InputError(f"the program holds the key {key[:80]!r}, which is more than a name")
    if key in ("name", "as_name", "target") and not isinstance(value, (str, type(None))):
        raise InputError(f"the program holds {type(value).__name__} as {key}, which must be a name")
    if key == "metadata" and isinstance(value, dict) and "nn_module_stack" in value:
        return {"nn_module_stack": _screen(value["nn_module_stack"], "nn_module_stack")}
    return _DROPPED[key]() if key in _DROPPED else _screen(value, key)


def _special(name: str) -> bool:
    """Whether part of a name is one that Python gives a meaning to, like ``__class__``."""
    return any(part.startswith("__") and part.endswith("__") for part in name.split("."))


def _check_target(target: str) -> None:
    """Refuse a call of anything but the operators that an exported model consists of."""
    name = re.fullmatch(r"torch\.ops\.(aten\.\w+)\.\w+", target, re.ASCII)
    if target not in _REGIONS and not (name and name[1].removesuffix("_") in _allowed_ops()):
        raise InputError(
            f"the program calls {target[:80]!r}, which is no operator of an exported model; only aten operators are"
            " run from a file"
        )


@cache
def _allowed_ops() -> frozenset[str]:
    """Known ops, what torch can break up into them, and its core operators: all compute on tensors only."""
    overloads = [op for op in default_decompositions().materialize() if isinstance(op, torch._ops.OpOverload)]
    for name in torch._C._dispatch_get_all_op_names():
        packet, _, overload = name.removeprefix("aten::").partition(".")
        if name.startswith("aten::"):
            op = getattr(getattr(torch.ops.aten, packet), overload or "default", None)
            overloads += [op] if op is not None and torch.Tag.core in op.tags else []
    computing = {
        op._schema.name.replace("::", ".")
        for op in overloads
        if any("Tensor" in str(result.type) for result in op._schema.returns)
    }
    return frozenset(name.removesuffix("_") for name in computing | KNOWN_OPS)


def _tree_text(text: str) -> str:
    """Return a serialised tree of inputs or outputs, rebuilt from its plain containers."""
    document = decode(text.encode(), "a tree of inputs")
    if not isinstance(document, list) or len(document) != 2 or document[0] != 1:
        raise InputError("the program's inputs or outputs are stored in a form this version does not know")
    return json.dumps([1, _tree(document[1])])


def _tree(node: object) -> dict[str, Any]:
    kind = node.get("type", "") if isinstance(node, dict) else ""
    if not isinstance(node, dict) or kind not in _TREES or not isinstance(node.get("children_spec"), list):
        raise InputError(
            f"the program has {str(kind)[:80]!r} among its inputs or outputs; export a model that takes and returns"
            " tensors in tuples, lists or dicts"
        )
    context = node.get("context")
    if kind is not None:
        keys = decode(context.encode(), "a tree of inputs") if isinstance(context, str) else None
        if isinstance(keys, list) and all(isinstance(key, str) and _PATH.fullmatch(key) for key in keys):
            context = json.dumps(keys)
        elif keys is None:
            context = "null"
        else:
            raise InputError("the program's inputs or outputs have keys that are more than names")
    elif context is not None:
        raise InputError("the program's inputs or outputs are malformed")
    return {"type": kind, "context": context, "children_spec": [_tree(child) for child in node["children_spec"]]}


def decode(data: bytes, what: str) -> Any:  # noqa: ANN401 (JSON)
    """Return JSON decoded; `InputError` if it is none, or nested too deeply."""
    try:
        return json.loads(data)
    except (ValueError, RecursionError) as error:
        raise InputError(f"{what} is not valid JSON: {str(error).splitlines()[0]}") from error
