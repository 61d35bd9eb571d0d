"""Emit: WebAssembly text of kernels, from their traces.

Every op becomes its operands' ``local.get``, one operator and a ``local.set``; engines turn locals into registers.
"""

from __future__ import annotations

from collections.abc import Iterator, Sequence

from kernels.loops.nest import Block, Kernel, Node
from kernels.loops.op import Kind, Op
from kernels.loops.program import Call

LANES = 4
"""float32 lanes of WebAssembly's vectors."""

PAGE = 65536
"""Bytes of a page of linear memory."""

SIMPLE = {
    Kind.LOAD_VECTOR: "v128.load",
    Kind.LOAD_SPLAT: "v128.load32_splat",
    Kind.LOAD_INDEX: "i32.load",
    Kind.STORE_VECTOR: "v128.store",
    Kind.MUL: "f32x4.mul",
    Kind.ADD: "f32x4.add",
    Kind.MAX: "f32x4.pmax",
    Kind.MIN: "f32x4.pmin",
    Kind.EVEN: "i8x16.shuffle 0 1 2 3 8 9 10 11 16 17 18 19 24 25 26 27",
    Kind.ODD: "i8x16.shuffle 4 5 6 7 12 13 14 15 20 21 22 23 28 29 30 31",
    Kind.ADD_INDEX: "i32.add",
    Kind.COPY: "",
}
"""The operator of a kind on its operands in order. Minimum and maximum are those that are one instruction on all
machines; they differ from the others only for NaN."""


def instructions(op: Op, fused: bool) -> list[str]:
    """Return the instructions of an op.

    Parameters
    ----------
    op
        What to emit.
    fused
        Whether a multiply-add is ``relaxed_madd`` (relaxed SIMD), which is one instruction on a machine that has it,
        or a multiplication and an addition.
    """
    gets = [f"local.get ${name}" for name in op.ins]
    sets = [] if op.out is None else [f"local.set ${op.out}"]
    if op.kind in SIMPLE:
        operator = SIMPLE[op.kind]
        if op.offset:
            operator += f" offset={op.offset}"
        middle = [*gets, operator] if operator else gets
    elif op.kind is Kind.FMA and fused:
        middle = [*gets[1:], gets[0], "f32x4.relaxed_madd"]
    elif op.kind is Kind.FMA:
        middle = [*gets, "f32x4.mul", "f32x4.add"]
    elif op.kind is Kind.SPLAT_LANE:
        lane = [4 * op.offset + byte for byte in range(4)] * LANES
        middle = [*gets, *gets, f"i8x16.shuffle {' '.join(map(str, lane))}"]
    elif op.kind is Kind.ADVANCE:
        middle = [*gets, f"i32.const {op.offset}", "i32.add"]
    else:
        middle = ["v128.const f32x4 0 0 0 0"]
    return [*middle, *sets]


def module(calls: Sequence[Call], arguments: int, pages: int, fused: bool) -> str:
    """Return a module that makes the calls: exported ``once``, ``repeat`` (so many times) and ``memory``.

    Arguments are read from memory, one call's behind the other's: so an engine cannot compile a kernel for the sizes
    of one layer.

    Parameters
    ----------
    calls
        What ``once`` calls; only their kernels and the number of their arguments matter.
    arguments
        Address of the arguments.
    pages
        Size of the memory, which is exported, in pages.
    fused
        See `instructions`.

    Raises
    ------
    ValueError
        If a kernel has not WebAssembly's 4 lanes.
    """
    kernels = {call.kernel.name: call.kernel for call in calls}
    once, at = [], arguments
    for call in calls:
        for _ in call.kernel.parameters:
            once.append(f"i32.const 0 i32.load offset={at}")
            at += 4
        once.append(f"call ${call.kernel.name}")
    repeat = "(loop $again call $once local.get $times i32.const 1 i32.sub local.tee $times br_if $again)"
    parts = [
        f'(memory (export "memory") {pages})',
        *(_function(kernel, fused) for kernel in kernels.values()),
        '(func $once (export "once")',
        *once,
        ")",
        f'(func (export "repeat") (param $times i32) {repeat})',
    ]
    return "\n".join(["(module", *parts, ")"])


def _function(kernel: Kernel, fused: bool) -> str:
    """Return the function of a kernel."""
    if kernel.lanes != LANES:
        raise ValueError(f"a kernel for WebAssembly must have {LANES} lanes, not {kernel.lanes}")
    own = [name for name in kernel.integers() if name not in kernel.parameters]
    return "\n".join(
        [
            f"(func ${kernel.name}",
            *(f"(param ${name} i32)" for name in kernel.parameters),
            *(f"(local ${name} i32)" for name in own),
            *(f"(local ${name} v128)" for name in kernel.vectors()),
            *_nest(kernel.body, fused),
            ")",
        ]
    )


def _nest(nodes: Sequence[Node], fused: bool) -> Iterator[str]:
    """Yield the instructions of a nest."""
    for node in nodes:
        if isinstance(node, Block):
            for op in node.ops:
                yield from instructions(op, fused)
            continue
        label = "$" + node.name.replace(" ", "_")
        test = [f"local.get ${node.pointer}", f"local.get ${node.end}"]
        if node.may_skip:
            yield from (f"block {label}_skip", *test, "i32.eq", f"br_if {label}_skip")
        yield f"loop {label}"
        yield from _nest(node.body, fused)
        yield from (*test, "i32.ne", f"br_if {label}", "end")
        if node.may_skip:
            yield "end"
