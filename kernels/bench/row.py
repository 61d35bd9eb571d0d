"""One line of a benchmark: a kernel on a layer, against the fastest dense library."""

from __future__ import annotations

from collections.abc import Iterable
from dataclasses import asdict, dataclass

from kernels.baselines import Dense
from kernels.limits import Limits
from kernels.measure import Timing


@dataclass(frozen=True)
class Work:
    """What a kernel has to do at least.

    Attributes
    ----------
    flops : int
        Multiplications with what is not zero, and their additions.
    bytes : float
        What is read and written once: weights as packed, inputs, outputs.
    cold : bool
        Whether the weights come from memory, because calls rotate over more copies than the caches hold.
    """

    flops: int
    bytes: float
    cold: bool = False


@dataclass(frozen=True)
class Row:
    """A kernel on a layer; times are seconds a call, and in a ``total`` the sum over the layers of a network.

    Attributes
    ----------
    layer : str
        The shape, or ``total``.
    count : int
        How often the network has the layer; a total weights it so.
    kernel, pattern : str
        What was run, on which zeros.
    sparsity : float
        The share of zeros.
    ours_s : float
        Seconds of the sparse kernel.
    baseline : str
        The fastest dense library on this shape; in a total, "best of each".
    baseline_s : float
        Its seconds.
    eager_s : float or None
        Seconds of eager torch, its faster layout.
    speedup : float
        ``baseline_s / ours_s``.
    gflops : float
        Billions of multiplications and additions a second, those with zeros not counted.
    gbytes_per_s : float
        Billions of bytes a second, each byte counted once.
    of_limit : float
        Share of the roofline: the least time that the machine's limits allow over the time it took.
    """

    layer: str
    count: int
    kernel: str
    pattern: str
    sparsity: float
    ours_s: float
    baseline: str
    baseline_s: float
    eager_s: float | None
    speedup: float
    gflops: float
    gbytes_per_s: float
    of_limit: float

    def to_dict(self) -> dict[str, object]:
        """Return all of it as values that JSON can hold."""
        return asdict(self)


def row(
    name: tuple[str, int, str, str], sparsity: float, ours: Timing, dense: Dense, work: Work, limits: Limits
) -> Row:
    """Return the row of one kernel: its layer, count, kernel and pattern, what it took, and what dense took."""
    seconds, share = (
        ours.seconds,
        limits.of_limit(work.flops, work.bytes, ours.seconds, float("inf") if work.cold else None),
    )
    return Row(
        *name,
        sparsity,
        seconds,
        dense.baseline,
        dense.baseline_s,
        dense.eager_s,
        dense.baseline_s / seconds,
        work.flops / seconds / 1e9,
        work.bytes / seconds / 1e9,
        share,
    )


def totals(rows: Iterable[Row]) -> list[Row]:
    """Return the sum over the layers for each kernel, pattern and sparsity, in the order in which they come."""
    groups: dict[tuple[str, str, float], list[Row]] = {}
    for one in rows:
        groups.setdefault((one.kernel, one.pattern, one.sparsity), []).append(one)
    return [_total(group) for group in groups.values() if len(group) > 1]


def _total(rows: list[Row]) -> Row:
    """Return the sum of rows of one kernel, pattern and sparsity."""
    ours = sum(one.count * one.ours_s for one in rows)
    baseline = sum(one.count * one.baseline_s for one in rows)
    eager = [one.count * one.eager_s for one in rows if one.eager_s is not None]
    first = rows[0]

    def mean(values: Iterable[float]) -> float:
        """Average a rate or share over time."""
        return sum(one.count * one.ours_s * value for one, value in zip(rows, values, strict=True)) / ours

    return Row(
        "total",
        sum(one.count for one in rows),
        first.kernel,
        first.pattern,
        first.sparsity,
        ours,
        "best of each",
        baseline,
        sum(eager) if len(eager) == len(rows) else None,
        baseline / ours,
        mean(one.gflops for one in rows),
        mean(one.gbytes_per_s for one in rows),
        mean(one.of_limit for one in rows),
    )
