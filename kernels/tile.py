"""A tile of vector registers as a Numba type: the one thing every fast kernel here is written with.

A tile is ``rows x vectors`` registers of ``lanes`` float32 each; its sizes are constants of the compiled code, so
it lives in registers and every loop over it is unrolled. The functions are Numba intrinsics that emit LLVM
vector instructions; LLVM turns them into what the machine has (AVX-512, AVX2, NEON, or scalar code).

    acc = zeros(1, 4, 16)                                        # 64 sums in four registers
    for k in range(start, end):
        acc = fma(acc, values, k, load(x, columns[k] * stride, 64, 4, 16))
    store(y, row * stride, 0, 64, acc)

Arguments mean the same everywhere. An array is C-contiguous and flat; ``offset``, ``at`` and ``stride`` count its
elements; ``count`` is how many of a row's ``vectors * lanes`` floats exist: the others are neither read (they
are zero) nor written, and where it is the constant ``vectors * lanes`` no mask is left in the code. Sizes must be
constants: literals, globals, or variables of an enclosing function.

Nothing here checks a bound: whoever calls a compiled kernel has checked its arrays before (`kernels.arrays`).
"""

from __future__ import annotations

from collections.abc import Callable
from typing import Any, TypeAlias

from llvmlite import ir
from numba.core import cgutils, types
from numba.extending import intrinsic, models, register_model

Value: TypeAlias = Any
"""A value, type or context of LLVM and Numba, which have no types of their own for Python's checkers."""

FLOAT, INDEX = ir.FloatType(), ir.IntType(64)


_declared: Callable[..., Value] = cgutils.get_or_insert_function


def operation(emit: Callable[..., Value]) -> Callable[..., Value]:
    """Make a function of compiled code from one that emits it: it gets Numba types and sees constants as such."""
    made: Callable[..., Value] = intrinsic(prefer_literal=True)(emit)
    return made


class TileType(types.Type):
    """Numba's type of a tile: ``rows x vectors`` registers of ``lanes`` float32."""

    def __init__(self, rows: int, vectors: int, lanes: int) -> None:
        self.rows, self.vectors, self.lanes = rows, vectors, lanes
        self.vector = ir.VectorType(FLOAT, lanes)
        super().__init__(f"Tile({rows}x{vectors}x{lanes})")


@register_model(TileType)
class _TileModel(models.PrimitiveModel):
    """In LLVM a tile is an array of vectors, which it takes apart into registers."""

    def __init__(self, dmm: Value, fe_type: TileType) -> None:
        registers = ir.ArrayType(fe_type.vector, fe_type.rows * fe_type.vectors)
        super().__init__(dmm, fe_type, registers)  # type: ignore[no-untyped-call]  # numba's


def literals(*sizes: Value) -> tuple[int, ...]:
    """Return sizes that the caller wrote as constants."""
    return tuple(size.literal_value for size in sizes)


class Emitter:
    """What the intrinsics below are written in: one function's LLVM builder, and the tile it makes."""

    def __init__(self, context: Value, builder: Value, signature: Value, tile: TileType) -> None:
        self.context, self.builder, self.kinds, self.tile = context, builder, signature.args, tile

    def place(self, argument: int, array: Value, offset: Value) -> Value:
        """Return the address of an element of the array that is the intrinsic's n-th argument."""
        data = self.context.make_array(self.kinds[argument])(self.context, self.builder, array).data
        return self.builder.gep(data, [offset])

    def item(self, argument: int, array: Value, offset: Value, more: int = 0) -> Value:
        """Return element ``offset + more``, an integer as int64."""
        value = self.builder.load(self.place(argument, array, self.plus(offset, more)))
        return value if value.type == FLOAT else self.builder.sext(value, INDEX)

    def plus(self, offset: Value, more: int) -> Value:
        """Return a sum."""
        return self.builder.add(offset, INDEX(more)) if more else offset

    def splat(self, scalar: Value) -> Value:
        """Return a register with the scalar in every lane."""
        kind = ir.VectorType(scalar.type, self.tile.lanes)
        one = self.builder.insert_element(ir.Constant(kind, ir.Undefined), scalar, ir.IntType(32)(0))
        order = ir.Constant(ir.VectorType(ir.IntType(32), kind.count), [0] * kind.count)
        return self.builder.shuffle_vector(one, ir.Constant(kind, ir.Undefined), order)

    def call(self, name: str, result: Value, *arguments: Value) -> Value:
        """Call an LLVM intrinsic."""
        kind = ir.FunctionType(result, [argument.type for argument in arguments])
        return self.builder.call(_declared(self.builder.module, kind, name), arguments)

    def fused(self, a: Value, b: Value, c: Value) -> Value:
        """Return ``a * b + c``, rounded once."""
        return self.call(f"llvm.fma.v{self.tile.lanes}f32", self.tile.vector, a, b, c)

    def existing(self, t: int, count: Value) -> Value:
        """Return the mask of the lanes of vector t whose place in the row is below the count."""
        lanes = self.tile.lanes
        places = ir.Constant(ir.VectorType(INDEX, lanes), [t * lanes + lane for lane in range(lanes)])
        return self.builder.icmp_signed("<", places, self.splat(count))

    def read(self, argument: int, array: Value, offset: Value, t: int, count: Value) -> Value:
        """Return vector t of the row at the offset."""
        kind = self.tile.vector
        where = self.place(argument, array, self.plus(offset, t * self.tile.lanes))
        where = self.builder.bitcast(where, ir.PointerType(kind))
        name = f"llvm.masked.load.v{kind.count}f32.p0"
        return self.call(name, kind, where, ir.IntType(32)(4), self.existing(t, count), ir.Constant(kind, None))

    def write(self, argument: int, array: Value, offset: Value, t: int, count: Value, value: Value) -> None:
        """Store vector t of the row at the offset."""
        kind = self.tile.vector
        where = self.place(argument, array, self.plus(offset, t * self.tile.lanes))
        where = self.builder.bitcast(where, ir.PointerType(kind))
        name = f"llvm.masked.store.v{kind.count}f32.p0"
        self.call(name, ir.VoidType(), value, where, ir.IntType(32)(4), self.existing(t, count))

    def get(self, tile: Value, r: int, t: int, vectors: int | None = None) -> Value:
        """Return one register of a tile value."""
        return self.builder.extract_value(tile, r * (self.tile.vectors if vectors is None else vectors) + t)

    def filled(self, row: Callable[[int], Callable[[int], Value]]) -> Value:
        """Return the tile whose register (r, t) is ``row(r)(t)``."""
        value = ir.Constant(self.context.get_value_type(self.tile), ir.Undefined)
        for r in range(self.tile.rows):
            register = row(r)
            for t in range(self.tile.vectors):
                value = self.builder.insert_value(value, register(t), r * self.tile.vectors + t)
        return value


@operation
def zeros(_typing: Value, rows: Value, vectors: Value, lanes: Value) -> Value:
    """``zeros(rows, vectors, lanes)``: a tile of zeros."""
    tile = TileType(*literals(rows, vectors, lanes))

    def emit(context: Value, _builder: Value, _signature: Value, _arguments: Value) -> Value:
        return ir.Constant(context.get_value_type(tile), None)

    return tile(rows, vectors, lanes), emit


@operation
def load(_typing: Value, x: Value, offset: Value, count: Value, vectors: Value, lanes: Value) -> Value:
    """``load(x, offset, count, vectors, lanes)``: one row of floats that lie together."""
    tile = TileType(1, *literals(vectors, lanes))

    def emit(context: Value, builder: Value, signature: Value, arguments: Value) -> Value:
        array, at, exist = arguments[:3]
        emitter = Emitter(context, builder, signature, tile)
        return emitter.filled(lambda r: lambda t: emitter.read(0, array, at, t, exist))

    return tile(x, types.int64, types.int64, vectors, lanes), emit


@operation
def load_rows(
    _typing: Value,
    y: Value,
    rows: Value,
    at: Value,
    stride: Value,
    offset: Value,
    count: Value,
    height: Value,
    vectors: Value,
    lanes: Value,
) -> Value:
    """``load_rows(y, rows, at, stride, offset, count, height, vectors, lanes)``: rows ``rows[at + r]`` of a matrix."""
    tile = TileType(*literals(height, vectors, lanes))

    def emit(context: Value, builder: Value, signature: Value, arguments: Value) -> Value:
        matrix, chosen, first, step, start, exist = arguments[:6]
        emitter = Emitter(context, builder, signature, tile)

        def row(r: int) -> Callable[[int], Value]:
            begin = builder.add(builder.mul(emitter.item(1, chosen, first, r), step), start)
            return lambda t: emitter.read(0, matrix, begin, t, exist)

        return emitter.filled(row)

    whole = types.int64
    return tile(y, rows, whole, whole, whole, whole, height, vectors, lanes), emit


@operation
def splat(_typing: Value, scalars: Value, offset: Value, rows: Value, vectors: Value, lanes: Value) -> Value:
    """``splat(scalars, offset, rows, vectors, lanes)``: row r is ``scalars[offset + r]`` everywhere."""
    tile = TileType(*literals(rows, vectors, lanes))

    def emit(context: Value, builder: Value, signature: Value, arguments: Value) -> Value:
        array, at = arguments[:2]
        emitter = Emitter(context, builder, signature, tile)

        def row(r: int) -> Callable[[int], Value]:
            register = emitter.splat(emitter.item(0, array, at, r))
            return lambda t: register

        return emitter.filled(row)

    return tile(scalars, types.int64, rows, vectors, lanes), emit


@operation
def splat_rows(
    _typing: Value, scalars: Value, rows: Value, at: Value, height: Value, vectors: Value, lanes: Value
) -> Value:
    """``splat_rows(scalars, rows, at, height, vectors, lanes)``: row r is ``scalars[rows[at + r]]`` everywhere."""
    tile = TileType(*literals(height, vectors, lanes))

    def emit(context: Value, builder: Value, signature: Value, arguments: Value) -> Value:
        array, chosen, first = arguments[:3]
        emitter = Emitter(context, builder, signature, tile)

        def row(r: int) -> Callable[[int], Value]:
            register = emitter.splat(emitter.item(0, array, emitter.item(1, chosen, first, r)))
            return lambda t: register

        return emitter.filled(row)

    return tile(scalars, rows, types.int64, height, vectors, lanes), emit


@operation
def fma(_typing: Value, acc: Value, scalars: Value, offset: Value, strip: Value) -> Value:
    """``fma(acc, scalars, offset, strip)``: the rank-one update ``acc[r, t] += scalars[offset + r] * strip[0, t]``."""

    def emit(context: Value, builder: Value, signature: Value, arguments: Value) -> Value:
        value, array, at, one = arguments
        emitter = Emitter(context, builder, signature, acc)

        def row(r: int) -> Callable[[int], Value]:
            scalar = emitter.splat(emitter.item(1, array, at, r))
            return lambda t: emitter.fused(scalar, emitter.get(one, 0, t), emitter.get(value, r, t))

        return emitter.filled(row)

    return acc(acc, scalars, types.int64, strip), emit


@operation
def fma_tile(_typing: Value, acc: Value, a: Value, b: Value) -> Value:
    """``fma_tile(acc, a, b)``: ``acc + a * b``, element by element; a ``b`` of one row serves every row."""

    def emit(context: Value, builder: Value, signature: Value, arguments: Value) -> Value:
        value, one, other = arguments
        emitter = Emitter(context, builder, signature, acc)

        def row(r: int) -> Callable[[int], Value]:
            of = r if b.rows == acc.rows else 0
            return lambda t: emitter.fused(emitter.get(one, r, t), emitter.get(other, of, t), emitter.get(value, r, t))

        return emitter.filled(row)

    return acc(acc, a, b), emit


@operation
def add(_typing: Value, a: Value, b: Value) -> Value:
    """``add(a, b)``: the sum of two tiles of one shape."""

    def emit(context: Value, builder: Value, signature: Value, arguments: Value) -> Value:
        one, other = arguments
        emitter = Emitter(context, builder, signature, a)
        return emitter.filled(lambda r: lambda t: builder.fadd(emitter.get(one, r, t), emitter.get(other, r, t)))

    return a(a, b), emit


@operation
def clamp(_typing: Value, tile: Value, low: Value, high: Value) -> Value:
    """``clamp(tile, low, high)``: every element within the two float32 bounds (ReLU: 0 and infinity); a NaN stays."""

    def emit(context: Value, builder: Value, signature: Value, arguments: Value) -> Value:
        value, least, most = arguments
        emitter = Emitter(context, builder, signature, tile)
        low_bound, high_bound = emitter.splat(least), emitter.splat(most)

        def register(r: int, t: int) -> Value:
            one = emitter.get(value, r, t)
            one = builder.select(builder.fcmp_ordered(">", low_bound, one), low_bound, one)
            return builder.select(builder.fcmp_ordered("<", high_bound, one), high_bound, one)

        return emitter.filled(lambda r: lambda t: register(r, t))

    return tile(tile, types.float32, types.float32), emit


@operation
def total(_typing: Value, tile: Value, row: Value) -> Value:
    """``total(tile, row)``: the sum of one row's elements, in an order of LLVM's choice (a tree)."""
    (which,) = literals(row)

    def emit(context: Value, builder: Value, signature: Value, arguments: Value) -> Value:
        emitter = Emitter(context, builder, signature, tile)
        summed = emitter.get(arguments[0], which, 0)
        for t in range(1, tile.vectors):
            summed = builder.fadd(summed, emitter.get(arguments[0], which, t))
        kind = ir.FunctionType(FLOAT, [FLOAT, tile.vector])
        name = f"llvm.vector.reduce.fadd.v{tile.lanes}f32"
        reduce = _declared(builder.module, kind, name)
        return builder.call(reduce, [FLOAT(0.0), summed], fastmath=("reassoc",))

    return types.float32(tile, row), emit


@operation
def store(_typing: Value, y: Value, offset: Value, stride: Value, count: Value, tile: Value) -> Value:
    """``store(y, offset, stride, count, tile)``: row r of the tile to ``y[offset + r * stride ...]``."""

    def emit(context: Value, builder: Value, signature: Value, arguments: Value) -> Value:
        array, at, step, exist, value = arguments
        emitter = Emitter(context, builder, signature, tile)
        for r in range(tile.rows):
            begin = builder.add(at, builder.mul(step, INDEX(r)))
            for t in range(tile.vectors):
                emitter.write(0, array, begin, t, exist, emitter.get(value, r, t))
        return context.get_dummy_value()

    return types.void(y, types.int64, types.int64, types.int64, tile), emit


@operation
def store_rows(
    _typing: Value, y: Value, rows: Value, at: Value, stride: Value, offset: Value, count: Value, tile: Value
) -> Value:
    """``store_rows(y, rows, at, stride, offset, count, tile)``: row r to row ``rows[at + r]`` of a matrix."""

    def emit(context: Value, builder: Value, signature: Value, arguments: Value) -> Value:
        matrix, chosen, first, step, start, exist, value = arguments
        emitter = Emitter(context, builder, signature, tile)
        for r in range(tile.rows):
            begin = builder.add(builder.mul(emitter.item(1, chosen, first, r), step), start)
            for t in range(tile.vectors):
                emitter.write(0, matrix, begin, t, exist, emitter.get(value, r, t))
        return context.get_dummy_value()

    whole = types.int64
    return types.void(y, rows, whole, whole, whole, whole, tile), emit


@operation
def prefetch(_typing: Value, x: Value, offset: Value) -> Value:
    """``prefetch(x, offset)``: ask for the cache line of an element that will be read."""

    def emit(context: Value, builder: Value, signature: Value, arguments: Value) -> Value:
        data = context.make_array(signature.args[0])(context, builder, arguments[0]).data
        where = builder.bitcast(builder.gep(data, [arguments[1]]), ir.PointerType(ir.IntType(8)))
        read, keep, cache = (ir.IntType(32)(flag) for flag in (0, 3, 1))
        kind = ir.FunctionType(ir.VoidType(), [where.type, read.type, keep.type, cache.type])
        builder.call(_declared(builder.module, kind, "llvm.prefetch.p0"), [where, read, keep, cache])
        return context.get_dummy_value()

    return types.void(x, types.int64), emit
