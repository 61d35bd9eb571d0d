"""Sparse weights times a matrix, which a 1x1 convolution and a linear layer of a batch are."""

from __future__ import annotations

import dataclasses
from collections.abc import Iterator, Sequence

from kernels.baselines import Operands, Problem, draw
from kernels.baselines.ours import matrix_product
from kernels.bench.against import Setting, Sparse, against
from kernels.bench.nets import Layer
from kernels.bench.prune import fixed_sparsity, prune
from kernels.bench.row import Row, Work
from kernels.packed import pack

Variant = tuple[str, float]
"""A pattern and a sparsity."""


def variants(patterns: Sequence[str], sparsities: Sequence[float]) -> list[Variant]:
    """Return every pattern at every sparsity; an N:M pattern at its own."""
    pairs: list[Variant] = []
    for pattern in patterns:
        own = fixed_sparsity(pattern)
        pairs += [(pattern, sparsity) for sparsity in (sparsities if own is None else [own])]
    return pairs


def time_layer(layer: Layer, kernel: str, pairs: Sequence[Variant], setting: Setting) -> Iterator[Row]:
    """Yield a row for each variant of one layer.

    Weights and inputs are standard normal; weights are then pruned. All contenders fuse bias and ReLU if they can.
    All calls read the same input, as a layer does that reads what the one before has just written.
    """
    operands = draw(layer.problem, setting.seed, inputs=1)
    sparse = [_sparse(layer.problem, operands, *pair, setting.threads) for pair in pairs]
    return against(layer, kernel, operands, sparse, setting)


def _sparse(problem: Problem, operands: Operands, pattern: str, sparsity: float, threads: int) -> Sparse:
    """Return the product of a pruned weight."""
    weight = prune(operands.weight.reshape(problem.outputs, problem.inputs), pattern, sparsity)
    packed = pack(weight, pattern)
    columns = operands.inputs[0].size // problem.inputs
    work = Work(2 * packed.nonzeros * columns, packed.bytes + 4 * columns * (problem.inputs + problem.outputs))
    pruned = dataclasses.replace(operands, weight=weight.reshape(problem.weight_shape))
    return Sparse(pattern, sparsity, pruned, matrix_product(problem, pruned, [packed], threads), work)
