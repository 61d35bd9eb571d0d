"""Columns: where the vectors of a strip lie, and what is done to its sums at the end."""

from __future__ import annotations

from collections.abc import Sequence

from kernels.loops.op import Kind, Op, binary, load_splat


def offsets(columns: int, lanes: int) -> list[int]:
    """Return the byte offset of each vector of a strip; the last may overlap the one before.

    >>> offsets(10, 4)
    [0, 16, 24]

    Raises
    ------
    ValueError
        If the strip is narrower than a vector.
    """
    if columns < lanes:
        raise ValueError(f"a strip must be at least one vector of {lanes} columns wide, not {columns}")
    return [4 * min(first, columns - lanes) for first in range(0, columns, lanes)]


def clamp(sums: Sequence[str]) -> list[Op]:
    """Return the ops that bound sums between the two floats at ``limits``: ReLU and the like, or nothing at infinity.

    The bounds are loaded where they are used: they would otherwise hold two registers through the inner loop.
    """
    ops = [load_splat("low", "limits"), load_splat("high", "limits", 4)]
    for one in sums:
        ops += [binary(Kind.MAX, one, one, "low"), binary(Kind.MIN, one, one, "high")]
    return ops
