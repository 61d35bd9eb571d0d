"""Output-stationary mesh: a grid of multiply-accumulators, each of which sums one output in place.

Source of the machine: the TPU configuration of STONNE (Munoz-Martinez et al., IISWC 2021), a mesh that W enters from
the top and I from the left, one hop a cycle. An output tile is rows of I by columns of W; tiles run N inner, M outer,
and the next one is configured when the last output of this one is written. Of a tile of r x c outputs over k:

- One cycle to configure. Then each step of k sends c weights and r inputs. A port of the ``distribution_bandwidth``
  serves (rows + cols) / distribution_bandwidth neighbouring lines of the mesh, columns first, and sends one element a
  cycle; a port of more than one line has a tree of its own: +1 cycle.
- A multiplier works when both operands of a step are there and hands them on; its last sum goes, a cycle later, onto
  bus line ``(row * cols + column) mod reduction_bandwidth``, one output a line and cycle.
- The write buffer is SIGMA's; ``halving`` is a property of the reference simulator, see `hw_models.accelerators.sigma`.

With a port for each line that is k + r + c + 3 cycles (one less for a single row or column, whose outputs never queue).
Zeros save no cycle; with ``zero_gating`` they save the multiplier's energy. Not modelled: bank conflicts.
"""

from __future__ import annotations

from itertools import pairwise
from typing import Literal, Self

import numba
import numpy as np
from numpy.typing import NDArray
from pydantic import Field, model_validator

from hw_models.accelerators.write_buffer import drained
from hw_models.base import OpCost, OpwiseConfig
from hw_models.config import Config
from hw_models.energy import GATED_SHARE, REGISTER_PJ_PER_BIT, mac_pj, sram_pj_per_byte
from hw_models.network.steps import bits_to_bytes
from hw_models.pipeline import Edge, Fifo, Pipeline, Stage, compiled
from traces.op import Op
from traces.workload import Workload

Ints = NDArray[np.int64]
STAGES = ("configure", "stream", "collect")


class OsMeshSection(Config):
    """What the mesh has beside its multipliers; bandwidths in elements a cycle.

    Left out, each row and column has a port, and each multiplier a bus line.
    """

    distribution_bandwidth: int | None = Field(default=None, ge=1)
    reduction_bandwidth: int | None = Field(default=None, ge=1)
    write_buffer: Literal["halving", "all"] = "halving"
    zero_gating: bool = True


class OsMeshConfig(OpwiseConfig):
    """An output-stationary mesh of ``array.rows`` by ``array.cols`` multipliers."""

    kind: Literal["os-mesh"]
    os_mesh: OsMeshSection = OsMeshSection()

    @model_validator(mode="after")
    def _ports_are_alike(self) -> Self:
        lines, (distribution, reduction) = self.array.rows + self.array.cols, self.bandwidths
        if lines % distribution:
            raise ValueError(
                f"os_mesh.distribution_bandwidth must divide array.rows + array.cols = {lines}, not {distribution}"
            )
        if reduction > self.pes:
            raise ValueError(
                f"os_mesh.reduction_bandwidth must be at most array.rows * array.cols = {self.pes}, not {reduction}"
            )
        return self

    @property
    def bandwidths(self) -> tuple[int, int]:
        """Elements a cycle of distribution and of reduction."""
        mesh = self.os_mesh
        return mesh.distribution_bandwidth or self.array.rows + self.array.cols, mesh.reduction_bandwidth or self.pes

    def accelerator(self) -> OsMesh:
        """Return the accelerator with this config."""
        return OsMesh(self)


def service_cycles(m: int, n: int, k: int, config: OsMeshConfig) -> Ints:
    """Return the cycles of each tile of an (m, k) by (k, n) product, (3, tiles), by `STAGES`."""
    rows, cols = config.array.rows, config.array.cols
    halving = config.os_mesh.write_buffer == "halving"
    tiles_m, tiles_n = -(-m // rows), -(-n // cols)
    service = np.empty((len(STAGES), tiles_m, tiles_n), dtype=np.int64)
    for some_m, r in ((slice(0, -1), min(rows, m)), (slice(-1, None), m - (tiles_m - 1) * rows)):
        for some_n, c in ((slice(0, -1), min(cols, n)), (slice(-1, None), n - (tiles_n - 1) * cols)):
            cycles = tile_cycles(r, c, k, rows, cols, *config.bandwidths, halving)
            service[:, some_m, some_n] = np.array(cycles)[:, None, None]
    return service.reshape(len(STAGES), -1)


def pipeline(service: Ints) -> Pipeline:
    """Return the pipeline of an op from its service times, (3, tiles): a tile starts when the last one is written."""
    stages = tuple(Stage(name, cycles) for name, cycles in zip(STAGES, service, strict=True))
    each = np.arange(service.shape[1], dtype=np.int64)
    fifos = tuple(Fifo(a, b, 1) for a, b in pairwise(STAGES))
    return Pipeline(stages, fifos, edges=(Edge("collect", "configure", each[:-1], each[1:]),))


@numba.njit(cache=True)
def tile_cycles(
    r: int, c: int, k: int, rows: int, cols: int, distribution: int, reduction: int, halving: bool
) -> tuple[int, int, int]:
    """Return the cycles of a tile of r x c outputs over k on a mesh of rows x cols, by `STAGES`.

    Line l of the mesh (columns, then rows) gets its last element in cycle ``load * k + (its turn at the port)``, where
    ``load`` counts the used lines of its port; cycle 0 configures. An element moves on with the step that uses it,
    so the last step of multiplier (y, x) waits for lines up to y and x, each plus the hops from its edge.
    """
    group = (rows + cols) // distribution
    own_tree = 1 if group > 1 else 0
    load = np.zeros(distribution, np.int64)
    for line in range(rows + cols):
        load[line // group] += line < c or cols <= line < cols + r
    last = np.zeros(rows + cols, np.int64)
    turn = np.zeros(distribution, np.int64)
    for line in range(rows + cols):
        if line < c or cols <= line < cols + r:
            port = line // group
            last[line] = 1 + (k - 1) * load[port] + turn[port] + own_tree
            turn[port] += 1
    at_bus = np.empty((r, c), np.int64)
    for y in range(r):
        for x in range(c):
            from_left = at_bus[y, x - 1] + 1 if x else last[cols + y] + 2
            from_top = at_bus[y - 1, x] + 1 if y else last[x] + 2
            at_bus[y, x] = max(from_left, from_top)
    leaving = np.zeros(at_bus[-1, -1] + r * c + 1, np.int64)
    next_free = np.zeros(reduction, np.int64)
    order = np.argsort(at_bus.ravel())
    for output in order:
        line = (output // c * cols + output % c) % reduction
        left = max(next_free[line], at_bus[output // c, output % c])
        next_free[line] = left + 1
        leaving[left] += 1
    stream = k * load.max()
    return 1, stream, drained(leaving, halving) - stream


class OsMesh:
    """The accelerator: every op is a matrix product per group, the unrolled I by W; nothing is compressed.

    A recurrent op runs step by step, as each step needs the last one's output.
    """

    def __init__(self, config: OsMeshConfig) -> None:
        self.config = config

    def refuses(self, op: Op) -> str | None:
        """Return None: it runs whatever is a matrix product."""
        return None

    def cost(self, work: Workload) -> OpCost:
        """Return what an op takes: dense time, zeros gated."""
        gemm, config, bits = work.gemm, self.config, self.config.precision
        steps = work.op.timesteps if work.op.kind == "recurrent" else 1
        times = gemm.groups * steps
        m = gemm.m // steps
        service = service_cycles(m, gemm.n, gemm.k, config)
        cycles = times * compiled.run(pipeline(service)).total_cycles
        effectual = work.effectual_macs
        accesses = {
            "input": times * m * gemm.k * -(-gemm.n // config.array.cols),
            "weight": times * gemm.n * gemm.k * -(-m // config.array.rows),
            "output": gemm.output_elements,
            "metadata": 0,
        }
        sram_bytes = {
            "input": bits_to_bytes(accesses["input"], bits.input_bits),
            "weight": bits_to_bytes(accesses["weight"], bits.weight_bits),
            "output": bits_to_bytes(accesses["output"], bits.accumulator_bits),
            "metadata": 0,
        }
        moved = {
            "input": bits_to_bytes(gemm.input_elements, bits.input_bits),
            "weight": bits_to_bytes(gemm.weight_elements, bits.weight_bits),
            "output": bits_to_bytes(gemm.output_elements, bits.output_bits),
            "metadata": 0,
        }
        configure, stream, collect = (times * int(part) for part in service.sum(axis=1))
        steps_of_k = times * gemm.k * service.shape[1]
        waits = {"configure": configure, "ports": stream - steps_of_k, "collect": collect}
        busy = -(-gemm.macs // config.pes)
        limits = {"MACs": busy, "tile edges": steps_of_k - busy, **waits}
        return OpCost(
            cycles=cycles,
            effectual=effectual,
            skipped=0,
            gated=gemm.macs - effectual,
            dram_bytes=moved,
            sram_accesses=accesses,
            sram_bytes=sram_bytes,
            energy_pj=self._energy(effectual, gemm.macs, sram_bytes, moved),
            waits={cause: wait for cause, wait in waits.items() if wait},
            bound_by=max(limits, key=limits.__getitem__),
        )

    def _energy(self, effectual: int, macs: int, used: dict[str, int], moved: dict[str, int]) -> dict[str, float]:
        """Return the energy on chip by component, in picojoules.

        ``register``: an input and a weight move on by one multiplier and a sum is rewritten, a MAC; ``sram_*`` are
        the array's accesses and the fills (drains) of that buffer. Wires and the trees of the ports are not modelled.
        """
        bits, sram = self.config.precision, self.config.memory.sram
        mac = mac_pj(max(bits.weight_bits, bits.input_bits))
        moved_bits = bits.weight_bits + bits.input_bits + bits.accumulator_bits

        def read(capacity: int) -> float:
            return sram_pj_per_byte(capacity, sram.port_bits)

        def write(capacity: int) -> float:
            return sram_pj_per_byte(capacity, sram.port_bits, write=True)

        w, i, o = sram.weight_bytes, sram.input_bytes, sram.output_bytes
        return {
            "mac": effectual * mac,
            "gated_mac": (macs - effectual) * mac * (GATED_SHARE if self.config.os_mesh.zero_gating else 1.0),
            "register": macs * moved_bits * REGISTER_PJ_PER_BIT,
            "sram_weight": used["weight"] * read(w) + moved["weight"] * write(w),
            "sram_input": used["input"] * read(i) + moved["input"] * write(i),
            "sram_output": used["output"] * write(o) + moved["output"] * read(o),
        }
