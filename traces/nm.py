"""N:M sparsity in numbers: reading ``2:4``, and how much of a reduction it leaves."""

from __future__ import annotations

import re

from traces.errors import InputError


def check_nm(n: int, m: int) -> None:
    """Refuse a pair that is no N:M pattern.

    Raises
    ------
    InputError
        Unless both are whole numbers and 1 <= n <= m.
    """
    whole = all(isinstance(value, int) and not isinstance(value, bool) for value in (n, m))
    if not whole or not 1 <= n <= m:
        rule = "two whole numbers with 1 <= N <= M, such as 2:4"
        raise InputError.must("an N:M pattern", rule, f"{n}:{m}", "N is how many of M neighbours are kept")


def parse_nm(text: str) -> tuple[int, int]:
    """Return (N, M) of a string such as ``2:4``.

    Raises
    ------
    InputError
        If the text is not of that form, or not 1 <= N <= M.

    >>> parse_nm("2:4")
    (2, 4)
    """
    match = re.fullmatch(r"\s*([+-]?[0-9]+)\s*:\s*([+-]?[0-9]+)\s*", text) if isinstance(text, str) else None
    if match is None:
        hint = 'in YAML it needs quotes, "2:4"' if not isinstance(text, str) else ""
        raise InputError.must("an N:M pattern", "two whole numbers joined by a colon, such as 2:4", text, hint)
    n, m = int(match[1]), int(match[2])
    check_nm(n, m)
    return n, m


def nm_kept(length: int, n: int, m: int) -> int:
    """Return how many of ``length`` consecutive weights N:M keeps.

    A length that M does not divide ends in a short group of r = length mod M, which keeps min(N, r).

    >>> nm_kept(10, 2, 4), nm_kept(9, 2, 4)
    (6, 5)
    """
    return length // m * n + min(n, length % m)
