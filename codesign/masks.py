"""Masks: keep pruned weights at zero while a torch model is fine-tuned."""

from __future__ import annotations

from typing import TYPE_CHECKING

from traces.errors import InputError
from traces.graph import OpGraph

if TYPE_CHECKING:
    import torch


class Masks:
    """The zeros of a sparsified graph, as masks of the parameters of the model it was traced from.

    Call `apply` once to prune the model, and again after each optimizer step. Folded batch norms do no harm: they
    scale whole filters, which moves no zero.

    Raises
    ------
    InputError
        If the graph was not traced from this model with weights in memory.
    """

    def __init__(self, model: torch.nn.Module, sparse: OpGraph) -> None:
        import torch

        program = sparse.program
        parameters = dict(model.named_parameters())
        keys = {op.weight for op in sparse if op.name in sparse.patterns and op.weight is not None}
        if program is None or not keys <= parameters.keys():
            missing = sorted(keys - parameters.keys())[:1] or [sparse.name]
            raise InputError(
                f"masks need the graph that was traced from this model; it has no weights for {missing[0]}"
            )
        self._masked: list[tuple[torch.nn.Parameter, torch.Tensor]] = []
        for key in sorted(keys):
            kept = program.layouts[key].to_torch(sparse.weights[key]) != 0
            self._masked.append((parameters[key], torch.from_numpy(kept)))

    def apply(self) -> None:
        """Set the pruned weights of the model to zero."""
        for parameter, kept in self._masked:
            parameter.data.mul_(kept.to(parameter.device))

    def __repr__(self) -> str:
        kept = sum(int(mask.sum()) for _, mask in self._masked)
        return (
            f"Masks({len(self._masked)} tensors, {kept:,} of {sum(m.numel() for _, m in self._masked):,} weights kept)"
        )
