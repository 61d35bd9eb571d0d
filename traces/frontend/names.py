"""Names: a unique, readable name for each op, from the module it was called in."""

from __future__ import annotations

import re

from torch import fx

from traces.frontend.nodes import module_path

#: Modules of torch that consist of several ops; every other one stands for its own op.
_CONTAINERS = ("torch.nn.modules.activation.MultiheadAttention", "torch.nn.modules.transformer.")


class Names:
    """Hands out op names: the module path for a module's own op, ``path.kind`` for functional calls.

    A name that is taken gets the suffix _1, _2 ... in program order, so the same model always gives the same
    names.
    """

    def __init__(self) -> None:
        self._given: set[str] = set()
        self._kinds: dict[str, str] = {}

    def claim(self, node: fx.Node, kind: str, weight: str | None = None, parts: tuple[str, ...] = ()) -> str:
        """Return the name of the op of that kind that comes of the node.

        ``weight`` is its weight key. ``parts`` are the ends of the names of ops that the caller derives from
        this one (``.l0.ih``); they are kept unique with it.
        """
        name = self._base(node, kind, weight)
        candidate, count = name, 0
        while any(candidate + part in self._given for part in parts or ("",)):
            count += 1
            candidate = f"{name}_{count}"
        self._given.update(candidate + part for part in parts or ("",))
        return candidate

    def _base(self, node: fx.Node, kind: str, weight: str | None) -> str:
        path, module = module_path(node)
        functional = f"{path}.{node.meta.get('label', kind)}".lstrip(".")
        if path and module.startswith("torch.nn.modules.") and not module.startswith(_CONTAINERS):
            # The first kind of op to come by owns the path; padding and the like never do.
            owner = kind if kind == "copy" else self._kinds.setdefault(path, kind)
            return path if owner == kind and kind != "copy" else functional
        parameter = re.fullmatch(r"(.+)[._]weight(_\d+)?", weight or "")
        if parameter and (module.startswith(_CONTAINERS) or str(weight).rpartition(".")[0] == path):
            return parameter[1] + (parameter[2] or "")
        return functional
