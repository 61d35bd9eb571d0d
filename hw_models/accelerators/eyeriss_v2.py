"""Eyeriss v2: PEs that skip zeros of both operands, alone or as an array of clusters.

Source: Chen et al., "Eyeriss v2: A Flexible Accelerator for Emerging Deep Neural Networks on Mobile Devices", JETCAS
2019 (arXiv:1807.07928). Timing of the PE: the Sparseloop authors' artifact (Wu et al., MICRO 2022).

**PE.** Both operands are compressed by input channel. Each non-zero activation meets each non-zero weight of its
channel, one multiply-accumulate a cycle: a layer takes ``sum over c of nnz(I[:, c]) * nnz(W[:, c])`` cycles (c runs
over the whole reduction where the kernel is larger than one). Zeros of either side are never issued.

**Array.** Clusters of 3x4 PEs, 8x2 of them. Within a cluster the rows share the reduction (their partial sums add up
along the column) and the columns share the output positions; the network between clusters is flexible, so the clusters
are given to groups, output channels, positions and reduction in the product of factors that is fastest for a dense op:
the mapper knows shapes, not zeros. Shares are contiguous and equal but for the last.

An op is a sequence of passes. In a pass a PE holds the weights of as many output channels as it has partial sums and of
as many columns of the reduction as surely fit (`pass_columns`, from the real weights), and takes all of its positions
through them. Next weights are delivered when every PE is done with these: a pass lasts as long as its slowest PE, plus
the delivery of the longest share of weights. As a pipeline (`array_pipeline`): deliver, a FIFO of one slot to every PE,
the PEs. Its length is just the sum over passes, which is what `cost` computes. That scratchpads of weights hold one
pass, and this choice of shares and passes, are our assumptions; no published cycles of the array are held against it.

Not modelled: the second MAC a cycle (SIMD) of the published chip's PE, bubbles for columns with no weights, the
delivery of activations and partial sums (they have networks of their own), row-stationary reuse of activations inside a
PE.
"""

from __future__ import annotations

from collections.abc import Iterator
from itertools import product
from typing import Literal, NamedTuple, Self

import numpy as np
from numpy.typing import NDArray
from pydantic import Field, model_validator

from hw_models.base import OpCost, OpwiseConfig
from hw_models.config import Config
from hw_models.energy import ADDER32_PJ, REGISTER_PJ_PER_BIT, mac_pj, sram_pj_per_byte
from hw_models.network.steps import bits_to_bytes, ceil_div
from hw_models.pipeline import Fifo, Pipeline, Stage
from traces.gemm import Gemm
from traces.op import Op
from traces.workload import Workload

Bools = NDArray[np.bool_]
Ints = NDArray[np.int64]

ADDRESS_BITS = 7  # of a compressed column of weights; the paper's weight address scratchpad


class EyerissV2Section(Config):
    """Clusters, scratchpads and delivery."""

    cluster_rows: int = Field(ge=1, le=4096, description="PEs of a cluster that share the reduction")
    cluster_cols: int = Field(ge=1, le=4096, description="PEs of a cluster that share the output positions")
    partial_sums: int = Field(ge=1, le=2**20, description="output channels a PE works on at a time")
    weights: int = Field(ge=1, le=2**30, description="non-zero weights a PE holds")
    weights_per_cycle: int = Field(ge=0, le=2**20, description="delivered to a PE; 0: delivery takes no time")
    count_bits: int = Field(ge=1, le=16, description="of the run of zeros stored with each non-zero value")


class EyerissV2Config(OpwiseConfig):
    """An Eyeriss v2, or one PE of it."""

    kind: Literal["eyeriss-v2"]
    eyeriss_v2: EyerissV2Section

    @model_validator(mode="after")
    def _shapes_fit(self) -> Self:
        own, array = self.eyeriss_v2, self.array
        for name, pes, cluster in (("rows", array.rows, own.cluster_rows), ("cols", array.cols, own.cluster_cols)):
            if pes % cluster:
                raise ValueError(f"array.{name} must be a multiple of eyeriss_v2.cluster_{name}, {cluster}, not {pes}")
        if own.weights < own.partial_sums:
            raise ValueError(
                f"eyeriss_v2.weights must be at least eyeriss_v2.partial_sums, {own.partial_sums}, to hold a column of"
                f" weights, not {own.weights}"
            )
        return self

    @property
    def clusters(self) -> int:
        """Clusters of the array."""
        return self.pes // (self.eyeriss_v2.cluster_rows * self.eyeriss_v2.cluster_cols)

    def accelerator(self) -> EyerissV2:
        """Return the accelerator with this config."""
        return EyerissV2(self)


class Shares(NamedTuple):
    """Into how many parts an op's groups, output channels (n), positions (m) and reduction (k) are cut."""

    groups: int
    n: int
    m: int
    k: int


def choose_shares(gemm: Gemm, config: EyerissV2Config) -> Shares:
    """Return the cut over the clusters, and over the PEs of each, that takes a dense op the fewest cycles."""
    own, clusters = config.eyeriss_v2, config.clusters
    divisors = [d for d in range(1, clusters + 1) if clusters % d == 0]

    def dense_cycles(shares: Shares) -> int:
        weights = ceil_div(gemm.n, shares.n) * ceil_div(gemm.k, shares.k)
        delivery = ceil_div(weights, own.weights_per_cycle) if own.weights_per_cycle else 0
        return ceil_div(gemm.groups, shares.groups) * (weights * ceil_div(gemm.m, shares.m) + delivery)

    cuts = (
        Shares(g, n, m * own.cluster_cols, clusters // (g * n * m) * own.cluster_rows)
        for g, n, m in product(divisors, repeat=3)
        if clusters % (g * n * m) == 0
    )
    return min(cuts, key=dense_cycles)


def tile_counts(weights: Bools, shares: Shares, partial_sums: int) -> Ints:
    """Return nnz of each column of W (n, k) in each tile of output channels: (shares.n, tiles, k)."""
    n, k = weights.shape
    share = ceil_div(n, shares.n)
    counts = np.zeros((shares.n, ceil_div(share, partial_sums), k), np.int64)
    for part, tile in np.ndindex(counts.shape[:2]):
        first = part * share + tile * partial_sums
        rows = weights[first : min(first + partial_sums, (part + 1) * share)]
        counts[part, tile] = np.count_nonzero(rows, axis=0)
    return counts


def share_counts(inputs: Bools, shares: Shares) -> Ints:
    """Return nnz of each column of I (m, k) in each share of the positions that has any: (parts, k)."""
    share = ceil_div(len(inputs), shares.m)
    return np.array([np.count_nonzero(inputs[at : at + share], axis=0) for at in range(0, len(inputs), share)])


def pass_columns(counts: Ints, shares: Shares, capacity: int) -> int:
    """Return the most columns of a pass: any so many neighbours have at most ``capacity`` weights in any tile."""
    k = counts.shape[-1]
    sums = np.zeros((*counts.shape[:-1], k + 1), np.int64)
    np.cumsum(counts, axis=-1, out=sums[..., 1:])
    fits, fails = 1, ceil_div(k, shares.k) + 1
    while fails - fits > 1:
        middle = (fits + fails) // 2
        if int((sums[..., middle:] - sums[..., :-middle]).max()) <= capacity:
            fits = middle
        else:
            fails = middle
    return fits


def passes(inputs: Ints, weights: Ints, shares: Shares, columns: int) -> Iterator[tuple[Ints, Ints]]:
    """Yield, tile after tile, a group's weights and work by PE: (passes, k shares, n shares) and (..., m shares).

    Parameters
    ----------
    inputs
        From `share_counts`: nnz of each column of I by share of the positions.
    weights
        From `tile_counts`: nnz of each column of W by share and tile of the output channels.
    columns
        Columns of the reduction a pass, from `pass_columns`.
    """
    at_once = _cut(inputs.astype(np.float64), shares.k, columns)  # BLAS; integers below 2^53 stay exact
    for tile in range(weights.shape[1]):
        held = _cut(weights[:, tile].astype(np.float64), shares.k, columns)
        work = held @ at_once.swapaxes(-1, -2)
        yield held.sum(axis=-1).astype(np.int64), work.astype(np.int64)


def _cut(counts: NDArray[np.float64], parts: int, columns: int) -> NDArray[np.float64]:
    """Return (rows, k) as (passes, parts, rows, columns): k in equal parts, each in passes of so many columns."""
    rows, k = counts.shape
    part = ceil_div(k, parts)
    wide = np.zeros((rows, parts * part))
    wide[:, :k] = counts
    cut = np.zeros((rows, parts, ceil_div(part, columns) * columns))
    cut[:, :, :part] = wide.reshape(rows, parts, part)
    return cut.reshape(rows, parts, -1, columns).transpose(2, 1, 0, 3)


def array_pipeline(delivery: Ints, work: Ints) -> Pipeline:
    """Return passes as a pipeline: ``delivery`` (passes,) cycles of each pass's weights, ``work`` (passes, PEs)."""
    names = [f"pe{pe}" for pe in range(work.shape[1])]
    stages = [Stage(name, np.ascontiguousarray(work[:, pe])) for pe, name in enumerate(names)]
    return Pipeline((Stage("deliver", delivery), *stages), tuple(Fifo("deliver", name, 1) for name in names))


class Run(NamedTuple):
    """What the array does in an op.

    ``delivery_cycles`` and ``work_cycles`` of all passes; ``effectual`` MACs; non-zero activations ``inputs_read`` from
    the global buffer, once a tile of output channels; ``sums_moved`` to and from it; non-zero ``weights_held`` by PEs,
    in ``weight_columns`` compressed columns, each once.
    """

    delivery_cycles: int
    work_cycles: int
    effectual: int
    inputs_read: int
    sums_moved: int
    weights_held: int
    weight_columns: int


def run_passes(work: Workload, config: EyerissV2Config) -> Run:
    """Run an op's passes, one after the other; groups of a turn run beside each other, on clusters of their own."""
    gemm, own = work.gemm, config.eyeriss_v2
    shares = choose_shares(gemm, config)
    tiles = [tile_counts(group, shares, own.partial_sums) for group in work.weights]
    columns = min(pass_columns(counts, shares, own.weights) for counts in tiles)
    n_tiles, k_parts = tiles[0].shape[1], ceil_div(ceil_div(gemm.k, shares.k), columns)
    delivered, worked = np.zeros((2, ceil_div(gemm.groups, shares.groups), n_tiles * k_parts), np.int64)
    effectual = inputs_read = 0
    for group, weights in enumerate(tiles):
        inputs = share_counts(work.inputs(group), shares)
        inputs_read += int(inputs.sum()) * n_tiles
        held, slowest = [], []
        for of_weights, of_pes in passes(inputs, weights, shares, columns):
            effectual += int(of_pes.sum())
            held.append(of_weights.max(axis=(1, 2)))
            slowest.append(of_pes.max(axis=(1, 2, 3)))
        turn = group // shares.groups
        np.maximum(delivered[turn], np.concatenate(held), out=delivered[turn])
        np.maximum(worked[turn], np.concatenate(slowest), out=worked[turn])
    return Run(
        delivery_cycles=int((-(-delivered // own.weights_per_cycle)).sum()) if own.weights_per_cycle else 0,
        work_cycles=int(worked.sum()),
        effectual=effectual,
        inputs_read=inputs_read,
        # Sums over parts of the reduction that a PE takes one after the other wait in the global buffer.
        sums_moved=gemm.output_elements * (2 * k_parts - 1),
        weights_held=sum(int(counts.sum()) for counts in tiles),
        weight_columns=sum(counts.size for counts in tiles),
    )


class EyerissV2:
    """Eyeriss v2: see the module."""

    def __init__(self, config: EyerissV2Config) -> None:
        self.config = config

    def refuses(self, op: Op) -> str | None:
        """Return why it cannot run an op: products of two activations, as weights are compressed beforehand."""
        if op.weight is None:
            return "both operands are activations, but Eyeriss v2's weights must be compressed before the run"
        return None

    def cost(self, work: Workload) -> OpCost:
        """Return what an op takes: the sum of its passes, from the zeros of its real operands."""
        config, gemm, bits = self.config, work.gemm, self.config.precision
        run = run_passes(work, config)
        gates = ceil_div(work.op.gate_lane_ops, work.op.timesteps * config.vector.lanes) * work.op.timesteps
        even = run.effectual // config.pes
        causes = {"delivery": run.delivery_cycles, "imbalance": run.work_cycles - even, "gates": gates}
        waits = {cause: cycles for cause, cycles in causes.items() if cycles}
        shown = {"MACs": even} | waits
        accesses = {
            "input": run.inputs_read,
            "weight": run.weights_held,
            "output": run.sums_moved,
            "metadata": run.inputs_read + run.weights_held,
        }
        moved = {
            "input": bits_to_bytes(run.inputs_read, bits.input_bits),
            "weight": bits_to_bytes(run.weights_held, bits.weight_bits),
            "output": bits_to_bytes(run.sums_moved, bits.accumulator_bits),
            "metadata": bits_to_bytes(accesses["metadata"], config.eyeriss_v2.count_bits),
        }
        traffic = self._traffic(work, run)
        return OpCost(
            cycles=run.delivery_cycles + run.work_cycles + gates,
            effectual=run.effectual,
            skipped=gemm.macs - run.effectual,
            gated=0,
            dram_bytes=traffic,
            sram_accesses=accesses,
            sram_bytes=moved,
            energy_pj=self._energy(run.effectual, work.op, traffic, moved),
            waits=waits,
            bound_by=max(shown, key=lambda cause: shown[cause]),
        )

    def _traffic(self, work: Workload, run: Run) -> dict[str, int]:
        """Return the DRAM bytes of compressed weights and inputs; outputs are written with their zeros."""
        bits, own, gemm = self.config.precision, self.config.eyeriss_v2, work.gemm
        nonzero_i = work.operands[0].nonzeros if work.operands else gemm.input_elements
        return {
            "input": bits_to_bytes(nonzero_i, bits.input_bits),
            "weight": bits_to_bytes(run.weights_held, bits.weight_bits),
            "output": bits_to_bytes(gemm.output_elements, bits.output_bits),
            "metadata": bits_to_bytes(nonzero_i + run.weights_held, own.count_bits)
            + bits_to_bytes(run.weight_columns, ADDRESS_BITS),
        }

    def _energy(self, macs: int, op: Op, traffic: dict[str, int], moved: dict[str, int]) -> dict[str, float]:
        """Return picojoules by component.

        ``register``: a weight, and reading and writing a partial sum, a MAC in the scratchpads. ``sram_*``: reads of
        the global buffer and of weights on their way to the PEs, and DMA's fills and drains. ``metadata``: the counts
        of zeros in all of these places.
        """
        bits, own, sram = self.config.precision, self.config.eyeriss_v2, self.config.memory.sram
        mac = mac_pj(max(bits.weight_bits, bits.input_bits))

        def read(capacity: int) -> float:
            return sram_pj_per_byte(capacity, sram.port_bits)

        def write(capacity: int) -> float:
            return sram_pj_per_byte(capacity, sram.port_bits, write=True)

        w, i, o = sram.weight_bytes, sram.input_bytes, sram.output_bytes
        return {
            "mac": macs * mac,
            "register": macs * (bits.weight_bits + 2 * bits.accumulator_bits) * REGISTER_PJ_PER_BIT,
            "sram_weight": moved["weight"] * read(w) + traffic["weight"] * write(w),
            "sram_input": moved["input"] * read(i) + traffic["input"] * write(i),
            "sram_output": moved["output"] * write(o) + traffic["output"] * read(o),
            "metadata": macs * own.count_bits * REGISTER_PJ_PER_BIT
            + moved["metadata"] * read(i)
            + traffic["metadata"] * write(i),
            "vector": op.gate_lane_ops * ADDER32_PJ,
        }
