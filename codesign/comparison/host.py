"""Host: the machine at hand as a target, running the kernels of this package; it is simulated and measured."""

from __future__ import annotations

import dataclasses
from collections.abc import Sequence
from importlib.util import find_spec

import numpy as np

from codesign.comparison.calibration import calibration, provenance
from codesign.comparison.core import others_cycles
from codesign.comparison.host_counts import Counts, blocked_counts, product_counts, sparse_counts
from codesign.comparison.job import Job, Variant
from codesign.comparison.target import Measured, Simulated, largest
from codesign.comparison.vector import skipping_counts, vector_counts, vector_timings
from hw_models.cpus import CpuConfig, cpu_names, load_cpu
from hw_models.cpus.layer import Core
from kernels import machine
from kernels.arrays import KernelError
from kernels.baselines import Dense, Linear, conv1x1, draw, prepare, torch_threads
from kernels.baselines.ours import matrix_product
from kernels.measure import Timing, interleave
from kernels.packed import pack
from kernels.threads import check_threads
from traces.errors import InputError
from traces.graph import OpGraph
from traces.op import Op

#: LLVM's names of cores whose caches are known here under another.
_CORES = {"znver4": "zen4", "znver5": "zen5"}
_UNKNOWN = "zen4"

#: What the counts are called where one of them limits a layer.
WORDS = {
    "load": "loads", "scalar": "loads", "rest": "fma", "spill": "loads", "wait": "latency", "panel": "row overhead",
    "move": "row overhead", "exit": "row overhead", "page": "pages", "stream": "l3", "start": "call",
    "output": "stores", "line": "dram", "gather": "loads", "inputs": "l2", "exposed": "l2",
    "event": "row overhead", "scan": "loads",
}  # fmt: skip

ROUNDS = 9

_NO_ONNXRUNTIME = (
    "host: onnxruntime, often the fastest dense library, is not installed and not compared with; pip install"
    " 'sparse-codesign[bench]'"
)


class Host:
    """The machine at hand; a `Target`."""

    name = "host"
    measures = True

    def __init__(self, threads: int = 1, seed: int = 0, rounds: int = ROUNDS) -> None:
        found = machine.describe()
        self.cpu, notes = host_core(self.name)
        self.clock_hz = self.cpu.clock_hz
        self.description = (
            f"{found['model_name'] or found['architecture']} ({found['llvm_name']}), {found['vector_lanes']} lanes"
        )
        self.calibration = calibration(self.name)
        self.notes = notes if find_spec("onnxruntime") else (*notes, _NO_ONNXRUNTIME)
        self.threads, self.seed, self.rounds = _checked(threads), seed, rounds
        self._core = Core(self.cpu)

    def dense(self, job: Job) -> Simulated:
        """Simulate the dense libraries that are here, and our own kernel; return the fastest."""
        if job.shape[2] == 1:
            return self._simulated("vector", vector_counts(pack(job.weight, "dense"), self.cpu), "matrix times vector")
        candidates: dict[str, tuple[str, Counts]] = {
            "ours": ("sparse", sparse_counts(pack(job.weight, "dense"), job.shape[2], self.cpu))
        }
        if find_spec("torch") or find_spec("onnxruntime"):
            candidates["library product"] = "dense_product", product_counts(job.shape, self.cpu)
        blocked = blocked_counts(job.shape, self.cpu)
        if find_spec("onnxruntime") and job.image is not None and blocked is not None:
            candidates["library blocked"] = "dense_blocked", blocked
        found = [self._simulated(model, counts, name) for name, (model, counts) in candidates.items()]
        return min(found, key=lambda one: one.cycles)

    def sparse(self, job: Job, variant: Variant) -> Simulated:
        """Simulate our kernel on the packed weights, by the tile that the planner takes."""
        if variant.inputs is not None:
            return self._simulated("skipping", skipping_counts(variant, self.cpu), "ours")
        packed = pack(variant.weight, variant.form)
        if job.shape[2] == 1:
            return self._simulated("vector", vector_counts(packed, self.cpu), "ours")
        return self._simulated("sparse", sparse_counts(packed, job.shape[2], self.cpu), "ours")

    def _simulated(self, model: str, counts: Counts, kernel: str) -> Simulated:
        parts = {name: cycles / self.threads for name, cycles in self.calibration.parts(model, counts).items()}
        return Simulated(sum(parts.values()), largest(parts, WORDS), parts, kernel)

    def others(self, graph: OpGraph, ops: Sequence[Op]) -> float:
        """Return the simulated cycles of other ops, shared by the threads."""
        return others_cycles(self._core, graph, ops) / self.threads

    def measure(self, job: Job) -> Measured:
        """Measure our kernel on every variant against all dense libraries of this machine, in turn."""
        timings, sparse = self.timings(job)
        best = Dense(timings, {})
        return Measured(best.baseline_s, best.baseline, tuple(one.seconds for one in sparse), best.eager_s)

    def timings(self, job: Job) -> tuple[dict[str, Timing], list[Timing]]:
        """Time a product: every dense library that can compute it, by name, and our kernel with each variant."""
        rows, width, columns = job.shape
        if columns == 1:
            return vector_timings(job, self.threads, self.seed, self.rounds)
        batch, height, wide = job.image or (columns, 1, 1)
        problem = Linear(rows, width, columns) if job.image is None else conv1x1(rows, width, height, wide, batch)
        drawn = draw(problem, self.seed, inputs=1)
        operands = dataclasses.replace(drawn, weight=np.array(job.weight).reshape(problem.weight_shape))
        dense, _ = prepare(problem, operands, threads=self.threads)
        calls = {name: one.run for name, one in dense.items()}
        for number, variant in enumerate(job.variants):
            packed = pack(variant.weight, variant.form)
            calls[str(number)] = matrix_product(problem, operands, [packed], self.threads).run
        with torch_threads(self.threads):
            timings = interleave(calls, self.rounds, threads=self.threads)
        return {name: timings[name] for name in dense}, [timings[str(i)] for i in range(len(job.variants))]

    def close(self) -> None:
        """Do nothing."""


def _checked(threads: int) -> int:
    """Return the number of threads, or say how many there are."""
    try:
        return check_threads(threads)
    except KernelError as error:
        raise InputError(f"--{error}") from None


def host_core(target: str) -> tuple[CpuConfig, tuple[str, ...]]:
    """Return the modelled core that is taken for this machine's, and what of a target was not made for this machine."""
    core = str(machine.describe()["llvm_name"])
    known = _CORES.get(core, core)
    notes = []
    fitted = provenance()["core"]
    if core != fitted:
        notes.append(
            f"{target}: its constants were fitted on {fitted}, not on this {core}; python benchmarks/compare.py --write"
            " fits them here"
        )
    if known not in cpu_names():
        notes.append(f"{target}: the caches of {_UNKNOWN} are taken: {core} is not among the cores that are modelled")
        known = _UNKNOWN
    return load_cpu(known), tuple(notes)
