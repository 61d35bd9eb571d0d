"""Delta: run a model on a sequence and keep what changes from one step to the next.

Two kinds of model are told apart. One with GRU or LSTM layers reads the whole sequence, as it was traced; its
recurrent layers become delta cells (`traces.delta_cell`). Any other model is traced on one frame and run on each
frame of the sequence; its layers are fed by the changes of their rounded inputs (the Delta Activation Layer of arXiv
2107.07305, with one threshold for all layers).
"""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

from traces.delta_rule import DeltaRule, parse_activations
from traces.errors import InputError
from traces.graph import OpGraph

if TYPE_CHECKING:
    import torch

    from traces.frontend.program import Program

__all__ = ["capture_delta", "parse_activations", "run_delta", "tracing_inputs"]


def capture_delta(
    graph: OpGraph,
    *inputs: torch.Tensor,
    threshold: float,
    quantum: float | None = None,
    hidden_threshold: float | None = None,
) -> OpGraph:
    """Return the graph of a whole sequence, its operands the bitmaps of what changed.

    Ops fed by changes have ``encoding`` "delta", ``timesteps`` the number of steps, and bitmaps that are time-major in
    the batch. For frames the whole graph does T times the work: gemms have T times the batch (a product of two
    activations, which has no delta form, T times the groups) and the first frame's bitmaps are all ones. Prune before
    capturing: bitmaps belong to the weights that gave them.

    Parameters
    ----------
    graph
        From `traces.trace`: of one frame, or with GRU or LSTM layers of the sequence.
    inputs
        For frames, each (T, ...): as many of the traced shape, or of one of batch 1 without its batch. For recurrent
        models tensors of the traced shapes. The example inputs if there are none.
    threshold, quantum, hidden_threshold
        As in `traces.delta_rule.DeltaRule`.

    Raises
    ------
    InputError
        If the graph cannot be run or has deltas already, a threshold is out of range, or the inputs are no sequence
        that fits, or not finite.
    """
    rule = DeltaRule(threshold=threshold, quantum=quantum, hidden_threshold=hidden_threshold)
    return _run(graph, inputs, rule)[0]


def run_delta(
    graph: OpGraph,
    *inputs: torch.Tensor,
    threshold: float,
    quantum: float | None = None,
    hidden_threshold: float | None = None,
) -> Any:  # noqa: ANN401 (whatever the model returns)
    """Return what the model gives when it computes with changes, to hold its accuracy against the dense one's.

    Parameters and errors are those of `capture_delta`. Outputs over frames have a leading dimension of T.
    """
    rule = DeltaRule(threshold=threshold, quantum=quantum, hidden_threshold=hidden_threshold)
    return _run(graph, inputs, rule)[1]


def tracing_inputs(
    model: torch.nn.Module, sequence: tuple[torch.Tensor, ...], own: tuple[torch.Tensor, ...] | None = None
) -> tuple[torch.Tensor, ...]:
    """Return what to trace a model on, so that `capture_delta` can take the sequence.

    That is the sequence itself if the model has GRU or LSTM layers, else the model's own inputs, one frame, or the
    first frame as a batch of one.

    Raises
    ------
    InputError
        If an input has no dimension that could be time.
    """
    import torch

    if any(value.dim() == 0 for value in sequence):
        raise InputError("a sequence must be an array with time along its first dimension, not a single number")
    if any(isinstance(module, torch.nn.RNNBase) for module in model.modules()):
        return sequence
    return tuple(value[:1] for value in sequence) if own is None else own


def _run(graph: OpGraph, inputs: tuple[torch.Tensor, ...], rule: DeltaRule) -> tuple[OpGraph, Any]:
    program = graph.program
    if program is None:
        raise InputError(
            f"{graph.name} knows only shapes, so there are no changes to capture; trace the model with its weights"
            " in memory"
        )
    if any(op.encoding for op in graph):
        raise InputError(f"{graph.name} has its changes captured already; capture them from the traced graph")
    inputs = inputs or program.example_inputs or ()
    # Torch from here on.
    from traces.delta_layers import run_frames, run_recurrent

    if any(op.kind == "recurrent" for op in graph):
        program.check(inputs)
        _check_finite(inputs)
        short = [op.timesteps for op in graph if op.kind == "recurrent" and op.timesteps < 2]
        if short:
            raise InputError.must("the sequence", "at least 2 steps long to have changes", short[0], "give more steps")
        return run_recurrent(graph, program, inputs, rule)
    return run_frames(graph, program, _frames(program, inputs), rule)


def _frames(program: Program, inputs: tuple[torch.Tensor, ...]) -> list[tuple[torch.Tensor, ...]]:
    """Return the inputs of each frame, of the traced shapes."""
    from traces.frontend.nodes import shape, tensor

    wanted = program.placeholders
    if len(inputs) != len(wanted):
        raise InputError.must("the number of inputs", f"{len(wanted)}, as traced", len(inputs))
    _check_finite(inputs)
    split = []
    for index, (value, node) in enumerate(zip(inputs, wanted, strict=True)):
        traced, given, dtype = shape(node), tuple(value.shape), tensor(node).dtype
        if given[1:] == traced:
            split.append(list(value))
        elif traced[:1] == (1,) and given[1:] == traced[1:]:
            split.append([value[t : t + 1] for t in range(len(value))])
        else:
            one = "; this is a single frame, which has no time" if given == traced else ""
            batchless = f" or {('T', *traced[1:])}".replace("'", "") if traced[:1] == (1,) else ""
            rule = f"a sequence of T frames, of shape {('T', *traced)}".replace("'", "") + batchless
            raise InputError(f"input {index} must be {rule}, not {given}{one}")
        if value.dtype != dtype:
            raise InputError.must(f"input {index}", f"of dtype {dtype} as traced", str(value.dtype), "convert it")
    lengths = [len(frames) for frames in split]
    if min(lengths) < 2:
        raise InputError(
            f"input {lengths.index(min(lengths))} must have at least 2 frames, not {min(lengths)}: changes are taken"
            " from one frame to the next, and a single frame has no time"
        )
    if len(set(lengths)) > 1:
        raise InputError.must("the inputs", "sequences of the same length", lengths)
    return list(zip(*split, strict=True))


def _check_finite(inputs: tuple[torch.Tensor, ...]) -> None:
    import torch

    for index, value in enumerate(inputs):
        if not isinstance(value, torch.Tensor):
            raise InputError.must(f"input {index}", "a torch.Tensor", type(value).__name__)
        if not bool(torch.isfinite(value).all()):
            raise InputError(f"input {index} must hold finite numbers, but holds NaN or infinity")
