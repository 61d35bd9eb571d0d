"""SIGMA-like flexible sparse GEMM engine: multipliers in a row, fed by trees of multicast, summed by one flexible tree.

Source: Qin et al., SIGMA, HPCA 2020; timing as in STONNE (Munoz-Martinez et al., IISWC 2021), whose reduction network
is MAERI's augmented tree (Kwon et al., ASPLOS 2018). One operand is stationary. Its vectors (rows of W, or of the
unrolled I) are packed in order, non-zeros only, while they fit; a vector of more non-zeros than multipliers is folded,
and multiplier 0 then carries its running sum. Each packing is an *iteration*: one cycle to configure, the stationary
values are pushed, then every vector of the streamed operand. The next starts when the last output is written.

- Distribution: a port serves ``multipliers / distribution_bandwidth`` neighbours and sends one element a cycle, which
  reaches all multipliers behind it that need it. Zeros of the streamed operand are sent too: they gate, they save no
  cycle. Running sums have priority on their port. A port of more than one multiplier has a tree of its own: +1 cycle.
- Reduction: an adder level a cycle. An end adder of a vector whose forwarding link (to the neighbour of another parent)
  leads into the vector hands its sum sideways, which costs a cycle more and leaves its parent to the next vector.
- Collection: a finished output leaves the tree from its last adder onto a bus of ``reduction_bandwidth`` lines, one
  output a line and cycle. The two adders of a forwarding link share a line, so two vectors may have to take turns.
- Write buffer: ``halving`` writes half of what is queued each cycle, rounded up, as STONNE's does (a property of that
  simulator; no hardware is known to need it); ``all`` writes whatever has arrived.

Not modelled: conflicts of SRAM banks, the bitmap logic that finds sources and destinations (one cycle to configure).
Vectors of one or two non-zeros are summed like all others, though STONNE's tree cannot.
"""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import replace
from itertools import pairwise
from typing import Literal, Self

import numpy as np
from numpy.typing import NDArray
from pydantic import Field, model_validator

from hw_models.accelerators.sigma_packing import Engine, Iterations, iterations
from hw_models.base import OpCost, OpwiseConfig
from hw_models.config import Config
from hw_models.energy import ADDER32_PJ, GATED_SHARE, REGISTER_PJ_PER_BIT, mac_pj, sram_pj_per_byte
from hw_models.network.steps import bits_to_bytes, ceil_div
from hw_models.pipeline import Edge, Fifo, Pipeline, Stage, compiled
from traces.op import Op
from traces.workload import Bools, Workload, unroll

Ints = NDArray[np.int64]
STAGES = ("configure", "load", "stream", "collect")
_LARGEST_PART = 1 << 26  # elements of I unrolled at once


class SigmaSection(Config):
    """What SIGMA has beside its multipliers; bandwidths in elements a cycle, left out: one for each multiplier."""

    distribution_bandwidth: int | None = Field(default=None, ge=1)
    reduction_bandwidth: int | None = Field(default=None, ge=1)
    stationary: Literal["auto", "weights", "inputs"] = "auto"
    write_buffer: Literal["halving", "all"] = "halving"


class SigmaConfig(OpwiseConfig):
    """A SIGMA-like engine; ``array`` gives its multipliers, rows times columns."""

    kind: Literal["sigma"]
    sigma: SigmaSection = SigmaSection()

    @model_validator(mode="after")
    def _sizes_fit_the_trees(self) -> Self:
        _check_power(self.pes, "array.rows * array.cols", 2, 2**20)
        for name in ("distribution_bandwidth", "reduction_bandwidth"):
            value = getattr(self.sigma, name)
            if value is not None:
                _check_power(value, f"sigma.{name}", 1, self.pes)
        return self

    @property
    def engine(self) -> Engine:
        """Its sizes, as the compiled code wants them."""
        section, pes = self.sigma, self.pes
        distribution, reduction = section.distribution_bandwidth or pes, section.reduction_bandwidth or pes
        return Engine(pes, distribution, reduction, section.write_buffer == "halving")

    def accelerator(self) -> Sigma:
        """Return the accelerator with this config."""
        return Sigma(self)


def _check_power(value: int, what: str, least: int, most: int) -> None:
    if not least <= value <= most or value & (value - 1):
        raise ValueError(f"{what} must be a power of two from {least} to {most}, as the trees halve, not {value}")


def pipeline(service_cycles: Ints) -> Pipeline:
    """Return the pipeline of an op from its service times, (4, iterations): the next starts when all is written."""
    stages = tuple(Stage(name, cycles) for name, cycles in zip(STAGES, service_cycles, strict=True))
    each = np.arange(service_cycles.shape[1], dtype=np.int64)
    fifos = tuple(Fifo(a, b, 1) for a, b in pairwise(STAGES))
    return Pipeline(stages, fifos, edges=(Edge("collect", "configure", each[:-1], each[1:]),))


def input_parts(work: Workload) -> Iterator[tuple[int, Bools]]:
    """Yield the unrolled I in parts, each (rows, k) of one group: image by image for a convolution."""
    gemm = work.gemm
    if not work.operands:
        rows = max(1, _LARGEST_PART // gemm.k)
        for group in range(gemm.groups):
            for first in range(0, gemm.m, rows):
                yield group, np.ones((min(rows, gemm.m - first), gemm.k), dtype=np.bool_)
        return
    values = work.operands[0].unpack()
    if work.op.kind not in ("conv", "depthwise"):
        yield from enumerate(values.reshape(gemm.groups, gemm.m, gemm.k))
        return
    image = replace(gemm, batch=1)
    channels = values.reshape(gemm.batch, gemm.groups, gemm.channels, gemm.in_h, gemm.in_w)
    for group in range(gemm.groups):
        for batch in range(gemm.batch):
            yield group, unroll(channels[batch : batch + 1, group], image)


class Sigma:
    """The accelerator: every op is a matrix product per group, the unrolled I by W.

    What stays is ``sigma.stationary``; ``auto`` takes the faster one. The images of a batch are packed apart where I
    stays. A recurrent op runs step by step, W staying, as each step needs the last one's output. Both operands are
    stored and moved without zeros, with a bitmap of one bit an element; outputs are stored whole.
    """

    def __init__(self, config: SigmaConfig) -> None:
        self.config = config

    def refuses(self, op: Op) -> str | None:
        """Return None: it runs whatever is a matrix product."""
        return None

    def cost(self, work: Workload) -> OpCost:
        """Return what an op takes; stationary zeros are skipped, streamed ones gated."""
        gemm, config, choice = work.gemm, self.config, self.config.sigma.stationary
        steps = work.op.timesteps if work.op.kind == "recurrent" else 1
        weights = work.weights
        of_input = np.full((gemm.groups, gemm.k), 0 if work.operands else gemm.m, dtype=np.int64)
        if work.operands:
            for group, part in input_parts(work):
                of_input[group] += np.count_nonzero(part, axis=0)
        nonzeros = {"weight": int(np.count_nonzero(weights)), "input": int(of_input.sum())}
        stays, run = "weight", iterations(zip(weights, of_input, strict=True), gemm.m // steps, config.engine)
        # an iteration that streams n columns takes at least n + 5 cycles, and holds a non-zero a multiplier at most
        if choice != "weights" and steps == 1:
            fastest = ceil_div(nonzeros["input"], config.pes) * (gemm.n + 5)
            if choice == "inputs" or fastest < run.cycles:
                of_weight = np.count_nonzero(weights, axis=1).astype(np.int64)
                other = iterations(
                    ((part, of_weight[group]) for group, part in input_parts(work)), gemm.n, config.engine
                )
                if choice == "inputs" or other.cycles < run.cycles:
                    stays, run = "input", other
        return self._account(work, run, stays, steps, nonzeros)

    def _account(self, work: Workload, run: Iterations, stays: str, steps: int, nonzeros: dict[str, int]) -> OpCost:
        """Return the cost of an op from the iterations of one time step."""
        gemm, config, bits = work.gemm, self.config, self.config.precision
        streams = "input" if stays == "weight" else "weight"
        cycles = steps * compiled.run(pipeline(run.service_cycles)).total_cycles
        issued = nonzeros[stays] * run.columns * steps
        effectual = work.effectual_macs
        sums = steps * run.columns * int(run.continued.sum())
        outputs = steps * run.columns * int(run.vectors.sum())
        stationary_bits = gemm.weight_elements if stays == "weight" else gemm.groups * gemm.m * gemm.k
        metadata_bits = steps * (stationary_bits + run.columns * int(run.span.sum()))
        accesses = {stays: steps * nonzeros[stays], streams: int(run.reads.sum()), "output": outputs + sums}
        accesses["metadata"] = ceil_div(metadata_bits, config.memory.sram.port_bits)
        sram_bytes = {
            "input": bits_to_bytes(accesses["input"], bits.input_bits),
            "weight": bits_to_bytes(accesses["weight"], bits.weight_bits),
            "output": bits_to_bytes(accesses["output"], bits.accumulator_bits),
            "metadata": ceil_div(metadata_bits, 8),
        }
        stored_input = work.operands[0].nonzeros if work.operands else gemm.input_elements
        moved = {
            "input": bits_to_bytes(stored_input, bits.input_bits),
            "weight": bits_to_bytes(nonzeros["weight"], bits.weight_bits),
            "output": bits_to_bytes(gemm.output_elements, bits.output_bits),
            "metadata": ceil_div(gemm.weight_elements + gemm.input_elements, 8),
        }
        columns = run.columns * len(run.vectors)
        configure, load, stream, collect = (steps * int(part) for part in run.service_cycles.sum(axis=1))
        waits = {"configure": configure, "load": load, "ports": stream - steps * columns, "collect": collect}
        busy = ceil_div(issued, config.pes)
        limits = {"MACs": busy, "packing": steps * columns - busy, **waits}
        return OpCost(
            cycles=cycles,
            effectual=effectual,
            skipped=gemm.macs - issued,
            gated=issued - effectual,
            dram_bytes=moved,
            sram_accesses=accesses,
            sram_bytes=sram_bytes,
            energy_pj=self._energy(effectual, issued, outputs, sums, stays, sram_bytes, moved),
            waits={cause: wait for cause, wait in waits.items() if wait},
            bound_by=max(limits, key=limits.__getitem__),
        )

    def _energy(
        self,
        effectual: int,
        issued: int,
        outputs: int,
        sums: int,
        stays: str,
        used: dict[str, int],
        moved: dict[str, int],
    ) -> dict[str, float]:
        """Return the energy on chip by component, in picojoules.

        ``register`` reads a multiplier's stationary value a product; ``reduction`` is the adders of the tree, each with
        its pipeline register; ``sram_*`` the array's accesses and the fills of that buffer; ``metadata`` the bitmaps.
        The wires and switches of both networks are not modelled.
        """
        bits, sram = self.config.precision, self.config.memory.sram
        mac = mac_pj(max(bits.weight_bits, bits.input_bits))
        held_bits = bits.weight_bits if stays == "weight" else bits.input_bits
        adds = issued + sums - outputs
        add = ADDER32_PJ * bits.accumulator_bits / 32 + bits.accumulator_bits * REGISTER_PJ_PER_BIT

        def read(capacity: int) -> float:
            return sram_pj_per_byte(capacity, sram.port_bits)

        def write(capacity: int) -> float:
            return sram_pj_per_byte(capacity, sram.port_bits, write=True)

        w, i, o = sram.weight_bytes, sram.input_bytes, sram.output_bytes
        sum_bytes = bits_to_bytes(sums, bits.accumulator_bits)
        return {
            "mac": effectual * mac,
            "gated_mac": (issued - effectual) * mac * GATED_SHARE,
            "register": issued * held_bits * REGISTER_PJ_PER_BIT,
            "reduction": adds * add,
            "sram_weight": used["weight"] * read(w) + moved["weight"] * write(w),
            "sram_input": used["input"] * read(i) + moved["input"] * write(i),
            "sram_output": (used["output"] - sum_bytes) * write(o) + (sum_bytes + moved["output"]) * read(o),
            "metadata": used["metadata"] * read(w) + moved["metadata"] * write(w),
        }
