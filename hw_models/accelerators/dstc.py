"""DSTC: dual-side sparse tensor cores, which multiply only the non-zeros of both operands, as outer products.

Machine. A product is a sum of outer products, one for each k: a column of I times a row of W. Both operands lie as
bitmaps of 32 x 16 tiles and their non-zeros. A unit takes the non-zeros of 32 rows of I and of 32 columns of W at one
k, 8 by 16 of them a cycle, so a k costs it ``ceil(nnz_I / 8) * ceil(nnz_W / 16)`` cycles: 8 if both are dense, none if
either is empty. That is where speed is lost: of 32 rows that are half full, often more than 16 are not zero. Time goes
in steps of a quarter with the density of I and of a half with that of W, and stays above the product of the two.

Eight units (1,024 MACs a cycle) work on a block of outputs that stays in their accumulators, one tile of 32 x 32 each,
fed in chunks of 16 k from shared memory, two chunks deep. A chunk crosses the port once for all units that share it, so
a block of 64 x 128 reads 24 bytes a dense cycle and their bitmaps. What is read shrinks with the density of **one**
operand, what is multiplied with those of both: where both are sparse the port may bind. Units run apart by the depth of
their buffers, then the fullest holds up the others. Software lays the units out (2 x 4, 4 x 2, 1 x 8, ...) as is
fastest.

Source: Wang et al., "Dual-side Sparse Tensor Core", ISCA 2021 (arXiv 2105.09564): outer products of bitmaps [abstract];
tile and instruction of 32 x 32 x 16 and 8 x 16, two levels of bitmap [unread]. MACs a cycle and bandwidth: Sparseloop's
study (arXiv 2205.05826). Blocks of 8,192 outputs are those of `hw_models.accelerators.tensor_core`. That the steps of 8
lie on the side of I, the left operand as in the paper's convolutions [unread], is borne out by the study's cycles;
the other way round they are missed by up to a third. Two chunks of buffer are plain double buffering.

Metadata: a bit an element of a tile, and a bit a tile that says whether it holds anything; an empty one is not fetched.

Not modelled: bank conflicts where partial sums are scattered into the accumulators, issue slots of the instructions
that look at bitmaps, writing finished outputs, compressing them. The first chunk of an op is fetched while the op
before it finishes.
"""

from __future__ import annotations

import math
from dataclasses import dataclass
from typing import Literal, NamedTuple, Self

import numba
import numpy as np
from numpy.typing import NDArray
from pydantic import Field, model_validator

from hw_models.accelerators.tensor_core import (
    MOST_TOKENS,
    accesses,
    chip_energy_pj,
    fetch_cycles,
    gate_cycles,
    input_counts,
    timesteps,
)
from hw_models.base import OpCost, OpwiseConfig
from hw_models.config import Config
from hw_models.energy import REGISTER_PJ_PER_BIT
from hw_models.network.steps import Ints, bits_to_bytes, ceil_div
from hw_models.pipeline import Fifo, Pipeline, Stage, compiled
from traces.op import Op
from traces.workload import Workload

Counts = NDArray[np.int32]


class DstcSection(Config):
    """What is particular to DSTC.

    ``units``: outer product units, each ``array.rows / units`` by ``array.cols``. ``vector``: rows of I and columns of
    W that a unit's tile spans. ``depth``: of the reduction that is fetched at once.
    """

    units: int = Field(ge=1, le=256)
    vector: int = Field(ge=1, le=4096)
    depth: int = Field(ge=1, le=4096)
    smem_bytes_per_cycle: float = Field(gt=0, le=1e9, strict=False)


class DstcConfig(OpwiseConfig):
    """Config of a multiprocessor with dual-side sparse tensor cores."""

    kind: Literal["dstc"]
    dstc: DstcSection

    @model_validator(mode="after")
    def _units_share_the_rows(self) -> Self:
        if self.array.rows % self.dstc.units:
            raise ValueError(f"dstc.units must be a divisor of array.rows = {self.array.rows}, not {self.dstc.units}")
        return self

    def accelerator(self) -> Dstc:
        """Return the accelerator with this config."""
        return Dstc(self)


class Side(NamedTuple):
    """One operand, in tiles of ``vector`` rows: what it costs a unit at each k, and the port by chunk.

    ``steps`` (matrices, tiles, chunks x depth): instructions a k. ``data``, ``metadata`` (matrices, tiles, chunks):
    bits.
    """

    steps: Counts
    data: Ints
    metadata: Ints

    @classmethod
    def of(cls, counts: Counts, rows: int, config: DstcSection, granule: int, bits: int) -> Side:
        """Return the side whose tiles hold ``counts`` (matrices, tiles, k) non-zeros in ``rows`` rows altogether."""
        matrices, tiles, k = counts.shape
        chunks = ceil_div(k, config.depth)
        padded = np.zeros((matrices, tiles, chunks * config.depth), np.int32)
        padded[..., :k] = counts
        nonzeros = padded.reshape(matrices, tiles, chunks, -1).sum(axis=3, dtype=np.int64)
        in_tile = np.minimum(config.vector, rows - config.vector * np.arange(tiles, dtype=np.int64))
        in_chunk = np.minimum(config.depth, k - config.depth * np.arange(chunks, dtype=np.int64))
        metadata = 1 + np.where(nonzeros > 0, in_tile[:, None] * in_chunk, 0)
        return cls(-(-padded // granule), nonzeros * bits, metadata)


class Run(NamedTuple):
    """Totals of an op with one layout of the units.

    ``cycles``; ``fetching`` cycles of the port; ``working`` cycles of a unit on average and of the ``busiest``.
    """

    cycles: int
    fetching: int
    working: float
    busiest: int


@dataclass(frozen=True)
class Dstc:
    """Dual-side sparse tensor cores of one multiprocessor; `hw_models.base.Accelerator`."""

    config: DstcConfig

    def refuses(self, op: Op) -> str | None:
        """Return None: it runs every op with a loop nest, with any zeros."""
        return None if op.gemm is not None else f"{op.kind} is no matrix product"

    def sides(self, work: Workload) -> tuple[Side, Side]:
        """Return operand I, a matrix a group and timestep, and operand W, a matrix a group."""
        config, gemm, bits = self.config, work.gemm, self.config.precision
        own, rows = config.dstc, gemm.m // timesteps(work.op)
        filters = np.arange(0, gemm.n, own.vector)
        of_weight = np.add.reduceat(work.weights, filters, axis=1, dtype=np.int32)
        return (
            Side.of(input_counts(work, own.vector), rows, own, config.array.rows // own.units, bits.input_bits),
            Side.of(of_weight, gemm.n, own, config.array.cols, bits.weight_bits),
        )

    def reads(self, sides: tuple[Side, Side], down: int) -> tuple[int, int]:
        """Return how often I and W are read: blocks across W's tiles and along I's, ``down`` tiles of I a block."""
        of_input, of_weight = sides
        across = ceil_div(of_weight.steps.shape[1], self.config.dstc.units // down)
        return across, ceil_div(of_input.steps.shape[1], down)

    def port_bits(self, sides: tuple[Side, Side], down: int) -> tuple[int, int, int]:
        """Return the bits of I, of W and of metadata that cross the port."""
        of_input, of_weight = sides
        across, along = self.reads(sides, down)
        again = along * len(of_input.steps) // len(of_weight.steps)  # W is read in every timestep
        metadata = across * int(of_input.metadata.sum()) + again * int(of_weight.metadata.sum())
        return across * int(of_input.data.sum()), again * int(of_weight.data.sum()), metadata

    def run(self, sides: tuple[Side, Side], down: int, *, bytes_per_cycle: float) -> Run:
        """Run an op with its units laid out ``down`` tiles of I by ``units / down`` tiles of W."""
        of_input, of_weight = sides
        units = self.config.dstc.units
        across, along = self.reads(sides, down)
        bands = len(of_input.steps) * along
        cycles = fetching = busiest = 0
        working = 0.0
        a_run = max(1, MOST_TOKENS // ((1 + units) * across * of_input.data.shape[2]))
        bits = of_input.data + of_input.metadata, of_weight.data + of_weight.metadata
        for first in range(0, bands, a_run):
            band = np.arange(first, min(bands, first + a_run))
            service, fetched = chunks(of_input.steps, of_weight.steps, *bits, band, along, across, down, units)
            fetch = fetch_cycles(fetched, bytes_per_cycle)
            cycles += compiled.run(pipeline(fetch, service)).total_cycles
            fetching += int(fetch.sum())
            working += float(service.sum()) / units
            busiest += int(service.sum(axis=1).max())
        return Run(cycles, fetching, working, busiest)

    def fastest(self, sides: tuple[Side, Side]) -> tuple[int, Run]:
        """Return the layout of the units that takes least time, and its run; of equal ones that which reads least."""
        own = self.config.dstc
        layouts = [down for down in range(1, own.units + 1) if own.units % down == 0]
        runs = {down: self.run(sides, down, bytes_per_cycle=own.smem_bytes_per_cycle) for down in layouts}
        return min(runs.items(), key=lambda item: (item[1].cycles, sum(self.port_bits(sides, item[0]))))

    def cost(self, work: Workload) -> OpCost:
        """Return what an op takes with the fastest layout of the units."""
        config, gemm = self.config, work.gemm
        sides = self.sides(work)
        down, run = self.fastest(sides)
        unbound = self.run(sides, down, bytes_per_cycle=math.inf).cycles
        gates = gate_cycles(work.op, config)
        bits, effectual = config.precision, work.effectual_macs
        weights = int(np.count_nonzero(work.weights))
        inputs = work.operands[0].nonzeros if work.operands else gemm.input_elements
        moved = {
            "input": bits_to_bytes(inputs, bits.input_bits),
            "weight": bits_to_bytes(weights, bits.weight_bits),
            "output": bits_to_bytes(gemm.output_elements, bits.output_bits),
            "metadata": bits_to_bytes(gemm.input_elements + gemm.weight_elements, 1),
        }
        of_input, of_weight, metadata = self.port_bits(sides, down)
        read = {
            "input": bits_to_bytes(of_input, 1),
            "weight": bits_to_bytes(of_weight, 1),
            "output": moved["output"],
            "metadata": bits_to_bytes(metadata, 1),
        }
        energy = chip_energy_pj(work, config, (effectual, 0), read, moved)
        # Nothing is summed up before the accumulators: an outer product reads and writes one for every MAC.
        energy["register"] += 2 * effectual * bits.accumulator_bits * REGISTER_PJ_PER_BIT
        waits = {
            "operand bandwidth": run.cycles - unbound,
            "imbalance": unbound - round(run.working),
        }
        return OpCost(
            cycles=run.cycles + gates,
            effectual=effectual,
            skipped=gemm.macs - effectual,
            gated=0,
            dram_bytes=moved,
            sram_accesses=accesses(read, config),
            sram_bytes=read,
            energy_pj=energy,
            waits=waits | ({"gates": gates} if gates else {}),
            bound_by="operand bandwidth" if run.fetching > run.busiest else "outer products",
        )


def pipeline(fetch: Ints, service: Ints) -> Pipeline:
    """Return the port, which feeds all units at once, and the units, each with two buffers of a chunk.

    ``fetch`` is cycles, (chunks,), and ``service`` is, (units, chunks).
    """
    units = tuple(Stage(f"unit {u}", service[u]) for u in range(len(service)))
    return Pipeline((Stage("fetch", fetch), *units), tuple(Fifo("fetch", unit.name, 2) for unit in units))


@numba.njit(cache=True)
def chunks(
    input_steps: Counts,
    weight_steps: Counts,
    input_bits: Ints,
    weight_bits: Ints,
    bands: Ints,
    along: int,
    across: int,
    down: int,
    units: int,
) -> tuple[Ints, Ints]:
    """Return the cycles of each unit, (units, tokens), and the bits to fetch, (tokens,), of the chunks of some bands.

    A band is a row of blocks of one product; its tokens go block by block, each by chunk. Steps are (matrices, tiles,
    k), bits (matrices, tiles, chunks); ``along`` bands make a product.
    """
    wide = units // down
    count = input_bits.shape[2]
    depth = input_steps.shape[2] // count
    shared = input_steps.shape[0] // weight_steps.shape[0]  # products of one W: timesteps
    service = np.zeros((units, len(bands) * across * count), np.int64)
    fetched = np.zeros(len(bands) * across * count, np.int64)
    token = 0
    for band in bands:
        product, row = band // along, band % along * down
        matrix = product // shared
        for block in range(across):
            column = block * wide
            for chunk in range(count):
                for i in range(row, min(row + down, input_steps.shape[1])):
                    fetched[token] += input_bits[product, i, chunk]
                    for j in range(column, min(column + wide, weight_steps.shape[1])):
                        cycles = 0
                        for k in range(chunk * depth, (chunk + 1) * depth):
                            cycles += input_steps[product, i, k] * weight_steps[matrix, j, k]
                        service[(i - row) * wide + j - column, token] = cycles
                for j in range(column, min(column + wide, weight_steps.shape[1])):
                    fetched[token] += weight_bits[matrix, j, chunk]
                token += 1
    return service, fetched
