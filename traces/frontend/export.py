"""Export: from an nn.Module and example inputs to an `OpGraph`."""

from __future__ import annotations

import warnings
from collections.abc import Iterator
from contextlib import contextmanager

import torch
from torch.export import ExportedProgram, default_decompositions, export

from traces.errors import InputError
from traces.frontend.extract import KNOWN_OPS, extract
from traces.frontend.program import Program
from traces.graph import OpGraph


def trace(model: torch.nn.Module, *inputs: torch.Tensor, name: str | None = None, unknown: str = "error") -> OpGraph:
    """Return what the model does on inputs like these, in eval mode, as a graph of ops.

    Parameters
    ----------
    model
        Left as it is. With parameters on the meta device only shapes are traced: the graph has no weights and
        no program.
    inputs
        Example tensors, one for each argument of ``forward``; their shapes are fixed in the graph.
    name
        Of the graph; the model's class if None.
    unknown
        "error", or "vector" to cost ops that no table knows as vector work on their elements.

    Raises
    ------
    InputError
        If the model cannot be exported, holds an unknown op or a weight that is not finite.
    """
    if not isinstance(model, torch.nn.Module):
        raise InputError.must("the model", "a torch.nn.Module", type(model).__name__)
    for index, value in enumerate(inputs):
        if not isinstance(value, torch.Tensor):
            raise InputError.must(f"input {index}", "a torch.Tensor", type(value).__name__)
    name = name or type(model).__name__
    if any(parameter.is_meta for parameter in model.parameters()):
        inputs = tuple(value.to("meta") for value in inputs)
    with _eval_mode(model), _quiet(), _plain_flags(model):
        try:
            # Copies: export takes one tensor given twice for one input.
            exported = export(model, tuple(value.clone() for value in inputs))
        except Exception as error:
            raise InputError(
                f"{name} cannot be run and exported on inputs of shape"
                f" {', '.join(str(tuple(value.shape)) for value in inputs)}: {reason(error)}"
            ) from error
    return from_exported(exported, inputs, name, unknown)


def from_exported(
    exported: ExportedProgram, inputs: tuple[torch.Tensor, ...] | None, name: str, unknown: str
) -> OpGraph:
    """Return the graph of an exported program.

    Decomposing makes it functional (no in-place writes, no nested regions) and breaks up what no table knows.
    """
    if unknown not in ("error", "vector"):
        raise InputError.must("unknown", "'error' or 'vector'", unknown)
    table = {
        op: function
        for op, function in default_decompositions().materialize().items()
        if isinstance(op, torch._ops.OpOverload) and op._schema.name.replace("::", ".") not in KNOWN_OPS
    }
    with torch.no_grad(), _quiet():
        try:
            functional = exported.run_decompositions(table)
        except Exception as error:
            raise InputError(f"{name} cannot be broken up into known ops: {reason(error)}") from error
        return extract(Program.of(functional, inputs), name, unknown)


def reason(error: Exception) -> str:
    """Return the first line of what torch says, with its type if it says nothing."""
    lines = [line.strip() for line in str(error).splitlines() if line.strip()]
    return lines[0] if lines else type(error).__name__


@contextmanager
def _eval_mode(model: torch.nn.Module) -> Iterator[None]:
    """Put the model in eval mode without gradients, and back."""
    training = [module for module in model.modules() if module.training]
    model.eval()
    try:
        with torch.no_grad():
            yield
    finally:
        for module in training:
            module.training = True


@contextmanager
def _plain_flags(model: torch.nn.Module) -> Iterator[None]:
    """Show snnTorch's integer flags as numbers: it branches on them, which export cannot follow in a tensor."""
    flags = [
        (module, name, buffer)
        for module in model.modules()
        if type(module).__module__.startswith("snntorch.")
        for name, buffer in module.named_buffers(recurse=False)
        if buffer.ndim == 0 and not buffer.is_floating_point()
    ]
    for module, name, buffer in flags:
        del module._buffers[name]
        module.__dict__[name] = buffer.item()
    try:
        yield
    finally:
        for module, name, buffer in flags:
            del module.__dict__[name]
            module._buffers[name] = buffer


@contextmanager
def _quiet() -> Iterator[None]:
    """Keep torch's warnings about its own internals from the user."""
    with warnings.catch_warnings():
        warnings.simplefilter("ignore")
        yield
