"""Split: a dense inner loop as libraries write it for in-order cores whose vector loads stop their multiply-adds.

A 128-bit load there holds the load port for two cycles in which no multiply-add issues. So 64 bits are loaded into a
vector register and 64 into an integer register, which is then inserted: of the three instructions only the first takes
a cycle from the multiply-adds. Loads are for the registers of the next turn, one for every three multiply-adds, and a
cycle is left empty where none is left: a load then issues in the fourth cycle of no multiply-add (ncnn's notes on the
A53; Paddle-Lite's 8x12 kernel for the A53 is laid out just so).
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import replace

from hw_models.cpus.instruction import Instruction

#: Turns of the loop in the stream that `split_loads` returns: registers alternate between two sets.
TURNS = 2
#: Multiply-adds between two loads: the fourth cycle of none of them is then that of a load.
_GROUP = 3
_NOP = Instruction("integer")


def splits(stream: Sequence[Instruction]) -> bool:
    """Return whether a turn has three multiply-adds or more for each vector load, so that its pieces can hide."""
    loads = sum(one.kind == "load_vector" for one in stream)
    return 0 < _GROUP * loads <= sum(one.kind == "fma" for one in stream)


def split_loads(stream: Sequence[Instruction]) -> list[Instruction]:
    """Return two turns of a loop with its vector loads in halves, spread between its multiply-adds."""
    loaded = {one.writes for one in stream if one.kind == "load_vector"}
    whole: list[Instruction] = []
    for turn in range(TURNS):
        names = {str(name): f"{name}'{turn}" for name in loaded}
        ahead = {str(name): f"{name}'{(turn + 1) % TURNS}" for name in loaded}
        whole += _turn(stream, names, ahead)
    return whole


def _turn(stream: Sequence[Instruction], names: dict[str, str], ahead: dict[str, str]) -> list[Instruction]:
    """Return one turn: it uses ``names`` and loads ``ahead``."""
    loads = [one for one in stream if one.kind == "load_vector"]
    rest = [one for one in stream if one.kind not in ("load_vector", "fma")]
    products = [one for one in stream if one.kind == "fma"]
    result: list[Instruction] = []
    inserts: list[Instruction] = []
    for first in range(0, len(products), _GROUP):
        group = [
            replace(one, reads=tuple(names.get(read, read) for read in one.reads))
            for one in products[first : first + _GROUP]
        ]
        beside = [*inserts, _NOP][:1]
        if loads:
            load = loads.pop(0)
            target = ahead[str(load.writes)]
            low, high = f"{target} low", f"{target} high"
            result += [replace(load, kind="load_splat", writes=low), *beside]
            result += [group[0], Instruction("load_scalar", load.reads, high), *group[1:]]
            inserts = [Instruction("move", (low, high), target)]
        else:
            result += [_NOP, *beside, group[0], *rest[:1], *group[1:]]
            inserts, rest = [], rest[1:]
    return [*result, *inserts, *rest]
