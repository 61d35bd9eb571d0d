"""STCE: the fold-by-fold timing of SAT's array (`hw_models.accelerators.sat` tells the machine)."""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import dataclass
from functools import lru_cache
from itertools import pairwise
from typing import Literal

import numpy as np

from hw_models.network.steps import ceil_div
from hw_models.pipeline import Fifo, Pipeline, Stage, compiled
from hw_models.pipeline.parts import Cycles

Dataflow = Literal["ws", "os"]
DATAFLOWS: tuple[Dataflow, ...] = ("ws", "os")

#: Folds of one pipeline at most; longer jobs are runs of such pipelines, one after the other.
MOST_FOLDS = 1 << 18
_DOUBLE = 2


@dataclass(frozen=True, slots=True)
class Job:
    """``groups`` products of (rows, k) by (k, cols), ``steps`` times, one after the other.

    Of each k weights of a filter ``kept`` are issued: all of them in dense mode. ``online`` says whether SORE makes
    them when they are needed.
    """

    rows: int
    cols: int
    k: int
    kept: int
    groups: int = 1
    steps: int = 1
    online: bool = False


@dataclass(frozen=True, slots=True)
class Timing:
    """Cycles of a job: ``cycles = work + sum(waits)``; in ``work`` cycles the array issues MACs."""

    cycles: int
    work: int
    waits: dict[str, int]


@dataclass(frozen=True, slots=True)
class Stce:
    """The array and what feeds it.

    Attributes
    ----------
    rows, cols
        Processing elements.
    adder_latency
        Cycles until a sum can be added to.
    interleave
        Whether a PE adds to several outputs in turn under os.
    sore_lanes
        Weights that SORE compares a cycle: a lane takes M cycles for a group of M.
    sums
        Partial sums that half of the output buffer holds.
    """

    rows: int
    cols: int
    adder_latency: int
    interleave: bool
    sore_lanes: int
    sums: int

    @property
    def outputs(self) -> int:
        """Outputs that a PE adds to in turn under os."""
        return self.adder_latency if self.interleave else 1

    def row_tile(self, job: Job) -> int:
        """Return the rows of O that a fold streams at most under ws: their partial sums stay on chip."""
        return max(1, self.sums // min(job.cols, self.cols))

    def runs(self, job: Job, dataflow: Dataflow) -> Iterator[tuple[Folds, int]]:
        """Yield the runs of folds of one step of a job, each with how often it comes.

        A run ends with a tile of rows under ws, as its sums leave the buffer, and where there would be too many folds.
        """
        of_cols = ceil_div(job.cols, self.cols)
        if dataflow == "ws":
            tile = self.row_tile(job)
            of_group = of_cols * ceil_div(job.kept, self.rows)
        else:
            rows = self.rows * self.outputs
            tile = rows * max(1, MOST_FOLDS // of_cols)
            of_group = of_cols * ceil_div(min(job.rows, tile), rows)
        for rows, tiles in parts(job.rows, tile):
            for groups, times in parts(job.groups, max(1, MOST_FOLDS // of_group)):
                folds = self._ws(job, rows, groups) if dataflow == "ws" else self._os(job, rows, groups)
                yield folds, tiles * times

    def _ws(self, job: Job, rows: int, groups: int) -> Folds:
        """Return the folds that stream one tile of rows past all weights of some groups."""
        on_rows, on_cols = _slices(job.kept, self.rows), _slices(job.cols, self.cols)
        held = np.tile(np.outer(on_cols, on_rows).ravel(), groups)
        # The next fold over the reduction adds to this one's sums, at the foot of the column.
        stream = max(rows, self.adder_latency) if len(on_rows) > 1 else rows
        return Folds(
            preload=np.full_like(held, self.rows),
            stream=np.full_like(held, stream),
            issue=np.full_like(held, rows),
            shift_out=np.zeros_like(held),
            sore=self._sore(job, held),
            skew=self.rows + self.cols - 2,
            adder_skew=self.rows * (self.adder_latency - 1),
        )

    def _os(self, job: Job, rows: int, groups: int) -> Folds:
        """Return the folds that work off some rows of O of some groups."""
        on_rows, on_cols = _slices(rows, self.rows * self.outputs), _slices(job.cols, self.cols)
        outputs = np.tile(np.repeat(-(-on_rows // self.rows), len(on_cols)), groups)
        used = np.tile(on_cols, len(on_rows) * groups)
        return Folds(
            preload=None,
            stream=(job.kept - 1) * np.maximum(outputs, self.adder_latency) + outputs,
            issue=job.kept * outputs,
            shift_out=self.rows * outputs,
            sore=self._sore(job, job.kept * used),
            skew=self.rows + self.cols - 2,
            adder_skew=self.adder_latency - 1,
        )

    def _sore(self, job: Job, kept: Cycles) -> Cycles | None:
        """Return SORE's cycles for folds of so many kept weights."""
        if not job.online:
            return None
        cycles: Cycles = -(-(kept * job.k) // (job.kept * self.sore_lanes))
        return cycles


@lru_cache(maxsize=1 << 12)
def job_timing(stce: Stce, job: Job, dataflow: Dataflow) -> Timing:
    """Return what a job takes; kept, as networks repeat their blocks. Its ``waits`` are not to be changed."""
    cycles, work = 0, 0
    waits: dict[str, int] = {}
    for folds, count in stce.runs(job, dataflow):
        timing, times = folds.timing(), count * job.steps
        cycles, work = cycles + times * timing.cycles, work + times * timing.work
        for cause, waited in timing.waits.items():
            waits[cause] = waits.get(cause, 0) + times * waited
    return Timing(cycles, work, {cause: waited for cause, waited in waits.items() if waited})


@dataclass(frozen=True, slots=True, eq=False)
class Folds:
    """Folds that follow each other, and the cycles of each.

    Attributes
    ----------
    preload
        Shifting the weights in, a row a cycle; None under os, which has none.
    stream, issue
        Holding the array, and issuing MACs in these.
    shift_out
        Shifting the results out beside the next fold; 0 under ws, where they leave as they come.
    sore
        Making the N:M weights; None if they are there.
    skew, adder_skew
        From the last MAC at the first PE to the end of the last MAC of all: the way across the array, and what
        the adders' latency adds to it.
    """

    preload: Cycles | None
    stream: Cycles
    issue: Cycles
    shift_out: Cycles
    sore: Cycles | None
    skew: int
    adder_skew: int

    def pipeline(self, *, with_sore: bool = True) -> Pipeline:
        """Return sore -> preload -> stream -> shift_out, less what there is not, joined by double buffers.

        Under ws no PE holds results, so any number of folds may be on their way out.
        """
        before = {"sore": self.sore if with_sore else None, "preload": self.preload}
        stages = [Stage(name, cycles) for name, cycles in before.items() if cycles is not None]
        stages.append(Stage("stream", self.stream, latency_cycles=self.skew + self.adder_skew))
        stages.append(Stage("shift_out", self.shift_out))
        results = _DOUBLE if self.preload is None else len(self.stream)
        links = [Fifo(a.name, b.name, results if a.name == "stream" else _DOUBLE) for a, b in pairwise(stages)]
        return Pipeline(tuple(stages), tuple(links))

    def timing(self) -> Timing:
        """Run the pipeline; what SORE costs is the difference to a run without it."""
        ready = compiled.run(self.pipeline(with_sore=False))
        waited = {cause: int(cycles.sum()) for cause, cycles in ready.waited("stream").items()}
        cycles = ready.total_cycles
        waits = {
            "adder latency": int((self.stream - self.issue).sum()) + self.adder_skew,
            "preload": sum(n for cause, n in waited.items() if cause.startswith("operand")),
            "shift-out": sum(n for cause, n in waited.items() if cause.startswith("space")),
            "fill": cycles - int(ready.end_cycles["stream"][-1]) - self.adder_skew,
        }
        if self.sore is not None:
            with_sore = compiled.run(self.pipeline()).total_cycles
            waits["SORE"], cycles = with_sore - cycles, with_sore
        return Timing(cycles, int(self.issue.sum()), waits)


def parts(total: int, size: int) -> list[tuple[int, int]]:
    """Return how often each size comes when a total is cut into parts of at most ``size``.

    >>> parts(10, 4)
    [(4, 2), (2, 1)]
    """
    return [(part, count) for part, count in ((size, total // size), (total % size, 1)) if part and count]


def _slices(total: int, size: int) -> Cycles:
    """Return the sizes of the parts one by one."""
    return np.repeat(*np.array(parts(total, size)).T)
