"""Addresses: what a program touches, line by line, and how often its loops turn, from its own run.

Of each kernel only what makes addresses is kept (indices, pointers, loops; vectors that lie in one cache line are
loaded once), and that is run on the program's memory by the machine of `kernels.loops`: the real stream, some ten
times faster.
The first turns of the outermost loop (strips, channels, events) are run; the rest is extrapolated from the later ones.
"""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from dataclasses import dataclass, replace

import numpy as np
from numpy.typing import NDArray

from hw_models.cpus.cache import WRITTEN, Fills, Hierarchy
from kernels.loops import INTEGER, Block, Kernel, Kind, Node, Op, load_index, zero
from kernels.loops.machine import Accesses, accesses
from kernels.loops.program import Call, Program

Ints = NDArray[np.int64]

#: Accesses of a call that are run through the caches before the rest is extrapolated; cycles then are within 4 % of
#: those of running all, on layers of MobileNet-v1 (the worst is the first, at 112 x 112).
BUDGET = 300_000
_NOTHING, _MARK, _SAFE = "nothing", "mark", "anywhere"


@dataclass(frozen=True, slots=True)
class Touched:
    """What one call did.

    Attributes
    ----------
    fills
        Lines filled in the whole call.
    turns
        For each innermost loop, by name: how often it turned each time it was reached, in order, as far as run.
    unaligned
        Share of vector loads whose address is no multiple of 8 bytes.
    """

    fills: Fills
    turns: dict[str, Ints]
    unaligned: float = 0.0


def touch(call: Call, memory: NDArray[np.uint8], caches: Hierarchy, budget: int = BUDGET) -> Touched:
    """Run a call's addresses through the caches.

    Whole turns of the outermost loop are run until the budget is spent, but at least two. Those left out are taken to
    cost what those of the later half cost: the first find in the caches what the layer before has left.
    """
    kernel, marks = _addresses_only(call.kernel, caches.line_bytes)
    ops = list(kernel.ops())
    written = np.array([op.kind == Kind.STORE_VECTOR for op in ops])
    marked = np.array([op.out == _MARK for op in ops])
    ahead = np.array([op.kind == Kind.PREFETCH for op in ops])
    outermost = next(call.kernel.loops()).name
    begins = marks[outermost][1]
    some: list[tuple[Fills, int]] = []
    ran = 0
    seen: list[Ints] = []
    vectors = np.array([op.kind == Kind.LOAD_VECTOR for op in ops])
    accessed = loaded = unaligned = 0
    for op, address in _turns_of(accesses(kernel, {**call.arguments, _SAFE: 0}, memory, 1 << 15), begins):
        real = ~marked[op]
        lines, which = address[real] // caches.line_bytes, op[real]
        found = caches.run(np.where(ahead[which], -1 - lines, lines * 2 + WRITTEN * written[which]))
        turns = int(np.count_nonzero(op == begins))
        some.append((found, turns))
        ran += turns
        loads = address[vectors[op]]
        loaded, unaligned = loaded + len(loads), unaligned + int(np.count_nonzero(loads % 8))
        seen.append(op)
        accessed += len(op)
        if accessed >= budget and ran >= 2:
            break
    nothing = Fills(0.0, *np.zeros((3, caches.levels)))
    if not some:
        return Touched(nothing, {})
    fills = sum((found for found, _ in some), nothing)
    later = some[len(some) // 2 :]
    turns, left = sum(turns for _, turns in later), call.iterations[outermost] - ran
    if left > 0 and turns:
        fills = fills + sum((found for found, _ in later), nothing).times(left / turns)
    return Touched(fills, _trips(np.concatenate(seen), marks), unaligned / max(loaded, 1))


def warm(program: Program, caches: Hierarchy) -> None:
    """Put the activations into the caches, written in order, as the layer before has left them."""
    begins = [call.arguments["x"] for call in program.calls if "x" in call.arguments]
    if begins:
        bases = {value for call in program.calls for value in call.arguments.values() if value > max(begins)}
        ends = {call.arguments["x_end"] for call in program.calls if "x_end" in call.arguments}
        end = min(bases - ends, default=min(begins))
        end = min((call.arguments["y"] for call in program.calls if "y" in call.arguments), default=end)
        caches.run(np.arange(min(begins) // caches.line_bytes, end // caches.line_bytes, dtype=np.int64) * 2 + WRITTEN)


def _addresses_only(kernel: Kernel, line: int) -> tuple[Kernel, dict[str, tuple[int, int]]]:
    """Return the kernel without arithmetic, and for each loop the numbers of two marks.

    Marks are loads, from a place that is always there, that the caches do not see: one before the loop is reached, one
    as the first of each of its turns.
    """
    marks: dict[str, tuple[int, int]] = {}

    def thin(nodes: tuple[Node, ...], number: int) -> tuple[tuple[Node, ...], int]:
        result: list[Node] = []
        for node in nodes:
            if isinstance(node, Block):
                ops = tuple(_thin(node.ops, line))
                result.append(Block(ops))
                number += len(ops)
                continue
            mark = Block((load_index(_MARK, _SAFE),))
            marks[node.name] = (number, number + 1)
            inner, number = thin(node.body, number + 2)
            result += [mark, replace(node, body=(mark, *inner))]
        return tuple(result), number

    body, _ = thin(kernel.body, 1)
    return Kernel(kernel.name, (*kernel.parameters, _SAFE), (Block((zero(_NOTHING),)), *body), kernel.lanes), marks


def _thin(ops: Sequence[Op], line: int) -> Iterator[Op]:
    """Yield the ops that make addresses. Of vectors in a row by one pointer, one a line and the last are kept."""
    kept: dict[tuple[str, bool], int] = {}
    last: dict[tuple[str, bool], Op] = {}
    indices = {op.ins[0] for op in ops if op.kind == Kind.LANE_INDEX}
    for op in ops:
        if op.kind in (Kind.PREFETCH, Kind.LANE_INDEX) or (op.kind == Kind.LOAD_VECTOR and op.out in indices):
            yield op
        elif op.kind in INTEGER:
            for key in [key for key in kept if key[0] == op.out]:
                if key in last:
                    yield last.pop(key)
                del kept[key]
            if op.kind == Kind.LOAD_INDEX:
                kept.setdefault((op.ins[0], False), op.offset)
            yield op
        elif op.kind in (Kind.LOAD_VECTOR, Kind.LOAD_SPLAT, Kind.STORE_VECTOR):
            stores = op.kind == Kind.STORE_VECTOR
            key = (op.ins[0], stores)
            slim = replace(op, ins=(op.ins[0], _NOTHING)) if stores else replace(op, out=_NOTHING)
            if key not in kept or not 0 <= op.offset - kept[key] < line:
                kept[key] = op.offset
                last.pop(key, None)
                yield slim
            elif op.kind != Kind.LOAD_SPLAT:
                last[key] = slim
    yield from last.values()


def _turns_of(parts: Iterator[Accesses], begins: int) -> Iterator[tuple[Ints, Ints]]:
    """Yield the ops and addresses of whole turns of the loop whose turns begin with a mark: the first by itself.

    Later ones come several at once, since a loop may have many short turns.
    """
    op, address = np.zeros((2, 0), np.int64)
    alone = True
    for part in parts:
        op, address = np.concatenate((op, part.op)), np.concatenate((address, part.address))
        starts = np.flatnonzero(op == begins)
        if alone and len(starts) > 1:
            yield op[: starts[1]], address[: starts[1]]
            op, address, starts, alone = op[starts[1] :], address[starts[1] :], starts[1:] - starts[1], False
        if not alone and len(starts) > 1 and starts[-1] > 0:
            yield op[: starts[-1]], address[: starts[-1]]
            op, address = op[starts[-1] :], address[starts[-1] :]
    if len(op):
        yield op, address


def _trips(op: Ints, marks: dict[str, tuple[int, int]]) -> dict[str, Ints]:
    """Return how often each loop turned each time it was reached."""
    trips = {}
    for name, (reach, turn) in marks.items():
        reached, turned = np.flatnonzero(op == reach), np.flatnonzero(op == turn)
        trips[name] = np.diff(np.searchsorted(turned, np.append(reached, len(op))))
    return trips
