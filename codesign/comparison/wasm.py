"""WebAssembly: an engine on this machine as a target; simulated on the host's core, and measured in the engine."""

from __future__ import annotations

from collections.abc import Sequence

import numpy as np

from codesign.comparison.calibration import calibration
from codesign.comparison.core import others_cycles, rows_together
from codesign.comparison.host import host_core
from codesign.comparison.job import Array, Job, Variant
from codesign.comparison.target import Measured, Simulated, largest
from codesign.comparison.wasm_counts import REGISTERS, WORDS, code_counts, counts, held
from hw_models.cpus.layer import Core
from kernels import wasm
from kernels.loops.layer import DensePlan, Layer, SparsePlan
from kernels.loops.program import Program
from kernels.loops.strips import cut
from kernels.wasm import Engine, WasmPlan
from traces.errors import InputError
from traces.graph import OpGraph
from traces.op import Op

#: Engine by target name.
ENGINES = {"wasm-wasmtime": "wasmtime", "wasm-v8": "v8"}
ROUNDS = 9
#: Plans whose addresses are followed: the best by their code alone, of those with and without blocks.
_FOLLOWED = 2
LANES = 4


class Wasm:
    """An engine; a `Target`."""

    def __init__(self, name: str, *, measures: bool, seed: int = 0, rounds: int = ROUNDS) -> None:
        self.name, self.seed, self.rounds = name, seed, rounds
        self.cpu, self.notes = host_core(name)
        self.clock_hz = self.cpu.clock_hz
        self.calibration = calibration(name)
        self.core = Core(self.cpu, f"{name}-x86")
        self.measures = measures
        self.engine = _engine(name) if measures else None
        self.fused = self.engine.fused if self.engine else True
        self.description = self.engine.version if self.engine else f"{ENGINES[name]} as calibrated, not run"

    def dense(self, job: Job) -> Simulated:
        """Simulate the dense tiles that are tried in the engine, and return the fastest."""
        return self._fastest("dense", job, job.weight)

    def sparse(self, job: Job, variant: Variant) -> Simulated:
        """Simulate the strips that are tried in the engine, and return the fastest."""
        return self._fastest(loop_form(variant.form), job, variant.weight)

    def _fastest(self, form: str, job: Job, weight: Array) -> Simulated:
        layer = layer_of(weight, job.shape[2])
        tried = wasm.plans(ENGINES[self.name], form, layer, self.fused)
        chosen = [plan for plan in tried if in_registers(plan, job.shape[2])] or tried
        ready = [(plan, layer.program(plan.plan)) for plan in chosen]
        model = "dense" if form == "dense" else "sparse"

        def by_code(pair: tuple[WasmPlan, Program]) -> float:
            return sum(self.calibration.parts(model, code_counts(pair[1], pair[0])).values())

        ordered = sorted(ready, key=by_code)
        blocked = [pair for pair in ordered if isinstance(pair[0].plan, SparsePlan) and pair[0].plan.block]
        whole = [pair for pair in ordered if pair not in blocked]
        found = []
        for plan, program in (*whole[:_FOLLOWED], *blocked[:_FOLLOWED]):
            parts = self.calibration.parts(model, counts(self.core, program, plan))
            found.append(Simulated(sum(parts.values()), largest(parts, WORDS), parts, _words(plan)))
        return min(found, key=lambda one: one.cycles)

    def others(self, graph: OpGraph, ops: Sequence[Op]) -> float:
        """Return the simulated cycles of other ops as the engine's code."""
        return others_cycles(self.core, graph, ops)

    def measure(self, job: Job) -> Measured:
        """Measure the dense kernel and that of every variant, each by the fastest of its plans, in turn."""
        dense, *sparse = self.timings(job)
        return Measured(dense.timing.seconds, _words(dense.plan), tuple(one.timing.seconds for one in sparse))

    def timings(self, job: Job) -> list[wasm.Measured]:
        """Time a product dense and with each variant."""
        assert self.engine is not None
        kernels = {"dense": ("dense", layer_of(job.weight, job.shape[2], self.seed))}
        for number, variant in enumerate(job.variants):
            kernels[str(number)] = loop_form(variant.form), layer_of(variant.weight, job.shape[2], self.seed)
        return list(wasm.measure(self.engine, kernels, self.rounds).values())

    def close(self) -> None:
        """End the engine."""
        if self.engine:
            self.engine.close()


def in_registers(plan: WasmPlan, columns: int) -> bool:
    """Tell whether a plan is fused, not unrolled further than the others, and needs no more registers than there are.

    What is slower than these is known to lose, and by how much is not modelled well.
    """
    tile = plan.plan
    across = max(strips.columns for strips in cut(-(-columns // LANES) * LANES, tile.vectors)) // LANES
    unrolled = isinstance(tile, SparsePlan) and tile.unroll > 1
    return plan.fused and not unrolled and held(tile, across) <= REGISTERS


def loop_form(form: str) -> str:
    """Return a pattern as the kernels in loops take it: rows of a block share their indices, as those of a group do."""
    rows = rows_together(form)
    return form if rows is None else f"group:{rows}"


def layer_of(weight: Array, columns: int, seed: int | None = None) -> Layer:
    """Return a layer with activations of a ReLU, drawn from a seed, or zero if none is given."""
    rows, width = weight.shape
    random = np.random.default_rng(seed)
    shape = (width, columns)
    x = np.zeros(shape, np.float32) if seed is None else np.maximum(random.standard_normal(shape, np.float32), 0)
    return Layer(weight, np.zeros(rows, np.float32), x, 0.0, float("inf"))


def _words(plan: WasmPlan) -> str:
    """Return a plan in words."""
    tile = plan.plan
    kind = "tile" if isinstance(tile, DensePlan) else "strip"
    return f"{tile.rows}x{4 * tile.vectors} {kind}"


def _engine(name: str) -> Engine:
    """Start an engine, or say what to install."""
    try:
        return wasm.start(ENGINES[name])
    except wasm.MissingEngineError as error:
        raise InputError(f"{error}; or simulate it without, with --no-measure") from None
