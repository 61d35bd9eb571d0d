"""What matrix-vector kernels ask of vector registers beyond `kernels.tile`: gathers, picks, and streams of columns.

Arguments are those of `kernels.tile`, and nothing here checks a bound either.
"""

from __future__ import annotations

from collections.abc import Callable

from llvmlite import ir
from numba.core import types

from kernels.tile import FLOAT, INDEX, Emitter, TileType, Value, literals, operation

WORD = ir.IntType(32)
WIDE = 16
"""Lanes that only AVX-512 has."""


@operation
def gather(_typing: Value, x: Value, indices: Value, at: Value, group: Value, vectors: Value, lanes: Value) -> Value:
    """``gather(x, indices, at, group, vectors, lanes)``: a row whose lane i is ``x[indices[at + i // group]]``.

    The indices are unsigned. They are loaded 64 bits at a time and shifted apart, which leaves the load units to the
    elements: this takes half the time of the gather instruction of AVX-512 (Zen 4), and needs none.
    """
    share, height, width = literals(group, vectors, lanes)
    tile = TileType(1, height, width)

    def emit(context: Value, builder: Value, signature: Value, arguments: Value) -> Value:
        array, chosen, first = arguments[:3]
        emitter = Emitter(context, builder, signature, tile)
        places = _unsigned(emitter, 1, chosen, first, height * width // share)
        few = ir.VectorType(FLOAT, width // share)

        def register(t: int) -> Value:
            value = ir.Constant(few, ir.Undefined)
            for i, place in enumerate(places[t * few.count : (t + 1) * few.count]):
                value = builder.insert_element(value, builder.load(emitter.place(0, array, place)), WORD(i))
            return _shuffled(builder, value, [lane // share for lane in range(width)])

        return emitter.filled(lambda _r: register)

    return tile(x, indices, types.int64, group, vectors, lanes), emit


def _unsigned(emitter: Emitter, argument: int, array: Value, at: Value, count: int) -> list[Value]:
    """Return elements of an array of unsigned integers as int64, several to a load where they come in fours."""
    builder, size = emitter.builder, emitter.kinds[argument].dtype.bitwidth
    step = INDEX.width // size if count % (INDEX.width // size) == 0 else 1
    found = []
    for start in range(0, count, step):
        where = emitter.place(argument, array, emitter.plus(at, start))
        whole = ir.IntType(size * step)
        word = builder.load(builder.bitcast(where, ir.PointerType(whole)), align=size // 8)
        for i in range(step):
            part = builder.trunc(builder.lshr(word, whole(size * i)), ir.IntType(size)) if step > 1 else word
            found.append(builder.zext(part, INDEX))
    return found


def _shuffled(builder: Value, vector: Value, places: list[int]) -> Value:
    """Return the lanes of a vector at constant places."""
    order = ir.Constant(ir.VectorType(WORD, len(places)), places)
    return builder.shuffle_vector(vector, ir.Constant(vector.type, ir.Undefined), order)


@operation
def pick(_typing: Value, x: Value, offset: Value, words: Value, shift: Value, bits: Value) -> Value:
    """``pick(x, offset, words, shift, bits)``: a tile whose lanes are each one of ``2**bits`` neighbours in x.

    A lane is ``x[offset + place]``, its place the bits of its word from ``shift`` on; ``words`` is a tile that holds
    32-bit integers. x86 permutes a register by the low bits of each lane, so that the neighbours, repeated to fill it,
    need no mask. Elsewhere a tree of selections does the same, one bit a level.
    """
    (size,) = literals(bits)

    def emit(context: Value, builder: Value, signature: Value, arguments: Value) -> Value:
        array, at, chosen, amount = arguments[:4]
        emitter = Emitter(context, builder, signature, words)
        lanes, around = words.lanes, 1 << size
        whole = ir.VectorType(WORD, lanes)
        amount = emitter.splat(builder.trunc(amount, WORD))
        permuted = lanes >= 8 and around <= lanes
        if permuted:
            kind = ir.VectorType(FLOAT, around)
            near = builder.load(builder.bitcast(emitter.place(0, array, at), ir.PointerType(kind)), align=4)
            near = _shuffled(builder, near, [lane % around for lane in range(lanes)])
        else:
            loose = [emitter.splat(emitter.item(0, array, at, i)) for i in range(around)]

        def register(t: int) -> Value:
            place = builder.lshr(builder.bitcast(emitter.get(chosen, 0, t), whole), amount)
            if not permuted:
                return _selected(builder, loose, place)
            name = "avx512.permvar.sf.512" if lanes == WIDE else "avx2.permps"
            return emitter.call(f"llvm.x86.{name}", words.vector, near, place)

        return emitter.filled(lambda _r: register)

    return words(x, types.int64, words, types.int64, bits), emit


def _selected(builder: Value, choices: list[Value], place: Value) -> Value:
    """Return in each lane the choice that its place tells."""
    one = ir.Constant(place.type, [1] * place.type.count)
    while len(choices) > 1:
        odd = builder.trunc(builder.and_(place, one), ir.VectorType(ir.IntType(1), place.type.count))
        pairs = zip(choices[::2], choices[1::2], strict=True)
        choices = [builder.select(odd, second, first) for first, second in pairs]
        place = builder.lshr(place, one)
    return choices[0]


@operation
def places(_typing: Value, starts: Value, at: Value, count: Value) -> Value:
    """``places(starts, at, count)``: int64 entries of an array as a tuple, which stays in registers across stores."""
    (size,) = literals(count)
    kind = types.UniTuple(types.int64, size)  # type: ignore[no-untyped-call]  # numba's

    def emit(context: Value, builder: Value, signature: Value, arguments: Value) -> Value:
        array, first = arguments[:2]
        emitter = Emitter(context, builder, signature, starts)
        items = [emitter.item(0, array, first, i) for i in range(size)]
        return context.make_tuple(builder, kind, items)

    return kind(starts, types.int64, count), emit


@operation
def add_streams(_typing: Value, acc: Value, scales: Value, w: Value, starts: Value, offset: Value) -> Value:
    """``add_streams(acc, scales, w, starts, offset)``: acc plus, for each start, the row at ``start + offset`` in w.

    ``starts`` are `places`. ``scales`` is a tile of one register for each of them, its factor in every lane, or None
    for a plain sum. All rows are full.
    """

    def emit(context: Value, builder: Value, signature: Value, arguments: Value) -> Value:
        value, factors, array, firsts, at = arguments
        emitter = Emitter(context, builder, signature, acc)
        full = INDEX(acc.vectors * acc.lanes)
        plain = isinstance(scales, types.NoneType)

        def register(t: int) -> Value:
            total = emitter.get(value, 0, t)
            for i in range(len(starts)):
                row = emitter.read(2, array, builder.add(builder.extract_value(firsts, i), at), t, full)
                total = builder.fadd(total, row) if plain else emitter.fused(emitter.get(factors, i, 0, 1), row, total)
            return total

        return emitter.filled(lambda _r: register)

    return acc(acc, scales, w, starts, types.int64), emit


@operation
def store_totals(_typing: Value, y: Value, rows: Value, at: Value, tile: Value) -> Value:
    """``store_totals(y, rows, at, tile)``: the sum of row r of the tile to ``y[rows[at + r]]``."""

    def emit(context: Value, builder: Value, signature: Value, arguments: Value) -> Value:
        array, chosen, first, value = arguments
        emitter = Emitter(context, builder, signature, tile)
        for r in range(tile.rows):
            total = emitter.get(value, r, 0)
            for t in range(1, tile.vectors):
                total = builder.fadd(total, emitter.get(value, r, t))
            total = emitter.call(f"llvm.vector.reduce.fadd.v{tile.lanes}f32", FLOAT, FLOAT(-0.0), total)
            total.fastmath.add("reassoc")  # a tree, not one lane after the other
            builder.store(total, emitter.place(0, array, emitter.item(1, chosen, first, r)))
        return context.get_dummy_value()

    return types.void(y, rows, types.int64, tile), emit


Kernel = Callable[..., None]
"""A compiled kernel: it takes flat arrays and sizes, and checks nothing."""
