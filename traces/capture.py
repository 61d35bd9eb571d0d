"""Capture: run the program behind a graph and keep the zeros of what its array ops read."""

from __future__ import annotations

from typing import TYPE_CHECKING

from traces.bitmap import Bitmap
from traces.errors import InputError
from traces.graph import OpGraph

if TYPE_CHECKING:
    import torch


def capture(graph: OpGraph, *inputs: torch.Tensor) -> OpGraph:
    """Return the graph with the bitmaps of every array op's activation operands, from a run on real inputs.

    The run uses the graph's own weights, so a sparsified graph shows the activations that its sparse weights
    give. One bitmap (a bit per element) is kept per operand; the values themselves are dropped as they go.

    Parameters
    ----------
    graph
        From `traces.trace` or a ``.pt2`` file.
    inputs
        Tensors of the traced shapes and dtypes; the example inputs of the trace if there are none.

    Raises
    ------
    InputError
        If the graph has no program to run or the inputs do not fit it.
    """
    program = graph.program
    if program is None:
        raise InputError(
            f"{graph.name} knows only shapes, so there are no activations to capture; trace the model with its"
            " weights in memory"
        )
    if not inputs:
        if program.example_inputs is None:
            raise InputError(f"{graph.name} was stored without example inputs; pass the inputs to capture")
        inputs = program.example_inputs
    operands = {op.name: op.input_values for op in graph if op.gemm is not None}
    bitmaps: dict[str, Bitmap] = {}

    def keep(name: str, value: torch.Tensor) -> None:
        nonzero = value != 0
        bitmaps[name] = Bitmap.of(nonzero.numpy(force=True), binary=bool(((value == 1) | ~nonzero).all()))

    wanted = {value for values in operands.values() for value in values}
    program.run(inputs, graph.weights, watch=keep, values=wanted)
    return graph.with_operands({op: tuple(bitmaps[value] for value in values) for op, values in operands.items()})
