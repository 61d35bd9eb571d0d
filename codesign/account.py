"""Account: from a schedule of a whole network to what each op took, and what its stalls were for."""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np

from hw_models.network.network import EXECUTE, STORE, Network
from hw_models.network.steps import Ints
from hw_models.pipeline import Schedule

#: What the array (or vector unit) waits for: a tile of W or I, a free half of the output buffer; ``drain`` is the
#: time from an op's last work until its last output is stored, before the next op may load its input.
CAUSES = ("weight", "input", "output", "drain")


@dataclass(frozen=True, slots=True, eq=False)
class Times:
    """Cycles by op: when it began and ended, how long it computed, and its stalls by cause.

    Ops follow each other without gap or overlap, so ``end - start`` adds up to the total; an op's stalls add up to
    what it did not compute.
    """

    start: Ints
    end: Ints
    compute: Ints
    stalls: dict[str, Ints]


def account(network: Network, schedule: Schedule) -> Times:
    """Return the times of every op."""
    first = network.first[EXECUTE]
    compute = np.add.reduceat(schedule.pipeline.stages[_stage(schedule, EXECUTE)].service_cycles, first[:-1])
    worked_until = schedule.end_cycles[EXECUTE][first[1:] - 1]
    ideal = STORE not in network.first
    end = worked_until if ideal else schedule.end_cycles[STORE][network.first[STORE][1:] - 1]
    start = np.concatenate(([0], end[:-1]))
    stalls = {cause: np.zeros(len(end), dtype=np.int64) for cause in CAUSES}
    stalls["drain"] = end - worked_until
    if not ideal:
        waited = schedule.waited(EXECUTE)
        # The wait of an op's first step began at the end of its predecessor's work; up to the end of its
        # predecessor's last store it has been counted as drain, so that much is taken off, cause by cause.
        counted = np.concatenate(([0], stalls["drain"][:-1]))
        for label, cause in (
            (f"edge {STORE}->{EXECUTE}", "output"),
            ("operand FIFO W", "weight"),
            ("operand FIFO I", "input"),
        ):
            cycles = waited.pop(label).copy()
            off = np.minimum(cycles[first[:-1]], counted)
            cycles[first[:-1]] -= off
            counted = counted - off
            stalls[cause] = np.add.reduceat(cycles, first[:-1])
    return Times(start, end, compute, stalls)


def _stage(schedule: Schedule, name: str) -> int:
    return [stage.name for stage in schedule.pipeline.stages].index(name)
