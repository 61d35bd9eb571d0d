"""Torch as most people run it: eager, its weight packed in every call. Shown beside, to be beaten easily."""

from __future__ import annotations

from typing import TYPE_CHECKING

from kernels.baselines.contender import Contender, LeftOutError
from kernels.baselines.problem import Convolution, Operands, Problem

if TYPE_CHECKING:
    import torch


def contiguous(problem: Problem, operands: Operands) -> Contender:
    """Return ``F.conv2d`` or ``F.linear`` on tensors as they come."""
    return _prepare(problem, operands, channels_last=False)


def channels_last(problem: Problem, operands: Operands) -> Contender:
    """Return ``F.conv2d`` on weight and input in channels_last."""
    if not isinstance(problem, Convolution):
        raise LeftOutError("it is no convolution")
    return _prepare(problem, operands, channels_last=True)


def _prepare(problem: Problem, operands: Operands, channels_last: bool) -> Contender:
    """Return the eager operator."""
    import torch
    from torch.nn import functional

    form = torch.channels_last if channels_last else torch.contiguous_format
    weights = [torch.from_numpy(operands.weight).clone(memory_format=form) for _ in range(operands.copies)]
    xs = [torch.from_numpy(x).clone(memory_format=form) for x in operands.inputs]
    bias = torch.from_numpy(operands.bias)

    @torch.inference_mode()
    def run(number: int) -> torch.Tensor:
        x, weight = xs[number % len(xs)], weights[number % len(weights)]
        if isinstance(problem, Convolution):
            y = functional.conv2d(x, weight, bias, problem.stride, problem.padding, 1, problem.groups)
        else:
            y = functional.linear(x, weight, bias)
        return torch.relu_(y) if operands.relu else y

    return Contender(run, lambda y: y.contiguous().numpy())
