"""The compiled executor: the same schedule as SimPy's, at tens of millions of tokens a second.

It commits whatever needs no arbitration, stage by stage, as far as the waits allow; when nothing moves any more
it grants the earliest request of all (then the first stage). First come, first served makes that safe: whatever
is still unknown depends on a token not yet granted, so it cannot ask earlier.
"""

from __future__ import annotations

import numba
import numpy as np
from numpy.typing import NDArray

from hw_models.pipeline.parts import Cycles
from hw_models.pipeline.pipeline import Pipeline
from hw_models.pipeline.schedule import Schedule
from hw_models.pipeline.stuck import deadlock
from hw_models.pipeline.waits import waits

_FREE, _SHARED, _ORDERED = 0, 1, 2  # how a stage gets to serve: at once, by request, in a fixed order


def run(pipeline: Pipeline) -> Schedule:
    """Run a pipeline to its end.

    Raises
    ------
    DeadlockError
        If it comes to a standstill; nothing is returned then.
    """
    stages = pipeline.stages
    sizes = np.array([len(stage) for stage in stages], dtype=np.int64)
    first = np.concatenate(([0], np.cumsum(sizes)))
    service = np.concatenate([np.zeros(0, np.int64), *(stage.service_cycles for stage in stages)])
    found = sorted(waits(pipeline), key=lambda wait: wait.stage)
    tables = [wait.index for wait in found if wait.index is not None]
    table_at, at = np.full(len(found), -1, dtype=np.int64), 0
    for i, wait in enumerate(found):
        if wait.index is not None:
            table_at[i], at = at, at + len(wait.index)
    number = {resource.name: i for i, resource in enumerate(pipeline.resources)}
    stage_number = {stage.name: i for i, stage in enumerate(stages)}
    resource_of = np.array([number.get(stage.resource or "", -1) for stage in stages], dtype=np.int64)
    mode = [_FREE if r < 0 else _SHARED if pipeline.resources[r].order is None else _ORDERED for r in resource_of]
    orders = [
        np.zeros(0, np.int64) if r.order is None else np.array([stage_number[u] for u in r.users])[r.order]
        for r in pipeline.resources
    ]
    capacities = [resource.capacity for resource in pipeline.resources]
    end = np.empty_like(service)
    served = _run(
        sizes,
        first,
        service,
        np.searchsorted([wait.stage for wait in found], np.arange(len(stages) + 1)).astype(np.int64),
        np.array([(w.source, w.extra_cycles, w.shift) for w in found], dtype=np.int64).reshape(-1, 3),
        table_at,
        np.concatenate([np.zeros(0, np.int64), *tables]),
        resource_of,
        np.array(mode, dtype=np.int64),
        np.concatenate([np.zeros(0, np.int64), *orders]),
        np.concatenate(([0], np.cumsum([len(order) for order in orders]))).astype(np.int64),
        np.concatenate(([0], np.cumsum(capacities))).astype(np.int64),
        end,
    )
    if np.any(served < sizes):
        raise deadlock(pipeline, served.tolist())
    return Schedule(pipeline, {s.name: end[first[i] : first[i + 1]] for i, s in enumerate(stages)})


@numba.njit(cache=True)
def _run(
    sizes: Cycles,
    first: Cycles,
    service: Cycles,
    wait_from: Cycles,
    wait: Cycles,
    table_at: Cycles,
    tables: Cycles,
    resource_of: Cycles,
    mode: Cycles,
    order: Cycles,
    order_from: Cycles,
    server_from: Cycles,
    end: Cycles,
) -> NDArray[np.int64]:
    """Fill ``end`` and return how many tokens each stage served.

    Stage s owns tokens ``first[s]:first[s+1]`` of ``service`` and ``end``, and waits ``wait_from[s]:wait_from[s+1]``,
    rows (source, extra cycles, shift) with a table at ``table_at`` in ``tables`` unless -1. Resource r owns
    ``order_from[r]:order_from[r+1]`` of ``order`` and servers ``server_from[r]:server_from[r+1]``.
    """
    stages = len(sizes)
    served = np.zeros(stages, dtype=np.int64)
    free_at = np.zeros(stages, dtype=np.int64)
    server_free_at = np.zeros(server_from[-1], dtype=np.int64)
    turn = order_from[:-1].copy()
    request = np.full(stages, -1, dtype=np.int64)
    moved = True
    while True:
        while moved:
            moved = False
            for s in range(stages):
                i = served[s]
                if i == sizes[s] or request[s] >= 0:
                    continue
                limit = sizes[s]
                for w in range(wait_from[s], wait_from[s + 1]):
                    if table_at[w] < 0:
                        limit = min(limit, served[wait[w, 0]] - wait[w, 2])
                if mode[s] == _SHARED:
                    limit = min(limit, i + 1)
                t, begun = free_at[s], i
                while i < limit:
                    if mode[s] == _ORDERED:
                        r = resource_of[s]
                        if order[turn[r]] != s:
                            break
                    ready, blocked = t, False
                    for w in range(wait_from[s], wait_from[s + 1]):
                        source = wait[w, 0]
                        at = table_at[w]
                        token = i + wait[w, 2] if at < 0 else tables[at + i]
                        if at >= 0 and token >= served[source]:
                            blocked = True
                            break
                        if token >= 0:
                            ready = max(ready, end[first[source] + token] + wait[w, 1])
                    if blocked:
                        break
                    if mode[s] == _SHARED:
                        request[s] = ready
                        break
                    if mode[s] == _ORDERED:
                        ready = max(ready, server_free_at[server_from[r]])
                        server_free_at[server_from[r]] = ready + service[first[s] + i]
                        turn[r] += 1
                    t = ready + service[first[s] + i]
                    end[first[s] + i] = t
                    i += 1
                if i > begun:
                    served[s], free_at[s], moved = i, t, True
        chosen = -1
        for s in range(stages):
            if request[s] >= 0 and (chosen < 0 or request[s] < request[chosen]):
                chosen = s
        if chosen < 0:
            return served
        r, i = resource_of[chosen], first[chosen] + served[chosen]
        server = _earliest(server_free_at, server_from[r], server_from[r + 1])
        end[i] = max(request[chosen], server_free_at[server]) + service[i]
        server_free_at[server] = free_at[chosen] = end[i]
        served[chosen] += 1
        request[chosen] = -1
        moved = True


@numba.njit(cache=True, inline="always")
def _earliest(server_free_at: Cycles, begin: int, stop: int) -> int:
    """Return the server of a resource that is free first."""
    best = begin
    for server in range(begin + 1, stop):
        if server_free_at[server] < server_free_at[best]:
            best = server
    return best
