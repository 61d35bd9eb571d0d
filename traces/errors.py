"""The one exception that means "the user's input is wrong", and how its sentence reads."""

from __future__ import annotations


class InputError(ValueError):
    """Bad input, told in one sentence: what must be how, what it is instead, and what to do.

    The command line prints it without a traceback and exits with code 2.

    >>> raise InputError.must("array.rows", "a whole number of at least 1", -4)
    Traceback (most recent call last):
    ...
    traces.errors.InputError: array.rows must be a whole number of at least 1, not -4
    """

    @classmethod
    def must(cls, what: str, rule: str, value: object, hint: str = "") -> InputError:
        """Build the sentence "WHAT must be RULE, not VALUE", with an optional hint of what to do."""
        return cls(f"{what} must be {rule}, not {value!r}" + (f"; {hint}" if hint else ""))
