"""Nest: straight-line blocks and loops, and the kernel they make."""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import dataclass

from kernels.loops.op import INTEGER, Op


@dataclass(frozen=True, slots=True)
class Block:
    """Ops that run one after the other.

    Attributes
    ----------
    ops
        In the order in which they run.
    """

    ops: tuple[Op, ...]


@dataclass(frozen=True, slots=True)
class Repeat:
    """A loop: its body runs, again and again, until a pointer reaches its end; the test is at the bottom.

    Each iteration so costs one compare-and-branch beside its body. The body must advance the pointer, by steps that
    hit the end exactly.

    Attributes
    ----------
    name
        What is counted, unique in the kernel: ``strips``, ``rows``, ``entries``.
    pointer, end
        The integer registers compared; the end does not change in the loop.
    body
        What runs.
    may_skip
        Whether the loop may have nothing to do. Then one compare-and-branch more comes first, each time that the loop
        is reached.
    """

    name: str
    pointer: str
    end: str
    body: tuple[Node, ...]
    may_skip: bool = False


Node = Block | Repeat


@dataclass(frozen=True, slots=True)
class Kernel:
    """A function of integer parameters on one flat memory of bytes.

    Attributes
    ----------
    name
        An identifier: letters, digits and underscores.
    parameters
        Integer registers set by the caller: addresses, ends, strides; all in bytes.
    body
        The nest.
    lanes
        float32 lanes of a vector: 4 for WebAssembly and NEON, 8 or 16 for wider machines.
    scheduled
        Whether ops stand in the order in which the code of a library has them, so that no code generator moves them.
    """

    name: str
    parameters: tuple[str, ...]
    body: tuple[Node, ...]
    lanes: int = 4
    scheduled: bool = False

    def __post_init__(self) -> None:
        """Refuse a register that is read before it is written, or is an integer here and a vector there.

        Raises
        ------
        ValueError
            With the op that is wrong, or the name of a loop that is there twice.
        """
        integers, vectors = set(self.parameters), set[str]()
        names = [loop.name for loop in self.loops()]
        if len(set(names)) < len(names):
            raise ValueError(f"the loops of a kernel must have different names, not {names}")
        for loop_or_op in _steps(self.body):
            if isinstance(loop_or_op, Repeat):
                if not {loop_or_op.pointer, loop_or_op.end} <= integers:
                    raise ValueError(f"the pointer and end of loop {loop_or_op.name} must be set before it")
                continue
            op = loop_or_op
            if not (integers.issuperset(op.pointers) and vectors.issuperset(op.vectors)):
                raise ValueError(f"an op must read registers that were written, of the right type: {op}")
            if op.out is not None:
                own, other = (integers, vectors) if op.kind in INTEGER else (vectors, integers)
                if op.out in other:
                    raise ValueError(f"a register must be an integer or a vector, not both: {op}")
                own.add(op.out)

    def loops(self) -> Iterator[Repeat]:
        """Yield all loops, an outer one before those in it."""
        return (step for step in _steps(self.body) if isinstance(step, Repeat))

    def ops(self) -> Iterator[Op]:
        """Yield all ops once, as written. Their place in this order is the number that the machine records."""
        return (step for step in _steps(self.body) if isinstance(step, Op))

    def integers(self) -> tuple[str, ...]:
        """Return the integer registers, parameters first."""
        found = dict.fromkeys(self.parameters)
        return tuple(found | dict.fromkeys(op.out for op in self.ops() if op.out and op.kind in INTEGER))

    def vectors(self) -> tuple[str, ...]:
        """Return the vector registers."""
        return tuple(dict.fromkeys(op.out for op in self.ops() if op.out and op.kind not in INTEGER))

    def __str__(self) -> str:
        return "\n".join([f"{self.name}({', '.join(self.parameters)})", *_lines(self.body, "    ")])


def _steps(nodes: tuple[Node, ...]) -> Iterator[Op | Repeat]:
    """Yield loops and ops in the order in which they are written."""
    for node in nodes:
        if isinstance(node, Block):
            yield from node.ops
        else:
            yield node
            yield from _steps(node.body)


def _lines(nodes: tuple[Node, ...], indent: str) -> Iterator[str]:
    """Yield the text of a nest."""
    for node in nodes:
        if isinstance(node, Block):
            yield from (f"{indent}{op}" for op in node.ops)
        else:
            test = "while" if node.may_skip else "until"
            yield f"{indent}{node.name}: {test} {node.pointer} {'!=' if node.may_skip else '=='} {node.end}"
            yield from _lines(node.body, indent + "    ")
