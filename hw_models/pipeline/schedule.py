"""Schedule: when every token was served, and what each wait was for."""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np

from hw_models.pipeline.parts import Cycles
from hw_models.pipeline.pipeline import Pipeline
from hw_models.pipeline.waits import waits


@dataclass(frozen=True, slots=True, eq=False)
class Schedule:
    """The outcome of running a pipeline: the end of every token's service, stage by stage.

    A token is served in the cycles ``[start, end)`` and seen by its consumers ``latency_cycles`` of its stage later.
    """

    pipeline: Pipeline
    end_cycles: dict[str, Cycles]

    def start(self, stage: str) -> Cycles:
        """Return the cycle at which each token's service started."""
        (found,) = (s for s in self.pipeline.stages if s.name == stage)
        return self.end_cycles[stage] - found.service_cycles

    @property
    def total_cycles(self) -> int:
        """Cycle at which the last service of all was over."""
        return max((int(ends[-1]) for ends in self.end_cycles.values() if len(ends)), default=0)

    def waited(self, stage: str) -> dict[str, Cycles]:
        """Return what each token of a stage waited for, in cycles, by cause.

        The wait of a token runs from the end of its predecessor's service to its own start. It is charged to
        each rule in turn (edges, operands, space, resource), each for the cycles by which it held the token
        longer than the rules before it, so the arrays add up to the wait exactly. Keys are the wait's label:
        ``operand FIFO load->work``, ``space FIFO ...``, ``edge ...``, ``resource``.
        """
        names = [s.name for s in self.pipeline.stages]
        me = names.index(stage)
        start, end = self.start(stage), self.end_cycles[stage]
        held_until = np.concatenate(([0], end[:-1])) if len(end) else end
        charged: dict[str, Cycles] = {}
        for wait in waits(self.pipeline):
            if wait.stage != me:
                continue
            token = wait.tokens(len(start))
            over = self.end_cycles[names[wait.source]] + wait.extra_cycles
            until = np.where(token >= 0, over[np.maximum(token, 0)] if len(over) else 0, 0)
            label = wait.label if wait.cause == "edge" else f"{wait.cause} {wait.label}"
            more = np.maximum(until - held_until, 0)
            charged[label] = charged.get(label, np.zeros_like(more)) + more
            held_until = np.maximum(held_until, until)
        charged["resource"] = start - held_until
        return charged

    def __repr__(self) -> str:
        return f"Schedule({self.total_cycles:,} cycles, {self.pipeline.tokens:,} tokens)"
