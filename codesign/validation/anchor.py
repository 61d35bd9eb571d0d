"""Anchor: one figure that somebody else's design or simulator gives, with ours."""

from __future__ import annotations

from dataclasses import dataclass


@dataclass(frozen=True, slots=True, kw_only=True)
class Anchor:
    """A reference figure, ours, and how far apart they may be.

    Attributes
    ----------
    name
        What is compared, unique: ``EIE FC layer, queue depth 8, cycles``.
    source
        Where the reference comes from: paper, tool and version, and whether it was run, read or recomputed.
    reference, ours
        The two figures, in the same unit.
    band
        Largest relative error that is still in order; 0 for exact.
    note
        Why they differ, if they do.
    """

    name: str
    source: str
    reference: float
    ours: float
    band: float = 0.0
    note: str = ""

    @property
    def error(self) -> float:
        """Relative error of ours, signed."""
        return (self.ours - self.reference) / self.reference if self.reference else float(self.ours != 0)

    @property
    def holds(self) -> bool:
        """Whether the error lies in the band."""
        return abs(self.error) <= self.band


@dataclass(frozen=True, slots=True)
class Missing:
    """Anchors that could not be computed here, and why."""

    name: str
    reason: str
