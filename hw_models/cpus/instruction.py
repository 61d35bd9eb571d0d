"""Instruction: one step of a machine's stream, of which a core model needs the class and the registers."""

from __future__ import annotations

from dataclasses import dataclass


@dataclass(frozen=True, slots=True)
class Instruction:
    """One instruction.

    Attributes
    ----------
    kind
        Its class, one of `hw_models.cpus.config.CLASSES`.
    reads
        Registers that must be there when it starts.
    writes
        The register it writes, if any.
    adds_to
        The register it adds to, if any: read late where the core forwards sums.
    fused
        Whether it shares the dispatch slot of the instruction after it (an operand in memory).
    """

    kind: str
    reads: tuple[str, ...] = ()
    writes: str | None = None
    adds_to: str | None = None
    fused: bool = False
