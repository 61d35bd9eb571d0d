"""SystolicConfig: what a systolic array with vector unit, buffers and DRAM is made of."""

from __future__ import annotations

from typing import Literal

from pydantic import Field

from hw_models.base import AcceleratorConfig, GridConfig
from hw_models.systolic.folds import DATAFLOWS

Dataflow = Literal["ws", "os", "is"]


class ArrayConfig(GridConfig):
    """The array of processing elements, one multiply-accumulate a cycle each."""

    dataflows: list[Dataflow] = Field(default=["ws", "os", "is"], min_length=1, description="what it can switch to")
    nm_max_m: int = Field(default=0, ge=0, le=64, description="largest M of N:M weights it can skip; 0 for none")
    zero_gating: bool = Field(default=True, description="a zero operand gates the multiplier: saves energy, no time")
    overlap_preload: bool = Field(default=False, description="a second stationary register hides preloads")


class SystolicConfig(AcceleratorConfig):
    """A systolic accelerator."""

    kind: Literal["systolic"]
    array: ArrayConfig

    @property
    def dataflows(self) -> tuple[int, ...]:
        """The dataflows it can switch to, as indices into `hw_models.systolic.folds.DATAFLOWS`."""
        return tuple(sorted(DATAFLOWS.index(name) for name in set(self.array.dataflows)))
