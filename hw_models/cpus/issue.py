"""Issue: how many cycles a core takes for one turn of a loop, from its ports, latencies, width and window.

Every instruction is dispatched in order, ``dispatch_width`` micro-ops a cycle, and then

- out of order: waits for its operands and for a free port, the oldest first, and leaves the window in order;
- in order: issues no earlier than the one before it, once its operands are there and its port is free.

The stream is repeated until the pace no longer depends on how it began. Branches are predicted rightly here. Loads hit
the L1 cache, unless the stream has misses in it (`hw_models.cpus.stream.with_misses`): a miss holds one of the L1's
fill buffers for the latency of the L2, and whoever uses what was loaded waits for it.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from typing import NamedTuple

import numba
import numpy as np
from numpy.typing import NDArray

from hw_models.cpus.config import CLASSES, CpuConfig
from hw_models.cpus.instruction import Instruction

Ints = NDArray[np.int64]

MISS = "miss"
_KINDS = (*CLASSES, MISS)
_NUMBER = {kind: number for number, kind in enumerate(_KINDS)}
#: Operands of an instruction that the scheduler looks at.
_MOST_READS = 4
#: Turns before the pace is taken, at least, and instructions until it is.
_WARM_TURNS, _INSTRUCTIONS = 8, 1500


@dataclass(frozen=True, slots=True)
class Pace:
    """What one turn of a loop takes.

    Attributes
    ----------
    cycles
        A turn, in the steady state.
    bound_by
        ``issue`` (the dispatch width), a group of ports, or ``latency`` where nothing is full all the time.
    floors
        Cycles that the dispatch and each group of ports need at least, by name.
    """

    cycles: float
    bound_by: str
    floors: dict[str, float]


class _Code(NamedTuple):
    """A loop as compiled code takes it.

    Of each instruction its class, slots of the window, registers read, written and added to; of each class its port
    group, busy cycles, latency and accumulation latency; the first port of each group; which class blocks which; width,
    window, turns, and the gap of loads with the classes that it is about.
    """

    kinds: Ints
    slots: Ints
    reads: Ints
    writes: Ints
    sums: Ints
    rules: Ints
    ports: Ints
    blocks: NDArray[np.bool_]
    limits: Ints


def pace(cpu: CpuConfig, stream: Sequence[Instruction], unrolled: int = 1) -> Pace:
    """Return the steady state of a loop of which ``stream`` is one turn, or ``unrolled`` turns."""
    if not stream:
        return Pace(0.0, "issue", {"issue": 0.0})
    core = cpu.core
    names = list(core.ports)
    kinds = np.array([_NUMBER[i.kind] for i in stream], np.int64)
    uops = np.array([*(round(cpu.at(cpu.operation(kind).uops)) for kind in CLASSES), 0], np.int64)
    slots = np.where(np.array([i.fused for i in stream]), 0, uops[kinds])
    reads, writes, sums = _registers(stream)
    next_level = cpu.caches[min(1, len(cpu.caches) - 1)]
    wait = round(cpu.at(next_level.latency_cycles) - cpu.at(cpu.caches[0].latency_cycles))
    rules = np.array([*(_rule(cpu, kind, names) for kind in CLASSES), (len(names), wait, wait, wait)], np.int64)
    counts = [*(core.ports[name] for name in names), max(1, round(cpu.at(cpu.caches[0].misses_in_flight)))]
    blocks = np.zeros((len(_KINDS), len(_KINDS)), np.bool_)
    for kind in CLASSES:
        for blocked in cpu.operation(kind).blocks:
            blocks[CLASSES.index(kind), CLASSES.index(blocked)] = True
    turns = 2 * max(_WARM_TURNS, -(-_INSTRUCTIONS // len(stream)))
    ports = np.concatenate(([0], np.cumsum(counts))).astype(np.int64)
    run = _in_order if core.in_order else _out_of_order
    special = [core.load_gap_cycles, *(_KINDS.index(kind) for kind in ("fma", "load_vector", "load_splat"))]
    limits = np.array([core.dispatch_width, core.window, turns, *special], np.int64)
    ends = run(_Code(kinds, slots, reads, writes, sums, rules, ports, blocks, limits))
    cycles = float(ends[-1] - ends[turns // 2 - 1]) / (turns - turns // 2) / unrolled
    floors = {"issue": float(slots.sum()) / core.dispatch_width / unrolled}
    for at, name in enumerate(names):
        floors[name] = float(rules[kinds, 1][rules[kinds, 0] == at].sum()) / core.ports[name] / unrolled
    binding = max(floors, key=lambda name: floors[name])
    return Pace(cycles, binding if floors[binding] > 0.93 * cycles else "latency", floors)


def _rule(cpu: CpuConfig, kind: str, ports: list[str]) -> tuple[int, int, int, int]:
    """Return the port group, busy cycles, latency and accumulation latency of a class."""
    operation = cpu.operation(kind)
    latency = cpu.at(operation.latency_cycles)
    adds = latency if operation.accumulate_cycles is None else cpu.at(operation.accumulate_cycles)
    return ports.index(operation.port), round(cpu.at(operation.busy_cycles)), round(latency), round(adds)


def _registers(stream: Sequence[Instruction]) -> tuple[Ints, Ints, Ints]:
    """Return the numbers of the registers read (padded by -1), written and added to."""
    number: dict[str | None, int] = {None: -1}
    reads = np.full((len(stream), _MOST_READS), -1, np.int64)
    for at, instruction in enumerate(stream):
        for name in (*instruction.reads, instruction.writes, instruction.adds_to):
            number.setdefault(name, len(number) - 1)
        reads[at, : len(instruction.reads)] = [number[name] for name in instruction.reads]
    writes = np.array([number[i.writes] for i in stream], np.int64)
    return reads, writes, np.array([number[i.adds_to] for i in stream], np.int64)


@numba.njit(cache=True)
def _ready(i: int, reads: Ints, sums: Ints, kinds: Ints, rules: Ints, at: Ints, summed: Ints, last: Ints) -> int:
    """Return the cycle in which all operands of an instruction are there."""
    ready = 0
    for slot in range(reads.shape[1]):
        if reads[i, slot] >= 0:
            ready = max(ready, at[reads[i, slot]])
    if sums[i] >= 0:
        forwarded = last[sums[i]] == kinds[i]
        ready = max(ready, summed[sums[i]] if forwarded else at[sums[i]])
    return ready


@numba.njit(cache=True)
def _out_of_order(code: _Code) -> Ints:
    """Return the cycle in which the last instruction of each turn has left the window.

    Instructions are placed oldest first, each in the first cycle in which it is ready and a port of its group is free:
    just what a scheduler does that always picks the oldest.
    """
    kinds, slots, reads, writes, sums, rules, ports, _, limits = code
    count, (width, window, turns) = len(kinds), limits[:3]
    registers = max(reads.max(), writes.max(), sums.max()) + 1
    at, summed, last = np.zeros(registers, np.int64), np.zeros(registers, np.int64), np.full(registers, -1, np.int64)
    length = 1 << 14
    taken = np.full((ports[-1], length), -1, np.int64)
    retired = np.zeros(window, np.int64)
    ends = np.zeros(turns, np.int64)
    dispatch, used, retire, leaving, uop = 0, 0, 0, 0, 0
    for turn in range(turns):
        for i in range(count):
            for _ in range(slots[i]):
                earliest = retired[uop % window]
                if earliest > dispatch:
                    dispatch, used = earliest, 0
                if used == width:
                    dispatch, used = dispatch + 1, 0
                used += 1
                uop += 1
            group, busy, latency, adds = rules[kinds[i]]
            cycle = max(dispatch + 1, _ready(i, reads, sums, kinds, rules, at, summed, last))
            port = -1
            while port < 0:
                for candidate in range(ports[group], ports[group + 1]):
                    free = True
                    for ahead in range(busy):
                        if taken[candidate, (cycle + ahead) % length] == cycle + ahead:
                            free = False
                            break
                    if free:
                        port = candidate
                        break
                if port < 0:
                    cycle += 1
            for ahead in range(busy):
                taken[port, (cycle + ahead) % length] = cycle + ahead
            # A store, or a write nobody waits for, still leaves the window when it is done.
            if writes[i] >= 0:
                at[writes[i]], summed[writes[i]] = cycle + latency, cycle + adds
                last[writes[i]] = kinds[i]
            done = cycle + latency
            for back in range(slots[i]):
                if done > retire:
                    retire, leaving = done, 0
                if leaving == 2 * width:
                    retire, leaving = retire + 1, 0
                leaving += 1
                retired[(uop - slots[i] + back) % window] = retire
        ends[turn] = retire
    return ends


@numba.njit(cache=True)
def _in_order(code: _Code) -> Ints:
    """Return the cycle in which the last instruction of each turn issues.

    A vector load passes beat by beat: none can be where a multiply-add reads its sum.
    """
    kinds, slots, reads, writes, sums, rules, ports, blocks, limits = code
    width, turns, gap, fma = limits[0], limits[2], limits[3], limits[4]
    summing = np.full(64, -1, np.int64)
    registers = max(reads.max(), writes.max(), sums.max()) + 1
    at, summed, last = np.zeros(registers, np.int64), np.zeros(registers, np.int64), np.full(registers, -1, np.int64)
    free_at = np.zeros(ports[-1], np.int64)
    open_at = np.zeros(blocks.shape[0], np.int64)
    ends = np.zeros(turns, np.int64)
    now, used = 0, 0
    for turn in range(turns):
        for i in range(len(kinds)):
            group, busy, latency, adds = rules[kinds[i]]
            cycle = max(now, _ready(i, reads, sums, kinds, rules, at, summed, last), open_at[kinds[i]])
            port = ports[group]
            for candidate in range(ports[group], ports[group + 1]):
                if free_at[candidate] < free_at[port]:
                    port = candidate
            cycle = max(cycle, free_at[port])
            if cycle == now and used + slots[i] > width:
                cycle += 1
            # A class that must not be beside this one, issued just before it, pushes it to the next cycle.
            if cycle == now and used > 0 and blocks[kinds[i], kinds[i - 1]]:
                cycle += 1
            cycle = max(cycle, free_at[port], open_at[kinds[i]])
            late = 0
            if gap and (kinds[i] == limits[5] or kinds[i] == limits[6]):
                while summing[(cycle - gap) % 64] == cycle - gap:
                    cycle += 1
                for beat in range(1, busy):
                    while summing[(cycle + beat + late - gap) % 64] == cycle + beat + late - gap:
                        late += 1
            if kinds[i] == fma:
                summing[cycle % 64] = cycle
            used = used + slots[i] if cycle == now else slots[i]
            now = cycle
            free_at[port] = cycle + busy + late
            for other in range(blocks.shape[0]):
                if blocks[kinds[i], other]:
                    open_at[other] = max(open_at[other], cycle + busy + late)
            latency += late
            adds += late
            if writes[i] >= 0:
                at[writes[i]], summed[writes[i]] = cycle + latency, cycle + adds
                last[writes[i]] = kinds[i]
        ends[turn] = now
    return ends
