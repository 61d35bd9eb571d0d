"""Base: what all accelerators have in common, and what one has to tell of each op it runs."""

from __future__ import annotations

from abc import ABC, abstractmethod
from dataclasses import dataclass, field
from typing import Protocol, Self

from pydantic import Field, model_validator

from hw_models.config import Config
from hw_models.memory import Memory
from hw_models.network.steps import Machine
from traces.op import Op
from traces.workload import Workload

#: Operands that traffic is told apart by.
OPERANDS = ("input", "weight", "output", "metadata")


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


class GridConfig(Config):
    """The processing elements, one multiply-accumulate (or add) a cycle each."""

    rows: int = Field(ge=1, le=65536)
    cols: int = Field(ge=1, le=65536)


class AcceleratorConfig(Config):
    """What every accelerator's config has. Sources of the preset's figures are in ``sources``."""

    kind: str
    name: str
    description: str
    clock_hz: float = Field(gt=0, strict=False)
    array: GridConfig
    vector: VectorConfig
    precision: PrecisionConfig = PrecisionConfig()
    memory: Memory
    sources: list[str] = Field(min_length=1)

    @property
    def pes(self) -> int:
        """Processing elements, which is MACs (or adds) a cycle at best."""
        return self.array.rows * self.array.cols

    def machine(self) -> Machine:
        """Return the figures that compiled code needs."""
        sram, dram, bits = self.memory.sram, self.memory.dram, self.precision
        return Machine(
            self.array.rows,
            self.array.cols,
            getattr(self.array, "overlap_preload", False),
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


@dataclass(frozen=True, slots=True, kw_only=True)
class OpCost:
    """What one op takes on the array of an op-wise accelerator, its operands on chip.

    Attributes
    ----------
    cycles
        Of the array, from the op's pipeline; DRAM is overlapped with it afterwards.
    effectual, skipped, gated
        MACs with two non-zero operands; never issued; issued with a zero operand. They add up to the dense ones.
    dram_bytes
        What is moved once if everything fits on chip, in the formats of this accelerator, by `OPERANDS`.
    sram_accesses, sram_bytes
        Of the array, by `OPERANDS`.
    energy_pj
        On chip, by component; DRAM is added afterwards.
    reloads
        False where ``dram_bytes`` already hold all that is moved, loads of an operand that does not fit included.
    waits
        Cycles, of ``cycles``, in which the array (or most of it) did not work, by cause: ``queue``, ``imbalance``, ...
    dataflow, alternatives
        Where the array can switch: what it chose, and the cycles of each dataflow.
    bound_by
        What limits the op on the array, in a word or two: ``MACs``, ``broadcast``, ``operand bandwidth``.
    """

    cycles: int
    effectual: int
    skipped: int
    gated: int
    dram_bytes: dict[str, int]
    sram_accesses: dict[str, int]
    sram_bytes: dict[str, int]
    energy_pj: dict[str, float]
    reloads: bool = True
    waits: dict[str, int] = field(default_factory=dict)
    bound_by: str = "MACs"
    dataflow: str = ""
    alternatives: dict[str, int] = field(default_factory=dict)


class OpwiseConfig(AcceleratorConfig, ABC):
    """Config of an accelerator that tells the cost of one op at a time."""

    @abstractmethod
    def accelerator(self) -> Accelerator:
        """Return the accelerator with this config."""


class Accelerator(Protocol):
    """An accelerator that takes a network op after op; one file each in `hw_models.accelerators`."""

    @property
    def config(self) -> AcceleratorConfig:
        """Its config, settings included."""

    def refuses(self, op: Op) -> str | None:
        """Return why its array cannot run an op (it goes to the fallback unit then), None if it can."""

    def cost(self, work: Workload) -> OpCost:
        """Return what an op takes, from the zeros of its real operands."""
