"""Entries: the non-zeros of a matrix, and the heads of its rows, in the order in which a sparse strip uses them."""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray

from kernels.arrays import KernelError
from kernels.loops.strip import head_bytes


@dataclass(frozen=True, slots=True, eq=False)
class Entries:
    """Packed weights of `sparse_strip`.

    Attributes
    ----------
    words
        int32 (entries, 1 + R): the bytes from a strip's first column to that of the entry's input row, and the bits of
        R weights.
    heads
        int32 (heads, 2 + R): the bytes of the row's entries, the bytes from the strip's first output to that of the
        row, and the bits of R biases.
    parts
        Heads of the first block of the reduction, of the middle ones and of the last; or of the only one.
    lengths
        int64 (heads,): entries of each row, with what pads them.
    """

    words: NDArray[np.int32]
    heads: NDArray[np.int32]
    parts: tuple[int, ...]
    lengths: NDArray[np.int64]

    @property
    def names(self) -> tuple[str, ...]:
        """The names of the parts, as `sparse_strip` has them."""
        return ("only",) if len(self.parts) == 1 else ("first", "middle", "last")

    def ends(self) -> list[int]:
        """Return the byte behind the heads of each part."""
        size = head_bytes(self.heads.shape[1] - 2)
        return [int(end) * size for end in np.cumsum(self.parts)]

    def iterations(self, strips: int, pieces: int, unroll: int) -> dict[str, int]:
        """Return how often the loops of a sparse strip turn in so many strips of so many pieces."""
        turns = {"strips": strips}
        last = 0
        for name, heads in zip(self.names, self.parts, strict=True):
            turns[f"{name} rows"] = strips * heads
            turns[f"{name} pieces"] = strips * heads * pieces
            turns[f"{name} entries"] = strips * pieces * int(self.lengths[last : last + heads].sum()) // unroll
            last += heads
        return turns


def pack_entries(
    weight: NDArray[np.float32],
    bias: NDArray[np.float32],
    x_stride: int,
    y_stride: int,
    *,
    rows: int = 1,
    block: int | None = None,
    unroll: int = 1,
    length: int | None = None,
) -> Entries:
    """Pack a matrix.

    Within a block of the reduction, rows are sorted by length: the exit of the inner loop is then predicted.

    Parameters
    ----------
    weight, bias
        float32 (M, K) and (M,); M is a multiple of ``rows``.
    x_stride, y_stride
        Bytes from one input row to the next, and from one output row to the next.
    rows
        Output rows that share their indices; where one of them has a weight, all have.
    block
        Inputs of a block; by default all.
    unroll
        Entries of a row are padded to a multiple of it, with zeros.
    length
        Pad all rows to this one length, for N:M.

    Raises
    ------
    KernelError
        If a row is longer than that.
    """
    groups, inputs = len(weight) // rows, weight.shape[1]
    grouped = weight.reshape(groups, rows, inputs)
    firsts = range(0, inputs, block or inputs)
    words, heads, lengths, parts = [], [], [], []
    for i, first in enumerate(firsts):
        part = grouped[:, :, first : first + (block or inputs)]
        kept = (part != 0).any(axis=1)
        order = np.argsort(-kept.sum(axis=1), kind="stable")
        if 0 < i < len(firsts) - 1:
            order = order[kept[order].any(axis=1)]
        group, column = np.nonzero(kept[order])
        real = kept[order].sum(axis=1)
        if length is not None and real.max(initial=0) > length:
            raise KernelError(f"a row of these weights must have at most {length} non-zeros, not {real.max()}")
        padded = np.full(len(order), length) if length else -(-real // unroll) * unroll
        place = np.arange(len(group)) - np.repeat(np.cumsum(real) - real, real)
        place += np.repeat(np.cumsum(padded) - padded, real)
        packed = np.zeros((int(padded.sum()), 1 + rows), np.int32)
        packed[place, 0] = (first + column) * x_stride
        packed[place, 1:] = part[order[group], :, column].view(np.int32)
        head = np.empty((len(order), 2 + rows), np.int32)
        head[:, 0] = padded * packed.itemsize * packed.shape[1]
        head[:, 1] = order * rows * y_stride
        head[:, 2:] = bias.reshape(groups, rows)[order].view(np.int32)
        words.append(packed)
        heads.append(head)
        lengths.append(padded)
        parts.append(len(order))
    sizes = (parts[0],) if len(parts) == 1 else (parts[0], sum(parts[1:-1]), parts[-1])
    return Entries(np.concatenate(words), np.concatenate(heads), sizes, np.concatenate(lengths).astype(np.int64))
