"""DeltaRule: when a change counts as one."""

from __future__ import annotations

from dataclasses import dataclass
from math import isfinite

from traces.errors import InputError

_LEAST, _MOST = 1e-9, 1e9  # beyond them float32 values divided by a threshold leave float32


@dataclass(frozen=True, slots=True, kw_only=True)
class DeltaRule:
    """The thresholds of a delta network.

    Attributes
    ----------
    threshold
        Of inputs: a layer between frames sees them rounded to multiples of it, a recurrent layer sees a change once
        it is at least that large. 0 lets every change through.
    hidden_threshold
        The same of a recurrent layer's own state; ``threshold`` if None.
    quantum
        Step of the fixed-point activations, to which they are rounded first: ``2**-8`` for Q8.8; None for floating
        point. Saturation is not modelled.

    Raises
    ------
    InputError
        If one of them is not a number in range.
    """

    threshold: float
    hidden_threshold: float | None = None
    quantum: float | None = None

    def __post_init__(self) -> None:
        check_threshold("threshold", self.threshold)
        if self.hidden_threshold is not None:
            check_threshold("hidden_threshold", self.hidden_threshold)
        if self.quantum is not None:
            check_threshold("quantum", self.quantum)
            if not self.quantum:
                raise InputError.must("quantum", "above 0, or None for floating point", self.quantum)

    @property
    def hidden(self) -> float:
        """Threshold of a recurrent layer's state."""
        return self.threshold if self.hidden_threshold is None else self.hidden_threshold


def parse_activations(text: str) -> float:
    """Return the threshold in ``delta:THRESHOLD``, as ``--activations`` takes it.

    >>> parse_activations("delta:0.1")
    0.1

    Raises
    ------
    InputError
        If the text is not of that form or the threshold not a number in range.
    """
    encoding, colon, number = text.partition(":")
    try:
        threshold = float(number)
    except ValueError:
        threshold = None
    if encoding.strip() != "delta" or not colon or threshold is None:
        raise InputError.must("--activations", "of the form delta:THRESHOLD, such as delta:0.1", text)
    check_threshold(f"--activations {text}: THRESHOLD", threshold)
    return threshold


def check_threshold(what: str, value: float) -> None:
    """Raise `InputError` unless the value is 0 or a number that activations can be divided by."""
    number = isinstance(value, (int, float)) and not isinstance(value, bool) and isfinite(value)
    if not number or (value != 0 and not _LEAST <= value <= _MOST):
        raise InputError.must(what, f"0 or a number from {_LEAST:g} to {_MOST:g}", value)
