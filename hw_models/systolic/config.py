"""SystolicConfig: what a systolic array with vector unit, buffers and DRAM is made of."""

from __future__ import annotations

from typing import Literal, Self

from pydantic import Field, model_validator

from hw_models.config import Config
from hw_models.memory import Memory
from hw_models.systolic.folds import DATAFLOWS
from hw_models.systolic.steps import Array

Dataflow = Literal["ws", "os", "is"]


class ArrayConfig(Config):
    """The array of processing elements, one multiply-accumulate a cycle each."""

    rows: int = Field(ge=1, le=65536)
    cols: int = Field(ge=1, le=65536)
    dataflows: list[Dataflow] = Field(default=["ws", "os", "is"], min_length=1, description="what it can switch to")
    nm_max_m: int = Field(default=0, ge=0, le=64, description="largest M of N:M weights it can skip; 0 for none")
    zero_gating: bool = Field(default=True, description="a zero operand gates the multiplier: saves energy, no time")
    overlap_preload: bool = Field(default=False, description="a second stationary register hides preloads")


class VectorConfig(Config):
    """The vector unit beside the array: one operation a lane and cycle."""

    lanes: int = Field(ge=1, le=2**20)


class PrecisionConfig(Config):
    """Operand widths."""

    weight_bits: int = Field(default=8, ge=1, le=32)
    input_bits: int = Field(default=8, ge=1, le=32)
    output_bits: int = Field(default=8, ge=1, le=32)
    accumulator_bits: int = Field(default=32, ge=1, le=64)

    @model_validator(mode="after")
    def _accumulator_is_widest(self) -> Self:
        if self.accumulator_bits < max(self.weight_bits, self.input_bits, self.output_bits):
            raise ValueError(
                f"accumulator_bits must be at least as wide as the operands, not {self.accumulator_bits}; raise it"
            )
        return self


class SystolicConfig(Config):
    """A systolic accelerator. Sources of the preset's figures are in ``sources``."""

    kind: Literal["systolic"]
    name: str
    description: str
    clock_hz: float = Field(gt=0, strict=False)
    array: ArrayConfig
    vector: VectorConfig
    precision: PrecisionConfig = PrecisionConfig()
    memory: Memory
    sources: list[str] = Field(min_length=1)

    @property
    def pes(self) -> int:
        """Processing elements, which is MACs a cycle at best."""
        return self.array.rows * self.array.cols

    @property
    def dataflows(self) -> tuple[int, ...]:
        """The dataflows it can switch to, as indices into `hw_models.systolic.folds.DATAFLOWS`."""
        return tuple(sorted(DATAFLOWS.index(name) for name in set(self.array.dataflows)))

    def compiled(self) -> Array:
        """Return the figures that compiled code needs."""
        sram, dram, bits = self.memory.sram, self.memory.dram, self.precision
        return Array(
            self.array.rows,
            self.array.cols,
            self.array.overlap_preload,
            self.vector.lanes,
            bits.weight_bits,
            bits.input_bits,
            bits.output_bits,
            bits.accumulator_bits,
            sram.weight_bytes // 2,
            sram.input_bytes // 2,
            sram.output_bytes // 2,
            float(dram.bytes_per_cycle),
            dram.latency_cycles,
        )
