"""Op: one step of a kernel on virtual registers, and the short constructors that the builders write it with."""

from __future__ import annotations

from dataclasses import dataclass
from enum import StrEnum


class Kind(StrEnum):
    """What an op does. ``p``, ``q`` are integer registers (32 bits: addresses, byte counts), ``a``, ``b`` vectors."""

    LOAD_VECTOR = "load_vector"  # out = memory[p + offset], all lanes
    LOAD_SPLAT = "load_splat"  # out = the float32 at p + offset, in every lane
    LOAD_INDEX = "load_index"  # integer out = the int32 at p + offset
    STORE_VECTOR = "store_vector"  # memory[p + offset] = a
    SPLAT_LANE = "splat_lane"  # out = lane `offset` of a, in every lane
    ZERO = "zero"  # out = 0
    FMA = "fma"  # out += a * b; the first input is the output
    MUL = "mul"  # out = a * b
    ADD = "add"  # out = a + b
    MAX = "max"  # out = the larger of a and b
    MIN = "min"  # out = the smaller of a and b
    EVEN = "even"  # out = lanes 0, 2, 4, ... of a then of b
    ODD = "odd"  # out = lanes 1, 3, 5, ... of a then of b
    ADD_INDEX = "add_index"  # integer out = p + q
    ADVANCE = "advance"  # integer out = p + offset
    COPY = "copy"  # integer out = p
    SLIDE = "slide"  # out = the lanes of a then b, from lane `offset` of a on
    LANE_INDEX = "lane_index"  # integer out = the int32 in lane `offset` of a
    PREFETCH = "prefetch"  # ask for the cache line at p + offset; nothing is read


INTEGER = frozenset({Kind.LOAD_INDEX, Kind.ADD_INDEX, Kind.ADVANCE, Kind.COPY, Kind.LANE_INDEX})
"""Kinds whose output is an integer register; all others that have an output write a vector."""

MEMORY = frozenset({Kind.LOAD_VECTOR, Kind.LOAD_SPLAT, Kind.LOAD_INDEX, Kind.STORE_VECTOR})
"""Kinds that read or write memory, at their first input plus their offset."""

_POINTERS = {Kind.ADD_INDEX: 2, Kind.ADVANCE: 1, Kind.COPY: 1, Kind.PREFETCH: 1} | dict.fromkeys(MEMORY, 1)


@dataclass(frozen=True, slots=True)
class Op:
    """One op.

    Attributes
    ----------
    kind
        What it does.
    out
        The register written; None for a store.
    ins
        The registers read, integer ones first. An FMA reads its output first.
    offset
        Bytes added to an address or a pointer; the lane of a ``splat_lane``, ``slide`` or ``lane_index``.
    """

    kind: Kind
    out: str | None
    ins: tuple[str, ...] = ()
    offset: int = 0

    @property
    def pointers(self) -> tuple[str, ...]:
        """The integer registers read."""
        return self.ins[: _POINTERS.get(self.kind, 0)]

    @property
    def vectors(self) -> tuple[str, ...]:
        """The vector registers read."""
        return self.ins[_POINTERS.get(self.kind, 0) :]

    def size(self, lanes: int) -> int:
        """Return the bytes of memory that the op touches, 0 for most."""
        if self.kind not in MEMORY:
            return 0
        return 4 * lanes if self.kind in (Kind.LOAD_VECTOR, Kind.STORE_VECTOR) else 4

    def __str__(self) -> str:
        target = "" if self.out is None else f"{self.out} = "
        offset = f" {self.offset:+}" if self.offset else ""
        return f"{target}{self.kind} {', '.join(self.ins)}{offset}".rstrip()


def load_vector(out: str, pointer: str, offset: int = 0) -> Op:
    """Return the load of a vector."""
    return Op(Kind.LOAD_VECTOR, out, (pointer,), offset)


def load_splat(out: str, pointer: str, offset: int = 0) -> Op:
    """Return the load of one float32 into all lanes."""
    return Op(Kind.LOAD_SPLAT, out, (pointer,), offset)


def load_index(out: str, pointer: str, offset: int = 0) -> Op:
    """Return the load of an int32."""
    return Op(Kind.LOAD_INDEX, out, (pointer,), offset)


def store_vector(pointer: str, vector: str, offset: int = 0) -> Op:
    """Return the store of a vector."""
    return Op(Kind.STORE_VECTOR, None, (pointer, vector), offset)


def splat_lane(out: str, vector: str, lane: int) -> Op:
    """Return the copy of one lane to all. A machine that multiplies by a lane needs no op for it."""
    return Op(Kind.SPLAT_LANE, out, (vector,), lane)


def fma(out: str, left: str, right: str) -> Op:
    """Return out += left * right."""
    return Op(Kind.FMA, out, (out, left, right))


def zero(out: str) -> Op:
    """Return out = 0."""
    return Op(Kind.ZERO, out)


def binary(kind: Kind, out: str, left: str, right: str) -> Op:
    """Return a ``mul``, ``add``, ``max``, ``min``, ``even`` or ``odd`` of two vectors."""
    return Op(kind, out, (left, right))


def add_index(out: str, pointer: str, index: str) -> Op:
    """Return out = pointer + index, both integers; the index counts bytes."""
    return Op(Kind.ADD_INDEX, out, (pointer, index))


def advance(pointer: str, amount: int, out: str | None = None) -> Op:
    """Return pointer += amount bytes, or out = pointer + amount."""
    return Op(Kind.ADVANCE, out or pointer, (pointer,), amount)


def copy(out: str, pointer: str) -> Op:
    """Return out = pointer."""
    return Op(Kind.COPY, out, (pointer,))


def slide(out: str, left: str, right: str, lanes: int) -> Op:
    """Return a vector's worth of lanes of left then right, without the first few."""
    return Op(Kind.SLIDE, out, (left, right), lanes)


def lane_index(out: str, vector: str, lane: int) -> Op:
    """Return out = the int32 in a lane of a vector that was loaded from memory."""
    return Op(Kind.LANE_INDEX, out, (vector,), lane)


def prefetch(pointer: str, offset: int = 0) -> Op:
    """Return a hint to bring a cache line; its address may lie outside of the memory."""
    return Op(Kind.PREFETCH, None, (pointer,), offset)
