"""Tile operations on the rows of an image: strided windows, and the sums of a convolution that slides over them.

A register holds neighbouring *outputs* of one row. Tap i of a kernel sees, for output l, the input in column
``stride * l + i``: a load moved by i for a stride of 1, and every second float of two loads for a stride of 2. Two
registers are deinterleaved within their 128-bit parts, the cheapest of shuffles; the outputs then lie in an order of
their own, which `finished` puts right, once for all taps.

Columns outside the image are zero. Only registers that can lie over an edge are masked: the first one of a strip, for
its leftmost taps, and the last one. `strip_shape` chooses strips in which the others cannot.
"""

from __future__ import annotations

import functools
from collections.abc import Callable, Sequence

from llvmlite import ir
from numba.core import types

from kernels.machine import vector_lanes
from kernels.tile import INDEX, Emitter, TileType, Value, literals, operation
from kernels.windows.geometry import Geometry

STRIDES = (1, 2)
SHORT = ir.IntType(32)


def strip_shape(geometry: Geometry, most: int) -> tuple[int, int]:
    """Return how many registers (at most so many) of how many lanes compute a strip of outputs of one row."""
    lanes = vector_lanes()
    while lanes > 4 and 5 * _computed(geometry, lanes // 2) <= 4 * _computed(geometry, lanes):
        lanes //= 2
    vectors = 1
    while vectors < most and vectors * lanes < geometry.columns and _inside(geometry, vectors * lanes):
        vectors += 1
    return vectors, lanes


def _computed(geometry: Geometry, lanes: int) -> int:
    """Return the outputs of a row when registers are filled up."""
    return -(-geometry.columns // lanes) * lanes


def _inside(geometry: Geometry, outputs: int) -> bool:
    """Tell whether the first outputs of a row see nothing on the right of the image."""
    return geometry.stride * (outputs - 1) + geometry.kernel - 1 - geometry.padding < geometry.width


def deinterleaved(lanes: int) -> list[int]:
    """Return which output each lane holds for a stride of 2: two of the first load and two of the second by turns."""
    return [(side + place) // 2 for place in range(0, lanes, 4) for side in (0, 2, lanes, lanes + 2)]


class Window:
    """What the taps of a kernel see of one row of an image; its element ``at`` may lie in a negative column."""

    def __init__(self, emitter: Emitter, taps: int, stride: int, argument: int, row: Sequence[Value]) -> None:
        self.emitter, self.taps, self.stride, self.argument = emitter, taps, stride, argument
        self.x, self.at, self.column, self.columns = row
        self.run, self.tap = functools.cache(self._run), functools.cache(self._tap)

    def _run(self, start: int) -> Value:
        """Return the inputs from ``start`` on, one register; masked if it can lie over an edge."""
        emitter, builder, tile = self.emitter, self.emitter.builder, self.emitter.tile
        where = emitter.place(self.argument, self.x, emitter.plus(self.at, start))
        where = builder.bitcast(where, ir.PointerType(tile.vector))
        kind = ir.VectorType(SHORT, tile.lanes)
        places = ir.Constant(kind, [start + lane for lane in range(tile.lanes)])
        places = builder.add(emitter.splat(builder.trunc(self.column, SHORT)), places)
        conditions = []
        if start < self.taps // 2:
            conditions.append(builder.icmp_signed(">", places, ir.Constant(kind, [-1] * tile.lanes)))
        # All that an output of the registers before the last one sees lies inside; of a lone register nothing is known.
        if tile.vectors == 1 or start + tile.lanes > self.stride * ((tile.vectors - 1) * tile.lanes - 1) + self.taps:
            conditions.append(builder.icmp_signed(">", emitter.splat(builder.trunc(self.columns, SHORT)), places))
        if not conditions:
            return builder.load(where, align=4)
        exist = functools.reduce(builder.and_, conditions)
        name = f"llvm.masked.load.v{tile.lanes}f32.p0"
        return emitter.call(name, tile.vector, where, SHORT(4), exist, ir.Constant(tile.vector, None))

    def _tap(self, i: int, t: int) -> Value:
        """Return what tap i sees for the outputs of register t."""
        lanes = self.emitter.tile.lanes
        if self.stride == 1:
            return self.run(i + t * lanes)
        order, pair = deinterleaved(lanes), self.taps - 2
        if i >= pair:
            # The last two taps are the even and the odd columns of the same two loads.
            sources = [self.run(pair + (2 * t + half) * lanes) for half in (0, 1)]
            chosen = [2 * output + i - pair for output in order]
        else:
            # Another tap sees what the tap after the next does, an output later.
            sources = [self.tap(i + 2, t), self.tap(i + 2, t - 1) if t else self.run(i)]
            before = lanes + (order.index(lanes - 1) if t else 0)
            chosen = [order.index(output - 1) if output else before for output in order]
        return self.emitter.builder.shuffle_vector(*sources, ir.Constant(ir.VectorType(SHORT, lanes), chosen))


@operation
def slide(
    _typing: Value,
    acc: Value,
    weights: Value,
    x: Value,
    at: Value,
    column: Value,
    columns: Value,
    first: Value,
    last: Value,
    stride: Value,
) -> Value:
    """``slide(acc, weights, x, at, column, columns, first, last, stride)``: rows of inputs under a square kernel.

    Row r of the tile sums output row ``y + r``. Of the ``stride`` input rows with which output y is complete, those
    from ``first`` up to ``last`` lie at ``at``, ``at + columns``. Register j of ``weights`` (a tile of ``kernel ** 2``
    rows) is weight j in every lane.
    """
    kernel = round(weights.rows**0.5)
    begin, end, step = literals(first, last, stride)

    def emit(context: Value, builder: Value, signature: Value, arguments: Sequence[Value]) -> Value:
        emitter = Emitter(context, builder, signature, acc)
        value, weight, array, place, left, width = arguments[:6]
        windows = []
        for _ in range(begin, end):
            windows.append(Window(emitter, kernel, step, 2, (array, place, left, width)))
            place = builder.add(place, width)
        # Each input row has sums of its own, which are added at the end: a short chain of additions hides its latency.
        sums: dict[tuple[int, int, int], Value] = {}
        for i in reversed(range(kernel)):
            for t in range(acc.vectors):
                for n, window in enumerate(windows):
                    for r in range(acc.rows):
                        line = kernel - step + begin + n - step * r
                        if line >= 0:
                            one = emitter.get(weight, line * kernel + i, 0, 1)
                            started = sums.get((r, t, n), emitter.get(value, r, t) if n == 0 or line == 0 else None)
                            sums[r, t, n] = _multiply_add(emitter, one, window.tap(i, t), started)

        def register(r: int, t: int) -> Value:
            parts = [sums[r, t, n] for n in range(len(windows)) if (r, t, n) in sums]
            return functools.reduce(builder.fadd, parts) if parts else emitter.get(value, r, t)

        return emitter.filled(lambda r: lambda t: register(r, t))

    whole = types.int64
    return acc(acc, weights, x, whole, whole, whole, first, last, stride), emit


def _multiply_add(emitter: Emitter, a: Value, b: Value, c: Value | None) -> Value:
    """Return ``a * b``, added to ``c`` if there is one."""
    return emitter.builder.fmul(a, b) if c is None else emitter.fused(a, b, c)


@operation
def fma_window(
    _typing: Value,
    acc: Value,
    scalars: Value,
    offset: Value,
    x: Value,
    at: Value,
    column: Value,
    columns: Value,
    taps: Value,
    stride: Value,
) -> Value:
    """``fma_window(acc, scalars, offset, x, at, column, columns, taps, stride)``: one row of inputs for many outputs.

    Tap i adds the rank-one update ``acc[r, t] += scalars[offset + i * rows + r] * tap(i)[t]``.
    """
    across, step = literals(taps, stride)

    def emit(context: Value, builder: Value, signature: Value, arguments: Sequence[Value]) -> Value:
        emitter = Emitter(context, builder, signature, acc)
        window = Window(emitter, across, step, 3, arguments[3:7])
        sums = [[emitter.get(arguments[0], r, t) for t in range(acc.vectors)] for r in range(acc.rows)]
        for i in range(across):
            for r in range(acc.rows):
                scalar = emitter.splat(emitter.item(1, arguments[1], arguments[2], i * acc.rows + r))
                sums[r] = [emitter.fused(scalar, window.tap(i, t), sums[r][t]) for t in range(acc.vectors)]
        return emitter.filled(lambda r: lambda t: sums[r][t])

    whole = types.int64
    return acc(acc, scalars, whole, x, whole, whole, whole, taps, stride), emit


@operation
def roll(_typing: Value, acc: Value, fresh: Value) -> Value:
    """``roll(acc, fresh)``: every row of the tile moves up by one, and ``fresh`` becomes the last."""

    def emit(context: Value, builder: Value, signature: Value, arguments: Sequence[Value]) -> Value:
        emitter = Emitter(context, builder, signature, acc)

        def row(r: int) -> Callable[[int], Value]:
            last = r + 1 == acc.rows
            return lambda t: emitter.get(arguments[1], 0, t) if last else emitter.get(arguments[0], r + 1, t)

        return emitter.filled(row)

    return acc(acc, fresh), emit


@operation
def finished(_typing: Value, acc: Value, rows: Value, stride: Value, low: Value, high: Value) -> Value:
    """``finished(acc, rows, stride, low, high)``: the first rows, lanes in the order of outputs, within two bounds."""
    height, step = literals(rows, stride)
    tile = TileType(height, acc.vectors, acc.lanes)
    held = deinterleaved(acc.lanes) if step == 2 else list(range(acc.lanes))
    order = ir.Constant(ir.VectorType(SHORT, acc.lanes), [held.index(output) for output in range(acc.lanes)])

    def emit(context: Value, builder: Value, signature: Value, arguments: Sequence[Value]) -> Value:
        emitter = Emitter(context, builder, signature, tile)
        least, most = emitter.splat(arguments[3]), emitter.splat(arguments[4])

        def register(r: int, t: int) -> Value:
            value = emitter.get(arguments[0], r, t)
            value = builder.shuffle_vector(value, ir.Constant(tile.vector, ir.Undefined), order)
            # Compared this way round a NaN stays, as in torch, and x86 has one instruction for either line.
            value = builder.select(builder.fcmp_ordered(">", least, value), least, value)
            return builder.select(builder.fcmp_ordered("<", most, value), most, value)

        return emitter.filled(lambda r: lambda t: register(r, t))

    return tile(acc, rows, stride, types.float32, types.float32), emit


@operation
def store_strip(_typing: Value, y: Value, at: Value, stride: Value, count: Value, tile: Value) -> Value:
    """``store_strip(y, at, stride, count, tile)``: `kernels.tile.store` where only the last register may be cut."""

    def emit(context: Value, builder: Value, signature: Value, arguments: Sequence[Value]) -> Value:
        array, start, step, exist, value = arguments
        emitter = Emitter(context, builder, signature, tile)
        begins = [builder.add(start, builder.mul(step, INDEX(r))) for r in range(tile.rows)]

        def put(vectors: range) -> None:
            for r, begin in enumerate(begins):
                for t in vectors:
                    where = emitter.place(0, array, emitter.plus(begin, t * tile.lanes))
                    where = builder.bitcast(where, ir.PointerType(tile.vector))
                    builder.store(emitter.get(value, r, t), where, align=4)

        last = tile.vectors - 1
        put(range(last))
        # Full registers are told apart, because only AVX-512 and later mask a store at no cost.
        with builder.if_else(builder.icmp_signed("<", exist, INDEX(tile.vectors * tile.lanes))) as (cut, whole):
            with cut:
                for r, begin in enumerate(begins):
                    emitter.write(0, array, begin, last, exist, emitter.get(value, r, last))
            with whole:
                put(range(last, tile.vectors))
        return context.get_dummy_value()

    whole = types.int64
    return types.void(y, whole, whole, whole, tile), emit


@operation
def within(_typing: Value, i: Value, size: Value) -> Value:
    """``within(i, size)``: whether ``0 <= i < size``, in one comparison without sign."""

    def emit(_context: Value, builder: Value, _signature: Value, arguments: Sequence[Value]) -> Value:
        return builder.icmp_unsigned("<", *arguments)

    return types.boolean(types.int64, types.int64), emit
