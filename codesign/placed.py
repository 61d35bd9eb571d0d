"""Placed: an op on a unit of an accelerator, with its steps and all of its record but the times."""

from __future__ import annotations

from dataclasses import dataclass, field
from typing import Any

from hw_models.network.steps import Steps
from traces.op import Op


@dataclass(frozen=True, slots=True, eq=False)
class Placed:
    """One op in program order, ready to be timed with its neighbours.

    Attributes
    ----------
    op, fused
        The op and the elementwise ops done on its output.
    steps
        Its tiles and transfers.
    after
        Indices of the placed ops whose outputs it reads.
    prefetchable
        Whether its first tile of W is a parameter, so that it can be loaded during the op before.
    record
        Fields of its `codesign.report.record.OpRecord` that do not depend on time.
    """

    op: Op
    fused: tuple[Op, ...]
    steps: Steps
    after: tuple[int, ...]
    prefetchable: bool
    record: dict[str, Any] = field(default_factory=dict)
