"""The kernels of this package, behind the same interface."""

from __future__ import annotations

from collections.abc import Sequence

import numpy as np

from kernels import arrays
from kernels.arrays import KernelError, empty
from kernels.baselines.contender import Contender, LeftOutError
from kernels.baselines.problem import Array, Convolution, Linear, Operands, Problem
from kernels.matvec import gemv
from kernels.packed import Packed, pack
from kernels.products import product
from kernels.windows import convolution, depthwise
from kernels.windows.geometry import Geometry


def dense(problem: Problem, operands: Operands, threads: int = 1) -> Contender:
    """Return the dense kernel of ours that fits the problem."""
    if isinstance(problem, Convolution) and not problem.pointwise:
        return _on_planes(problem, operands, threads)
    if isinstance(problem, Linear) and problem.batch == 1:
        return _vector_product(operands, threads)
    matrix = operands.weight.reshape(problem.outputs, problem.inputs)
    packed = [pack(matrix, "dense") for _ in range(operands.copies)]
    return matrix_product(problem, operands, packed, threads)


def _on_planes(problem: Convolution, operands: Operands, threads: int) -> Contender:
    """Return our depthwise or 3x3 convolution, ready to run on the aligned planes of one image."""
    by_channel = problem.groups == problem.inputs == problem.outputs
    if problem.batch > 1 or not (by_channel or problem.groups == 1):
        raise LeftOutError("we have no kernel for its groups or batch")
    make = depthwise.on_planes if by_channel else convolution.on_planes
    weight = operands.weight[:, 0] if by_channel else operands.weight
    try:
        geometry = Geometry(problem.kernel, problem.stride, problem.padding, problem.height, problem.width)
        calls = [make(np.array(weight), operands.bias, geometry, threads) for _ in range(operands.copies)]
    except KernelError as reason:
        raise LeftOutError(str(reason)) from reason
    xs = [arrays.flat(columns(x)) for x in operands.inputs]
    out = empty(problem.outputs, geometry.rows * geometry.columns)
    after = (*arrays.bounds(0.0 if operands.relu else -np.inf, np.inf), *arrays.flat(out))

    def run(number: int) -> Array:
        calls[number % len(calls)](*xs[number % len(xs)], *after)
        return out

    return Contender(run, lambda y: np.array(y).reshape(problem.y_shape))


def _vector_product(operands: Operands, threads: int) -> Contender:
    """Return our product with one vector."""
    weights = [empty(*operands.weight.shape) for _ in range(operands.copies)]
    for weight in weights:
        weight[...] = operands.weight
    xs, out = [x[0] for x in operands.inputs], empty(1, len(operands.bias))[0]
    low = 0.0 if operands.relu else -np.inf

    def run(number: int) -> Array:
        weight, x = weights[number % len(weights)], xs[number % len(xs)]
        return gemv(weight, x, operands.bias, low=low, out=out, threads=threads)

    return Contender(run, lambda y: y[None].copy())


def matrix_product(problem: Problem, operands: Operands, packed: Sequence[Packed], threads: int) -> Contender:
    """Return a weight packed in any way times the activations, its columns the pixels or the batch."""
    xs = [columns(x) for x in operands.inputs]
    out = empty(problem.outputs, xs[0].shape[1])
    low = 0.0 if operands.relu else -np.inf

    ready = [product(weight, out.shape[1], threads) for weight in packed]
    bound = [[one.bind(x, operands.bias, low=low, out=out) for x in xs] for one in ready]

    def run(number: int) -> Array:
        return bound[number % len(bound)][number % len(xs)]()

    def standard(y: Array) -> Array:
        if isinstance(problem, Linear):
            return np.ascontiguousarray(y.T)
        batch, channels, height, width = problem.y_shape
        return np.ascontiguousarray(y.reshape(channels, batch, height, width).transpose(1, 0, 2, 3))

    return Contender(run, standard)


def columns(x: Array) -> Array:
    """Return (batch, channels, height, width) as (channels, pixels), and (batch, inputs) transposed, rows aligned."""
    matrix = x.T if x.ndim == 2 else x.transpose(1, 0, 2, 3).reshape(x.shape[1], -1)
    copy = empty(*matrix.shape)
    copy[...] = matrix
    return copy
