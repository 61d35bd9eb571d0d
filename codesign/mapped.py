"""Mapped: the mappings of an op, with what each takes, as `codesign.mapper` finds them."""

from __future__ import annotations

from dataclasses import asdict, dataclass, field
from typing import Any

from hw_models.systolic.mapping import Mapping
from traces.gemm import Gemm


@dataclass(frozen=True, slots=True)
class Mapped:
    """A mapping and what the executor takes for it.

    Attributes
    ----------
    mapping
        Dataflow, tiles and loop order.
    cycles
        From the first load to the end of the last store; the four that follow add up to it.
    array_cycles
        The array works, folds' fill and drain included.
    fill_cycles, wait_cycles, drain_cycles
        It does not: before its first tile, between tiles, after the last.
    dram_cycles
        The DRAM channel is busy, at the same time or not.
    dram_bytes
        What it moves, by operand; weights with their metadata.
    tiles
        Steps on the array.
    """

    mapping: Mapping
    cycles: int
    array_cycles: int
    fill_cycles: int
    wait_cycles: int
    drain_cycles: int
    dram_cycles: int
    dram_bytes: dict[str, int]
    tiles: int


@dataclass(frozen=True, slots=True)
class Refusal:
    """Mappings that do not fit a buffer: how many, what its half holds, and what the largest tile would need."""

    buffer: str
    mappings: int
    half_bytes: int
    most_bytes: int


@dataclass(frozen=True, slots=True)
class OpMappings:
    """The mappings of an op, and of all that are identical to it.

    Attributes
    ----------
    names
        The ops, in program order.
    gemm, pattern
        What each computes.
    accelerator
        Name of the config.
    ranked
        The fastest mappings; of equally fast ones those that move fewer bytes, then those of fewer tiles.
    best
        The fastest of each dataflow.
    planned
        The fastest of the tilings that `codesign.simulate` chooses from (tile sizes are powers of two and wholes).
    bounded, exact
        Feasible mappings, each with a lower bound on its cycles; those of them that were timed exactly.
    refused, too_many_tiles
        Mappings that are not feasible, by buffer (some exceed several), and by their number of tiles.
    infeasible
        How many these are in all.
    least_array_cycles, least_dram_cycles, least_dram_bytes
        What no mapping can beat: all MACs on all PEs, each operand moved once.
    seconds
        What the search took.
    """

    names: tuple[str, ...]
    gemm: Gemm
    pattern: str
    accelerator: str
    ranked: tuple[Mapped, ...]
    best: dict[str, Mapped]
    planned: Mapped
    bounded: int
    exact: int
    refused: tuple[Refusal, ...]
    too_many_tiles: int
    infeasible: int
    least_array_cycles: int
    least_dram_cycles: int
    least_dram_bytes: int
    seconds: float = field(compare=False)

    def to_dict(self) -> dict[str, Any]:
        """Return all but the time it took, for JSON."""
        values = asdict(self)
        del values["seconds"]
        for mapped in (*values["ranked"], *values["best"].values(), values["planned"]):
            mapped["mapping"]["tile"] = mapped["mapping"]["tile"]._asdict()
        return values
