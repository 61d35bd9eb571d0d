"""Fuel: the operators that a program executes, counted from its trace, as wasmtime's fuel counts them when it runs.

Found by experiment with wasmtime 50: ``block``, ``loop``, ``end``, ``nop``, ``drop`` and ``return`` cost nothing, every
other operator one unit, and every entry of a function one more.
"""

from __future__ import annotations

from kernels.loops.counts import block_counts, branches
from kernels.loops.program import Program
from kernels.wasm.emit import instructions

BRANCH = 4
"""Operators of a loop's test: two ``local.get``, the comparison, ``br_if``."""

ARGUMENT = 2
"""Operators of an argument: its address and its load."""


def fuel(program: Program, fused: bool) -> int:
    """Return the units of fuel that one run takes, exactly.

    Parameters
    ----------
    program
        What is run.
    fused
        Whether a multiply-add is one operator: see `kernels.wasm.emit.instructions`.
    """
    units = 1  # entering the function that makes the calls
    for call in program.calls:
        units += ARGUMENT * len(call.kernel.parameters) + 2  # the call, and entering the kernel
        for block, times in block_counts(call.kernel, call.iterations):
            units += times * sum(len(instructions(op, fused)) for op in block.ops)
        units += BRANCH * branches(call.kernel, call.iterations)
    return units
