"""Axis: one thing that is varied, with the values that a study gives it: one, a list, or a range."""

from __future__ import annotations

import math
from collections.abc import Iterator
from contextlib import suppress
from dataclasses import dataclass
from typing import Any

from codesign.sweep.study import is_number
from traces.errors import InputError

#: Values of an axis at most.
MOST_VALUES = 100_000
_RANGE = ("from", "to", "step", "factor")


@dataclass(frozen=True, slots=True)
class Values:
    """The values of a parameter, by its dotted name.

    ``ordered`` tells whether neighbours are alike: numbers in rising or falling order are.
    """

    name: str
    values: tuple[Any, ...]

    @property
    def ordered(self) -> bool:
        """Whether the values are numbers in rising or falling order."""
        if len(self.values) < 2 or not all(map(is_number, self.values)):
            return False
        pairs = list(zip(self.values, self.values[1:], strict=False))
        return all(a < b for a, b in pairs) or all(a > b for a, b in pairs)


def read_values(name: str, given: object) -> Values:
    """Return the values that a study gives a parameter.

    >>> read_values("array.rows", {"from": 8, "to": 40, "factor": 2}).values
    (8, 16, 32)

    Raises
    ------
    InputError
        If there is no value, or a range is none, empty or has no end; without the parameter's name.
    """
    if isinstance(given, dict):
        return Values(name, tuple(_range(given)))
    values = tuple(given) if isinstance(given, list) else (given,)
    if not values:
        raise InputError("the list is empty; give at least one value")
    for value in values:
        if isinstance(value, dict) or value is None:
            raise InputError.must("a value", "a number, text, true or false", value)
    return Values(name, values)


def _range(given: dict[str, Any]) -> Iterator[int | float]:
    """Yield the values of a range; ``to`` is among them if it is hit."""
    for key in given:
        if key not in _RANGE:
            raise InputError(f"{key} is an unknown key; a range has from, to, and step or factor")
    for key in ("from", "to"):
        if key not in given:
            raise InputError(f"{key} is missing; a range has from, to, and step or factor")
    if ("step" in given) == ("factor" in given):
        raise InputError("a range must have either step or factor; give one of them")
    ends = {key: _number(key, value) for key, value in given.items()}
    first, last = ends["from"], ends["to"]
    if last < first:
        raise InputError(f"the range from {first} to {last} is empty; to must be at least from")
    return _steps(first, last, ends["step"]) if "step" in ends else _factors(first, last, ends["factor"])


def _number(key: str, value: object) -> int | float:
    """Return a number; PyYAML takes 1e9, without a dot, for text."""
    if isinstance(value, str):
        with suppress(ValueError):
            value = float(value)
    if not is_number(value):
        raise InputError.must(key, "a number", value)
    assert isinstance(value, int | float)
    return value


def _steps(first: float, last: float, step: float) -> Iterator[int | float]:
    if step <= 0:
        raise InputError.must("step", "above 0, or the range never ends", step)
    count = _count((last - first) / step * (1 + 1e-12))
    return (first + i * step for i in range(count))


def _factors(first: float, last: float, factor: float) -> Iterator[int | float]:
    if factor <= 1:
        raise InputError.must("factor", "above 1, or the range never ends", factor)
    if first <= 0:
        raise InputError.must("from", "above 0 in a range with a factor, or it never ends", first)
    count = _count((math.log(last) - math.log(first)) / math.log(factor) + 1e-9)
    return (first * factor**i for i in range(count))


def _count(steps: float) -> int:
    """Return how many values there are up to so many steps from the first."""
    if steps >= MOST_VALUES:
        raise InputError(f"the range has {steps + 1:,.0f} values, more than {MOST_VALUES:,}; take a larger step")
    return math.floor(steps) + 1
