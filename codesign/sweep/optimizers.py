"""Optimizers: which points of a design space to evaluate next.

A point is one index an axis. Optimisers are asked for points and told their objectives, in batches; they draw on
their seed alone, so the same tells give the same asks, and a sweep that is resumed can replay them.
"""

from __future__ import annotations

import itertools
import random
from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from typing import Protocol

from traces.errors import InputError

#: Names that `make_optimizer` knows.
OPTIMIZERS = ("grid", "random", "tpe", "nsga2")

Point = tuple[int, ...]


@dataclass(frozen=True, slots=True)
class Axis:
    """One thing that is varied.

    Attributes
    ----------
    name
        Unique among the axes.
    size
        How many values it has, at least 1.
    ordered
        Whether neighbouring indices are alike: sizes are, names are not.
    space
        The index of the first axis for which this one counts; None if it always does. Where it does not, its
        index is 0.
    """

    name: str
    size: int
    ordered: bool
    space: int | None = None


class Optimizer(Protocol):
    """Proposes points and learns from their objectives."""

    def ask(self, count: int) -> list[Point]:
        """Return up to ``count`` points never asked before; none once the space or the budget is used up."""

    def tell(self, points: Sequence[Point], values: Sequence[tuple[float, ...] | None]) -> None:
        """Take the objectives (to be minimised) of points that were asked; None: infeasible or failed."""


class Grid:
    """All points of the axes in lexicographic order, numbered from 0 and never listed: there may be billions."""

    def __init__(self, axes: Sequence[Axis]) -> None:
        names = [axis.name for axis in axes]
        if len(set(names)) < len(names):
            raise InputError.must("axes", "of different names", ", ".join(names))
        for at, axis in enumerate(axes):
            if axis.size < 1:
                raise InputError.must(f"axis {axis.name}", "of at least one value", axis.size)
            if axis.space is not None and (at == 0 or not 0 <= axis.space < axes[0].size):
                raise InputError.must(f"space of axis {axis.name}", "an index of the first axis", axis.space)
        self.axes = tuple(axes)
        self._blocks = range(axes[0].size if any(axis.space is not None for axis in axes) else 1)
        sizes = [self._block_size(block) for block in self._blocks]
        self._starts = [0, *itertools.accumulate(sizes)]

    @property
    def size(self) -> int:
        """How many points there are."""
        return self._starts[-1]

    def point(self, number: int) -> Point:
        """Return the point of a number."""
        block = next(block for block in self._blocks if number < self._starts[block + 1])
        rest = number - self._starts[block]
        point = []
        for at in reversed(range(len(self.axes))):
            rest, index = divmod(rest, self._size(at, block))
            point.append(index)
        if len(self._blocks) > 1:
            point[-1] = block
        return tuple(reversed(point))

    def number(self, point: Point) -> int:
        """Return the number of a point, whatever it has on axes that do not count for it."""
        block = point[0] if len(self._blocks) > 1 else 0
        number = 0
        for at, index in enumerate(point):
            size = self._size(at, block)
            number = number * size + (index if size > 1 else 0)
        return self._starts[block] + number

    def _size(self, at: int, block: int) -> int:
        """Return how many values an axis has for points whose first index is ``block``."""
        axis = self.axes[at]
        if axis.space not in (None, block) or (at == 0 and len(self._blocks) > 1):
            return 1
        return axis.size

    def _block_size(self, block: int) -> int:
        size = 1
        for at in range(len(self.axes)):
            size *= self._size(at, block)
        return size


class Listed:
    """An optimiser whose points do not depend on what it is told."""

    def __init__(self, points: Iterator[Point]) -> None:
        self._points = points

    def ask(self, count: int) -> list[Point]:
        """Return the next points."""
        return list(itertools.islice(self._points, count))

    def tell(self, points: Sequence[Point], values: Sequence[tuple[float, ...] | None]) -> None:
        """Learn nothing."""


def make_optimizer(name: str, axes: Sequence[Axis], objectives: int, seed: int, budget: int | None) -> Optimizer:
    """Return an optimiser.

    Parameters
    ----------
    name
        ``grid``: all points in lexicographic order, the last axis fastest; with a budget the first ones, so that a
        larger budget goes on where it stopped. ``random``: points drawn evenly, none twice. ``tpe`` and ``nsga2``:
        Optuna's samplers (Watanabe, arXiv 2304.11127; Deb et al., IEEE TEVC 2002); where they ask again and again
        for points that are known, a random one takes the place.
    axes
        What is varied.
    objectives
        How many values a point is told with.
    seed
        Of all that is random.
    budget
        Most points to ask for; None: no limit.

    Raises
    ------
    InputError
        If the name is not known, or an axis has no values.
    """
    if name not in OPTIMIZERS:
        raise InputError.must("optimizer", f"one of {', '.join(OPTIMIZERS)}", name)
    if budget is not None and budget < 1:
        raise InputError.must("budget", "at least 1", budget)
    grid = Grid(axes)
    most = grid.size if budget is None else min(budget, grid.size)
    if name == "grid":
        return Listed(map(grid.point, range(most)))
    if name == "random":
        return Listed(map(grid.point, itertools.islice(shuffled(grid.size, seed), most)))
    from codesign.sweep.sampled import Sampled  # Optuna takes a while to import

    return Sampled(name, grid, objectives, seed, most)


def shuffled(size: int, seed: int) -> Iterator[int]:
    """Yield 0 to size - 1 in random order, in memory for what was yielded only (Fisher and Yates, lazily)."""
    generator, moved = random.Random(seed), dict[int, int]()
    for at in range(size):
        drawn = generator.randrange(at, size)
        first = moved.pop(at, at)
        if drawn == at:
            yield first
        else:
            yield moved.get(drawn, drawn)
            moved[drawn] = first
