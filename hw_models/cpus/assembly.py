"""Assembly: a kernel as AArch64 text, op by op, for checks from outside: run by an emulator, timed by other models.

It is not what the core model times by default (`hw_models.cpus.stream` schedules), but the target ``neon-plain``: one
instruction after the other, as the trace has them. Addresses are those of the flat memory, which lies at address 0.
"""

from __future__ import annotations

from collections.abc import Iterator

from kernels.loops import Block, Kernel, Kind, Node, Op
from traces.errors import InputError

_BINARY = {
    Kind.MUL: "fmul",
    Kind.ADD: "fadd",
    Kind.MAX: "fmax",
    Kind.MIN: "fmin",
    Kind.EVEN: "uzp1",
    Kind.ODD: "uzp2",
}
_SCRATCH = "x29"


class _Registers:
    """Which machine register holds which name: every name has its own."""

    def __init__(self, kernel: Kernel) -> None:
        integers, vectors = kernel.integers(), kernel.vectors()
        if len(integers) > 28 or len(vectors) > 32 or kernel.lanes != 4:
            raise InputError(
                f"kernel {kernel.name} must fit 28 integer and 32 vector registers of 4 lanes to be written as"
                f" assembly, not {len(integers)} and {len(vectors)} of {kernel.lanes}"
            )
        self.names = {name: f"x{number}" for number, name in enumerate(integers, 1)}
        self.names |= {name: f"v{number}" for number, name in enumerate(vectors)}

    def __getitem__(self, name: str) -> str:
        return self.names[name]


def function(kernel: Kernel) -> str:
    """Return the kernel as a function that takes the address of its parameters (8 bytes each) in ``x0``.

    Raises
    ------
    InputError
        If it needs more registers than there are.
    """
    registers = _Registers(kernel)
    lines = [f"ldr {registers[name]}, [x0, #{8 * number}]" for number, name in enumerate(kernel.parameters)]
    return "\n".join([*lines, *_lines(kernel.body, registers, ["0"]), "ret"]) + "\n"


def innermost(kernel: Kernel) -> str:
    """Return the last innermost loop of the kernel, its branch to label ``loop`` included."""
    loop = [loop for loop in kernel.loops() if all(isinstance(node, Block) for node in loop.body)][-1]
    registers = _Registers(kernel)
    body = list(_lines(loop.body, registers, ["0"]))
    compare = f"cmp {registers[loop.pointer]}, {registers[loop.end]}"
    return "\n".join(["loop:", *body, compare, "b.ne loop"]) + "\n"


def _lines(nodes: tuple[Node, ...], registers: _Registers, label: list[str]) -> Iterator[str]:
    """Yield the lines of a nest; ``label`` counts the labels given."""
    for node in nodes:
        if isinstance(node, Block):
            for op in node.ops:
                yield from _op(op, registers)
            continue
        label[0] = str(int(label[0]) + 1)
        top, end = f"top{label[0]}", f"end{label[0]}"
        compare = f"cmp {registers[node.pointer]}, {registers[node.end]}"
        if node.may_skip:
            yield from (compare, f"b.eq {end}")
        yield f"{top}:"
        yield from _lines(node.body, registers, label)
        yield from (compare, f"b.ne {top}", f"{end}:")


def _op(op: Op, registers: _Registers) -> Iterator[str]:
    """Yield the instructions of one op."""
    out = "" if op.out is None else registers[op.out]
    ins = [registers[name] for name in op.ins]
    if op.kind in (Kind.LOAD_VECTOR, Kind.STORE_VECTOR):
        verb, data = ("ldr", out) if op.kind == Kind.LOAD_VECTOR else ("str", ins[1])
        near = -256 <= op.offset < 256 or op.offset % 16 == 0
        if not near:
            yield f"add {_SCRATCH}, {ins[0]}, #{op.offset}"
        place = f"[{ins[0]}, #{op.offset}]" if near else f"[{_SCRATCH}]"
        scaled = op.offset % 16 == 0 and op.offset >= 0
        yield f"{verb if scaled or not near else verb.replace('d', 'du').replace('st', 'stu')} q{data[1:]}, {place}"
    elif op.kind == Kind.LOAD_SPLAT:
        if op.offset:
            yield f"add {_SCRATCH}, {ins[0]}, #{op.offset}"
        yield f"ld1r {{{out}.4s}}, [{_SCRATCH if op.offset else ins[0]}]"
    elif op.kind == Kind.LOAD_INDEX:
        yield f"ldrsw {out}, [{ins[0]}, #{op.offset}]"
    elif op.kind == Kind.FMA:
        yield f"fmla {out}.4s, {ins[1]}.4s, {ins[2]}.4s"
    elif op.kind == Kind.SLIDE:
        yield f"ext {out}.16b, {ins[0]}.16b, {ins[1]}.16b, #{4 * op.offset}"
    elif op.kind == Kind.LANE_INDEX:
        yield f"smov {out}, {ins[0]}.s[{op.offset}]"
    elif op.kind == Kind.PREFETCH:
        yield f"prfm pldl1keep, [{ins[0]}, #{op.offset}]"
    elif op.kind == Kind.SPLAT_LANE:
        yield f"dup {out}.4s, {ins[0]}.s[{op.offset}]"
    elif op.kind == Kind.ZERO:
        yield f"movi {out}.2d, #0"
    elif op.kind in _BINARY:
        yield f"{_BINARY[op.kind]} {out}.4s, {ins[0]}.4s, {ins[1]}.4s"
    elif op.kind == Kind.ADVANCE:
        yield f"{'add' if op.offset >= 0 else 'sub'} {out}, {ins[0]}, #{abs(op.offset)}"
    elif op.kind == Kind.ADD_INDEX:
        yield f"add {out}, {ins[0]}, {ins[1]}"
    else:
        yield f"mov {out}, {ins[0]}"
