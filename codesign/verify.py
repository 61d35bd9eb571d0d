"""Verify: execute the mapped tiles on the real tensors and hold every op against torch."""

from __future__ import annotations

from collections import Counter
from collections.abc import Sequence
from typing import TYPE_CHECKING

import numpy as np
from numpy.typing import NDArray

from codesign.lower import Task
from hw_models.systolic.functional import execute
from hw_models.systolic.mapping import Mapping
from hw_models.systolic.tiling import Nest
from kernels.formats import NM
from traces.errors import InputError
from traces.graph import OpGraph
from traces.op import Op

if TYPE_CHECKING:
    import torch

TOLERANCE = 1e-4


class VerificationError(RuntimeError):
    """A mapped op does not compute what torch computes: a bug in the mapping, never the user's."""


def verify(graph: OpGraph, tasks: Sequence[Task], mappings: Sequence[Mapping]) -> dict[str, float]:
    """Return each array op's largest error, relative to the largest output of torch.

    The program is run on its example inputs. As soon as the operands of an op are there, its tiles are executed in
    the order and of the sizes of its mapping, N:M weights from their packed form, and compared with the value
    that torch computed (without the bias), or with torch's product of the same operands where the model has no
    value of its own for it (the two products inside an LSTM or GRU step, a transposed convolution).

    Raises
    ------
    InputError
        If the graph cannot be run: its weights or its inputs are not known.
    VerificationError
        If an error exceeds `TOLERANCE`.
    """
    program = graph.program
    if program is None or program.example_inputs is None:
        raise InputError(f"verify needs a model with weights and inputs; {graph.name} has only shapes, leave it out")
    waiting = {
        task.op.name: (task, mapping, _needed(task.op))
        for task, mapping in zip(tasks, mappings, strict=True)
        if task.dense is not None
    }
    uses = Counter(value for _, _, needed in waiting.values() for value in needed)
    values: dict[str, torch.Tensor] = {}
    errors: dict[str, float] = {}

    def arrived(name: str, value: torch.Tensor) -> None:
        values[name] = value
        ready = [op for op, (_, _, needed) in waiting.items() if needed <= values.keys()]
        for op in ready:
            task, mapping, needed = waiting.pop(op)
            errors[op] = _error(graph, task, mapping, values)
            uses.subtract(needed)
            for value_name in needed:
                if not uses[value_name]:
                    del values[value_name]

    program.run(program.example_inputs, graph.weights, watch=arrived, values=set(uses))
    wrong = {op: error for op, error in errors.items() if not error <= TOLERANCE}
    if wrong or waiting:
        raise VerificationError(f"mapped ops differ from torch by more than {TOLERANCE}: {wrong or sorted(waiting)}")
    return {task.op.name: errors[task.op.name] for task in tasks if task.op.name in errors}


def _needed(op: Op) -> set[str]:
    return {*op.input_values, *([op.output_value] if op.output_value and op.kind != "recurrent" else [])}


def _error(graph: OpGraph, task: Task, mapping: Mapping, values: dict[str, torch.Tensor]) -> float:
    op, program = task.op, graph.program
    nest = task.compressed if mapping.compressed else task.dense
    assert nest is not None
    assert mapping.tile is not None
    assert program is not None
    image = values[op.input_values[0]].double().numpy(force=True)
    if op.weight is not None:
        weights = graph.weights[op.weight].astype(np.float64)
    else:
        weights = values[op.input_values[1]].double().numpy(force=True).swapaxes(-1, -2)
    image = image.reshape(nest.batch, nest.groups, *_image_shape(nest, op))
    if op.kind not in ("conv", "depthwise"):
        # (groups, m, k) as an image one column wide, its channels the reduction
        image = image.reshape(nest.groups, nest.in_h, nest.channels).transpose(0, 2, 1)[None, ..., None]
    positions = nest.kernel_h * nest.kernel_w
    held = weights.reshape(nest.groups, nest.filters, positions, nest.channels)

    def unpack(matrix: NDArray[np.float64], run: int) -> NDArray[np.float64]:
        packed = NM.pack(matrix.astype(np.float32), nest.keep_n, nest.keep_m, run=run)
        return packed.to_dense().astype(np.float64)

    ours = execute(nest, mapping.tile, image, held, unpack if mapping.compressed else None)
    if op.output_value in values:
        conv = op.kind in ("conv", "depthwise")
        ours = ours.transpose(1, 0, 4, 2, 3) if conv else ours  # (batch, groups, filters, rows, columns)
        theirs = values[op.output_value].double().numpy(force=True).reshape(ours.shape)
        if op.bias is not None:
            bias = program.state[op.bias].double().numpy(force=True)
            theirs = theirs - (bias.reshape(nest.groups, nest.filters, 1, 1) if conv else bias)
    else:
        import torch

        left = torch.from_numpy(image[0, ..., 0].swapaxes(-1, -2).copy())
        right = torch.from_numpy(held[:, :, 0].swapaxes(-1, -2).copy())
        theirs = torch.matmul(left, right).numpy()
        ours = ours.reshape(theirs.shape)
    return float(np.abs(ours - theirs).max() / max(np.abs(theirs).max(), np.finfo(np.float32).tiny))


def _image_shape(nest: Nest, op: Op) -> tuple[int, ...]:
    return (nest.channels, nest.in_h, nest.in_w) if op.kind in ("conv", "depthwise") else (nest.in_h, nest.channels)
