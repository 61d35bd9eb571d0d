"""What a pipeline is made of: stages, FIFOs, shared resources and edges."""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np
from numpy.typing import ArrayLike, NDArray

Cycles = NDArray[np.int64]


def _integers(what: str, values: ArrayLike) -> Cycles:
    array = np.asarray(values)
    if array.ndim != 1 or (array.size and array.dtype.kind not in "iu"):
        raise ValueError(f"{what} must be a 1-D array of integers, not {array.dtype} of shape {array.shape}")
    return np.ascontiguousarray(array, dtype=np.int64)


@dataclass(frozen=True, slots=True, eq=False)
class Stage:
    """Serves tokens in order, one at a time.

    Attributes
    ----------
    name
        Unique in its pipeline.
    service_cycles
        Cycles for which each token occupies the stage (and its resource): int64 of shape (tokens,), each >= 0.
    resource
        Name of a shared `Resource` that a token holds while it is served; None for a stage of its own.
    latency_cycles
        Cycles from the end of a token's service until its consumers see it; the stage itself is free again
        at the end of service. This is how a pipelined unit or a DRAM access latency is told.
    """

    name: str
    service_cycles: Cycles
    resource: str | None = None
    latency_cycles: int = 0

    def __post_init__(self) -> None:
        service = _integers(f"service_cycles of stage {self.name}", self.service_cycles)
        if service.size and int(service.min()) < 0:
            raise ValueError(f"service_cycles of stage {self.name} must be at least 0, not {service.min()}")
        if self.latency_cycles < 0:
            raise ValueError(f"latency_cycles of stage {self.name} must be at least 0")
        object.__setattr__(self, "service_cycles", service)

    def __len__(self) -> int:
        return len(self.service_cycles)


@dataclass(frozen=True, slots=True, eq=False)
class Fifo:
    """A bounded queue between two stages; its capacity is what makes back-pressure.

    A producer's token takes its slot when its service starts. Token i of the consumer starts once the first
    ``need[i]`` tokens have arrived, and gives slots back, up to ``release[i]`` in total, when its service ends.
    Both are cumulative and non-decreasing; left out, tokens pair up one to one.
    """

    producer: str
    consumer: str
    capacity: int
    need: Cycles | None = None
    release: Cycles | None = None
    name: str = ""

    def __post_init__(self) -> None:
        object.__setattr__(self, "name", self.name or f"{self.producer}->{self.consumer}")
        if self.capacity < 1:
            raise ValueError(f"capacity of FIFO {self.name} must be at least 1, not {self.capacity}")
        for field in ("need", "release"):
            values = getattr(self, field)
            if values is not None:
                object.__setattr__(self, field, _integers(f"{field} of FIFO {self.name}", values))


@dataclass(frozen=True, slots=True, eq=False)
class Resource:
    """What stages share: a DRAM channel, one PE array.

    Without ``order`` it is granted first come, first served; requests of the same cycle go by the order of
    the stages in the pipeline. With ``order``, which names the stage of each grant as an index into ``users``, it
    is granted in just that order, as a DMA engine works off its list of descriptors.
    """

    name: str
    capacity: int = 1
    order: Cycles | None = None
    users: tuple[str, ...] = ()

    def __post_init__(self) -> None:
        if self.capacity < 1:
            raise ValueError(f"capacity of resource {self.name} must be at least 1, not {self.capacity}")
        if self.order is not None:
            object.__setattr__(self, "order", _integers(f"order of resource {self.name}", self.order))
            if self.capacity != 1:
                raise ValueError(f"resource {self.name} must have capacity 1, as it is granted in a fixed order")


@dataclass(frozen=True, slots=True, eq=False)
class Edge:
    """Token ``consumer_tokens[x]`` of one stage waits until token ``producer_tokens[x]`` of another arrived."""

    producer: str
    consumer: str
    producer_tokens: Cycles
    consumer_tokens: Cycles

    def __post_init__(self) -> None:
        for field in ("producer_tokens", "consumer_tokens"):
            object.__setattr__(self, field, _integers(f"{field} of edge", getattr(self, field)))
        if len(self.producer_tokens) != len(self.consumer_tokens):
            raise ValueError(f"edge {self.producer}->{self.consumer} must list as many producers as consumers")
