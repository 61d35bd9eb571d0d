"""Convolutions with dense weights whose inputs have zeros: activations after a ReLU."""

from __future__ import annotations

import dataclasses
from collections.abc import Iterator, Sequence

import numpy as np

from kernels.active import by_pixels, conv_active, empty_images, pack_active
from kernels.baselines import Contender, Convolution, Operands, draw
from kernels.bench.against import Setting, Sparse, against
from kernels.bench.nets import Layer
from kernels.bench.row import Row, Work

INPUT_VALUES = 2**18
"""Values of all inputs that calls rotate over: of fewer the branch predictor learns where the zeros are."""


def time_layer(layer: Layer, sparsities: Sequence[float], setting: Setting) -> Iterator[Row]:
    """Yield a row for each sparsity of one layer's inputs, whose zeros lie at random.

    A non-zero has as many multiplications as outputs see it; at the border some of them fall outside.
    """
    problem = layer.problem
    assert isinstance(problem, Convolution)
    inputs = max(2, -(-INPUT_VALUES // int(np.prod(problem.x_shape))))
    operands = draw(problem, setting.seed, inputs)
    sparse = [_sparse(problem, operands, sparsity, setting) for sparsity in sparsities]
    return against(layer, "active", operands, sparse, setting)


def _sparse(problem: Convolution, operands: Operands, sparsity: float, setting: Setting) -> Sparse:
    """Return the convolution of inputs with this share of zeros."""
    random = np.random.default_rng(setting.seed)
    kept = [random.permutation(x.size).reshape(x.shape) >= round(sparsity * x.size) for x in operands.inputs]
    inputs = tuple(np.where(keep, x, np.float32(0)) for keep, x in zip(kept, operands.inputs, strict=True))
    packed = pack_active(operands.weight, problem.stride, problem.padding)
    xs = [by_pixels(x) for x in inputs]
    out = empty_images(*problem.y_shape)
    low = 0.0 if operands.relu else -np.inf

    def run(number: int) -> np.ndarray:
        return conv_active(packed, xs[number % len(xs)], operands.bias, low=low, out=out, threads=setting.threads)

    moved = operands.weight.nbytes + inputs[0].nbytes + out.nbytes
    work = Work(round((1 - sparsity) * problem.flops), moved)
    return Sparse(
        "activations",
        sparsity,
        dataclasses.replace(operands, inputs=inputs),
        Contender(run, np.ascontiguousarray),
        work,
    )
