"""Layer: the cycles that a program takes on one core, and what limits them.

    compute        steady state of each loop x its turns (`hw_models.cpus.issue`), row overhead included
    mispredicts    loop exits that the predictor gets wrong x the penalty
    L1 misses      what the steady state loses where lines come from the L2: by the core's window and fill buffers, or
                   because a line is written into the L1 by the port that loads use
    memory         lines filled from each level: by bandwidth, and beyond the L2 by latency over the misses in flight

Bandwidth works beside the core, and the slower of the two is what it takes. A miss beyond the L2 stops the core, out of
order only when its window is full (as in Eyerman's interval model). A line that is written into the L1 stops a load of
an in-order core if one wants the port in that cycle: as often as loads use it. A 64-bit port reads a vector that lies
in three of its words in three parts. An exit is predicted rightly if the loop turned as often as when it was last
reached, and that few times that the predictor remembers it.

Some choices were made knowing published times of phones: that fills take the port of the loads (without it sparse
networks on an A77 came out 1.6 times too fast), that a prefetcher's distance grows with its stream, as the A55's manual
says (with a fixed distance they came out too slow), that there is a TLB, that a 128-bit FMA of an A73 is two micro-ops,
as in its predecessor (dense came out a fourth too fast), that its caches fill at .7 of the A72's rate, where what was
measured says up to 30 % slower, and that each half of an A53's 128-bit load avoids the fourth cycle of a multiply-add,
where ncnn's notes speak of loads. The rules for full windows, for fills of in-order cores and for vectors across words
are of the cores, but each was tried with these times in sight. What still disagrees is told in `docs/validation.md` and
`tests/hw_models/test_cpus_published.py`.
"""

from __future__ import annotations

from collections import defaultdict
from collections.abc import Mapping
from dataclasses import dataclass, field

import numpy as np
from numpy.typing import NDArray

from hw_models.cpus.addresses import BUDGET, touch, warm
from hw_models.cpus.cache import Fills, Hierarchy
from hw_models.cpus.config import CpuConfig
from hw_models.cpus.issue import Pace, pace
from hw_models.cpus.split import TURNS, split_loads, splits
from hw_models.cpus.stream import TARGETS, body_stream, loop_end, with_misses
from kernels.loops import Block, Kernel, Kind, Repeat
from kernels.loops.program import Program
from traces.errors import InputError

Ints = NDArray[np.int64]

_ON_CORE = ("inner loops", "unaligned loads", "row overhead", "mispredicts", "l1 misses", "packing")
#: What a group of ports is called in reports.
_NAMES = {"memory": "loads", "load": "loads", "neon": "fma", "store": "stores"}


@dataclass(frozen=True, slots=True, kw_only=True)
class LayerTime:
    """What a program takes on one core.

    Attributes
    ----------
    cycles
        In all.
    parts
        Cycles by cause: ``inner loops``, ``row overhead``, ``mispredicts``, ``l1 misses``, and for each level what its
        fills take by themselves (``l2``, ``l3``, ``dram``), and ``tlb``. They overlap, so they need not add up.
    bound_by
        What limits it: ``issue``, ``loads``, ``fma`` or ``latency`` of the inner loop, ``l1`` (its misses), ``l2``,
        ``l3``, ``dram``, ``tlb``, or ``row overhead`` (with mispredicted exits).
    fills
        Lines filled, by level.
    dram_bytes
        Moved from and to DRAM.
    """

    cycles: float
    parts: dict[str, float]
    bound_by: str
    fills: Fills
    dram_bytes: float

    @property
    def on_core_cycles(self) -> float:
        """Cycles without waiting for DRAM's bandwidth."""
        own = sum(self.parts.get(name, 0.0) for name in _ON_CORE)
        return max(own, *(self.parts.get(name, 0.0) for name in ("l2", "l3")))

    def __repr__(self) -> str:
        return f"LayerTime({self.cycles:,.0f} cycles, bound by {self.bound_by})"


@dataclass(slots=True)
class Core:
    """One core running code of one target; it remembers the pace of the loops it has seen.

    Parameters
    ----------
    cpu
        The core.
    target
        Name of the code generator, one of `hw_models.cpus.stream.TARGETS`; by default hand-written code for the core's
        instruction set.
    """

    cpu: CpuConfig
    target: str = ""
    _known: dict[tuple[Kernel, int], dict[str, Pace]] = field(default_factory=dict)
    _slow: dict[tuple[Kernel, str], tuple[float, int]] = field(default_factory=dict)

    def __post_init__(self) -> None:
        self.target = self.target or self.cpu.isa
        if self.target not in TARGETS:
            raise InputError.must("the target", f"one of {', '.join(TARGETS)}", self.target)

    def caches(self) -> Hierarchy:
        """Return this core's caches, empty."""
        return Hierarchy(self.cpu.caches, self.cpu.tlb)

    def paces(self, kernel: Kernel, turns: int = 8) -> dict[str, Pace]:
        """Return what one turn of each loop of a kernel takes beside the loops in it.

        Innermost loops within the loop at hand are taken ``turns`` times: that is how much of their beginning and end
        overlaps. Around other loops nothing is taken to overlap.
        """
        key = kernel, turns
        if key not in self._known:
            self._known[key] = dict(self._loop_paces(kernel, turns))
        return self._known[key]

    def _loop_paces(self, kernel: Kernel, turns: int) -> list[tuple[str, Pace]]:
        target = TARGETS[self.target]
        found: dict[str, Pace] = {}

        def visit(loop: Repeat) -> float:
            """Return the cycles of one turn, with the loops in it turned as often as the stream has them."""
            inside = [node for node in loop.body if isinstance(node, Repeat)]
            inner = sum(turns * visit(node) for node in inside)
            body = loop.body
            if any(isinstance(node, Repeat) for nest in inside for node in nest.body):
                body, inner = tuple(node for node in body if isinstance(node, Block)), 0.0
            stream = [*body_stream(kernel, body, target, turns), *loop_end(loop, target)]
            if not inside and target.lane_multiply and self.cpu.core.split_loads and splits(stream):
                whole = pace(self.cpu, split_loads(stream), TURNS)
            else:
                whole = pace(self.cpu, stream)
            found[loop.name] = Pace(max(whole.cycles - inner, 0.0), whole.bound_by, whole.floors)
            return whole.cycles

        for node in kernel.body:
            if isinstance(node, Repeat):
                visit(node)
        return list(found.items())

    def time(self, program: Program, caches: Hierarchy | None = None, budget: int = BUDGET) -> LayerTime:
        """Return what a program takes.

        Parameters
        ----------
        program
            Calls on a memory, as `kernels.loops.layer` makes them.
        caches
            What the caches hold before; by default the program's activations, as far as they fit.
        budget
            Accesses of a call that are run through the caches; the rest is extrapolated.
        """
        if caches is None:
            caches = self.caches()
            warm(program, caches)
        memory = program.image.copy()
        steady = rows = exits = late = slots = turns = loads = beats = 0.0
        fills = caches.run(np.zeros(0, np.int64))
        binding: defaultdict[str, float] = defaultdict(float)
        for call in program.calls:
            touched = touch(call, memory, caches, budget)
            fills = fills + touched.fills
            inner = {loop.name for loop in call.kernel.loops() if all(isinstance(n, Block) for n in loop.body)}
            trips = [touched.turns[name] for name in inner if len(touched.turns.get(name, ()))]
            mean = float(np.clip(np.mean(np.concatenate(trips)), 1, 16)) if trips else 8.0
            mean = 2 ** round(np.log2(mean))  # a few lengths stand for all, so that most have been seen before
            missing = float(touched.fills.demand.sum())
            for name, one in self.paces(call.kernel, mean).items():
                count = call.iterations[name]
                if name not in inner:
                    rows += one.cycles * count
                    continue
                steady += one.cycles * count
                loads += one.floors[self.cpu.operation("load_vector").port] * count
                turns += count
                slots += count * one.floors["issue"] * self.cpu.core.dispatch_width
                binding[one.bound_by] += one.cycles * count
                slow, lines = self._missing(call.kernel, name)
                beats += touched.unaligned * self._halves(call.kernel, name) * count
                late += (slow - one.cycles) * min(count, missing / max(lines, 1))
            exits += self._mispredicts(touched.turns, call.iterations)
        missed = exits * self.cpu.at(self.cpu.core.mispredict_cycles)
        l1 = self.cpu.caches[0]
        filling = float(fills.total.sum()) * l1.line_bytes / self.cpu.at(l1.fill_bytes_per_cycle)
        if self.cpu.core.in_order:
            filling *= min(1.0, loads / max(steady, 1.0))
        else:
            filling = max(0.0, loads + filling - steady)
        if not self.cpu.core.in_order:
            beats = max(0.0, loads + beats - steady)
        parts = {"inner loops": steady, "unaligned loads": beats, "row overhead": rows, "mispredicts": missed}
        parts["l1 misses"] = max(late, filling)
        levels, waits = self._memory(fills, max(1.0, fills.accesses / max(turns, 1.0) - 1), slots / max(turns, 1.0))
        return self._sum_up(parts, levels, waits, binding, fills)

    def _missing(self, kernel: Kernel, name: str) -> tuple[float, int]:
        """Return the cycles of one turn of an innermost loop whose lines all come from the L2, and those lines."""
        if (kernel, name) not in self._slow:
            target, vectors = TARGETS[self.target], self.cpu.caches[0].line_bytes // (4 * kernel.lanes)
            (loop,) = (loop for loop in kernel.loops() if loop.name == name)
            stream = [*body_stream(kernel, loop.body, target, 1), *loop_end(loop, target)]
            changed, lines = with_misses(stream, max(1, vectors))
            self._slow[kernel, name] = (pace(self.cpu, changed).cycles, lines)
        return self._slow[kernel, name]

    def _halves(self, kernel: Kernel, name: str) -> float:
        """Return the cycles that one turn of a loop takes more where no vector is aligned to a port's 8 bytes.

        A 64-bit port reads 128 bits in two parts, and in three where they lie in three words.
        """
        operation = self.cpu.operation("load_vector")
        if self.cpu.at(operation.busy_cycles) < 2:
            return 0.0
        (loop,) = (loop for loop in kernel.loops() if loop.name == name)
        ops = (op for node in loop.body if isinstance(node, Block) for op in node.ops)
        return sum(op.kind == Kind.LOAD_VECTOR for op in ops) / self.cpu.core.ports[operation.port]

    def _mispredicts(self, turns: dict[str, Ints], iterations: Mapping[str, int]) -> float:
        """Return the exits of loops predicted wrongly in a whole call, from those seen."""
        learned = self.cpu.at(self.cpu.core.learned_exits)
        wrong = 0.0
        for name, trips in turns.items():
            if len(trips):
                good = (trips[1:] == trips[:-1]) & (trips[1:] <= learned)
                share = (len(trips) - int(np.count_nonzero(good))) / max(int(trips.sum()), 1)
                wrong += share * iterations[name]
        return wrong

    def _memory(self, fills: Fills, burst: float, slots: float) -> tuple[dict[str, float], float]:
        """Return what the fills of each level take by themselves, and what loads wait for them one after the other.

        ``burst`` lines are asked for in one turn of the inner loop, which is ``slots`` micro-ops long.
        """
        cpu, caches = self.cpu, self.cpu.caches
        line = caches[0].line_bytes
        below = [
            (f"l{level}", cpu.at(c.latency_cycles), cpu.at(c.fill_bytes_per_cycle))
            for level, c in enumerate(caches[1:], 2)
        ]
        below.append(("dram", cpu.dram_latency_cycles, cpu.dram_bytes_per_cycle))
        reach = burst if cpu.core.in_order else burst * max(1.0, cpu.core.window / max(slots, 1.0))
        # Out of order, work goes on behind a miss until the window is full.
        drain = 0.0 if cpu.core.in_order else cpu.core.window / cpu.core.dispatch_width
        times: dict[str, float] = {}
        waits, hidden = 0.0, cpu.at(caches[0].latency_cycles)
        for at, (name, latency, rate) in enumerate(below):
            moved = float(fills.total[at:].sum() + fills.written[at:].sum()) * line  # what is written goes back one day
            if at == 0 and len(below) > 1:  # the L2: its latency is in the pace of the loops
                times[name], hidden = moved / rate, latency
                continue
            in_flight = min(cpu.at(cache.misses_in_flight) for cache in caches[: at + 1])
            wait = float(fills.demand[at]) * max(0.0, latency - hidden - drain) / max(1.0, min(in_flight, reach))
            times[name] = max(moved / rate, wait)
            waits += wait
        times["tlb"] = fills.pages * max(0.0, cpu.at(cpu.tlb.miss_cycles) - drain)
        return times, waits + times["tlb"]

    def _sum_up(
        self,
        parts: dict[str, float],
        levels: dict[str, float],
        waits: float,
        binding: Mapping[str, float],
        fills: Fills,
    ) -> LayerTime:
        busy = sum(parts.values())
        slowest = max(levels, key=lambda name: levels[name])
        cycles = max(busy + waits, levels[slowest])
        if max(levels[slowest], waits) > busy:
            bound = slowest
        elif parts["l1 misses"] > busy / 2:
            bound = "l1"
        elif parts["row overhead"] + parts["mispredicts"] > busy / 2:
            bound = "row overhead"
        else:
            name = max(binding, key=lambda name: binding[name]) if binding else "issue"
            bound = _NAMES.get(name, name)
        line = self.cpu.caches[0].line_bytes
        moved = float(fills.total[-1] + fills.written[-1]) * line
        return LayerTime(cycles=cycles, parts=parts | levels, bound_by=bound, fills=fills, dram_bytes=moved)
