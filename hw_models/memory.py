"""Memory: the buffers and the DRAM channel that every array has."""

from __future__ import annotations

from typing import Literal

from pydantic import Field

from hw_models.config import Config


class Sram(Config):
    """On-chip buffers, one an operand, each double-buffered: a tile may fill half of its buffer."""

    weight_bytes: int = Field(ge=1, le=2**40)
    input_bytes: int = Field(ge=1, le=2**40)
    output_bytes: int = Field(ge=1, le=2**40)
    port_bits: int = Field(ge=8, le=4096, description="width of a read or write port; energy is priced by it")


class Dram(Config):
    """One channel for everything: bandwidth, latency of a read, and technology for energy."""

    bytes_per_cycle: float = Field(ge=1e-6, le=1e9, strict=False)
    latency_cycles: int = Field(ge=0, le=10**6)
    burst_bytes: int = Field(ge=1, default=64, description="bytes of one access; accesses = bytes / burst_bytes")
    technology: Literal["lpddr4", "lpddr", "ddr3", "gddr5", "hbm2", "hbm3"] = "lpddr4"


class Memory(Config):
    """Buffers and DRAM; ``ideal`` memory never stalls the array (tiles of any size, always there)."""

    ideal: bool = False
    sram: Sram
    dram: Dram
