"""Target: what every CPU and engine to compare on can do, and what it says of one product."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from typing import Protocol

from codesign.comparison.job import Job, Variant
from traces.graph import OpGraph
from traces.op import Op


@dataclass(frozen=True, slots=True)
class Simulated:
    """What a product takes by the model.

    Attributes
    ----------
    cycles
        Of the core.
    bound_by
        What takes most of them: ``fma``, ``loads``, ``issue``, ``latency``, ``row overhead``, ``l2``, ``l3``, ``dram``,
        ``pages``, ``call``.
    parts
        Cycles by cause, as far as the model tells.
    kernel
        How it is computed: for a dense product the library or tile that is fastest by the model.
    """

    cycles: float
    bound_by: str
    parts: Mapping[str, float] = field(default_factory=dict)
    kernel: str = ""


@dataclass(frozen=True, slots=True)
class Measured:
    """What a product took, all timed in turn.

    Attributes
    ----------
    dense_s
        Seconds of the fastest dense way.
    baseline
        Which that was.
    sparse_s
        Seconds with the weights of each variant of the job.
    eager_s
        Seconds of eager torch, where it was timed too.
    """

    dense_s: float
    baseline: str
    sparse_s: tuple[float, ...]
    eager_s: float | None = None


class Target(Protocol):
    """A CPU or engine.

    Attributes
    ----------
    name
        As a user names it.
    description
        What it is; for one that measures, the machine and versions found.
    clock_hz
        Cycles a second.
    notes
        What a reader of its figures must know.
    measures
        Whether it is at hand.
    """

    name: str
    description: str
    clock_hz: float
    notes: tuple[str, ...]
    measures: bool

    def dense(self, job: Job) -> Simulated:
        """Simulate the dense product."""

    def sparse(self, job: Job, variant: Variant) -> Simulated:
        """Simulate the product with the weights of one variant."""

    def others(self, graph: OpGraph, ops: Sequence[Op]) -> float:
        """Return the simulated cycles of the ops that have no sparse kernel."""

    def measure(self, job: Job) -> Measured | None:
        """Measure the product dense and with every variant; None where the target is not at hand."""

    def close(self) -> None:
        """Give back what the target holds."""


def largest(parts: Mapping[str, float], words: Mapping[str, str]) -> str:
    """Return what takes most of the cycles, parts of one word counted together."""
    sums: dict[str, float] = {}
    for name, cycles in parts.items():
        word = words.get(name, name)
        sums[word] = sums.get(word, 0.0) + cycles
    return max(sums, key=lambda word: sums[word])
