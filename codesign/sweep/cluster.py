"""Cluster: workers of a Dask scheduler, on any number of machines."""

from __future__ import annotations

import logging
import time
from collections.abc import Iterable, Mapping
from concurrent.futures import CancelledError
from contextlib import suppress

from distributed import Client, Future, Worker, WorkerPlugin, as_completed
from distributed.scheduler import KilledWorker

from codesign.sweep.evaluate import Evaluator, Outcome
from codesign.sweep.point import Task, code_version
from traces.errors import InputError

_TIMEOUT_S = 10
#: How long a sweep waits for the last worker that was lost to come back.
_PATIENCE_S = 60.0
_POLL_S, _LOOK_S = 0.005, 1.0


class Cluster:
    """Evaluates tasks on the workers of a scheduler; Dask gives the tasks of a worker that dies to another.

    Parameters
    ----------
    packed
        Graphs by digest; a plugin brings them to each worker, also to those that join later.
    address
        Of the scheduler: ``tcp://host:8786``.

    Raises
    ------
    InputError
        If there is no scheduler, it has no workers, or they have another version of codesign.
    """

    def __init__(self, packed: Mapping[str, bytes], address: str) -> None:
        self._address = address
        try:
            self._client = Client(address, timeout=_TIMEOUT_S, set_as_default=False)
        except (OSError, ValueError, TimeoutError) as error:
            raise InputError(
                f"--cluster {address}: no Dask scheduler answers there ({str(error).partition(chr(10))[0]}); start one"
                " with `dask scheduler` and workers with `dask worker ADDRESS`"
            ) from None
        try:
            if not self._client.scheduler_info(n_workers=-1)["workers"]:
                raise InputError(f"--cluster {address} has no workers; start some with `dask worker {address}`")
            versions = self._client.run(code_version)
            others = sorted(worker for worker, version in versions.items() if version != code_version())
            if others:
                raise InputError(
                    f"worker {others[0]} has another version of codesign; install the same on all machines"
                )
            self._client.register_plugin(_Graphs(dict(packed)))
        except BaseException:
            self._client.close()
            raise
        self._keys: dict[Future[Outcome], str] = {}
        self._done = as_completed(loop=self._client.loop)

    def put(self, tasks: Iterable[Task]) -> None:
        """Take tasks to evaluate."""
        for task in tasks:
            future = self._client.submit(_evaluate, task, pure=False)
            self._keys[future] = task.key
            self._done.add(future)

    def get(self) -> list[Outcome]:
        """Wait until something is evaluated and return it.

        Raises
        ------
        InputError
            If the scheduler is gone, or all workers are.
        """
        if not self._keys:
            return []
        self._wait()
        future = next(self._done)
        key = self._keys.pop(future)
        try:
            return [future.result()]
        except KilledWorker:
            return [Outcome(key, "failed", "its worker process died again and again; out of memory?")]
        except CancelledError:
            raise self._lost("the scheduler is gone") from None

    def _wait(self) -> None:
        """Wait until a future is done: without workers it would never be."""
        looked = manned = time.monotonic()
        while not self._done.has_ready():
            time.sleep(_POLL_S)
            now = time.monotonic()
            if now - looked < _LOOK_S:
                continue
            looked = now
            with suppress(OSError):  # a scheduler that is gone cancels its futures
                if self._client.scheduler_info(n_workers=-1)["workers"]:
                    manned = now
            if now - manned > _PATIENCE_S:
                raise self._lost(f"there has been no worker for {_PATIENCE_S:g} s")

    def _lost(self, what: str) -> InputError:
        logging.getLogger("distributed.client").setLevel(logging.CRITICAL)  # it would tell so too, in tracebacks
        return InputError(
            f"--cluster {self._address}: {what}; start it again and give the same command: all points that were"
            " finished are kept"
        )

    def close(self) -> None:
        """Take back what is not begun."""
        self._client.cancel(list(self._keys))
        self._client.close()


class _Graphs(WorkerPlugin):
    """Gives a worker its evaluator."""

    name = "codesign-graphs"

    def __init__(self, packed: Mapping[str, bytes]) -> None:
        self._packed = packed

    def setup(self, worker: Worker) -> None:
        """Set a worker up."""
        self.evaluator = Evaluator(self._packed)


def _evaluate(task: Task) -> Outcome:
    from distributed import get_worker

    plugin = get_worker().plugins[_Graphs.name]
    assert isinstance(plugin, _Graphs)
    return plugin.evaluator(task)
