"""What to say of a pipeline that came to a standstill."""

from __future__ import annotations

from collections.abc import Sequence

from hw_models.pipeline.pipeline import DeadlockError, Pipeline
from hw_models.pipeline.waits import waits


def deadlock(pipeline: Pipeline, served: Sequence[int]) -> DeadlockError:
    """Return the error for a run that stopped with ``served[s]`` tokens of each stage done.

    Names a wait on the cycle of stages that hold each other up; the FIFO, edge or resource to enlarge or cut.
    """
    stages = pipeline.stages
    blocked_by: dict[int, tuple[int, str]] = {}
    for wait in waits(pipeline):
        i = served[wait.stage]
        if i < len(stages[wait.stage]):
            token = i + wait.shift if wait.index is None else int(wait.index[i])
            if token >= served[wait.source]:
                blocked_by.setdefault(wait.stage, (wait.source, f"{wait.cause}: {wait.label}"))
    for s, stage in enumerate(stages):
        if served[s] < len(stage) and s not in blocked_by:
            blocked_by[s] = (_holder(pipeline, served, s), f"order of resource {stage.resource}")
    at, seen = next(iter(blocked_by)), set()
    while at not in seen:  # follow the waits until they close a cycle
        seen.add(at)
        at = blocked_by[at][0]
    return DeadlockError(
        f"the pipeline deadlocks at {blocked_by[at][1]}: token {served[at]} of {stages[at].name} never starts;"
        " give the FIFO more capacity, or break the cycle"
    )


def _holder(pipeline: Pipeline, served: Sequence[int], stage: int) -> int:
    """Return the stage whose turn it is at the ordered resource that ``stage`` waits for."""
    names = [s.name for s in pipeline.stages]
    (resource,) = (r for r in pipeline.resources if r.name == pipeline.stages[stage].resource)
    users = [i for i, s in enumerate(pipeline.stages) if s.resource == resource.name]
    granted = sum(served[i] for i in users)
    turn = -1 if resource.order is None else int(resource.order[granted])
    return names.index(resource.users[turn])
