"""Strips: how the columns of a product are cut into strips of vectors of nearly equal width."""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import dataclass


@dataclass(frozen=True, slots=True)
class Strips:
    """Neighbouring strips of one width, computed by one call of a kernel.

    Attributes
    ----------
    first
        The first column.
    columns
        Columns of each piece of a strip.
    count
        How many strips.
    pieces
        Pieces of each strip, one behind the other.
    """

    first: int
    columns: int
    count: int
    pieces: int = 1

    @property
    def width(self) -> int:
        """Columns of a strip."""
        return self.columns * self.pieces


def cut(columns: int, vectors: int, lanes: int = 4, pieces: int = 1) -> list[Strips]:
    """Cut columns into as few pieces of at most so many vectors as can be, and put so many of them together to strips.

    Their widths are a vector apart at most. Where the columns are no whole vectors, the last vector overlaps the one
    before it, in its piece or in the one before: columns are then computed twice, which is right because every strip
    starts from the bias.

    >>> cut(196, 13)
    [Strips(first=0, columns=52, count=1, pieces=1), Strips(first=52, columns=48, count=3, pieces=1)]
    >>> cut(49, 2, pieces=4)  # doctest: +NORMALIZE_WHITESPACE
    [Strips(first=0, columns=8, count=1, pieces=4), Strips(first=32, columns=8, count=1, pieces=2),
     Strips(first=45, columns=4, count=1, pieces=1)]
    """
    total = -(-columns // lanes)
    count = -(-total // vectors)
    low, more = divmod(total, count)
    cuts = [Strips(0, (low + 1) * lanes, more)] if more else []
    rest = columns % lanes
    whole = count - more - (1 if rest else 0)
    first = more * (low + 1) * lanes
    if whole:
        cuts.append(Strips(first, low * lanes, whole))
    if rest:
        width = max((low - 1) * lanes + rest, lanes)
        cuts.append(Strips(columns - width, width, 1))
    return [strips for one in cuts for strips in _together(one, pieces)]


def _together(single: Strips, pieces: int) -> Iterator[Strips]:
    """Yield strips of so many pieces, and one of those that remain."""
    count, rest = divmod(single.count, pieces)
    if count:
        yield Strips(single.first, single.columns, count, pieces)
    if rest:
        yield Strips(single.first + count * pieces * single.columns, single.columns, 1, rest)
