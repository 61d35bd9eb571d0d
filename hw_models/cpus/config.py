"""Config of a CPU core: what it issues, its caches and its memory, each constant with its source."""

from __future__ import annotations

from typing import Literal, Self

from pydantic import Field, model_validator

from hw_models.config import Config
from hw_models.cpus.interval import End, Interval
from traces.errors import InputError

#: Classes of instructions, as the streams of `hw_models.cpus.stream` name them.
CLASSES = (
    "fma",
    "mul",
    "add",
    "shuffle",
    "move",
    "load_vector",
    "load_splat",
    "load_scalar",
    "prefetch",
    "transfer",
    "store_vector",
    "integer",
    "branch",
)
_FALLBACK = {"shuffle": "add", "move": "add", "mul": "fma", "prefetch": "load_scalar", "transfer": "shuffle"}


class Operation(Config):
    """How one class of instructions runs.

    Attributes
    ----------
    port
        Group of ports it needs one of.
    busy_cycles
        For which it holds the port: 2 where a 128-bit access takes a 64-bit path twice.
    latency_cycles
        Until another instruction can use its result.
    accumulate_cycles
        Until another of its class can add to its result, where that path is shorter (default: the latency).
    uops
        Slots of the dispatch (and of the window) it takes.
    blocks
        In-order cores: classes that cannot issue while it holds its port.
    sources
        Keys of the config's ``sources``.
    """

    port: str
    busy_cycles: Interval = Interval(fast=1, nominal=1, slow=1)
    latency_cycles: Interval
    accumulate_cycles: Interval | None = None
    uops: Interval = Interval(fast=1, nominal=1, slow=1)
    blocks: list[str] = Field(default_factory=list)
    sources: list[str] = Field(min_length=1)


class CoreSection(Config):
    """The core itself: ``dispatch_width`` micro-ops a cycle; ``window`` of them in flight (out of order).

    In order, ``load_gap_cycles`` after a multiply-add no vector load can issue (0: no such rule), and ``split_loads``
    says that dense kernels written for the core load 128 bits in two halves.
    """

    in_order: bool
    vector_bits: Literal[128, 256, 512]
    dispatch_width: int = Field(ge=1, le=16)
    window: int = Field(ge=1, le=4096)
    mispredict_cycles: Interval
    load_gap_cycles: int = Field(default=0, ge=0, le=15)
    split_loads: bool = False
    learned_exits: Interval = Field(description="longest loop whose exit the predictor learns when its count repeats")
    ports: dict[str, int]
    operations: dict[str, Operation]
    sources: list[str] = Field(min_length=1)


class Prefetch(Config):
    """The hardware prefetcher of a level: streams it follows, and what it takes to see one."""

    streams: int = Field(ge=0, le=64)
    max_stride_lines: int = Field(ge=1, le=1024, description="longest stride it recognises")
    trigger: int = Field(ge=1, le=16, description="accesses of one stride until it starts")
    distance_lines: int = Field(ge=1, le=64, description="strides it runs ahead")


class Cache(Config):
    """One level: its shape, and what a fill from it costs the level above."""

    bytes: int = Field(ge=1024, le=2**32)
    ways: int = Field(ge=1, le=64)
    line_bytes: int = Field(default=64, ge=16, le=256)
    latency_cycles: Interval
    fill_bytes_per_cycle: Interval = Field(description="sustained, to the level above; of the L1, into it")
    misses_in_flight: Interval = Field(description="of this level, to the one below")
    shared: bool = False
    prefetch: Prefetch | None = None
    sources: list[str] = Field(min_length=1)

    @model_validator(mode="after")
    def _whole_sets(self) -> Self:
        if self.bytes % (self.ways * self.line_bytes):
            raise ValueError(f"bytes must be a multiple of ways * line_bytes, not {self.bytes}")
        return self


class Tlb(Config):
    """The first table of page addresses: its entries (any page in any), and what it costs to ask the next one."""

    entries: int = Field(ge=1, le=4096)
    page_bytes: int = Field(default=4096, ge=1024, le=2**30)
    miss_cycles: Interval
    sources: list[str] = Field(min_length=1)


class Ram(Config):
    """What is behind the last cache; bandwidth is what one core gets of it, and what all get together."""

    latency_ns: Interval
    bytes_per_second: Interval
    total_bytes_per_second: Interval
    sources: list[str] = Field(min_length=1)


class CpuConfig(Config):
    """A core in a machine. ``sources`` tells by key where its constants come from."""

    kind: Literal["cpu"]
    name: str
    description: str
    isa: Literal["neon", "avx2", "avx512"]
    clock_hz: float = Field(gt=0, strict=False)
    cores: int = Field(ge=1, le=256)
    end: End = Field(default="nominal", description="which end of the intervals to predict with")
    core: CoreSection
    caches: list[Cache] = Field(min_length=1, max_length=3, description="L1 first")
    tlb: Tlb
    dram: Ram
    sources: dict[str, str] = Field(min_length=1)

    @model_validator(mode="after")
    def _hangs_together(self) -> Self:
        for name, operation in self.core.operations.items():
            if name not in CLASSES:
                raise ValueError(f"core.operations.{name} is an unknown class; known ones: {', '.join(CLASSES)}")
            if operation.port not in self.core.ports:
                raise ValueError(f"core.operations.{name}.port must be one of {', '.join(self.core.ports)}")
        absent = [name for name in CLASSES if name not in self.core.operations and name not in _FALLBACK]
        if absent:
            raise ValueError(f"core.operations.{absent[0]} is missing")
        sections: list[Operation | CoreSection | Cache | Tlb | Ram] = [
            *self.core.operations.values(),
            self.core,
            *self.caches,
            self.tlb,
            self.dram,
        ]
        unknown = {key for section in sections for key in section.sources} - set(self.sources)
        if unknown:
            raise ValueError(f"{sorted(unknown)[0]} is cited but is no key of sources")
        return self

    def operation(self, name: str) -> Operation:
        """Return how a class of instructions runs; a class the config leaves out runs as the one nearest to it."""
        operations = self.core.operations
        if name not in CLASSES:
            raise InputError.must("a class of instructions", f"one of {', '.join(CLASSES)}", name)
        return operations.get(name) or self.operation(_FALLBACK[name])

    def at(self, interval: Interval) -> float:
        """Return the value of an interval at the chosen end."""
        return interval.at(self.end)

    @property
    def dram_latency_cycles(self) -> float:
        """Latency of DRAM in cycles of the core."""
        return self.at(self.dram.latency_ns) * self.clock_hz / 1e9

    @property
    def dram_bytes_per_cycle(self) -> float:
        """Bytes a cycle that one core gets from DRAM."""
        return self.at(self.dram.bytes_per_second) / self.clock_hz
