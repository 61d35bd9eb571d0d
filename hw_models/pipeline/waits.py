"""Waits: every rule of a pipeline that holds a token back, as "token i waits for token index[i]"."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Literal

import numpy as np

from hw_models.pipeline.parts import Cycles
from hw_models.pipeline.pipeline import Pipeline, fifo_rates

#: Why a token waits, in the order in which a wait is charged.
Cause = Literal["edge", "operand", "space", "resource"]


@dataclass(frozen=True, slots=True, eq=False)
class Wait:
    """Token i of ``stage`` starts no earlier than token ``i + shift`` (or ``index[i]``) of ``source`` is over.

    Over means the end of its service plus ``extra_cycles`` (the source's latency where data must arrive, none
    where a slot is freed). A negative token is no wait at all.
    """

    stage: int
    source: int
    cause: Cause
    label: str
    extra_cycles: int
    shift: int
    index: Cycles | None

    def tokens(self, count: int) -> Cycles:
        """Return the awaited token of each of the stage's ``count`` tokens (negative: none)."""
        return np.arange(self.shift, self.shift + count) if self.index is None else self.index


def waits(pipeline: Pipeline) -> list[Wait]:
    """Return the waits of a pipeline's edges and FIFOs: edges first, then operands, then space."""
    number = {stage.name: i for i, stage in enumerate(pipeline.stages)}
    edges, operands, spaces = [], [], []
    for edge in pipeline.edges:
        consumer, producer = number[edge.consumer], number[edge.producer]
        index = np.full(len(pipeline.stages[consumer]), -1, dtype=np.int64)
        np.maximum.at(index, edge.consumer_tokens, edge.producer_tokens)
        latency = pipeline.stages[producer].latency_cycles
        label = f"edge {edge.producer}->{edge.consumer}"
        edges.append(Wait(consumer, producer, "edge", label, latency, 0, index))
    for fifo in pipeline.fifos:
        consumer, producer = number[fifo.consumer], number[fifo.producer]
        latency = pipeline.stages[producer].latency_cycles
        label, capacity = f"FIFO {fifo.name}", fifo.capacity
        if fifo.need is None and fifo.release is None:
            operands.append(Wait(consumer, producer, "operand", label, latency, 0, None))
            spaces.append(Wait(producer, consumer, "space", label, 0, -capacity, None))
            continue
        produced = len(pipeline.stages[producer])
        need, release = fifo_rates(fifo, produced, len(pipeline.stages[consumer]))
        operands.append(Wait(consumer, producer, "operand", label, latency, 0, need - 1))
        # Token i needs i + 1 - capacity slots released: by the first consumer token that frees that many.
        must_be_free = np.arange(1 - capacity, produced + 1 - capacity)
        freed_by = np.where(must_be_free > 0, np.searchsorted(release, must_be_free), -1)
        spaces.append(Wait(producer, consumer, "space", label, 0, 0, freed_by.astype(np.int64)))
    return edges + operands + spaces
