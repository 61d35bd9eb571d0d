"""Run: evaluate the points of a study that an optimiser asks for, each stored as soon as it is there."""

from __future__ import annotations

import hashlib
import json
import os
from collections import deque
from collections.abc import Callable, Mapping, Sequence
from contextlib import closing
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

import yaml

from codesign.sweep.bound import Bounds
from codesign.sweep.evaluate import Outcome
from codesign.sweep.limits import broken
from codesign.sweep.optimizers import OPTIMIZERS, Optimizer, make_optimizer
from codesign.sweep.point import Task, task_of
from codesign.sweep.pool import Here, Pool, Workers
from codesign.sweep.prune import Prune
from codesign.sweep.space import Space, read_space
from codesign.sweep.store import GRAPHS, Row, Store, check_installed
from codesign.sweep.study import MAXIMISED, StudyFile
from codesign.sweep.summary import Summary, summarize
from codesign.sweep.traced import Traced, trace_all
from traces.errors import InputError

#: Points that are asked for at a time, whatever the number of workers, so that a run can be replayed. Optimisers that
#: learn do so between batches; of the others two batches are at work at a time, so that no worker waits.
BATCH, LEARNING_BATCH = 64, 16
LEARNERS = ("nsga2", "tpe")
#: Points that an optimiser may choose at most, hours of work, and numbers that a store can hold.
MOST_POINTS, _MOST_NUMBERS = 10_000_000, 2**63
#: A learner without a budget gets this share of the grid, or so many points if that is more.
_SHARE, _LEAST = 10, 100


@dataclass(frozen=True, slots=True)
class Progress:
    """How far a sweep is: points settled of all, and how many of them came from the store or were pruned."""

    done: int
    total: int
    known: int


@dataclass(slots=True)
class _Batch:
    """Points that were asked for together, and the outcomes of their keys as far as they are there."""

    asked: list[tuple[int, ...]]
    rows: list[Row]
    tasks: list[Task]
    outcomes: dict[str, Outcome] = field(default_factory=dict)

    @property
    def complete(self) -> bool:
        return all(row.status == "pruned" or row.key in self.outcomes for row in self.rows)


def run_sweep(
    study: Path | str | Mapping[str, Any],
    *,
    out: Path | str,
    workers: int | None = None,
    resume: bool = False,
    optimizer: str | None = None,
    budget: int | None = None,
    cluster: str | None = None,
    say: Callable[[str], object] | None = None,
    progress: Callable[[Progress], object] | None = None,
) -> Summary:
    """Evaluate a study's design space and return its Pareto front and counts; all points are in the store.

    Parameters
    ----------
    study
        A YAML file, the name of a study that ships with the package, or the same as a mapping.
    out
        Directory of the store. One with the same study, optimizer and budget is gone on with.
    workers
        Processes; by default as many as there are cores. One evaluates in this process. A script that asks for
        more must do so below ``if __name__ == "__main__":``.
    resume
        Go on in a directory of another study, optimizer or budget too, or if a model, a config or the code has changed
        since, with what it has evaluated; without this such a directory is refused.
    optimizer, budget
        Instead of the study's. Without a budget, ``grid`` and ``random`` evaluate all points, and ``nsga2`` and ``tpe``
        a tenth of them (at least 100). Random search is told beside the others: with as many points as a learner, and
        with a tenth of a grid's; those that it does not share with them are evaluated too.
    cluster
        Address of a Dask scheduler, whose workers are then used.
    say, progress
        Told what is done next; and, while points are evaluated, how far the sweep is.

    Raises
    ------
    InputError
        If anything in the study is wrong, or the directory or cluster cannot be used.
    """
    check_installed("duckdb")
    file, space = _read(study)
    name, most = _plan(file, space, optimizer, budget)
    if workers is not None and workers < 1:
        raise InputError.must("--workers", "at least 1", workers)
    cores = len(os.sched_getaffinity(0)) if hasattr(os, "sched_getaffinity") else os.cpu_count() or 1
    count = workers or cores
    baseline = _baseline(file, space, name, most)
    directory = Path(out)
    say = say or (lambda _text: None)
    with closing(Store.open(directory, file, space, name, most, resume=resume)) as store:
        traced = trace_all(file, space, directory / GRAPHS, say)
        store.check_inputs(_inputs(space, traced), resume=resume)
        packed = {one.digest: one.packed for one in traced.values()}
        say("starting workers")
        with closing(_workers(packed, count, cluster)) as at_work:
            sweep = _Sweep(file, space, traced, store, at_work, progress)
            learner, beside = name in LEARNERS, most < space.grid.size and name != "random"
            sweep.total = most + (len(baseline) if beside else 0)
            prune = Prune(file.study.objectives, baseline) if file.study.prune and not learner else None
            sizes = (LEARNING_BATCH, 1) if learner else (BATCH, 2)
            sweep.run(_make(name, file, space, most), name, *sizes, prune)
            if beside:
                sweep.run(_make("random", file, space, len(baseline)), "random", BATCH, 2)
    return summarize(directory, name, baseline)


def _read(study: Path | str | Mapping[str, Any]) -> tuple[StudyFile, Space]:
    if isinstance(study, Mapping):
        try:
            text = yaml.safe_dump(dict(study), sort_keys=False)
        except yaml.representer.RepresenterError as error:
            raise InputError(f"study must hold plain values, as YAML has them: {error}") from None
        file = StudyFile.of(text, "study", Path())
    else:
        file = StudyFile.read(study)
    return file, read_space(file)


def _plan(file: StudyFile, space: Space, optimizer: str | None, budget: int | None) -> tuple[str, int]:
    """Return the optimizer and how many points it may choose."""
    name = optimizer or file.study.optimizer
    if name not in OPTIMIZERS:
        raise InputError.must("--optimizer", f"one of {', '.join(OPTIMIZERS)}", name)
    if budget is not None and budget < 1:
        raise InputError.must("--budget", "at least 1", budget)
    if name in LEARNERS:
        check_installed("optuna")
    most = budget or file.study.budget
    size = space.grid.size
    if most is None and name in LEARNERS:
        most = max(_LEAST, size // _SHARE)
    most = min(size, most or size)
    if most > MOST_POINTS or size >= _MOST_NUMBERS:
        hint = "vary less" if size >= _MOST_NUMBERS else f"give --budget (at most {MOST_POINTS:,}), or vary less"
        raise InputError(f"{file.where}: there are {size:,} points, too many for {name}; {hint}")
    return name, most


def _make(name: str, file: StudyFile, space: Space, most: int) -> Optimizer:
    return make_optimizer(name, space.axes, len(file.study.objectives), file.study.seed, most)


def _baseline(file: StudyFile, space: Space, name: str, most: int) -> set[int]:
    """Return the points that random search is told by: as many as a learner has itself, of a grid a tenth."""
    if name == "random":
        return set()
    count = most if name in LEARNERS else max(1, most // _SHARE)
    return {space.grid.number(point) for point in _make("random", file, space, count).ask(count)}


def _inputs(space: Space, traced: Mapping[tuple[int, int], Traced]) -> str:
    """Return a digest of what points are made of: files that the study names may change though it does not."""
    said = [[one.digest for one in traced.values()], [target.base for target in space.targets]]
    return hashlib.sha256(json.dumps(said, sort_keys=True).encode()).hexdigest()


def _workers(packed: dict[str, bytes], count: int, cluster: str | None) -> Workers:
    if cluster is not None:
        try:
            from codesign.sweep.cluster import Cluster
        except ImportError:
            raise InputError("--cluster needs Dask; install it with pip install 'sparse-codesign[cluster]'") from None

        return Cluster(packed, cluster)
    return Here(packed) if count == 1 else Pool(packed, count)


class _Sweep:
    """The points of a sweep on their way from an optimiser through the workers into the store."""

    def __init__(
        self,
        file: StudyFile,
        space: Space,
        traced: Mapping[tuple[int, int], Traced],
        store: Store,
        workers: Workers,
        progress: Callable[[Progress], object] | None,
    ) -> None:
        self._study, self._space, self._traced = file.study, space, traced
        self._store, self._workers, self._progress = store, workers, progress
        self._bounds = Bounds(space, {at: one.packed for at, one in traced.items()})
        self._done = self._known = 0
        self.total = 0

    def run(self, optimizer: Optimizer, chosen_by: str, size: int, depth: int, prune: Prune | None = None) -> None:
        """Evaluate all that the optimiser asks for, ``depth`` batches at a time, and tell it batch by batch."""
        going: deque[_Batch] = deque()
        more = True
        while more or going:
            while more and len(going) < depth:
                asked = optimizer.ask(size)
                more = bool(asked)
                if asked:
                    batch = self._batch(asked, chosen_by, prune)
                    going.append(batch)
                    self._begin(batch, going)
            while going and not going[0].complete:
                self._take(self._workers.get(), going)
            if going:
                self._end(going.popleft(), optimizer, prune)

    def _batch(self, asked: Sequence[tuple[int, ...]], chosen_by: str, prune: Prune | None) -> _Batch:
        rows, tasks = [], []
        for indices in asked:
            point = self._space.point(self._space.grid.number(indices))
            task = task_of(self._space, point, self._traced[point.model, point.weights].digest, self._study.seed)
            target = self._space.targets[point.target]
            accuracy = self._study.weights[point.weights].accuracy
            reason = None
            bound = self._bounds.of(point, task.config, accuracy) if prune or self._study.constraints else None
            if bound is not None:
                reason = bound.breaks(self._study.constraints)
                if reason is None and prune is not None:
                    reason = prune.reason(point.number, bound)
            values = tuple(_column(kind, point.settings.get(name)) for name, kind in self._space.parameters.items())
            rows.append(
                Row(
                    point.number, task.key, "bound" if reason else chosen_by, "pruned" if reason else "done", reason,
                    accuracy, self._space.models[point.model], self._space.weights[point.weights], target.name,
                    point.dataflow, values,
                )
            )  # fmt: skip
            tasks.append(task)
        return _Batch(list(asked), rows, tasks)

    def _begin(self, batch: _Batch, going: Sequence[_Batch]) -> None:
        """Settle what needs no work, and give the rest to the workers; a key that is at work already is not given."""
        wanted = [row.key for row in batch.rows if row.status != "pruned"]
        batch.outcomes = self._store.known(wanted)
        at_work = {row.key for other in going if other is not batch for row in other.rows if row.status != "pruned"}
        given: dict[str, Task] = {}
        for row, task in zip(batch.rows, batch.tasks, strict=True):
            if row.status != "pruned" and row.key not in batch.outcomes and row.key not in at_work:
                given[row.key] = task
        self._workers.put(given.values())
        for other in going:  # ahead of this batch, with keys that it waits for and that are there
            batch.outcomes |= {key: one for key, one in other.outcomes.items() if key in wanted}
        settled = [row for row in batch.rows if row.status == "pruned" or row.key in batch.outcomes]
        self._known += len(settled)
        self._write([], [self._row(row, batch) for row in settled])

    def _take(self, outcomes: Sequence[Outcome], going: Sequence[_Batch]) -> None:
        """Store outcomes together with the points that waited for them."""
        rows = []
        for batch in going:
            for one in outcomes:
                if one.key in batch.outcomes:
                    continue
                waited = [row for row in batch.rows if row.key == one.key and row.status != "pruned"]
                if waited:
                    batch.outcomes[one.key] = one
                    rows += [self._row(row, batch) for row in waited]
        self._write(outcomes, rows)

    def _write(self, outcomes: Sequence[Outcome], rows: Sequence[Row]) -> None:
        present = self._store.present([row.number for row in rows])
        self._store.put(outcomes, [row for row in rows if row.number not in present])
        self._done += len(rows)
        if self._progress is not None:
            self._progress(Progress(self._done, self.total, self._known))

    def _row(self, row: Row, batch: _Batch) -> Row:
        """Return a point with the status that its outcome gives it."""
        if row.status == "pruned":
            return row
        one = batch.outcomes[row.key]
        if one.status != "done":
            return row._replace(status=one.status)
        reason = broken(self._study.constraints, _measures(one, row.accuracy))
        return row if reason is None else row._replace(status="infeasible", reason=reason)

    def _end(self, batch: _Batch, optimizer: Optimizer, prune: Prune | None) -> None:
        """Tell the optimiser what a batch came to."""
        values = []
        for row in batch.rows:
            done = self._row(row, batch).status == "done"
            values.append(self._costs(batch.outcomes[row.key], row.accuracy) if done else None)
        optimizer.tell(batch.asked, values)
        if prune is not None:
            prune.learn([one for one in values if one is not None])

    def _costs(self, one: Outcome, accuracy: float | None) -> tuple[float, ...]:
        measures = _measures(one, accuracy)
        return tuple(float(measures[name] or 0) * (-1 if name in MAXIMISED else 1) for name in self._study.objectives)


def _measures(one: Outcome, accuracy: float | None) -> dict[str, float | int | None]:
    return {**one._asdict(), "accuracy": accuracy}


def _column(kind: type, value: object) -> object:
    """Return a value as its column holds it: lists as YAML."""
    if value is None or kind is not str or isinstance(value, str):
        return value
    return yaml.safe_dump(value, default_flow_style=True).partition("\n")[0]
