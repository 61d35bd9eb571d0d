"""Words: how numbers and ops are told to a reader."""

from __future__ import annotations

from codesign.report.record import OpRecord

_LARGE = ((1e12, "T"), (1e9, "G"), (1e6, "M"), (1e3, "k"))
_SMALL = ((1.0, ""), (1e-3, "m"), (1e-6, "u"), (1e-9, "n"), (1e-12, "p"))


def share(part: float, whole: float) -> float:
    """Return part of whole; 0 where there is nothing to share."""
    return part / whole if whole else 0.0


def percent(part: float, whole: float, digits: int = 1) -> str:
    """Return a share in percent.

    >>> percent(1, 8)
    '12.5 %'
    """
    return f"{100 * share(part, whole):.{digits}f} %"


def large(value: float) -> str:
    """Return a count in three figures.

    >>> large(51_380_224), large(999), large(999_600)
    ('51.4 M', '999', '1.00 M')
    """
    for unit, letter in _LARGE:
        if value >= unit * 0.9995:
            return f"{_three(value / unit)} {letter}"
    return f"{value:.0f}"


def small(value: float, unit: str) -> str:
    """Return a quantity of at most thousands in three figures, with the prefix that suits it.

    >>> small(0.00417993, "s"), small(9.635e-3, "J")
    ('4.18 ms', '9.63 mJ')
    """
    for scale, letter in _SMALL:
        if value >= scale * 0.9995:
            return f"{_three(value / scale)} {letter}{unit}"
    return f"{value:.3g} {unit}"


def _three(value: float) -> str:
    return f"{value:.{max(0, 2 - (value >= 9.995) - (value >= 99.95))}f}"


def shape(op: OpRecord) -> str:
    """Return the sizes m x n x k of an array op, per group; empty for a vector op."""
    if not op.m:
        return ""
    groups = f"{op.groups}*" if op.groups > 1 else ""
    return f"{groups}{op.m}x{op.n}x{op.k}"


def main_stall(op: OpRecord) -> str:
    """Return the cause of most of an op's stalls; empty if it has none."""
    cause = max(op.stalls_by_cause, key=op.stalls_by_cause.__getitem__, default="")
    return cause if op.stalls_by_cause.get(cause) else ""


def printable(text: str) -> str:
    r"""Return the text with a question mark for what a terminal would obey instead of print.

    >>> printable("conv\x1b[2J")
    'conv?[2J'
    """
    return "".join(letter if letter.isprintable() else "?" for letter in text)


def shortened(text: str, width: int) -> str:
    """Return the text, its middle left out where it is longer than ``width``.

    >>> shortened("encoder.layers.11.attention.q", 16)
    'encoder...tion.q'
    """
    if len(text) <= width:
        return text
    kept = width - 3
    return f"{text[: (kept + 1) // 2]}...{text[len(text) - kept // 2 :]}"
