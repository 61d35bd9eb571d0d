"""Layer: a 1x1 convolution as a program: weights packed, memory laid out, kernels chosen, arguments set."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray

from kernels.arrays import KernelError
from kernels.loops.dense import dense_tile
from kernels.loops.entries import pack_entries
from kernels.loops.nest import Kernel
from kernels.loops.program import ALIGNMENT, Call, Memory, Program
from kernels.loops.strip import sparse_strip
from kernels.loops.strips import Strips, cut

Array = NDArray[np.float32]


@dataclass(frozen=True, slots=True)
class DensePlan:
    """How a dense layer is computed: see `dense_tile`."""

    rows: int
    vectors: int
    shuffle: bool = False
    unroll: int = 1
    lanes: int = 4

    @property
    def pieces(self) -> int:
        """A strip is one piece."""
        return 1


@dataclass(frozen=True, slots=True)
class SparsePlan:
    """How a sparse layer is computed: see `sparse_strip`.

    ``vectors`` are those of a strip, or of each of its ``pieces``; ``block`` is the inputs of a block of the reduction.
    """

    vectors: int
    rows: int = 1
    block: int | None = None
    unroll: int = 1
    length: int | None = None
    shuffle: bool = False
    pieces: int = 1
    lanes: int = 4


Plan = DensePlan | SparsePlan


@dataclass(frozen=True, slots=True, eq=False)
class Layer:
    """A 1x1 convolution: y = clip(weight @ x + bias, low, high).

    Attributes
    ----------
    weight, bias
        float32 (M, K) and (M,).
    x
        float32 (K, columns).
    low, high
        The bounds of the outputs: 0 and 6 for ReLU6.
    """

    weight: Array
    bias: Array
    x: Array
    low: float = -np.inf
    high: float = np.inf

    def reference(self) -> NDArray[np.float64]:
        """Return the outputs in float64."""
        sums = self.weight.astype(np.float64) @ self.x.astype(np.float64)
        clipped: NDArray[np.float64] = np.clip(sums + self.bias[:, None].astype(np.float64), self.low, self.high)
        return clipped

    def program(self, plan: Plan, padded: bool = True) -> Program:
        """Return the program that computes the layer.

        Parameters
        ----------
        plan
            The tile or strip.
        padded
            Whether rows of inputs and outputs are padded to an odd number of cache lines, so that the rows of a strip
            spread over all sets of a cache: 112 x 112 columns lie 49 KiB apart, in 4 of 64 sets. Else they are
            contiguous, as libraries have them.

        Raises
        ------
        KernelError
            If rows are contiguous and shorter than a vector.
        """
        outputs, columns = len(self.weight), self.x.shape[1]
        row = (-(-4 * columns // ALIGNMENT) | 1) * ALIGNMENT // 4 if padded else columns
        width = -(-columns // plan.lanes) * plan.lanes if padded else columns
        if width < plan.lanes:
            raise KernelError(f"a layer must have at least {plan.lanes} columns, one vector, not {columns}")
        more = -outputs % plan.rows
        weight, bias = np.pad(self.weight, ((0, more), (0, 0))), np.pad(self.bias, (0, more))
        memory = Memory()
        # An unrolled tile reads inputs behind the last, for weights that are zero: they are finite, as they must be.
        x = memory.add(np.pad(self.x, ((0, 0), (0, row - columns))), slack=4 * row * plan.unroll)
        y = memory.add(np.zeros((outputs + more, row), np.float32))
        shared = {
            "x_stride": 4 * row,
            "y_stride": 4 * row,
            "limits": memory.add(np.array([self.low, self.high], np.float32)).address,
        }
        if isinstance(plan, DensePlan):
            packed = _dense(memory, weight, bias, plan)
        else:
            packed = _sparse(memory, weight, bias, 4 * row, plan)
        calls = []
        for strips in cut(width, plan.vectors, plan.lanes, plan.pieces):
            kernel, turns = packed.kernel(strips.columns), packed.iterations(strips)
            own = shared | packed.places | {"x": x.address + 4 * strips.first, "y": y.address + 4 * strips.first}
            own |= {"x_end": own["x"] + 4 * strips.width * strips.count, "span": 4 * strips.width}
            calls.append(Call(kernel, {name: own[name] for name in kernel.parameters}, turns))
        return Program(tuple(calls), memory.image(), y, (outputs, columns))


@dataclass(frozen=True, slots=True, eq=False)
class _Weights:
    """Weights in memory: where, the kernel for a strip of them, and the turns of its loops for some strips."""

    places: dict[str, int]
    kernel: Callable[[int], Kernel]
    iterations: Callable[[Strips], dict[str, int]]


def _dense(memory: Memory, weight: Array, bias: Array, plan: DensePlan) -> _Weights:
    """Lay out dense weights: for each tile of rows its biases, then the rows' weights of each input."""
    rows, unroll = plan.rows, plan.unroll
    padded = np.pad(weight, ((0, 0), (0, -weight.shape[1] % unroll)))
    tiles = padded.reshape(-1, rows, padded.shape[1]).transpose(0, 2, 1).reshape(-1, padded.shape[1] * rows)
    place = memory.add(np.concatenate((bias.reshape(-1, rows), tiles), axis=1), slack=4 * plan.lanes)
    places = {"weights": place.address, "weights_end": place.end, "reduction": 4 * tiles.shape[1]}
    turns = {"strips": 1, "tiles": len(tiles), "inputs": tiles.size // (rows * unroll)}
    return _Weights(
        places,
        lambda columns: dense_tile(rows, columns, plan.shuffle, unroll, plan.lanes),
        lambda strips: {name: strips.count * n for name, n in turns.items()},
    )


def _sparse(memory: Memory, weight: Array, bias: Array, stride: int, plan: SparsePlan) -> _Weights:
    """Lay out the non-zeros and the heads of their rows."""
    entries = pack_entries(
        weight,
        bias,
        stride,
        stride,
        rows=plan.rows,
        block=plan.block,
        unroll=plan.unroll,
        length=plan.length,
    )
    heads = memory.add(entries.heads).address
    places = {"entries": memory.add(entries.words, slack=4 * plan.lanes).address, "heads": heads}
    places |= {f"{name}_end": heads + end for name, end in zip(entries.names, entries.ends(), strict=True)}
    return _Weights(
        places,
        lambda columns: sparse_strip(
            columns,
            plan.rows,
            blocked=len(entries.parts) > 1,
            length=plan.length,
            unroll=plan.unroll,
            shuffle=plan.shuffle,
            pieces=plan.pieces > 1,
            lanes=plan.lanes,
        ),
        lambda strips: entries.iterations(strips.count, strips.pieces, plan.unroll),
    )
