"""Network: the time of a whole network on one core, op by op, its 1x1 convolutions dense or sparse.

What frameworks fold into a convolution (ReLU, clamps, batch norm, bias) costs nothing by itself here. Ops that only
change shapes are free. Sparse weights are used where an op's weights have zeros enough (`SPARSE_FROM`).
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, field, replace

import numpy as np

from hw_models.cpus import programs
from hw_models.cpus.layer import Core, LayerTime
from kernels.loops.delta_strip import Schedule
from kernels.loops.deltas import DeltaPlan
from kernels.loops.layer import DensePlan, SparsePlan
from kernels.loops.program import Program
from traces.graph import OpGraph
from traces.op import Op

#: Kinds that a framework folds into the op before.
FOLDED = frozenset(("relu", "relu6", "clamp", "batch_norm", "scale", "reshape", "identity", "dropout", "flatten"))
#: Share of zeros from which a layer's weights are stored sparse, as Paddle-Lite and XNNPACK do by default or nearly so.
SPARSE_FROM = 0.6
#: Vector instructions of a sigmoid or the like: the argument reduced (5), a polynomial of degree 5 and the scale put
#: back (8), a reciprocal refined twice (5), the sign and the ends of the range (3).
_EXPONENTIAL = 21


@dataclass(frozen=True, slots=True)
class Plans:
    """How the layers of a network are computed.

    Attributes
    ----------
    dense, sparse
        The dense tile, and the sparse strip (its vectors at most).
    bands
        Rows of outputs that a depthwise kernel computes at once, with stride 1 and 2.
    padded
        Whether rows of activations are padded, as our kernels do, or contiguous, as libraries have them.
    """

    dense: DensePlan = field(default_factory=lambda: DensePlan(8, 2, shuffle=True))
    sparse: SparsePlan | DeltaPlan = field(default_factory=lambda: SparsePlan(8))
    bands: tuple[int, int] = (4, 2)
    padded: bool = True


#: What Paddle-Lite 2.11 runs: its dense tile of four inputs a turn, its sparse strip, contiguous images.
PADDLE = Plans(DensePlan(8, 3, shuffle=True, unroll=4), DeltaPlan(), (4, 2), padded=False)
#: What XNNPACK ran from 2019 to 2020: its sparse strips of 16 columns (``src/init.c`` of those years).
XNNPACK = Plans(DensePlan(6, 2, shuffle=True), DeltaPlan(Schedule.AHEAD, 16), (3, 1), padded=False)


@dataclass(frozen=True, slots=True)
class NetworkTime:
    """Op by op times on one core.

    Attributes
    ----------
    layers
        By op name; folded ops are left out.
    clock_hz
        Of the core.
    """

    layers: Mapping[str, LayerTime]
    clock_hz: float

    @property
    def cycles(self) -> float:
        """Of all layers."""
        return sum(layer.cycles for layer in self.layers.values())

    @property
    def milliseconds(self) -> float:
        """Of all layers."""
        return self.cycles / self.clock_hz * 1e3

    def __repr__(self) -> str:
        return f"NetworkTime({len(self.layers)} layers, {self.milliseconds:.2f} ms)"


def network_time(core: Core, graph: OpGraph, plans: Plans | None = None) -> NetworkTime:
    """Return the time of every op of a network on one core, one after the other.

    Parameters
    ----------
    core
        The core and its code generator.
    graph
        The network with its weights; `codesign.sparsify` makes them sparse.
    plans
        Tiles and strips; by default 8 x 8 and 32 pixels.
    """
    plans = plans or Plans()
    times = {}
    for op in graph:
        found = _op_time(core, graph, op, plans)
        if found is not None:
            times[op.name] = found
    return NetworkTime(times, core.cpu.clock_hz)


def _op_time(core: Core, graph: OpGraph, op: Op, plans: Plans) -> LayerTime | None:
    lanes = core.cpu.core.vector_bits // 32
    if op.gemm is None:
        return _vector_time(core, op, lanes)
    gemm = op.gemm
    if op.kind == "depthwise":
        channels, stride = gemm.groups * gemm.n, min(gemm.stride_h, 2)
        if lanes == 4:
            band = plans.bands[stride - 1]
            program = programs.depthwise_by_rows(channels, gemm.out_h * gemm.batch, gemm.out_w, stride, band)
        else:
            program = programs.depthwise(channels, gemm.out_h * gemm.batch, gemm.out_w, stride, lanes)
        return _scaled(core.time(program), gemm.kernel_h * gemm.kernel_w / 9)
    if gemm.m < lanes:
        return core.time(programs.matrix_vector(gemm.groups * gemm.n * gemm.m, gemm.k, lanes))
    known = op.weight is not None and op.weight in graph.weights
    weight = graph.weights[str(op.weight)][0] if known else np.ones((gemm.n, gemm.k), np.float32)
    zeros = 1 - np.count_nonzero(weight) / weight.size
    if zeros >= SPARSE_FROM and gemm.kernel_h * gemm.kernel_w == 1:
        sparse = replace(plans.sparse, lanes=lanes)
        if isinstance(sparse, DeltaPlan) and sparse.schedule == Schedule.AHEAD:
            sparse = replace(sparse, rows=_rows_together(weight))
        return core.time(programs.product(weight, gemm.m, sparse, padded=plans.padded))
    return _scaled(
        dense_time(core, weight, gemm.m, replace(plans.dense, lanes=lanes), padded=plans.padded), gemm.groups
    )


def dense_time(core: Core, weight: programs.Array, columns: int, plan: DensePlan, *, padded: bool = True) -> LayerTime:
    """Return the time of the fastest way to lay out and order a dense product.

    Contiguous images are packed strip by strip first, as libraries do (the copy is paid); padded ones only where a
    strip of them does not stay in the L1. Where the weights do not stay in the L2, all strips may pass for each panel
    of them.
    """
    program = programs.product(weight, columns, plan, padded=padded)
    caches, inputs = core.cpu.caches, weight.shape[1]
    options: list[tuple[Program, float]] = []
    found: list[LayerTime] = []
    if padded:
        options, found = [(program, 0.0)], [core.time(program)]
        loops = sum(found[0].parts[name] for name in ("inner loops", "row overhead", "mispredicts"))
        if found[0].cycles < 1.03 * loops:  # memory costs next to nothing: no other way can be faster by more
            return found[0]
    if not padded or inputs * caches[0].line_bytes > caches[0].bytes // 2:
        # A block of columns is packed at a time, so that it and its copy stay in the L2.
        block = min(inputs * columns, (caches[1] if len(caches) > 1 else caches[0]).bytes // 16)
        copy = core.time(programs.elementwise(block, 1, 0, plan.lanes)).cycles * inputs * columns / block
        options.append((programs.packed(program, inputs), copy))
        found.append(_plus(core.time(options[-1][0]), copy))
    half = (caches[1] if len(caches) > 1 else caches[0]).bytes // 2
    if weight.nbytes > half:
        best, copy = options[found.index(min(found, key=lambda one: one.cycles))]
        found.append(_plus(core.time(programs.in_panels(best, plan, len(weight), half)), copy))
    return min(found, key=lambda one: one.cycles)


def _rows_together(weight: programs.Array) -> int:
    """Return how many rows, 4, 2 or 1, share their zeros throughout: XNNPACK then takes its strip of so many."""
    for rows in (4, 2):
        whole = weight[: len(weight) // rows * rows].reshape(-1, rows, weight.shape[1]) != 0
        if (whole.any(axis=1) == whole.all(axis=1)).all():
            return rows
    return 1


def _plus(time: LayerTime, copy: float) -> LayerTime:
    """Return a time with that of packing."""
    return replace(time, cycles=time.cycles + copy, parts=time.parts | {"packing": copy})


def _vector_time(core: Core, op: Op, lanes: int) -> LayerTime | None:
    """Return the time of an op that no convolution takes in."""
    if op.kind in FOLDED or op.vector is None or not op.vector.lane_ops:
        return None
    work = op.vector
    elements = max(work.elements_in, work.elements_out)
    operands = 2 if work.elements_in >= 2 * work.elements_out and op.kind in ("add", "mul") else 1
    each = _EXPONENTIAL if op.kind in ("sigmoid", "silu", "tanh") else max(1, round(work.lane_ops / elements))
    program = programs.elementwise(elements // operands, operands, each, lanes)
    return core.time(program)


def _scaled(time: LayerTime, factor: float) -> LayerTime:
    if factor == 1:
        return time
    return replace(
        time,
        cycles=time.cycles * factor,
        parts={name: cycles * factor for name, cycles in time.parts.items()},
        fills=time.fills.times(factor),
        dram_bytes=time.dram_bytes * factor,
    )
