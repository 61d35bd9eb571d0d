"""oneDNN with packed weights, through the operators that torch's own compiler calls.

`F.conv2d` and `F.linear` pack the weight anew in every call and so stay far below what oneDNN can do; these
operators take a weight that was packed once. They are private to torch and may be missing in another version.
"""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

from kernels.baselines.contender import Contender, LeftOutError
from kernels.baselines.problem import Array, Convolution, Linear, Operands, Problem

if TYPE_CHECKING:
    import torch


def _operators(*names: str) -> list[Any]:
    """Return torch's private operators."""
    import torch

    try:
        return [getattr(torch.ops.mkldnn, name) for name in names]
    except AttributeError as error:
        raise LeftOutError(f"torch {torch.__version__} has no operator mkldnn.{names[0]}") from error


def convolution(problem: Problem, operands: Operands) -> Contender:
    """Return a convolution on channels_last inputs."""
    import torch

    if not isinstance(problem, Convolution):
        raise LeftOutError("it is no convolution")
    pack, compute = _operators("_reorder_convolution_weight", "_convolution_pointwise")
    window = [problem.padding] * 2, [problem.stride] * 2, [1, 1], problem.groups
    with torch.inference_mode():
        weight = torch.from_numpy(operands.weight)
        packed = [pack(weight, *window, list(problem.x_shape)) for _ in range(operands.copies)]
        bias = torch.from_numpy(operands.bias)
        xs = [torch.from_numpy(x).clone(memory_format=torch.channels_last) for x in operands.inputs]
    after = "relu" if operands.relu else "none"

    @torch.inference_mode()
    def run(number: int) -> torch.Tensor:
        x, w = xs[number % len(xs)], packed[number % len(packed)]
        y: torch.Tensor = compute(x, w, bias, *window, after, [], "")
        return y

    return Contender(run, lambda y: y.contiguous().numpy())


def linear(problem: Problem, operands: Operands) -> Contender:
    """Return a linear layer; a convolution of one pixel is one on the pixels of a channels_last input."""
    import torch

    if not (isinstance(problem, Linear) or problem.pointwise):
        raise LeftOutError("it is no matrix product")
    pack, compute = _operators("_reorder_linear_weight", "_linear_pointwise")
    with torch.inference_mode():
        xs = [_pixels(torch.from_numpy(x)) for x in operands.inputs]
        weight = torch.from_numpy(operands.weight).reshape(problem.outputs, problem.inputs)
        packed = [pack(weight, len(xs[0])) for _ in range(operands.copies)]
        bias = torch.from_numpy(operands.bias)
    after = "relu" if operands.relu else "none"

    @torch.inference_mode()
    def run(number: int) -> torch.Tensor:
        x, w = xs[number % len(xs)], packed[number % len(packed)]
        y: torch.Tensor = compute(x, w, bias, after, [], "")
        return y

    def standard(y: torch.Tensor) -> Array:
        if isinstance(problem, Convolution):
            batch, channels, height, width = problem.y_shape
            y = y.reshape(batch, height, width, channels).permute(0, 3, 1, 2)
        array: Array = y.contiguous().numpy()
        return array

    return Contender(run, standard)


def _pixels(x: torch.Tensor) -> torch.Tensor:
    """Return a copy of (batch, channels, height, width) as (pixels, channels), and of a matrix as it is."""
    import torch

    if x.ndim == 2:
        return x.clone()
    return x.clone(memory_format=torch.channels_last).permute(0, 2, 3, 1).reshape(-1, x.shape[1])
