"""Pipeline: stages joined by bounded FIFOs, shared resources and edges, checked when built."""

from __future__ import annotations

from collections import Counter
from dataclasses import dataclass

import numpy as np

from hw_models.pipeline.parts import Cycles, Edge, Fifo, Resource, Stage


class DeadlockError(ValueError):
    """The pipeline cannot finish; the message names the FIFO, edge or resource that blocks it."""


@dataclass(frozen=True, slots=True, eq=False)
class Pipeline:
    """A system of stages; both executors run it and agree on every start and finish.

    The order of ``stages`` settles ties at first-come-first-served resources.

    Raises
    ------
    ValueError
        If names clash or are unknown, or the array of a FIFO, edge or order does not fit its stages.
    DeadlockError
        If one FIFO alone can never meet a need of its consumer.

    >>> load = Stage("load", [4, 4, 4])
    >>> work = Stage("work", [6, 6, 6])
    >>> Pipeline((load, work), (Fifo("load", "work", capacity=2),))
    Pipeline(2 stages, 1 FIFOs, 0 resources, 6 tokens)
    """

    stages: tuple[Stage, ...]
    fifos: tuple[Fifo, ...] = ()
    resources: tuple[Resource, ...] = ()
    edges: tuple[Edge, ...] = ()

    def __post_init__(self) -> None:
        for what, names in (
            ("stages", [stage.name for stage in self.stages]),
            ("resources", [resource.name for resource in self.resources]),
            ("FIFOs", [fifo.name for fifo in self.fifos]),
        ):
            twice = [name for name, count in Counter(names).items() if count > 1]
            if twice:
                raise ValueError(f"two {what} are named {twice[0]}")
        tokens = {stage.name: len(stage) for stage in self.stages}
        for stage in self.stages:
            if stage.resource is not None and stage.resource not in {r.name for r in self.resources}:
                raise ValueError(f"stage {stage.name} uses an unknown resource {stage.resource}")
        links: tuple[Fifo | Edge, ...] = (*self.fifos, *self.edges)
        for link in links:
            for end in (link.producer, link.consumer):
                if end not in tokens:
                    raise ValueError(f"unknown stage {end} at {link.producer}->{link.consumer}")
        for fifo in self.fifos:
            _check_fifo(fifo, tokens[fifo.producer], tokens[fifo.consumer])
        for edge in self.edges:
            _check_edge(edge, tokens[edge.producer], tokens[edge.consumer])
        for resource in self.resources:
            if resource.order is not None:
                users = {s.name: len(s) for s in self.stages if s.resource == resource.name}
                turns = np.bincount(resource.order, minlength=len(resource.users)).tolist()
                if dict(zip(resource.users, turns, strict=False)) != users:
                    raise ValueError(
                        f"order of resource {resource.name} must name its users' tokens, {users}, once each"
                    )

    @property
    def tokens(self) -> int:
        """Tokens of all stages together."""
        return sum(len(stage) for stage in self.stages)

    def __repr__(self) -> str:
        return (
            f"Pipeline({len(self.stages)} stages, {len(self.fifos)} FIFOs, {len(self.resources)} resources,"
            f" {self.tokens:,} tokens)"
        )


def fifo_rates(fifo: Fifo, produced: int, consumed: int) -> tuple[Cycles, Cycles]:
    """Return the cumulative need and release of a FIFO, with the one-to-one default filled in."""
    one_to_one = np.arange(1, consumed + 1, dtype=np.int64)
    need = one_to_one if fifo.need is None else fifo.need
    return need, (need if fifo.release is None else fifo.release)


def _check_fifo(fifo: Fifo, produced: int, consumed: int) -> None:
    need, release = fifo_rates(fifo, produced, consumed)
    if fifo.need is None and fifo.release is None:
        if produced != consumed:
            raise ValueError(
                f"FIFO {fifo.name} pairs {produced} tokens with {consumed}: give need and release, or as many"
            )
        return
    for what, array in (("need", need), ("release", release)):
        if len(array) != consumed:
            raise ValueError(f"{what} of FIFO {fifo.name} must have {consumed} entries, not {len(array)}")
        if consumed and (array[0] < 0 or np.any(np.diff(array) < 0) or array[-1] > produced):
            raise ValueError(f"{what} of FIFO {fifo.name} must rise within 0..{produced}")
    if np.any(release > need):
        raise ValueError(f"FIFO {fifo.name} must not release tokens that it has not needed yet")
    released_before = np.concatenate(([0], release[:-1])) if consumed else release
    short = need - released_before > fifo.capacity
    if np.any(short):
        token = int(np.argmax(short))
        raise DeadlockError(
            f"FIFO {fifo.name} can deadlock: token {token} of {fifo.consumer} needs"
            f" {need[token] - released_before[token]} tokens at once, but its capacity is {fifo.capacity}"
        )
    last = release[-1] if consumed else 0
    if produced - last > fifo.capacity:
        raise DeadlockError(
            f"FIFO {fifo.name} can deadlock: {produced - last} of its tokens are never released,"
            f" but its capacity is {fifo.capacity}"
        )


def _check_edge(edge: Edge, produced: int, consumed: int) -> None:
    for tokens, limit in ((edge.producer_tokens, produced), (edge.consumer_tokens, consumed)):
        if tokens.size and (tokens.min() < 0 or tokens.max() >= limit):
            raise ValueError(f"edge {edge.producer}->{edge.consumer} names a token outside 0..{limit - 1}")
