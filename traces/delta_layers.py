"""Delta runs: a program over a sequence, each array op fed by what changed, and the bitmaps of the changes."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import replace
from typing import Any

import numpy as np
import torch
from torch import Tensor, fx
from torch.utils._pytree import tree_map

from traces.bitmap import Bitmap
from traces.delta_cell import on_grid, run_cell
from traces.delta_rule import DeltaRule
from traces.frontend.arrays import ARRAY_HANDLERS
from traces.frontend.nodes import aten, op_name
from traces.frontend.program import Program
from traces.graph import OpGraph
from traces.op import Op
from traces.vector import VectorWork

_CELLS = aten("lstm gru")
_PRODUCTS = frozenset(ARRAY_HANDLERS) - _CELLS

Operands = dict[str, tuple[Bitmap, ...]]


def run_recurrent(graph: OpGraph, program: Program, inputs: Sequence[Tensor], rule: DeltaRule) -> tuple[OpGraph, Any]:
    """Run a model whose GRU and LSTM layers are delta cells; return the graph of changes and the outputs.

    Every other op sees plain values: it has no step before.
    """
    steps = {op.output_value: op for op in graph if op.kind == "recurrent"}
    # A cell's outputs are element 0 of what its node returns.
    cells = {node: steps[user.name] for node in program.graph.nodes for user in node.users if user.name in steps}
    operands: Operands = {}
    plain = {op.name: op.input_values for op in graph if op.gemm is not None}

    def call(node: fx.Node, args: tuple[Any, ...], kwargs: dict[str, Any]) -> Any:  # noqa: ANN401 (as fx has it)
        if node not in cells:
            return node.target(*args, **kwargs)  # type: ignore[operator]  # a call_function node
        sequence, states, params = args[:3]
        kind = op_name(node).removeprefix("aten.")
        run = run_cell(kind, sequence, [states] if kind == "gru" else states, params, rule)
        name = cells[node].name
        operands[name] = (Bitmap.of(run.hidden_changes),)
        operands[_projection(name)] = (Bitmap.of(run.input_changes),)
        return run.result

    bitmaps: dict[str, Bitmap] = {}

    def keep(name: str, value: Tensor) -> None:
        bitmaps[name] = Bitmap.of((value != 0).numpy(force=True))

    outputs = program.run(inputs, graph.weights, keep, {v for values in plain.values() for v in values}, call)
    changed = {}
    for op in cells.values():
        for name in (op.name, _projection(op.name)):
            changed[name] = replace(graph[name], timesteps=op.timesteps, encoding="delta")
    seen = {name: operands.get(name) or tuple(bitmaps[v] for v in values) for name, values in plain.items()}
    return _with_ops(graph, changed, seen), outputs


def run_frames(
    graph: OpGraph, program: Program, frames: Sequence[tuple[Tensor, ...]], rule: DeltaRule
) -> tuple[OpGraph, Any]:
    """Run a model frame by frame; return the graph of all frames' changes and the outputs, (frames, ...) each.

    An op with a parameter W reads I rounded to multiples of the threshold (the Delta Activation Layer): then
    ``y_t = y_(t-1) + W * (q_t - q_(t-1))`` is ``W * q_t``, which is what is computed. Whatever else reads the same
    value, such as a residual addition, sees it as it is.
    """
    plain = {op.name: op.input_values for op in graph if op.gemm is not None}
    keys = {op.weight for op in graph if op.weight is not None}
    seen = {value: _Seen() for values in plain.values() for value in values}

    def call(node: fx.Node, args: tuple[Any, ...], kwargs: dict[str, Any]) -> Any:  # noqa: ANN401 (as fx has it)
        at = _data_argument(node, keys) if op_name(node) in _PRODUCTS else -1
        if at >= 0:
            args = (*args[:at], _quantised(args[at], rule), *args[at + 1 :])
        return node.target(*args, **kwargs)  # type: ignore[operator]  # a call_function node

    def keep(name: str, value: Tensor) -> None:
        seen[name].add(value, _quantised(value, rule))

    outputs = [program.run(frame, graph.weights, keep, seen, call) for frame in frames]
    changed = {op.name: _over_time(op, len(frames)) for op in graph}
    operands = {name: tuple(seen[v].stacked(graph[name]) for v in values) for name, values in plain.items()}
    return _with_ops(graph, changed, operands), tree_map(lambda *all_frames: torch.stack(all_frames), *outputs)


class _Seen:
    """Where one value of the program was not zero, and where it changed, frame after frame."""

    def __init__(self) -> None:
        self._nonzero: list[Bitmap] = []
        self._changed: list[Bitmap] = []
        self._before: Tensor | None = None

    def add(self, value: Tensor, quantised: Tensor) -> None:
        """Take in the next frame; the first one is dense: it is sent whole."""
        changed = torch.ones_like(value, dtype=torch.bool) if self._before is None else quantised != self._before
        self._nonzero.append(Bitmap.of((value != 0).numpy(force=True)))
        self._changed.append(Bitmap.of(changed.numpy(force=True)))
        self._before = quantised

    def stacked(self, op: Op) -> Bitmap:
        """Return all frames as an operand of the op, time-major in its batch."""
        gemm = op.gemm
        assert gemm is not None
        frames = [bitmap.unpack() for bitmap in (self._nonzero if op.weight is None else self._changed)]
        if op.weight is None or op.kind != "linear":
            return Bitmap.of(np.concatenate(frames))
        by_group = [frame.reshape(gemm.groups, gemm.m, gemm.k) for frame in frames]
        return Bitmap.of(np.concatenate(by_group, axis=1))


def _quantised(value: Tensor, rule: DeltaRule) -> Tensor:
    """Return the value rounded to multiples of the threshold; half precision is rounded in float32."""
    if not value.is_floating_point() or (not rule.threshold and rule.quantum is None):
        return value
    wide = on_grid(value if value.dtype == torch.double else value.float(), rule)
    if rule.threshold:
        wide = torch.round(wide / rule.threshold) * rule.threshold
    return wide.to(value.dtype)


def _data_argument(node: fx.Node, keys: set[str]) -> int:
    """Return which argument of a product is operand I, where the other factor is a weight; -1 if none is."""
    first = 1 if op_name(node) in aten("addmm baddbmm addmv") else 0
    factors = node.args[first : first + 2]
    weights = [isinstance(a, fx.Node) and a.op == "get_attr" and str(a.target) in keys for a in factors]
    return first + weights.index(False) if sum(weights) == 1 else -1


def _over_time(op: Op, steps: int) -> Op:
    """Return an op of one frame as that of all frames; a product of two activations is one of its own each frame."""
    if op.vector is not None:
        work = op.vector
        return replace(
            op,
            vector=VectorWork(
                elements_in=work.elements_in * steps,
                elements_out=work.elements_out * steps,
                lane_ops=work.lane_ops * steps,
            ),
        )
    gemm = op.gemm
    assert gemm is not None
    more = {"groups": gemm.groups * steps} if op.kind == "matmul" else {"batch": gemm.batch * steps}
    op = replace(op, gemm=replace(gemm, **more), addend_elements=op.addend_elements * steps)
    return op if op.weight is None else replace(op, timesteps=steps, encoding="delta")


def _projection(recurrence: str) -> str:
    """Return the name of the input projection beside a recurrent op, as `traces.frontend.arrays` names the two."""
    return recurrence.removesuffix(".hh") + ".ih"


def _with_ops(graph: OpGraph, changed: dict[str, Op], operands: Operands) -> OpGraph:
    dag = graph.dag.copy()
    for name, op in changed.items():
        dag.nodes[name]["op"] = op
    return replace(graph, dag=dag, operands=operands)
