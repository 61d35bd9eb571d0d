"""WebAssembly counts: what a program executes and touches, counted; the calibration has what each costs in an engine.

loads, splats, scalars   vectors loaded, weights splat, indices loaded
fma                      multiply-adds of relaxed SIMD; ``fma2`` those that are a multiplication and an addition
vector                   other vector arithmetic
store                    vectors stored
integer                  address arithmetic; ``branch`` tests of loops
row                      rows begun and ended
exit                     ends of inner loops predicted wrongly
l2, l3, dram             lines that a load or store waits for from there; ``ahead`` those a prefetcher brings
page                     pages that the first table of addresses lacks
"""

from __future__ import annotations

import numpy as np

from hw_models.cpus.layer import Core
from kernels.loops import BRANCH, Kind
from kernels.loops.layer import Plan, SparsePlan
from kernels.loops.program import Program
from kernels.wasm import WasmPlan

Counts = dict[str, float]

_OF = {
    Kind.LOAD_VECTOR: "load", Kind.LOAD_SPLAT: "splat", Kind.SPLAT_LANE: "lane", Kind.LOAD_INDEX: "scalar",
    Kind.FMA: "fma", Kind.MUL: "vector", Kind.ADD: "vector", Kind.MAX: "vector", Kind.MIN: "vector",
    Kind.EVEN: "vector", Kind.ODD: "vector", Kind.ZERO: "vector", Kind.STORE_VECTOR: "store", Kind.ADD_INDEX: "integer",
    Kind.ADVANCE: "integer", Kind.COPY: "integer",
}  # fmt: skip

#: What the counts are called where one of them limits a layer.
WORDS = {
    "load": "loads", "splat": "loads", "lane": "issue", "scalar": "loads", "fma2": "fma", "vector": "issue",
    "integer": "issue", "branch": "issue", "store": "stores", "row": "row overhead", "exit": "row overhead",
    "spill": "loads",
    "ahead": "l3", "page": "pages",
}  # fmt: skip

_DENSE = frozenset(("fma", "store", "l3", "dram", "ahead"))

#: Vector registers that the engines use on x86-64.
REGISTERS = 16

#: Accesses of one call that are followed through the caches before the rest is extrapolated.
BUDGET = 100_000


def code_counts(program: Program, plan: WasmPlan) -> Counts:
    """Return what a program executes."""
    found: Counts = {}
    for name, count in program.counts().items():
        what = "branch" if name == BRANCH else _OF[Kind(name)]
        if what == "fma" and not plan.fused:
            what = "fma2"
        found[what] = found.get(what, 0.0) + count
    if not isinstance(plan.plan, SparsePlan):
        return dense_part(found)
    turns = [(name, n) for call in program.calls for name, n in call.iterations.items()]
    found["row"] = float(sum(n for name, n in turns if name.endswith("rows")))
    entries = plan.plan.unroll * sum(n for name, n in turns if name.endswith("entries"))
    across = (found.get("fma", 0.0) + found.get("fma2", 0.0)) / max(1, entries * plan.plan.rows)
    found["spill"] = entries * max(0.0, (plan.plan.rows + 1) * across + 2 - REGISTERS)
    return found


def held(tile: Plan, across: float) -> float:
    """Return the vector registers that a turn of a loop holds, if a strip is so many vectors wide.

    An engine may load all inputs and weights of a turn before it uses the first: R rows of T vectors then hold R * T
    sums, T inputs and R weights, or two where weights are taken lane by lane.
    """
    return tile.rows * across + across + (2 if tile.shuffle else tile.rows)


def dense_part(counts: Counts) -> Counts:
    """Return what the model of a dense tile counts: its loads and splats come in a fixed ratio to its multiply-adds."""
    return {name: count for name, count in counts.items() if name in _DENSE}


def counts(core: Core, program: Program, plan: WasmPlan) -> Counts:
    """Return what a program executes, and what it touches in the caches of a core."""
    caches = core.caches()
    # Engines repeat a program on the same memory: what it has touched is there, as far as it fits.
    lines = len(program.image) // caches.line_bytes
    caches.run(2 * np.arange(lines, dtype=np.int64))
    time = core.time(program, caches, BUDGET)
    fills = time.fills
    waited = fills.demand + fills.written
    missed = core.cpu.at(core.cpu.core.mispredict_cycles)
    found = code_counts(program, plan) | {
        "exit": time.parts["mispredicts"] / missed,
        "l2": float(waited[0]),
        "l3": float(waited[1:-1].sum()),
        "dram": float(waited[-1]),
        "ahead": float(fills.fetched[1:].sum()),
        "page": fills.pages,
    }
    return found if isinstance(plan.plan, SparsePlan) else dense_part(found)
