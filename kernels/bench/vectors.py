"""Matrix times vector out of memory: calls rotate over so many copies of the weights that no cache keeps one."""

from __future__ import annotations

import dataclasses
from collections.abc import Callable, Iterator, Sequence

import numpy as np

from kernels.arrays import empty
from kernels.baselines import Contender, Operands, draw
from kernels.bench.against import Setting, Sparse, against
from kernels.bench.nets import Layer
from kernels.bench.pointwise import Variant
from kernels.bench.prune import Array, prune
from kernels.bench.row import Row, Work
from kernels.matvec import delta_update, gemv, gemv_columns, gemv_rows, spike_update
from kernels.packed import pack

INPUTS = 16
"""Vectors that calls rotate over, each with zeros of its own."""
MOST_COPY_BYTES = 2 << 30
"""Memory that copies of one weight may take."""


def copies(layer: Layer, setting: Setting, share: float = 1.0) -> int:
    """Return how many copies of a weight are rotated over, if a call reads a share of one: twice the last cache."""
    weight_bytes = 4 * int(np.prod(layer.problem.weight_shape))
    wanted = 2 * setting.limits.holds_bytes["L3"] / (share * weight_bytes) + 1
    return max(1, min(round(wanted), MOST_COPY_BYTES // weight_bytes))


def time_weights(layer: Layer, pairs: Sequence[Variant], setting: Setting) -> Iterator[Row]:
    """Yield a row for each pattern and sparsity of one layer's weight."""
    operands = draw(layer.problem, setting.seed, copies=copies(layer, setting))
    sparse = [_weights(layer, operands, *pair, setting) for pair in pairs]
    return against(layer, "gemv", operands, sparse, setting)


def _weights(layer: Layer, operands: Operands, pattern: str, sparsity: float, setting: Setting) -> Sparse:
    """Return the product of a pruned weight with a vector."""
    weight = prune(operands.weight, pattern, sparsity)
    packed = [pack(weight, pattern)]
    packed += [dataclasses.replace(packed[0], _layouts={}) for _ in range(copies(layer, setting, 1 - sparsity) - 1)]
    xs, y = [x[0] for x in operands.inputs], empty(1, layer.problem.outputs)[0]
    for one in packed:  # the first product puts a weight into the order in which it is read
        gemv(one, xs[0])

    def run(number: int) -> Array:
        chosen, x = packed[number % len(packed)], xs[number % len(xs)]
        return gemv(chosen, x, operands.bias, low=0.0, out=y, threads=setting.threads)

    work = Work(2 * packed[0].nonzeros, packed[0].bytes + 4 * sum(weight.shape), cold=True)
    pruned = dataclasses.replace(operands, weight=weight)
    return Sparse(pattern, sparsity, pruned, Contender(run, lambda y: y[None]), work)


def time_vectors(layer: Layer, sparsities: Sequence[float], setting: Setting) -> Iterator[Row]:
    """Yield rows for zeros in the input (activations, changes, spikes) and in the output (gates), at each sparsity."""
    operands = draw(layer.problem, setting.seed, INPUTS, copies=copies(layer, setting))
    count = copies(layer, setting, 1 - max(sparsities))
    by_column = [_aligned(operands.weight.T) for _ in range(count)]
    by_row = [_aligned(operands.weight) for _ in range(count)]
    kinds = ((_activations, by_column), (_changes, by_column), (_spikes, by_column), (_gates, by_row))
    sparse: list[Sparse] = []
    for sparsity in sparsities:
        for make, weights in kinds:
            # Masks and the order of copies are each kernel's own, or the one before would leave them what they read.
            turn = len(sparse) % count
            own = dataclasses.replace(setting, seed=setting.seed + len(sparse))
            sparse.append(make(operands, sparsity, weights[turn:] + weights[:turn], own))
    return against(layer, "gemv_active", operands, sparse, setting)


def _aligned(matrix: Array) -> Array:
    """Return a copy with aligned rows."""
    copy = empty(*matrix.shape)
    copy[...] = matrix
    return copy


def _kept(operands: Operands, size: int, sparsity: float, seed: int) -> list[np.ndarray]:
    """Return a mask for each input, with an exact number of zeros at random places."""
    random = np.random.default_rng(seed)
    return [random.permutation(size) >= round(sparsity * size) for _ in operands.inputs]


def _work(operands: Operands, sparsity: float) -> Work:
    """Return what reading a share of the weight's rows or columns takes."""
    values = round((1 - sparsity) * operands.weight.size)
    return Work(2 * values, 4 * (values + sum(operands.weight.shape)), cold=True)


def _masked(operands: Operands, sparsity: float, seed: int) -> Operands:
    """Return the operands with zeros in every input."""
    kept = _kept(operands, operands.weight.shape[1], sparsity, seed)
    inputs = tuple(np.where(keep, x, np.float32(0)) for keep, x in zip(kept, operands.inputs, strict=True))
    return dataclasses.replace(operands, inputs=inputs)


def _activations(operands: Operands, sparsity: float, weights: list[Array], setting: Setting) -> Sparse:
    masked = _masked(operands, sparsity, setting.seed)
    y, xs = empty(1, len(operands.bias))[0], [x[0] for x in masked.inputs]

    def run(number: int) -> Array:
        w, x = weights[number % len(weights)], xs[number % len(xs)]
        return gemv_columns(w, x, operands.bias, low=0.0, out=y, threads=setting.threads)

    return Sparse("activations", sparsity, masked, Contender(run, lambda y: y[None]), _work(operands, sparsity))


def _state(
    masked: Operands, xs: Sequence[np.ndarray], weights: list[Array], update: Callable[..., Array], threads: int
) -> Contender:
    """Return the update of a state that starts as the bias."""
    state = masked.bias.copy()

    def run(number: int) -> Array:
        return update(weights[number % len(weights)], xs[number % len(xs)], state, threads=threads)

    return Contender(run, lambda y: y[None].copy())


def _changes(operands: Operands, sparsity: float, weights: list[Array], setting: Setting) -> Sparse:
    masked = dataclasses.replace(_masked(operands, sparsity, setting.seed), relu=False)
    contender = _state(masked, [x[0] for x in masked.inputs], weights, delta_update, setting.threads)
    return Sparse("changes", sparsity, masked, contender, _work(operands, sparsity))


def _spikes(operands: Operands, sparsity: float, weights: list[Array], setting: Setting) -> Sparse:
    spikes = [x[0] != 0 for x in _masked(operands, sparsity, setting.seed).inputs]
    ones = dataclasses.replace(operands, inputs=tuple(x[None].astype(np.float32) for x in spikes), relu=False)
    contender = _state(ones, spikes, weights, spike_update, setting.threads)
    return Sparse("spikes", sparsity, ones, contender, _work(operands, sparsity))


def _gates(operands: Operands, sparsity: float, weights: list[Array], setting: Setting) -> Sparse:
    gates = _kept(operands, len(operands.bias), sparsity, setting.seed)
    y, xs = empty(1, len(operands.bias))[0], [x[0] for x in operands.inputs]

    def run(number: int) -> Array:
        w, i = weights[number % len(weights)], number % len(xs)
        return gemv_rows(w, xs[i], gates[i], operands.bias, low=0.0, out=y, threads=setting.threads)

    # What the first gate closes is zero, as if its weights were.
    closed = dataclasses.replace(operands, weight=operands.weight * gates[0][:, None], bias=operands.bias * gates[0])
    return Sparse("gates", sparsity, closed, Contender(run, lambda y: y[None]), _work(operands, sparsity))
