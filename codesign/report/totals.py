"""Totals: what the whole model took, and what holds it back."""

from __future__ import annotations

from collections import Counter
from dataclasses import dataclass
from typing import TYPE_CHECKING

from codesign.report.words import large, percent, share, small

if TYPE_CHECKING:
    from codesign.report.report import Report


@dataclass(frozen=True, slots=True, kw_only=True)
class Totals:
    """Sums over all ops; the names are those of `OpRecord`.

    Attributes
    ----------
    mac_limit_cycles
        Issued MACs over PEs: no schedule of these MACs on this array is faster.
    dram_limit_cycles
        DRAM bytes over bandwidth: no schedule that moves these bytes is faster.
    """

    cycles: int
    compute_cycles: int
    stalls_by_cause: dict[str, int]
    dense_macs: int
    effectual_macs: int
    skipped_macs: int
    gated_macs: int
    dram_bytes: dict[str, int]
    energy_pj: dict[str, float]
    mac_limit_cycles: float
    dram_limit_cycles: float

    @classmethod
    def of(cls, report: Report) -> Totals:
        """Add up the ops of a report."""
        stalls: Counter[str] = Counter()
        moved: Counter[str] = Counter()
        energy: dict[str, float] = {}
        for op in report.ops:
            stalls.update(op.stalls_by_cause)
            moved.update(op.dram_bytes)
            for component, pj in op.energy_pj.items():
                energy[component] = energy.get(component, 0.0) + pj
        effectual, gated = (sum(getattr(op, f"{kind}_macs") for op in report.ops) for kind in ("effectual", "gated"))
        return cls(
            cycles=report.total_cycles,
            compute_cycles=sum(op.compute_cycles for op in report.ops),
            stalls_by_cause=dict(stalls),
            dense_macs=sum(op.dense_macs for op in report.ops),
            effectual_macs=effectual,
            skipped_macs=sum(op.skipped_macs for op in report.ops),
            gated_macs=gated,
            dram_bytes=dict(moved),
            energy_pj=energy,
            mac_limit_cycles=(effectual + gated) / report.config.pes,
            dram_limit_cycles=sum(moved.values()) / report.config.memory.dram.bytes_per_cycle,
        )


def total_rows(report: Report) -> list[tuple[str, str]]:
    """Return the totals as pairs of a label and a sentence."""
    sums, config = Totals.of(report), report.config
    moved, energy = sum(sums.dram_bytes.values()), report.total_energy_pj
    rate = share(sums.effectual_macs, report.seconds)
    by_operand = ", ".join(f"{name} {percent(size, moved, 0)}" for name, size in sums.dram_bytes.items() if size)
    rows = [
        ("time", f"{sums.cycles:,} cycles, {small(report.seconds, 's')} at {large(config.clock_hz)}Hz"),
        ("energy", f"{small(energy * 1e-12, 'J')}: {_largest(sums.energy_pj)}"),
        (
            "MACs",
            f"{large(sums.dense_macs)}: {percent(sums.effectual_macs, sums.dense_macs)} effectual,"
            f" {percent(sums.skipped_macs, sums.dense_macs)} skipped,"
            f" {percent(sums.gated_macs, sums.dense_macs)} gated",
        ),
        (
            "rate",
            f"{rate / 1e9:,.1f} effectual GMACs/s; {100 * report.utilization:.1f} % utilization of {config.pes:,} PEs",
        ),
        ("DRAM", f"{large(moved)}B" + (f": {by_operand}" if by_operand else "")),
        ("busy", _busy(report, sums)),
        ("waits", _waits(sums)),
        ("limit", _limit(report, sums)),
    ]
    if report.verified is not None:
        worst = max(report.verified.values(), default=0.0)
        ops = f"{len(report.verified)} array ops agree with torch"
        rows.append(("verified", f"{ops}; the largest relative error is {worst:.1e}"))
    return rows


def _busy(report: Report, sums: Totals) -> str:
    """Say which of array and DRAM channel is busier; that one binds the model."""
    array, dram = sums.compute_cycles, sums.dram_limit_cycles
    if report.config.memory.ideal:
        return "array and vector unit all of the time: compute-bound, as memory is ideal"
    bound = "compute" if array >= dram else "DRAM"
    shares = f"array and vector unit {percent(array, sums.cycles)} of the time, DRAM {percent(dram, sums.cycles)}"
    return f"{shares}: {bound}-bound"


def _waits(sums: Totals) -> str:
    """Say how much of the time the array could not work, and what for."""
    stalls = sorted(sums.stalls_by_cause.items(), key=lambda item: -item[1])
    causes = ", ".join(f"{cause} {percent(cycles, sums.cycles)}" for cause, cycles in stalls if cycles)
    stalled = percent(sum(sums.stalls_by_cause.values()), sums.cycles)
    return f"the array could not work {stalled} of the time, for {causes}" if causes else "none"


def _limit(report: Report, sums: Totals) -> str:
    """Say how far the model is from what its MACs and its traffic allow."""
    macs, dram = sums.mac_limit_cycles, sums.dram_limit_cycles
    if report.config.memory.ideal:
        return f"{share(sums.cycles, macs):.2f} times the {macs:,.0f} cycles of issued MACs / PEs"
    roofs = f"{macs:,.0f} cycles of issued MACs / PEs and {dram:,.0f} of DRAM bytes / bandwidth"
    return f"{share(sums.cycles, max(macs, dram)):.2f} times the larger of {roofs}"


def _largest(energy: dict[str, float]) -> str:
    """Name the components that make up most of the energy."""
    whole = sum(energy.values())
    parts = sorted(energy.items(), key=lambda item: -item[1])[:4]
    return ", ".join(f"{component} {percent(pj, whole, 0)}" for component, pj in parts if pj)
