"""Products: packed weights times a matrix of activations, and the 1x1 convolution that it is."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass
from typing import Any

import numpy as np
from numpy.typing import NDArray

from kernels import arrays, machine, plan, strips
from kernels.arrays import ArrayLike
from kernels.bands import Bands, bands
from kernels.packed import Packed, Store, pack
from kernels.panels import Panels, panels
from kernels.threads import check_threads

INFINITY = float("inf")
Floats = NDArray[np.float32]
TALLEST = 4
"""Rows of a tile of bands that share columns, at most."""
WHOLE_STRIPS = 8
"""With this many strips for each thread, threads divide the columns; with fewer, the rows."""


@dataclass(frozen=True, slots=True)
class Product:
    """A product made ready: its plans, panels and compiled kernels. `run` checks nothing.

    Attributes
    ----------
    shape
        (M, K, N): outputs, inputs and columns of activations.
    plans
        The plan of each kind of band: those of full height, and rows left over.
    """

    shape: tuple[int, int, int]
    plans: tuple[plan.Plan, ...]
    _calls: tuple[tuple[Callable[..., None], tuple[NDArray[Any], ...], tuple[int, int, int]], ...]

    def run(
        self, x: Floats, x_stride: int, bias: Floats, low: np.float32, high: np.float32, y: Floats, y_stride: int
    ) -> None:
        """Write the product: ``x`` and ``y`` as flat memory with row strides, bias (M,), bounds as np.float32."""
        for kernel, layout, span in self._calls:
            kernel(*layout, x, x_stride, bias, low, high, y, y_stride, *span)

    def bind(
        self,
        x: ArrayLike,
        bias: ArrayLike = None,
        low: float = -INFINITY,
        high: float = INFINITY,
        out: ArrayLike = None,
    ) -> Callable[[], Floats]:
        """Check operands once, and return a function that writes their product each time it is called.

        It saves what `spmm` spends on its checks, some microseconds a call. Arguments and errors are those of `spmm`;
        an ``x`` that had to be copied is not read again.
        """
        rows, width, columns = self.shape
        x, bias = arrays.matrix("x", x, (width, columns)), arrays.vector("bias", bias, rows)
        y = arrays.output(out, (rows, columns), x, bias)
        operands = (*arrays.flat(x), bias, *arrays.bounds(low, high), *arrays.flat(y))

        def run() -> Floats:
            self.run(*operands)
            return y

        return run

    def explain(self) -> str:
        """Return the plans, one a line."""
        return "\n".join(plan.explain() for plan in self.plans)


def product(packed: Packed, columns: int, threads: int = 1) -> Product:
    """Plan a product with so many columns of activations; it is made once for a matrix and then remembered.

    Raises
    ------
    KernelError
        If the weights are not packed, or one of the numbers is no whole number of at least 1.
    """
    arrays.whole("columns", columns, 1)
    threads = check_threads(threads)
    name = ("product", columns, threads)
    return _packed(packed).layout(name, lambda _store: prepare(packed, columns, threads, plan.plan))


def prepare(packed: Packed, columns: int, threads: int, choose: Callable[[plan.Problem], plan.Plan]) -> Product:
    """Make a product ready by a plan of the caller's choice; what `product` does with the planner's."""
    rows, width = packed.shape
    chosen, calls = [], []
    for part in tiled(packed, columns):
        best = choose(plan.Problem(len(part), part.height, width, len(part.columns), columns))
        chosen.append(best)
        tiles = sum(-(-strip.count // (strip.vectors * best.lanes)) for strip in best.strips)
        pieces = threads if tiles >= WHOLE_STRIPS * threads else 1
        for layout in _layouts(packed, part, best, threads // pieces):
            arguments = (layout.blocks, layout.starts, layout.rows, layout.columns, layout.values)
            for strip in best.strips:
                tile = (layout.height, int(layout.shared), strip.vectors, best.lanes)
                kernel = strips.compiled(*tile, strip.rest, int(strip.masked), int(threads > 1))
                calls.append((kernel, arguments, (strip.first, strip.first + strip.count, pieces)))
    return Product((rows, width, columns), tuple(chosen), tuple(calls))


def tiled(packed: Packed, columns: int) -> list[Bands]:
    """Return the bands that a product with so many columns works on, of no more rows than tiles have.

    Bands of 8 or 16 rows are taken in fours: a tile of 4x4 registers reads fewer weights for each input than one of
    16x1, and passes over the weights a fourth as often. A single register of columns needs the rows to hide the
    latency, so there they stay.
    """

    def build(store: Store) -> list[Bands]:
        found = bands(store, plan.dense_height())
        if columns <= machine.vector_lanes():
            return found
        heights = [max(h for h in range(1, TALLEST + 1) if part.height % h == 0) for part in found]
        return [part.split(h) if 1 < h < part.height else part for part, h in zip(found, heights, strict=True)]

    return packed.layout(("bands", columns <= machine.vector_lanes()), build)


def _layouts(packed: Packed, part: Bands, best: plan.Plan, parts: int) -> list[Panels]:
    """Return the panels of some bands; rows that do not fill the last slice come by themselves."""
    whole = len(part) - len(part) % best.slices
    cuts = [(part.cut(first, last), slices) for first, last, slices in ((0, whole, best.slices), (whole, len(part), 1))]

    def build(cut: Bands, slices: int) -> Panels:
        name = ("panels", cut.height, int(cut.rows[0, 0]), best.block, slices, parts)
        return packed.layout(name, lambda _store: panels(cut, packed.shape[1], best.block, slices, parts))

    return [build(cut, slices) for cut, slices in cuts if len(cut)]


def spmm(
    packed: Packed,
    x: ArrayLike,
    bias: ArrayLike = None,
    low: float = -INFINITY,
    high: float = INFINITY,
    out: ArrayLike = None,
    threads: int = 1,
) -> Floats:
    """Return ``clamp(W @ x + bias, low, high)`` for packed weights W (M, K).

    Parameters
    ----------
    packed
        The weights, from `kernels.pack`; any pattern.
    x
        float32 (K, N), NumPy array or torch tensor. Used where it lies if its rows are contiguous; fastest from
        `kernels.empty`, which aligns them. What is not finite reaches all outputs that read it; in the first row also
        others, as NaN, because short rows of weights are filled up with zeros on it.
    bias
        float32 (M,), or None for zeros.
    low, high
        Bounds of the output: 0 and infinity for a ReLU, 0 and 6 for a ReLU6.
    out
        float32 (M, N) to write, with contiguous rows; None makes one.
    threads
        Cores to use.

    Raises
    ------
    KernelError
        If an array has another shape, type or layout.
    """
    rows, width = _packed(packed).shape
    x, bias = arrays.matrix("x", x, (width, None)), arrays.vector("bias", bias, rows)
    y = arrays.output(out, (rows, x.shape[1]), x, bias)
    _multiply(packed, x, bias, low, high, y, threads)
    return y


def dense(
    weight: ArrayLike,
    x: ArrayLike,
    bias: ArrayLike = None,
    low: float = -INFINITY,
    high: float = INFINITY,
    out: ArrayLike = None,
    threads: int = 1,
) -> Floats:
    """Return ``clamp(W @ x + bias, low, high)`` for a plain matrix W (M, K), which is packed in this call.

    To multiply by the same weights again, pack them once, ``pack(weight, "dense")``, and call `spmm`. Arguments and
    errors are those of `spmm`, and of `kernels.pack`.
    """
    return spmm(pack(weight, "dense"), x, bias, low, high, out, threads)


def conv1x1(
    packed: Packed,
    x: ArrayLike,
    bias: ArrayLike = None,
    low: float = -INFINITY,
    high: float = INFINITY,
    out: ArrayLike = None,
    threads: int = 1,
) -> Floats:
    """Return the 1x1 convolution of a batch of images: `spmm` on the pixels of each.

    Parameters
    ----------
    x
        float32 (batch, K, height, width), channels first.
    out
        float32 (batch, M, height, width) to write, C-contiguous; None makes one.
    packed, bias, low, high, threads
        As in `spmm`.

    Raises
    ------
    KernelError
        If an array has another shape, type or layout.
    """
    rows, width = _packed(packed).shape
    x = arrays.dense("x", x, (None, width, None, None))
    batch, _, tall, wide = x.shape
    bias = arrays.vector("bias", bias, rows)
    shape = (batch, rows, tall, wide)
    y = np.empty(shape, np.float32) if out is None else arrays.images(out, shape, x, bias)
    for image, result in zip(x, y, strict=True):
        _multiply(packed, image.reshape(width, -1), bias, low, high, result.reshape(rows, -1), threads)
    return y


def _packed(packed: object) -> Packed:
    if not isinstance(packed, Packed):
        raise arrays.KernelError(
            f"weights must be packed by kernels.pack, not {type(packed).__name__}; pack them first"
        )
    return packed


def _multiply(
    packed: Packed,
    x: Floats,
    bias: Floats,
    low: float,
    high: float,
    y: Floats,
    threads: int,
) -> None:
    ready = product(packed, x.shape[1], threads)
    ready.run(*arrays.flat(x), bias, *arrays.bounds(low, high), *arrays.flat(y))
