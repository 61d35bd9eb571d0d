"""The reference executor: every stage a SimPy process.

Slow and readable; a user's own processes can share its environment. It keeps the books of FIFOs and resources
in its own way, so that its agreement with the compiled executor means something.
"""

from __future__ import annotations

from collections import Counter
from collections.abc import Generator
from dataclasses import dataclass, field

import numpy as np
import simpy
from simpy.events import EventPriority

from hw_models.pipeline.parts import Cycles, Resource, Stage
from hw_models.pipeline.pipeline import Pipeline, fifo_rates
from hw_models.pipeline.schedule import Schedule
from hw_models.pipeline.stuck import deadlock

_AFTER_ALL_OTHERS = EventPriority(10)  # SimPy runs events of one instant by priority; its own use 0 and 1

Process = Generator[simpy.Event, None, None]


def run(pipeline: Pipeline, env: simpy.Environment | None = None) -> Schedule:
    """Run a pipeline to its end, from the current time of ``env`` (0 if it is new).

    Raises
    ------
    DeadlockError
        If it comes to a standstill.
    """
    env = env or simpy.Environment()
    zero = env.now
    board = _Board(env)
    served = {stage.name: [0] for stage in pipeline.stages}
    ends = {stage.name: np.zeros(len(stage), dtype=np.int64) for stage in pipeline.stages}
    arbiter = _Arbiter(env, pipeline)
    queues = [
        _Queue(
            f.producer,
            f.consumer,
            f.capacity,
            *fifo_rates(f, len(ends[f.producer]), len(ends[f.consumer])),
        )
        for f in pipeline.fifos
    ]
    needed: dict[str, dict[int, list[tuple[str, int]]]] = {name: {} for name in ends}
    for edge in pipeline.edges:
        for token, awaited in zip(edge.consumer_tokens.tolist(), edge.producer_tokens.tolist(), strict=True):
            needed[edge.consumer].setdefault(token, []).append((edge.producer, awaited))
    arrived = {name: [0] for name in ends}

    def serve(rank: int, stage: Stage) -> Process:
        inputs = [queue for queue in queues if queue.consumer == stage.name]
        outputs = [queue for queue in queues if queue.producer == stage.name]
        for i, cycles in enumerate(stage.service_cycles.tolist()):
            for producer, awaited in needed[stage.name].get(i, ()):
                while arrived[producer][0] <= awaited:
                    yield board.change
            for queue in inputs:
                while queue.arrived < queue.need[i]:
                    yield board.change
            for queue in outputs:
                while queue.taken >= queue.capacity:
                    yield board.change
            if stage.resource is not None:
                yield arbiter.request(rank, stage.resource)
            for queue in outputs:
                queue.taken += 1
            yield env.timeout(cycles)
            ends[stage.name][i] = env.now - zero
            if stage.resource is not None:
                arbiter.give_back(stage.resource)
            served[stage.name][0] += 1
            for queue in inputs:
                queue.taken -= int(queue.release[i]) - queue.released
                queue.released = int(queue.release[i])
            if stage.latency_cycles:
                env.process(arrive(stage, outputs))
            else:
                _count_arrival(arrived[stage.name], outputs)
            board.changed()

    def arrive(stage: Stage, outputs: list[_Queue]) -> Process:
        yield env.timeout(stage.latency_cycles)
        _count_arrival(arrived[stage.name], outputs)
        board.changed()

    for rank, stage in enumerate(pipeline.stages):
        env.process(serve(rank, stage))
    env.run()
    counts = [served[stage.name][0] for stage in pipeline.stages]
    if any(count < len(stage) for count, stage in zip(counts, pipeline.stages, strict=True)):
        raise deadlock(pipeline, counts)
    return Schedule(pipeline, ends)


@dataclass(slots=True)
class _Queue:
    """The books of one FIFO: slots taken, tokens arrived and released so far."""

    producer: str
    consumer: str
    capacity: int
    need: Cycles
    release: Cycles
    taken: int = 0
    arrived: int = 0
    released: int = 0


def _count_arrival(arrived: list[int], outputs: list[_Queue]) -> None:
    arrived[0] += 1
    for queue in outputs:
        queue.arrived += 1


class _Board:
    """Where whoever waits for the books to change is woken, to look at them again."""

    def __init__(self, env: simpy.Environment) -> None:
        self.env, self.change = env, env.event()

    def changed(self) -> None:
        """Wake all who wait."""
        self.change.succeed()
        self.change = self.env.event()


@dataclass(slots=True)
class _Arbiter:
    """Grants resources: an ordered one by its list, any other first come, first served.

    Who came first is decided once all requests of an instant are in, one grant a decision. A grant may let a token
    of no duration through and so raise another request in the same cycle; deciding anew after each grant, last of
    all events, is what makes the outcome independent of SimPy's event order.
    """

    env: simpy.Environment
    pipeline: Pipeline
    requests: list[tuple[int, str, simpy.Event]] = field(default_factory=list)
    queues: dict[str, list[simpy.Event]] = field(default_factory=dict)
    in_use: Counter[str] = field(default_factory=Counter)
    turns: Counter[str] = field(default_factory=Counter)

    def request(self, rank: int, resource: str) -> simpy.Event:
        """Ask for a resource; the event fires when it is granted."""
        granted = self.env.event()
        self.requests.append((rank, resource, granted))
        if self._resource(resource).order is None:
            decision = self.env.event()
            decision.callbacks.append(self._decide)
            decision._ok, decision._value = True, None
            self.env.schedule(decision, priority=_AFTER_ALL_OTHERS)
        else:
            self._take_turns(resource)
        return granted

    def give_back(self, resource: str) -> None:
        """Return what was granted."""
        self.in_use[resource] -= 1
        if self._resource(resource).order is None:
            self._grant(resource)
        else:
            self._take_turns(resource)

    def _decide(self, _: simpy.Event) -> None:
        shared = [request for request in self.requests if self._resource(request[1]).order is None]
        request = min(shared, key=lambda request: request[0])
        self.requests.remove(request)
        self.queues.setdefault(request[1], []).append(request[2])
        self._grant(request[1])

    def _take_turns(self, name: str) -> None:
        resource = self._resource(name)
        if resource.order is None or self.turns[name] == len(resource.order):
            return
        next_user = resource.users[resource.order[self.turns[name]]]
        for request in self.requests:
            rank, wanted, granted = request
            if wanted == name and self.pipeline.stages[rank].name == next_user:
                if not self.in_use[name]:
                    self.turns[name] += 1
                    self.in_use[name] += 1
                    self.requests.remove(request)
                    granted.succeed()
                return

    def _grant(self, name: str) -> None:
        queue = self.queues.get(name, [])
        if queue and self.in_use[name] < self._resource(name).capacity:
            self.in_use[name] += 1
            queue.pop(0).succeed()

    def _resource(self, name: str) -> Resource:
        return next(resource for resource in self.pipeline.resources if resource.name == name)
