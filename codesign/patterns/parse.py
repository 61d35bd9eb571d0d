"""Reading a pattern from text."""

from __future__ import annotations

import re

from codesign.patterns.block import Block
from codesign.patterns.dense import Dense
from codesign.patterns.group import Group
from codesign.patterns.nm import NM
from codesign.patterns.pattern import Pattern
from codesign.patterns.unstructured import Unstructured
from traces.errors import InputError
from traces.nm import parse_nm

#: How each kind is written, for messages and help texts.
FORMS = ("dense", "2:4", "unstructured:0.9", "group:4:0.7", "block:4x4:0.5")


def parse_pattern(text: str | Pattern) -> Pattern:
    """Return the pattern of a text: ``2:4``, ``unstructured:0.9``, ``group:4:0.7``, ``block:4x4:0.5``, ``dense``.

    A pattern is returned as it is. Sparsity is the share removed. ``str`` of a pattern is the text that reads
    back the same.

    Raises
    ------
    InputError
        If the kind is unknown, or a number of it is missing or out of its range.

    >>> parse_pattern("block:4x4:0.5")
    Block(rows=4, cols=4, sparsity=0.5)
    """
    if isinstance(text, Pattern):
        return text
    if not isinstance(text, str):
        raise InputError.must("a pattern", "text", text, 'in YAML it needs quotes, "2:4"')
    kind, *fields = text.strip().lower().split(":")
    match kind, fields:
        case "dense", []:
            return Dense()
        case "unstructured", [sparsity]:
            return Unstructured(_number(sparsity, text))
        case "group", [size, sparsity]:
            return Group(_whole(size, text), _number(sparsity, text))
        case "block", [size, sparsity]:
            rows, cross, cols = size.partition("x")
            if cross:
                return Block(_whole(rows, text), _whole(cols, text), _number(sparsity, text))
        case _, [_] if re.match(r"\s*[+-]?[0-9]", kind):
            return NM(*parse_nm(text))
    raise InputError.must("a pattern", f"one of the forms {', '.join(FORMS)}", text)


def _number(field: str, text: str) -> float:
    try:
        return float(field)
    except ValueError:
        raise InputError.must(f"sparsity in pattern {text!r}", "a number", field) from None


def _whole(field: str, text: str) -> int:
    try:
        return int(field)
    except ValueError:
        raise InputError.must(f"size in pattern {text!r}", "a whole number", field) from None
