"""Tensor core: a multiprocessor's tensor cores, dense or for N:M weights, fed by a shared memory port.

Machine. ``array.rows`` filters by ``array.cols`` lanes of the reduction (64 x 16 = 1,024 MACs a cycle). A tile of
weights stands still while the columns of I (output positions) stream past it, one a cycle: each filter takes ``cols``
activations of the column, multiplies and adds them up. The partial sums of ``columns`` columns stay in the register
file, so W is read from shared memory once for that many columns, and I once for every ``rows`` filters; the reduction
is the inner loop.

N:M weights. A lane's multiplexer takes one of M activations, so 16 lanes reach over 16*M/N of the reduction: the work
falls to N/M. What is read does not. W needs its kept values and an index each, but **all** activations that lanes may
choose from cross the port, 16*M/N a cycle. The 42 bytes a cycle are just what 2:4 needs at full speed: 32 of I, 8 of W,
2 of indices. 2:6 and 2:8 need 60 and 76, so they wait. With ``compressed_inputs`` I crosses as its non-zeros and a
bitmap, where that is less; it saves bandwidth, never a MAC slot.

An op is run N:M if its weights have at most N non-zeros in every group of M, along the input channels of each kernel
position; else it is run dense, and ``bound_by`` says so. Weights that are not known are taken to be laid out to fit if
their declared N:M leaves no more than the array's does. Short groups are padded: lanes and port spend as much on them.

Source: the N:M study of Sparseloop (Wu et al., MICRO 2022, arXiv 2205.05826) gives MACs and bandwidth; 2:4 itself is
arXiv 2104.08378. The blocking is **inferred**, not read: the study's cycles of one layer (1024 x 128 x 1152, flexible
2:6 and 2:8), times 42 bytes, are two reads of I and eight of W's kept values with half a byte of index each. That is 64
filters, so 16 lanes, and 128 columns, and 3-bit indices of which two share a byte. What was not used agrees: 2:4 then
takes just 42 bytes a cycle; the other layer's cycles, among them a reduction of 1,024 padded to 1,056 at 2:6; and the
cycles with compressed activations.

Not modelled: bank conflicts of shared memory, instruction issue, several multiprocessors, writing finished outputs
(they leave by a port of their own). The first tile of an op is fetched while the op before it finishes.
"""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import dataclass, replace
from typing import Literal, Self

import numba
import numpy as np
from numpy.typing import NDArray
from pydantic import Field, field_validator, model_validator

from hw_models.base import AcceleratorConfig, OpCost, OpwiseConfig
from hw_models.config import Config
from hw_models.energy import ADDER32_PJ, GATED_SHARE, REGISTER_PJ_PER_BIT, mac_pj, sram_pj_per_byte
from hw_models.network.steps import Ints, bits_to_bytes, ceil_div
from hw_models.pipeline import Fifo, Pipeline, Stage, compiled
from traces.effectual import effectual_macs
from traces.nm import nm_kept, parse_nm
from traces.op import Op
from traces.workload import Bools, Workload, unroll

MOST_TOKENS = 1 << 19  # of one pipeline run; longer ops are run in parts
_WORD_BITS = 8  # of a shared memory word: an index does not straddle two


class TensorCoreSection(Config):
    """What is particular to tensor cores.

    ``columns``: columns of I whose partial sums stay in registers. ``patterns``: the N:M that the lanes' multiplexers
    can take; none for a dense array.
    """

    columns: int = Field(ge=1, le=2**20)
    smem_bytes_per_cycle: float = Field(gt=0, le=1e9, strict=False)
    patterns: list[str]
    compressed_inputs: bool

    @field_validator("patterns")
    @classmethod
    def _are_sparse(cls, patterns: list[str]) -> list[str]:
        for text in patterns:
            n, m = parse_nm(text)
            if n == m or m > 2**_WORD_BITS:
                raise ValueError(f"a pattern must be N:M with N < M <= 256, not {text!r}; dense needs no entry")
        return patterns


class TensorCoreConfig(OpwiseConfig):
    """Config of a multiprocessor with tensor cores."""

    kind: Literal["tensor-core"]
    tensor_core: TensorCoreSection

    @model_validator(mode="after")
    def _groups_fit_the_lanes(self) -> Self:
        for text in self.tensor_core.patterns:
            if parse_nm(text)[0] > self.array.cols:
                rule = f"N:M with N of at most array.cols = {self.array.cols} lanes"
                raise ValueError(f"tensor_core.patterns must be {rule}, not {text!r}; a group is taken in one cycle")
        return self

    def accelerator(self) -> TensorCore:
        """Return the accelerator with this config."""
        return TensorCore(self)


@dataclass(frozen=True, slots=True)
class Layout:
    """How the reduction lies on the lanes: ``groups`` groups of N out of M in each of ``runs`` runs of channels.

    Dense is 1:1. ``steps`` weight tiles, of ``groups_a_step`` groups each, cover the reduction.
    """

    n: int
    m: int
    runs: int
    channels: int
    lanes: int

    @property
    def groups(self) -> int:
        """Groups of one run, the last of which may be short."""
        return ceil_div(self.channels, self.m)

    @property
    def groups_a_step(self) -> int:
        """Whole groups that the lanes take at once."""
        return self.lanes // self.n

    @property
    def steps(self) -> int:
        """Weight tiles along the reduction."""
        return ceil_div(self.runs * self.groups, self.groups_a_step)

    @property
    def kept(self) -> int:
        """Weights of a filter that get a MAC slot."""
        return self.runs * nm_kept(self.channels, self.n, self.m)

    @property
    def index_bits(self) -> float:
        """Bits that the index of a kept weight takes: as many whole indices as fit share a word."""
        return _WORD_BITS / (_WORD_BITS // (self.m - 1).bit_length()) if self.m > 1 else 0.0

    def first_of_steps(self) -> Ints:
        """Return the first k of each step, (steps,)."""
        group = np.arange(self.steps) * self.groups_a_step
        return group // self.groups * self.channels + group % self.groups * self.m


@dataclass(frozen=True, slots=True, eq=False)
class Tiles:
    """Bits that an op's tiles take at the port, and the columns that each is multiplied by.

    ``weight`` and ``index`` (row tiles,) a step; ``input`` (products, column tiles, steps), or (1, ...) where all
    products read alike; ``bitmap`` (column tiles,) a step; ``columns`` (column tiles,). A product is one group's, or
    one timestep's.
    """

    weight: Ints
    index: Ints
    input: Ints
    bitmap: Ints
    columns: Ints
    products: int

    def parts(self, bytes_per_cycle: float) -> Iterator[tuple[Ints, Ints]]:
        """Yield cycles to fetch and to multiply of tile after tile: by product, row tile, column tile and step.

        Long ops come in parts, so that memory stays bounded. The first tile of a part is fetched before.
        """
        alike, tiles, steps = self.input.shape
        bands, rows = self.products * len(self.weight), len(self.weight)
        of_input, of_weight = self.input + self.bitmap[:, None], self.weight + self.index
        for first in range(0, bands, max(1, MOST_TOKENS // (tiles * steps))):
            band = np.arange(first, min(bands, first + max(1, MOST_TOKENS // (tiles * steps))))
            bits = of_input[band // rows if alike > 1 else 0 * band] + of_weight[band % rows, None, None]
            yield fetch_cycles(bits.ravel(), bytes_per_cycle), np.tile(np.repeat(self.columns, steps), len(band))


@dataclass(frozen=True)
class TensorCore:
    """Tensor cores of one multiprocessor; `hw_models.base.Accelerator`."""

    config: TensorCoreConfig

    def refuses(self, op: Op) -> str | None:
        """Return None: the array runs every op with a loop nest, dense where its weights do not fit a pattern."""
        return None if op.gemm is not None else f"{op.kind} is no matrix product"

    def layout(self, work: Workload) -> Layout:
        """Return the layout with the fewest steps that the op's weights fit; dense if none is better."""
        gemm, lanes = work.gemm, self.config.array.cols
        flat = work.op.declared is not None or work.op.kind not in ("conv", "depthwise")
        runs, channels = (1, gemm.k) if flat else (gemm.kernel_h * gemm.kernel_w, gemm.channels)
        dense = Layout(1, 1, runs, channels, lanes)
        if work.op.weight is None or (work.weight_nonzero is None and work.pattern is None):
            return dense
        sparse = [Layout(*parse_nm(text), runs, channels, lanes) for text in self.config.tensor_core.patterns]
        better = sorted((found for found in sparse if found.steps < dense.steps), key=lambda found: found.steps)
        return next((found for found in better if _fits(work, found)), dense)

    def cost(self, work: Workload) -> OpCost:
        """Return what an op takes: its tiles fetched two buffers deep, and multiplied."""
        config, gemm, bits = self.config, work.gemm, self.config.precision
        layout = self.layout(work)
        compressed = config.tensor_core.compressed_inputs and _saves(work, bits.input_bits)
        tiles = self.tiles(work, layout, compressed=compressed)
        cycles = fetching = multiplying = 0
        for fetch, multiply in tiles.parts(config.tensor_core.smem_bytes_per_cycle):
            cycles += compiled.run(pipeline(fetch, multiply)).total_cycles
            fetching += int(fetch.sum())
            multiplying += int(multiply.sum())
        gates = gate_cycles(work.op, config)
        issued = gemm.groups * gemm.m * gemm.n * layout.kept
        effectual = min(_effectual(work), issued)
        moved = self._dram(work, layout, compressed=compressed)
        read = _smem(tiles, layout) | {"output": moved["output"]}
        energy = chip_energy_pj(work, config, (effectual, issued - effectual), read, moved)
        # A filter's adder tree sums up its lanes before the accumulator is read and written.
        sums = gemm.groups * gemm.m * gemm.n * layout.steps
        energy["register"] += 2 * sums * bits.accumulator_bits * REGISTER_PJ_PER_BIT
        bound_by = "operand bandwidth" if fetching > multiplying else "MACs"
        dense = work.pattern not in (None, "dense") and layout.m == 1
        return OpCost(
            cycles=cycles + gates,
            effectual=effectual,
            skipped=gemm.macs - issued,
            gated=issued - effectual,
            dram_bytes=moved,
            sram_accesses=accesses(read, config),
            sram_bytes=read,
            energy_pj=energy,
            waits={"operand bandwidth": cycles - multiplying} | ({"gates": gates} if gates else {}),
            bound_by=f"{bound_by} ({work.pattern} run dense)" if dense else bound_by,
        )

    def tiles(self, work: Workload, layout: Layout, *, compressed: bool) -> Tiles:
        """Return the tiles of an op, with I as it is or compressed."""
        gemm, bits, section = work.gemm, self.config.precision, self.config.tensor_core
        slots, reach = layout.groups_a_step * layout.n, layout.groups_a_step * layout.m
        rows = _parts(gemm.n, self.config.array.rows)
        columns = _parts(gemm.m // timesteps(work.op), section.columns)
        index = np.ceil(rows * slots * layout.index_bits).astype(np.int64)
        of_input = np.repeat(columns * reach * bits.input_bits, layout.steps).reshape(1, len(columns), -1)
        bitmap = np.zeros_like(columns)
        if compressed:
            counts = np.add.reduceat(input_counts(work, section.columns), layout.first_of_steps(), axis=2)
            of_input, bitmap = counts.astype(np.int64) * bits.input_bits, columns * reach
        products = gemm.groups * timesteps(work.op)
        return Tiles(rows * slots * bits.weight_bits, index, of_input, bitmap, columns, products)

    def _dram(self, work: Workload, layout: Layout, *, compressed: bool) -> dict[str, int]:
        gemm, bits = work.gemm, self.config.precision
        kept = gemm.groups * gemm.n * layout.kept
        inputs = work.operands[0].nonzeros if compressed else gemm.input_elements
        metadata_bits = int(np.ceil(kept * layout.index_bits)) + (gemm.input_elements if compressed else 0)
        return {
            "input": bits_to_bytes(inputs, bits.input_bits),
            "weight": bits_to_bytes(kept, bits.weight_bits),
            "output": bits_to_bytes(gemm.output_elements, bits.output_bits),
            "metadata": bits_to_bytes(metadata_bits, 1),
        }


def pipeline(fetch: Ints, multiply: Ints) -> Pipeline:
    """Return the shared memory port and the lanes, joined by two buffers of a tile; both are cycles, (tiles,)."""
    return Pipeline((Stage("fetch", fetch), Stage("multiply", multiply)), (Fifo("fetch", "multiply", 2),))


def fetch_cycles(bits: Ints, bytes_per_cycle: float) -> Ints:
    """Return the cycles that tiles of so many bits, (tiles,), take at the port; the first one came before."""
    cycles = np.ceil(bits / (8 * bytes_per_cycle)).astype(np.int64)
    cycles[0] = 0
    return cycles


def timesteps(op: Op) -> int:
    """Return how many products follow each other because each needs the one before."""
    return op.timesteps if op.kind == "recurrent" else 1


def gate_cycles(op: Op, config: AcceleratorConfig) -> int:
    """Return the vector unit's cycles between the timesteps of a recurrent op."""
    return timesteps(op) * ceil_div(op.gate_lane_ops, timesteps(op) * config.vector.lanes)


def input_counts(work: Workload, block: int) -> NDArray[np.int32]:
    """Return how many of each ``block`` rows of the unrolled I are not zero, (groups x timesteps, blocks, k).

    The rows of a timestep fill their own blocks. An I that was not captured has no zeros.
    """
    gemm, steps = work.gemm, timesteps(work.op)
    rows = _parts(gemm.m // steps, block)
    if not work.operands:
        every = np.broadcast_to(rows[:, None], (gemm.groups * steps, len(rows), gemm.k))
        return every.astype(np.int32)
    values = work.operands[0].unpack()
    if work.op.kind not in ("conv", "depthwise"):
        cut = np.arange(len(rows)) * block
        return np.add.reduceat(values.reshape(gemm.groups * steps, -1, gemm.k), cut, axis=1, dtype=np.int32)
    # All groups at once, an image at a time: what is unrolled is the largest array of all.
    whole = replace(gemm, batch=1, channels=gemm.groups * gemm.channels, groups=1)
    images = values.reshape(gemm.batch, whole.channels, gemm.in_h, gemm.in_w)
    counts = np.zeros((len(rows), whole.k), np.int32)
    for i in range(gemm.batch):
        of_row = (i * whole.m + np.arange(whole.m)) // block
        first = np.flatnonzero(np.diff(of_row, prepend=-1))
        counts[of_row[first]] += np.add.reduceat(unroll(images[i : i + 1], whole), first, axis=0, dtype=np.int32)
    by_group = counts.reshape(len(rows), -1, gemm.groups, gemm.channels)
    return np.ascontiguousarray(np.moveaxis(by_group, 2, 0)).reshape(gemm.groups, len(rows), gemm.k)


def accesses(read: dict[str, int], config: AcceleratorConfig) -> dict[str, int]:
    """Return the accesses of a port's width that so many bytes take."""
    return {operand: ceil_div(8 * count, config.memory.sram.port_bits) for operand, count in read.items()}


def chip_energy_pj(
    work: Workload, config: AcceleratorConfig, macs: tuple[int, int], read: dict[str, int], moved: dict[str, int]
) -> dict[str, float]:
    """Return the energy of an op on chip by component, accumulators left out.

    Parameters
    ----------
    work, config
        The op and the accelerator.
    macs
        Effectual ones and gated ones.
    read
        Bytes between shared memory and the array, by operand; outputs are written.
    moved
        Bytes between shared memory and DRAM, by operand.
    """
    bits, sram = config.precision, config.memory.sram
    mac = mac_pj(max(bits.weight_bits, bits.input_bits))
    into = {"weight": sram.weight_bytes, "input": sram.input_bytes, "metadata": sram.weight_bytes}
    energy = {
        "mac": macs[0] * mac,
        "gated_mac": macs[1] * mac * GATED_SHARE,
        "register": sum(macs) * (bits.weight_bits + bits.input_bits) * REGISTER_PJ_PER_BIT,
        "sram_output": read["output"] * sram_pj_per_byte(sram.output_bytes, sram.port_bits, write=True)
        + moved["output"] * sram_pj_per_byte(sram.output_bytes, sram.port_bits),
        "vector": work.op.gate_lane_ops * ADDER32_PJ,
    }
    for operand, size in into.items():
        name = operand if operand == "metadata" else f"sram_{operand}"
        written = moved[operand] * sram_pj_per_byte(size, sram.port_bits, write=True)
        energy[name] = read[operand] * sram_pj_per_byte(size, sram.port_bits) + written
    return energy


def _effectual(work: Workload) -> int:
    """Return the effectual MACs; of weights that are only declared, their nominal share: no position is needed."""
    if work.op.weight is None or work.weight_nonzero is not None:
        return work.effectual_macs
    return round(effectual_macs(work.op, None, work.operands) * work.declared_density)


def _saves(work: Workload, input_bits: int) -> bool:
    """Tell whether the non-zeros of I and a bitmap are less than I."""
    return bool(work.operands) and work.operands[0].density + 1 / input_bits < 1


def _smem(tiles: Tiles, layout: Layout) -> dict[str, int]:
    """Return the bytes of I, W and metadata that cross the port."""
    alike = len(tiles.input) == 1
    rereads = tiles.products * len(tiles.columns) * layout.steps
    of_input = len(tiles.weight) * (tiles.products if alike else 1) * int(tiles.input.sum())
    bitmap = tiles.products * len(tiles.weight) * layout.steps * int(tiles.bitmap.sum())
    return {
        "input": bits_to_bytes(of_input, 1),
        "weight": bits_to_bytes(rereads * int(tiles.weight.sum()), 1),
        "metadata": bits_to_bytes(rereads * int(tiles.index.sum()) + bitmap, 1),
    }


def _parts(length: int, size: int) -> Ints:
    """Cut a length into parts of a size, the last one shorter."""
    return np.minimum(size, length - np.arange(0, length, size, dtype=np.int64))


def _fits(work: Workload, layout: Layout) -> bool:
    """Tell whether the weights of an op have the zeros that a layout needs."""
    pattern = work.pattern or ""
    if work.weight_nonzero is None and pattern[:1].isdigit():
        n, m = parse_nm(pattern)
        return n * layout.m <= layout.n * m
    return bool(fits(np.ascontiguousarray(work.weights), layout.channels, layout.n, layout.m))


@numba.njit(cache=True)
def fits(nonzero: Bools, channels: int, n: int, m: int) -> bool:
    """Tell whether each m consecutive of each run of ``channels`` hold at most n non-zeros; (groups, rows, k)."""
    groups, rows, k = nonzero.shape
    for group in range(groups):
        for row in range(rows):
            for run in range(0, k, channels):
                for first in range(run, run + channels, m):
                    found = 0
                    for at in range(first, min(first + m, run + channels)):
                        found += nonzero[group, row, at]
                    if found > n:
                        return False
    return True
