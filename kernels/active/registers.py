"""What a convolution of sparse activations asks of registers beyond `kernels.tile`: bits, and a sliding row."""

from __future__ import annotations

from llvmlite import ir
from numba.core import types

from kernels.tile import INDEX, Emitter, TileType, Value, literals, operation


@operation
def nonzero_bits(_typing: Value, x: Value, offset: Value, count: Value, vectors: Value, lanes: Value) -> Value:
    """``nonzero_bits(x, offset, count, vectors, lanes)``: bit i tells whether ``x[offset + i]`` is not zero.

    ``x`` is of float32 or uint8, there are at most 64 lanes in all, and elements from ``count`` on are not read: their
    bits are clear. A NaN is not zero.
    """
    across, wide = literals(vectors, lanes)

    def emit(context: Value, builder: Value, signature: Value, arguments: Value) -> Value:
        array, at, exist = arguments[:3]
        emitter = Emitter(context, builder, signature, TileType(1, across, wide))
        kind = ir.VectorType(context.get_value_type(x.dtype), wide)
        zero = ir.Constant(kind, None)
        suffix = "f32" if x.dtype == types.float32 else "i8"
        word = INDEX(0)
        for t in range(across):
            where = builder.bitcast(emitter.place(0, array, emitter.plus(at, t * wide)), ir.PointerType(kind))
            name, size = f"llvm.masked.load.v{wide}{suffix}.p0", ir.IntType(32)(1 if suffix == "i8" else 4)
            values = emitter.call(name, kind, where, size, emitter.existing(t, exist), zero)
            compare = builder.fcmp_unordered if suffix == "f32" else builder.icmp_unsigned
            bits = builder.bitcast(compare("!=", values, zero), ir.IntType(wide))
            word = builder.or_(word, builder.shl(builder.zext(bits, INDEX), INDEX(t * wide)))
        return word

    return types.int64(x, types.int64, types.int64, vectors, lanes), emit


@operation
def lowest_bit(_typing: Value, word: Value) -> Value:
    """``lowest_bit(word)``: the place of the lowest set bit of an int64 that is not 0."""

    def emit(context: Value, builder: Value, signature: Value, arguments: Value) -> Value:
        emitter = Emitter(context, builder, signature, TileType(1, 1, 1))
        return emitter.call("llvm.cttz.i64", INDEX, arguments[0], ir.IntType(1)(1))

    return types.int64(types.int64), emit


@operation
def bit_count(_typing: Value, word: Value) -> Value:
    """``bit_count(word)``: how many bits of an int64 are set."""

    def emit(context: Value, builder: Value, signature: Value, arguments: Value) -> Value:
        return Emitter(context, builder, signature, TileType(1, 1, 1)).call("llvm.ctpop.i64", INDEX, arguments[0])

    return types.int64(types.int64), emit


@operation
def slide(_typing: Value, acc: Value, fresh: Value) -> Value:
    """``slide(acc, fresh)``: a row whose last registers fell off when those of the row ``fresh`` came in front."""

    def emit(context: Value, builder: Value, signature: Value, arguments: Value) -> Value:
        emitter = Emitter(context, builder, signature, acc)
        before, first = arguments
        new = fresh.vectors
        return emitter.filled(
            lambda _r: lambda t: emitter.get(first, 0, t) if t < new else emitter.get(before, 0, t - new)
        )

    return acc(acc, fresh), emit


@operation
def part(_typing: Value, row: Value, first: Value, vectors: Value) -> Value:
    """``part(row, first, vectors)``: so many registers of a row, from the first one on."""
    begin, size = literals(first, vectors)
    tile = TileType(1, size, row.lanes)

    def emit(context: Value, builder: Value, signature: Value, arguments: Value) -> Value:
        emitter = Emitter(context, builder, signature, tile)
        return emitter.filled(lambda _r: lambda t: emitter.get(arguments[0], 0, begin + t))

    return tile(row, first, vectors), emit
