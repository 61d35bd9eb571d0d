"""Pool: processes that evaluate tasks, and what happens when one of them dies."""

from __future__ import annotations

import multiprocessing
import os
import signal
import threading
import time
from collections import Counter, deque
from collections.abc import Iterable, Iterator, Mapping, Sequence
from concurrent.futures import FIRST_COMPLETED, Future, ProcessPoolExecutor, wait
from concurrent.futures.process import BrokenProcessPool
from contextlib import contextmanager
from multiprocessing import resource_tracker
from multiprocessing.connection import wait as wait_for
from typing import Protocol

from codesign.sweep.evaluate import Evaluator, Outcome
from codesign.sweep.point import Task
from traces.errors import InputError

#: Seconds of work that go to a process at a time, and tasks at most: few enough that no finished point waits long.
_CHUNK_S, _MOST_TASKS = 0.1, 32


class Workers(Protocol):
    """What evaluates tasks, in any order."""

    def put(self, tasks: Iterable[Task]) -> None:
        """Take tasks to evaluate."""

    def get(self) -> list[Outcome]:
        """Wait until something is evaluated and return it."""

    def close(self) -> None:
        """End, leaving undone what is not begun."""


class Here:
    """Evaluates tasks in this process, one at a time."""

    def __init__(self, packed: Mapping[str, bytes]) -> None:
        self._evaluate, self._tasks = Evaluator(packed), deque[Task]()

    def put(self, tasks: Iterable[Task]) -> None:
        """Take tasks to evaluate."""
        self._tasks.extend(tasks)

    def get(self) -> list[Outcome]:
        """Evaluate for a moment and return the outcomes."""
        found: list[Outcome] = []
        until = time.monotonic() + _CHUNK_S
        while self._tasks and (not found or (time.monotonic() < until and len(found) < _MOST_TASKS)):
            found.append(self._evaluate(self._tasks.popleft()))
        return found

    def close(self) -> None:
        """Do nothing."""


class Pool:
    """Evaluates tasks on processes of this machine.

    When a process dies, those tasks that were on processes are tried again one by one, so that the one which kills
    its process is found; if it does so twice, it has failed, and the sweep goes on.

    Parameters
    ----------
    packed
        Graphs by digest, sent to each process once.
    count
        How many processes.
    """

    def __init__(self, packed: Mapping[str, bytes], count: int) -> None:
        self._packed, self._count = dict(packed), count
        self._backlog, self._suspects = deque[Task](), deque[Task]()
        self._running: dict[Future[tuple[list[Outcome], float]], Sequence[Task]] = {}
        self._deaths: Counter[str] = Counter()
        self._task_s = _CHUNK_S
        self._executor = self._start()

    def put(self, tasks: Iterable[Task]) -> None:
        """Take tasks to evaluate."""
        self._backlog.extend(tasks)
        self._feed()

    def get(self) -> list[Outcome]:
        """Wait until something is evaluated and return it."""
        found: list[Outcome] = []
        while not found and (self._running or self._feed()):
            done, _ = wait(self._running, return_when=FIRST_COMPLETED)
            died: list[Task] = []
            for future in done:
                tasks = self._running.pop(future)
                try:
                    outcomes, seconds = future.result()
                except BrokenProcessPool:
                    died += tasks
                else:
                    found += outcomes
                    self._task_s += 0.2 * (seconds / len(tasks) - self._task_s)
            if died:
                found += self._after_death(died)
            self._feed()
        return found

    def close(self) -> None:
        """End the processes when what they are at is done."""
        self._executor.shutdown(wait=True, cancel_futures=True)

    def _start(self) -> ProcessPoolExecutor:
        executor = ProcessPoolExecutor(
            self._count, multiprocessing.get_context("spawn"), initializer=_begin, initargs=(self._packed,)
        )
        resource_tracker.ensure_running()  # as it starts, it undoes what `_shielded` does
        try:
            with _shielded():
                ready = executor.submit(os.getpid)
            ready.result()
        except BrokenProcessPool:
            raise InputError(
                "worker processes end as soon as they start; a script that sweeps must do so below"
                ' `if __name__ == "__main__":`, or with workers=1'
            ) from None
        return executor

    def _feed(self) -> bool:
        """Give tasks to processes; suspects alone. Return whether any are at work."""
        if self._suspects:
            if not self._running:
                self._submit([self._suspects.popleft()])
            return True
        size = int(min(_MOST_TASKS, max(1.0, _CHUNK_S / max(self._task_s, 1e-6))))
        while self._backlog and len(self._running) < 2 * self._count:  # one waits behind each at work
            self._submit([self._backlog.popleft() for _ in range(min(size, len(self._backlog)))])
        return bool(self._running)

    def _submit(self, tasks: Sequence[Task]) -> None:
        try:
            with _shielded():
                future = self._executor.submit(_evaluate_all, tasks)
        except BrokenProcessPool as error:  # died while idle; told like any other death
            future = Future()
            future.set_exception(error)
        self._running[future] = tasks

    def _after_death(self, died: Sequence[Task]) -> list[Outcome]:
        """Start anew, and return the task that has now killed two processes, if it is found."""
        for future, tasks in self._running.items():  # all of a broken pool end
            wait([future])
            died = [*died, *tasks]
        self._running.clear()
        self._executor.shutdown(wait=True)
        self._executor = self._start()
        if len(died) == 1:
            self._deaths[died[0].key] += 1
            if self._deaths[died[0].key] > 1:
                reason = "its worker process died twice; out of memory?"
                return [Outcome(died[0].key, "failed", reason)]
        self._suspects.extend(died)
        return []


@contextmanager
def _shielded() -> Iterator[None]:
    """Hold Ctrl-C back in processes that are started meanwhile, for good: their parent ends them."""
    before = signal.pthread_sigmask(signal.SIG_BLOCK, [signal.SIGINT])
    try:
        yield
    finally:
        signal.pthread_sigmask(signal.SIG_SETMASK, before)


_evaluator: Evaluator | None = None


def _begin(packed: Mapping[str, bytes]) -> None:
    """Set a worker process up: it ends when its parent is gone."""
    global _evaluator
    threading.Thread(target=_end_with_parent, daemon=True).start()
    _evaluator = Evaluator(packed)


def _end_with_parent() -> None:
    parent = multiprocessing.parent_process()
    if parent is not None:
        wait_for([parent.sentinel])
        os._exit(1)


def _evaluate_all(tasks: Sequence[Task]) -> tuple[list[Outcome], float]:
    assert _evaluator is not None
    begin = time.perf_counter()
    return [_evaluator(task) for task in tasks], time.perf_counter() - begin
