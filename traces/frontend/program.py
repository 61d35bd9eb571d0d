"""Program: an exported model as a plain fx graph that runs on any inputs and weights."""

from __future__ import annotations

from collections.abc import Callable, Collection, Mapping, Sequence
from functools import reduce
from typing import Any

import numpy as np
import torch
from numpy.typing import NDArray
from torch import fx
from torch.export import ExportedProgram
from torch.utils import _pytree as pytree

from traces.errors import InputError
from traces.frontend.layout import Layout
from traces.frontend.nodes import shape, tensor

Watch = Callable[[str, torch.Tensor], None]
Call = Callable[[fx.Node, tuple[Any, ...], dict[str, Any]], Any]


class Program:
    """A functional fx graph, the tensors it reads by name, and the layout of those that are GEMM weights.

    Values without a consumer are views that only exist to be watched (see ``run``): op operands in the
    layout that `traces.frontend.arrays` documents.

    Attributes
    ----------
    graph
        Placeholders are the flat inputs, ``get_attr`` nodes read ``state`` by their target.
    state
        Parameters, buffers and constants by name. Replacing an entry never touches the traced model.
    layouts
        For each weight key, how its tensor becomes (groups, n, k).
    example_inputs
        The inputs the model was traced with; None if they are unknown.
    """

    def __init__(
        self,
        graph: fx.Graph,
        state: dict[str, torch.Tensor],
        out_spec: pytree.TreeSpec,
        example_inputs: tuple[torch.Tensor, ...] | None,
    ) -> None:
        self.graph = graph
        self.state = state
        self.layouts: dict[str, Layout] = {}
        self.example_inputs = example_inputs
        self._out_spec = out_spec

    @classmethod
    def of(cls, exported: ExportedProgram, example_inputs: tuple[torch.Tensor, ...] | None) -> Program:
        """Wrap a functionalised program (one that went through ``run_decompositions``)."""
        module = exported.module(check_guards=False)
        graph = module.graph
        state: dict[str, torch.Tensor] = {}
        for node in list(graph.nodes):
            if str(node.target) == "aten.copy_.default":  # writes a buffer back: our runs leave no trace
                node.replace_all_uses_with(node.args[1])
                graph.erase_node(node)
            elif str(node.target) in ("aten.view.default", "aten._unsafe_view.default"):
                node.target = torch.ops.aten.reshape.default  # our rewrites may change strides
            elif node.op == "get_attr":
                value = reduce(getattr, node.target.split("."), module)
                if not isinstance(value, torch.Tensor):
                    raise InputError(
                        "the model uses torch control flow (cond, while_loop, map), which has no fixed cost;"
                        " trace one branch at a time"
                    )
                state[node.target] = value.detach()
                node.meta.setdefault("val", state[node.target])
        graph.owning_module = None  # `state` holds the tensors from here on
        return cls(graph, state, exported.call_spec.out_spec, example_inputs)

    @property
    def placeholders(self) -> list[fx.Node]:
        """The input nodes, in order."""
        return [node for node in self.graph.nodes if node.op == "placeholder"]

    @property
    def shape_only(self) -> bool:
        """Whether tensors of the model are on the meta device, so that it cannot run."""
        return any(value.is_meta for value in self.state.values())

    def run(
        self,
        inputs: Sequence[torch.Tensor],
        weights: Mapping[str, NDArray[np.float32]] | None = None,
        watch: Watch | None = None,
        values: Collection[str] | None = None,
        call: Call | None = None,
    ) -> Any:  # noqa: ANN401 (whatever the model returns)
        """Run the program and return what the model returns.

        Parameters
        ----------
        inputs
            Tensors of the traced shapes and dtypes.
        weights
            GEMM matrices (groups, n, k) by weight key, used in place of the model's own.
        watch
            Called with the name and the tensor of each value as soon as it is computed. A tensor is freed
            after its last use, so keep what you need and no more.
        values
            Names of the only values to be watched; all of them if None.
        call
            Called in place of each function of the program with its node and the values of its arguments, and
            returns the result; ``node.target(*args, **kwargs)`` is what the program itself computes.

        Raises
        ------
        InputError
            If the inputs do not fit or a weight key or shape is wrong.
        """
        self.check(inputs)
        state = dict(self.state)
        for key, matrix in (weights or {}).items():
            if key not in self.layouts:
                raise InputError(f"weights[{key!r}] must name a weight of the model; known: {sorted(self.layouts)}")
            layout, old = self.layouts[key], state[key]
            if matrix.shape != layout.matrix:
                raise InputError.must(f"shape of weights[{key!r}]", f"(groups, n, k) = {layout.matrix}", matrix.shape)
            fresh = np.ascontiguousarray(layout.to_torch(matrix))
            state[key] = torch.tensor(fresh).to(dtype=old.dtype, device=old.device)
        with torch.no_grad():
            flat = _Runner(self.graph, state, watch, values, call).run(*inputs, enable_io_processing=False)
        return pytree.tree_unflatten(flat, self._out_spec)

    def check(self, inputs: Sequence[torch.Tensor]) -> None:
        """Raise `InputError` unless the inputs are tensors of the traced number, shapes and dtypes."""
        wanted = self.placeholders
        if len(inputs) != len(wanted):
            raise InputError.must("the number of inputs", f"{len(wanted)}, as traced", len(inputs))
        for index, (value, node) in enumerate(zip(inputs, wanted, strict=True)):
            if not isinstance(value, torch.Tensor):
                raise InputError.must(f"input {index}", "a torch.Tensor", type(value).__name__)
            traced, given = (shape(node), tensor(node).dtype), (tuple(value.shape), value.dtype)
            if given != traced:
                raise InputError(
                    f"input {index} must be of shape {traced[0]} and dtype {traced[1]} as traced,"
                    f" not {given[0]} and {given[1]}; trace the model with inputs like these"
                )


class _Runner(fx.Interpreter):
    """An interpreter that reads ``state`` and shows values as they stream by."""

    def __init__(
        self,
        graph: fx.Graph,
        state: dict[str, torch.Tensor],
        watch: Watch | None,
        values: Collection[str] | None,
        call: Call | None,
    ) -> None:
        super().__init__(torch.nn.Module(), graph=graph)
        self._state, self._watch, self._values, self._call = state, watch, values, call

    def get_attr(self, target: Any, args: Any, kwargs: Any) -> torch.Tensor:  # noqa: ANN401 (as fx has it)
        return self._state[target]

    def run_node(self, n: fx.Node) -> Any:  # noqa: ANN401 (as fx has it)
        watched = self._watch is not None and (self._values is None or n.name in self._values)
        if n.op == "call_function" and not n.users and not watched:
            return None
        if self._call is not None and n.op == "call_function":
            result = self._call(n, *self.fetch_args_kwargs_from_env(n))
        else:
            result = super().run_node(n)
        if self._watch is not None and watched and isinstance(result, torch.Tensor):
            self._watch(n.name, result)
        return result
