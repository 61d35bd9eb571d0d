"""SAT: an array that trains N:M sparse networks, dense or N:M, weight- or output-stationary, op by op.

Source: Fang, Sun, Zhou and Wang, "Efficient N:M Sparse DNN Training Using Algorithm, Architecture, and Dataflow
Co-Design", arXiv 2309.13015. Only its abstract was read; what is said there of STCE, SORE, WUVE and the three dataflow
optimisations is taken over, their inner timing is ours, from what such a circuit must do:

* **STCE**, rows x cols PEs, one FP16 multiply and FP32 add a cycle each; the adder is a pipeline of L cycles.

  - ``ws``: a PE holds one weight; of N:M one *kept* weight and its index, by which it picks out of the M activations
    that pass. Rows hold the reduction, columns the filters. A partial sum takes L cycles a row on its way down, but
    one enters every cycle. The next fold's weights are shifted in, a row a cycle, while this one streams. Partial
    sums stay in half of the output buffer, which bounds how many rows of O a fold streams.
  - ``os``: a PE holds outputs. An addition to the same output can start L cycles after the last, so with one output
    a PE adds once every L cycles. **Interleave mapping** gives it up to L outputs to add to in turn. Results are
    shifted out, a row a cycle, while the next fold is worked off.

* **SORE** makes N:M weights of dense ones: each lane takes M cycles for a group of M. **Pre-generation** makes them
  when WUVE updates the weights: then DRAM holds the packed weights, and reading them costs N/M and the indices. Without
  it dense weights are read, and SORE works before the array, fold by fold, into a double buffer; a fold
  that comes again is made again.
* **WUVE** updates weights: that is the vector unit, and `codesign.training` gives it the work.
* **Offline scheduling** picks ws or os for each op, and so for each layer and pass; without it ``sat.dataflow``
  serves all.

Not modelled: SORE's own time under pre-generation (two masks of W weights take 2 W/32 cycles beside an update of
at least W/32), switching the mode, and gating: SAT is not known to gate, so a MAC on a zero costs full energy.
"""

from __future__ import annotations

from math import isqrt
from typing import Literal

from pydantic import Field

from hw_models.accelerators.stce import DATAFLOWS, Dataflow, Job, Stce, Timing, job_timing, parts
from hw_models.base import OpCost, OpwiseConfig
from hw_models.config import Config
from hw_models.energy import REGISTER_PJ_PER_BIT, sram_pj_per_byte
from hw_models.network.steps import ceil_div
from traces.effectual import effectual_macs
from traces.errors import InputError
from traces.nm import nm_kept, parse_nm
from traces.op import Op
from traces.workload import Workload

#: FP16 multiply and FP32 add, 45 nm: Horowitz, ISSCC 2014.
MAC_PJ = 1.1 + 0.9


class SatSection(Config):
    """What only SAT has."""

    adder_latency_cycles: int = Field(ge=1, le=64, description="until a sum can be added to")
    sore_lanes: int = Field(ge=1, le=65536, description="each takes M cycles for a group of M weights")
    nm_max_m: int = Field(ge=1, le=64, description="largest M whose activations a PE can pick from")
    interleave_mapping: bool = Field(default=True, description="os: a PE adds to several outputs in turn")
    pre_generation: bool = Field(default=True, description="N:M weights are made at the update and stored packed")
    offline_scheduling: bool = Field(default=True, description="the faster dataflow for each op")
    dataflow: Dataflow = Field(default="ws", description="of all ops, without offline scheduling")


class SatConfig(OpwiseConfig):
    """Config of SAT."""

    kind: Literal["sat"]
    sat: SatSection

    def accelerator(self) -> Sat:
        """Return the accelerator with this config."""
        return Sat(self)


class Sat:
    """SAT; see the module."""

    def __init__(self, config: SatConfig) -> None:
        self.config = config
        section, precision = config.sat, config.precision
        self.stce = Stce(
            rows=config.array.rows,
            cols=config.array.cols,
            adder_latency=section.adder_latency_cycles,
            interleave=section.interleave_mapping,
            sore_lanes=section.sore_lanes,
            sums=config.memory.sram.output_bytes // 2 * 8 // precision.accumulator_bits,
        )

    def refuses(self, op: Op) -> str | None:
        """Return None: STCE takes every product."""
        return None

    def cost(self, work: Workload) -> OpCost:
        """Return what an op takes under the faster (or the only) dataflow."""
        op, gemm, job = work.op, work.gemm, self.job(work)
        options = self.options(job)
        dataflow = min(options, key=lambda name: options[name].cycles)
        timing, waits = options[dataflow], dict(options[dataflow].waits)
        gates = op.timesteps * ceil_div(ceil_div(op.gate_lane_ops, op.timesteps), self.config.vector.lanes)
        if gates:
            waits["gates"] = gates
        shares = {"MACs": timing.work, **waits}
        issued = gemm.groups * gemm.m * gemm.n * job.kept
        effectual = _effectual(work, issued)
        accesses, sram_bytes = self._sram(work, job, dataflow)
        return OpCost(
            cycles=timing.cycles + gates,
            effectual=effectual,
            skipped=gemm.macs - issued,
            gated=issued - effectual,
            dram_bytes=self._dram_bytes(work, job),
            sram_accesses=accesses,
            sram_bytes=sram_bytes,
            energy_pj=self._energy_pj(effectual, issued - effectual, sram_bytes),
            reloads=False,
            waits=waits,
            bound_by=max(shares, key=lambda name: shares[name]),
            dataflow=dataflow,
            alternatives={name: option.cycles for name, option in options.items()},
        )

    def job(self, work: Workload) -> Job:
        """Return the products of an op, less the weights that N:M mode leaves out."""
        gemm, run = work.gemm, _run(work)
        kept = gemm.k // run * nm_kept(run, *self._nm(work))
        online = kept < gemm.k and not self.config.sat.pre_generation
        return Job(gemm.m // work.op.timesteps, gemm.n, gemm.k, kept, gemm.groups, work.op.timesteps, online)

    def options(self, job: Job) -> dict[Dataflow, Timing]:
        """Return the timing under each dataflow that may be chosen."""
        section = self.config.sat
        allowed = DATAFLOWS if section.offline_scheduling else (section.dataflow,)
        return {dataflow: job_timing(self.stce, job, dataflow) for dataflow in allowed}

    def _nm(self, work: Workload) -> tuple[int, int]:
        """Return N and M of the mode in which an op runs, 1 and 1 for dense; `InputError` if M is too large."""
        if work.op.weight is None or work.pattern is None or not work.pattern[0].isdigit():
            return 1, 1
        n, m = parse_nm(work.pattern)
        if m > self.config.sat.nm_max_m:
            rule = (
                f"N:M with M of at most {self.config.sat.nm_max_m}, as the PEs of {self.config.name} pick from so many"
            )
            hint = "prune it otherwise, or raise sat.nm_max_m"
            raise InputError.must(f"the pattern of {work.op.name}", rule, work.pattern, hint)
        return n, m

    def _index_bits(self, work: Workload, job: Job) -> int:
        """Return the bits that tell where the kept weights stood: N * ceil(log2 M) a group, or M if that is fewer."""
        if job.kept == job.k:
            return 0
        n, m = self._nm(work)
        groups = job.groups * job.cols * (job.k // _run(work)) * ceil_div(_run(work), m)
        return groups * min(n * (m - 1).bit_length(), m)

    def _dram_bytes(self, work: Workload, job: Job) -> dict[str, int]:
        """Return what is moved, each operand as often as it has to be loaded."""
        gemm, bits = work.gemm, self.config.precision
        stored = gemm.groups * gemm.n * (job.k if job.online else job.kept)
        once = {
            "input": ceil_div(gemm.input_elements * bits.input_bits, 8),
            "weight": ceil_div(stored * bits.weight_bits, 8),
            "metadata": 0 if job.online else ceil_div(self._index_bits(work, job), 8),
        }
        of_input, of_weight = self._loads(once["input"], once["weight"] + once["metadata"], work)
        times = {"input": of_input, "weight": of_weight, "metadata": of_weight}
        moved = {operand: size * times[operand] for operand, size in once.items()}
        return {**moved, "output": ceil_div(gemm.output_elements * bits.output_bits, 8)}

    def _loads(self, input_bytes: int, weight_bytes: int, work: Workload) -> tuple[int, int]:
        """Return how often I and W of an op are loaded, so that the least is moved.

        Each group is a product of its own. Once, if I or W of a group fits half of its buffer. Else one operand is held
        part by part and the other passes for each part; or O is cut into tiles whose sums half of the output buffer
        holds, and each operand is loaded for each tile along its other side.
        """
        gemm, sram = work.gemm, self.config.memory.sram
        i_parts = ceil_div(ceil_div(input_bytes, gemm.groups), max(1, sram.input_bytes // 2))
        w_parts = ceil_div(ceil_div(weight_bytes, gemm.groups), max(1, sram.weight_bytes // 2))
        if i_parts <= 1 or w_parts <= 1:
            return 1, 1
        tiles = ceil_div(gemm.m * gemm.n, max(1, self.stce.sums))
        options = [(w_parts, 1), (1, i_parts)]
        for side in range(1, isqrt(tiles) + 1):
            options += [(side, ceil_div(tiles, side)), (ceil_div(tiles, side), side)]
        return min(options, key=lambda loads: input_bytes * loads[0] + weight_bytes * loads[1])

    def _sram(self, work: Workload, job: Job, dataflow: Dataflow) -> tuple[dict[str, int], dict[str, int]]:
        """Return the array's accesses by operand, an element each, and their bytes.

        The M activations of a group pass once for its N weights, so N:M saves no reads of I.
        """
        stce, bits = self.stce, self.config.precision
        products = job.groups * job.steps
        results = products * job.rows * job.cols
        if dataflow == "ws":
            times = sum(count for _, count in parts(job.rows, stce.row_tile(job)))
            sums = results * (2 * ceil_div(job.kept, stce.rows) - 1)  # written each fold, read back by the next one
        else:
            times, sums = ceil_div(job.rows, stce.rows * stce.outputs), results
        inputs = products * job.rows * job.k * ceil_div(job.cols, stce.cols)
        weights = products * job.kept * job.cols * times
        index_bits = self._index_bits(work, job) * job.steps * times
        accesses = {"input": inputs, "weight": weights, "output": sums, "metadata": weights if index_bits else 0}
        return accesses, {
            "input": ceil_div(inputs * bits.input_bits, 8),
            "weight": ceil_div(weights * bits.weight_bits, 8),
            "output": ceil_div(sums * bits.accumulator_bits, 8),
            "metadata": ceil_div(index_bits, 8),
        }

    def _energy_pj(self, effectual: int, idle: int, sram_bytes: dict[str, int]) -> dict[str, float]:
        """Return the energy on chip; a MAC on a zero costs as much as any."""
        bits, sram = self.config.precision, self.config.memory.sram
        moved = bits.input_bits + bits.accumulator_bits  # an activation and a partial sum go on by one PE
        weight = sram_pj_per_byte(sram.weight_bytes, sram.port_bits)
        return {
            "mac": effectual * MAC_PJ,
            "gated_mac": idle * MAC_PJ,
            "register": (effectual + idle) * moved * REGISTER_PJ_PER_BIT,
            "sram_weight": sram_bytes["weight"] * weight,
            "sram_input": sram_bytes["input"] * sram_pj_per_byte(sram.input_bytes, sram.port_bits),
            "sram_output": sram_bytes["output"] * sram_pj_per_byte(sram.output_bytes, sram.port_bits, write=True),
            "metadata": sram_bytes["metadata"] * weight,
        }


def _run(work: Workload) -> int:
    """Return the length along which N:M groups run; a topology table does not tell channels from kernel positions."""
    return work.gemm.k if work.op.declared is not None else work.gemm.channels


def _effectual(work: Workload, issued: int) -> int:
    """Return the issued MACs with two non-zero operands; a declared pattern leaves its nominal share of them."""
    if work.weight_nonzero is not None or work.op.weight is None:
        return min(issued, effectual_macs(work.op, work.weight_nonzero, work.operands))
    alive = effectual_macs(work.op, None, work.operands)
    return min(issued, round(alive * min(work.declared_density, 1.0)))
