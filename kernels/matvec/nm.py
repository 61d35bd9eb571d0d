"""N:M: the bytes are the bound, so places in a group take as many bits as they must, and are unpacked in registers.

A lane of the registers is a row, and a row's values come group by group. Each lane has a word of 32 bits with the
places of as many values as fit; a place, shifted down, picks one of the group's inputs, which all rows share. Words
and values are one stream, in the order in which they are read.
"""

from __future__ import annotations

import functools
from dataclasses import dataclass

import numpy as np
from numba import njit, prange

from kernels.formats import NM
from kernels.formats.tiles import index_bits
from kernels.machine import vector_lanes
from kernels.matvec.memory import Floats, stream
from kernels.matvec.vectors import WORD, Kernel, pick
from kernels.packed import Packed, Store
from kernels.tile import fma_tile, load, store, zeros

LAYOUT = "gemv N:M"
"""Name of the layout that a packed matrix keeps."""
VECTORS = 2
"""Registers of rows that go together and share the inputs."""
MOST_BITS = 4
"""Bits of a place that a register of 16 lanes can look up; a tree of selections is slow from there on, too."""


@dataclass(frozen=True, slots=True, eq=False)
class Streamed:
    """An N:M matrix in slices of ``VECTORS * lanes`` rows.

    Attributes
    ----------
    n, bits
        Values of a group, and bits of the place of each.
    groups
        Groups of a row.
    lanes
        Floats of a register.
    words
        float32 (slices * (words of a row + groups * n) * rows of a slice,): for every 32 // (n * bits) groups, and any
        that are left, the words that hold their places (as bits of floats), and their values.
    """

    n: int
    bits: int
    groups: int
    lanes: int
    words: Floats

    @property
    def bytes(self) -> int:
        """Bytes that a product reads, padding included."""
        return self.words.nbytes


def place_bits(store: NM) -> int:
    """Return the bits of a place: at least one."""
    return max(index_bits(store.m), 1)


def fits(store: Store) -> bool:
    """Tell whether a packed matrix is N:M with groups small enough for this kernel."""
    if not isinstance(store, NM):
        return False
    bits = place_bits(store)
    return bits <= MOST_BITS and store.n * bits <= WORD.width


def streamed(packed: NM, lanes: int) -> Streamed:
    """Return an N:M matrix as one stream for registers of so many lanes."""
    rows, n, bits, height = packed.shape[0], packed.n, place_bits(packed), VECTORS * lanes
    groups = packed.values.shape[1] // n
    word = WORD.width // (n * bits)
    slices, words = -(-rows // height), -(-groups // word)
    size = (words + groups * n) * height
    memory = stream(slices * size, np.float32)
    shifts = (np.arange(groups * n) % (word * n) * bits).astype(np.uint32)
    for piece in range(slices):
        chosen = slice(piece * height, (piece + 1) * height)
        values = packed.values[chosen].T
        places = packed.indices[chosen].astype(np.uint32).T << shifts[:, None]
        target = memory[piece * size : (piece + 1) * size].reshape(-1, height)
        for at in range(words):
            mine = slice(at * word * n, (at + 1) * word * n)
            begin = at * (1 + word * n)
            target[begin, : values.shape[1]] = np.bitwise_or.reduce(places[mine], axis=0).view(np.float32)
            target[begin + 1 : begin + 1 + len(values[mine]), : values.shape[1]] = values[mine]
    return Streamed(n, bits, groups, lanes, memory)


@functools.cache
def compiled(n: int, bits: int, lanes: int, parallel: int) -> Kernel:
    """Return the kernel for N values of a group and so many bits of a place; y is a multiple of a slice's rows."""
    height, around, word = VECTORS * lanes, 1 << bits, WORD.width // (n * bits)

    @njit(cache=True, nogil=True, parallel=bool(parallel))
    def gemv_nm(words: Floats, groups: int, x: Floats, y: Floats, parts: int) -> None:
        slices = y.size // height
        size = words.size // slices
        whole = groups - groups % word
        tasks = parts if parallel else 1
        for part in prange(tasks):
            for piece in range(slices * part // parts, slices * (part + 1) // parts):
                at = piece * size
                acc = zeros(1, VECTORS, lanes)
                for first in range(0, whole, word):
                    places = load(words, at, height, VECTORS, lanes)
                    for i in range(word * n):
                        at += height
                        inputs = pick(x, (first + i // n) * around, places, i * bits, bits)
                        acc = fma_tile(acc, load(words, at, height, VECTORS, lanes), inputs)
                    at += height
                if whole < groups:
                    places = load(words, at, height, VECTORS, lanes)
                    for i in range((groups - whole) * n):
                        at += height
                        inputs = pick(x, (whole + i // n) * around, places, i * bits, bits)
                        acc = fma_tile(acc, load(words, at, height, VECTORS, lanes), inputs)
                store(y, piece * height, 0, height, acc)

    made: Kernel = gemv_nm
    return made


def _spread(x: Floats, packed: NM, around: int) -> Floats:
    """Return x with each group, short ones too, followed by zeros up to a power of two."""
    if packed.m == around and packed.run % around == 0:
        return x
    runs, groups = x.size // packed.run, -(-packed.run // packed.m)
    full = np.zeros((runs, groups * packed.m), np.float32)
    full[:, : packed.run] = x.reshape(runs, packed.run)
    spread = np.zeros((runs * groups, around), np.float32)
    spread[:, : packed.m] = full.reshape(-1, packed.m)
    return spread.reshape(-1)


def layout_of(packed: Packed) -> Streamed:
    """Return an N:M matrix that `fits` as one stream for this machine's registers."""

    def build(store: Store) -> Streamed:
        assert isinstance(store, NM)
        return streamed(store, vector_lanes())

    return packed.layout(LAYOUT, build)


def multiply(packed: Packed, x: Floats, y: Floats, threads: int) -> None:
    """Write the product of an N:M matrix that `fits` to y."""
    store = packed.store
    assert isinstance(store, NM)
    layout = layout_of(packed)
    lanes = layout.lanes
    height = VECTORS * lanes
    target = y if y.size % height == 0 else np.empty(-(-y.size // height) * height, np.float32)
    kernel = compiled(layout.n, layout.bits, lanes, int(threads > 1))
    kernel(layout.words, layout.groups, _spread(x, store, 1 << layout.bits), target, threads)
    if target is not y:
        y[:] = target[: y.size]
