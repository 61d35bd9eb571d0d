"""Machine: runs a kernel's trace as it is written, on a flat memory, and tells every address it touches.

It is compiled by Numba once for all kernels, which it takes as a table of numbers: some 1e8 ops a second, so that the
real index stream of a whole layer can drive a model of caches.
"""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from dataclasses import dataclass

import numpy as np
from numba import njit
from numpy.typing import NDArray

from kernels.loops.nest import Block, Kernel, Node
from kernels.loops.op import Kind

Ints = NDArray[np.int64]

(  # one number for each kind, in the order of Kind, and one for the jump that a loop's test is
    LOAD_VECTOR, LOAD_SPLAT, LOAD_INDEX, STORE_VECTOR, SPLAT_LANE, ZERO, FMA, MUL, ADD, MAX, MIN, EVEN, ODD,
    ADD_INDEX, ADVANCE, COPY, SLIDE, LANE_INDEX, PREFETCH, JUMP,
) = range(len(Kind) + 1)  # fmt: skip
_NUMBER = {kind: number for number, kind in enumerate(Kind)}


@dataclass(frozen=True, slots=True, eq=False)
class Accesses:
    """Memory accesses in the order in which they happen.

    Attributes
    ----------
    op
        int64 (n,): the number of the op in `Kernel.ops`, from which its kind and size follow.
    address
        int64 (n,): the first byte.
    """

    op: Ints
    address: Ints


def run(kernel: Kernel, arguments: Mapping[str, int], memory: NDArray[np.uint8]) -> None:
    """Run a kernel.

    Parameters
    ----------
    kernel
        What to run.
    arguments
        The value of every parameter.
    memory
        uint8, a multiple of 4 bytes, changed in place. Addresses are places in it and multiples of 4; an access
        outside of it is refused.

    Raises
    ------
    KeyError
        If a parameter has no value.
    IndexError
        If an address is outside of the memory.
    """
    for _ in accesses(kernel, arguments, memory, chunk=0):
        pass


def accesses(
    kernel: Kernel, arguments: Mapping[str, int], memory: NDArray[np.uint8], chunk: int = 1 << 18
) -> Iterator[Accesses]:
    """Run a kernel and yield what it touches, up to ``chunk`` accesses at a time. Stop early to sample; see `run`."""
    registers = {name: number for number, name in enumerate((*kernel.integers(), *kernel.vectors()))}
    code = np.array(_flatten(kernel, registers), np.int64).reshape(-1, 6)
    integers = np.zeros(len(registers), np.int64)
    for name in kernel.parameters:
        integers[registers[name]] = arguments[name]
    vectors = np.zeros((len(registers), kernel.lanes), np.float32)
    words, floats = memory.view(np.int32), memory.view(np.float32)
    at = 0
    while at < len(code):
        op, address = np.empty((2, chunk), np.int64)
        at, used = _execute(code, at, integers, vectors, words, floats, op, address)
        if at < 0:
            raise IndexError(f"kernel {kernel.name} left its memory: {list(kernel.ops())[code[-at - 1, 5]]}")
        if chunk:
            yield Accesses(op[:used], address[:used])


def _flatten(kernel: Kernel, registers: Mapping[str, int]) -> list[list[int]]:
    """Return the kernel as rows of code, output register, two input registers, offset and number of the op.

    For a jump they are: code, whether it is taken on equal, the two registers compared, the target.
    """
    rows: list[list[int]] = []
    number = 0

    def add(nodes: tuple[Node, ...]) -> None:
        nonlocal number
        for node in nodes:
            if isinstance(node, Block):
                for op in node.ops:
                    ins = [registers[name] for name in (op.ins[1:] if op.kind is Kind.FMA else op.ins)]
                    out = -1 if op.out is None else registers[op.out]
                    rows.append([_NUMBER[op.kind], out, *[*ins, -1, -1][:2], op.offset, number])
                    number += 1
                continue
            pair = [registers[node.pointer], registers[node.end]]
            skip = [JUMP, 1, *pair, 0, -1]
            if node.may_skip:
                rows.append(skip)
            top = len(rows)
            add(node.body)
            rows.append([JUMP, 0, *pair, top, -1])
            skip[4] = len(rows)

    add(kernel.body)
    return rows


@njit(cache=True)
def _execute(
    code: Ints,
    at: int,
    integers: Ints,
    vectors: NDArray[np.float32],
    words: NDArray[np.int32],
    floats: NDArray[np.float32],
    op: Ints,
    address: Ints,
) -> tuple[int, int]:
    """Run from row ``at`` until the end or until the records are full.

    Returns the next row and the records used; minus the row and one where an address is outside of the memory.
    """
    lanes = vectors.shape[1]
    bits = vectors.view(np.int32)
    used = 0
    while at < len(code):
        kind, out, a, b, offset, number = code[at]
        at += 1
        if kind == JUMP:
            if (integers[a] == integers[b]) == bool(out):
                at = offset
        elif kind <= STORE_VECTOR:
            place = integers[a] + offset
            width = lanes if kind in (LOAD_VECTOR, STORE_VECTOR) else 1
            word = place // 4
            if place % 4 or word < 0 or word + width > len(words):
                return -at, used
            if kind == LOAD_INDEX:
                integers[out] = words[word]
            elif kind == LOAD_SPLAT:
                vectors[out, :] = floats[word]
            elif kind == LOAD_VECTOR:
                vectors[out, :] = floats[word : word + lanes]
            else:
                floats[word : word + lanes] = vectors[b]
            if len(op):
                op[used], address[used] = number, place
                used += 1
                if used == len(op):
                    return at, used
        elif kind == ADD_INDEX:
            integers[out] = integers[a] + integers[b]
        elif kind == ADVANCE:
            integers[out] = integers[a] + offset
        elif kind == COPY:
            integers[out] = integers[a]
        elif kind == PREFETCH:
            if len(op):
                op[used], address[used] = number, integers[a] + offset
                used += 1
                if used == len(op):
                    return at, used
        elif kind == LANE_INDEX:
            integers[out] = bits[a, offset]
        elif kind == SLIDE:
            both = np.concatenate((vectors[a], vectors[b]))
            vectors[out] = both[offset : offset + lanes]
        elif kind in (EVEN, ODD):
            first = kind - EVEN
            vectors[out] = np.concatenate((vectors[a, first::2], vectors[b, first::2]))
        elif kind == SPLAT_LANE:
            vectors[out] = np.full(lanes, vectors[a, offset], np.float32)
        else:
            for lane in range(lanes):
                if kind == FMA:
                    vectors[out, lane] += vectors[a, lane] * vectors[b, lane]
                elif kind == MUL:
                    vectors[out, lane] = vectors[a, lane] * vectors[b, lane]
                elif kind == ADD:
                    vectors[out, lane] = vectors[a, lane] + vectors[b, lane]
                elif kind == MAX:
                    vectors[out, lane] = max(vectors[a, lane], vectors[b, lane])
                elif kind == MIN:
                    vectors[out, lane] = min(vectors[a, lane], vectors[b, lane])
                else:
                    vectors[out, lane] = 0
    return at, used
