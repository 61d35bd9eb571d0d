"""Stream: from the op trace of a kernel to the instructions that a target's code generator makes of it.

Targets are `TARGETS`: hand-written NEON and AVX, and what a WebAssembly engine makes of the same trace on either
machine. The differences are few and each is a field of `Target`, with its evidence.
"""

from __future__ import annotations

from collections import Counter
from collections.abc import Iterator, Sequence
from dataclasses import dataclass, replace
from itertools import pairwise

from hw_models.cpus.instruction import Instruction
from kernels.loops.nest import Block, Kernel, Node, Repeat
from kernels.loops.op import Kind, Op


@dataclass(frozen=True, slots=True)
class Target:
    """What a code generator can do.

    Attributes
    ----------
    fused_multiply_add
        Otherwise a multiplication and an addition; WebAssembly without relaxed SIMD has nothing else.
    lane_multiply
        An FMA can take one lane of a register (NEON), so that a splat costs no instruction.
    memory_operands
        A load that one instruction uses shares its slot (x86), and an index is added by the addressing mode.
    offset_adds
        Loads at an offset from an address that is base + 32-bit index take an addition (AArch64 has no such mode).
    offset_splats
        Only splats take that addition (AArch64's ld1r has no offset), and splat while they load.
    fused_branch
        Compare and branch are one micro-op.
    hoists
        Loads of a turn are issued before its arithmetic, as compilers and hand-written kernels do.
    pipelines
        The index and weight of the next entry are loaded during this one (XNNPACK's and Paddle-Lite's kernels do).
    prefetches
        Prefetch instructions for each entry of a sparse row.
    loop_check
        Instructions an engine adds to every turn of a loop, as (loads, integers, branches).
    registers
        Vector registers.
    evidence
        Where this is from.
    """

    fused_multiply_add: bool = True
    lane_multiply: bool = False
    memory_operands: bool = False
    offset_adds: bool = False
    offset_splats: bool = False
    fused_branch: bool = False
    hoists: bool = True
    pipelines: bool = False
    prefetches: int = 0
    loop_check: tuple[int, int, int] = (0, 0, 0)
    registers: int = 32
    evidence: tuple[str, ...] = ()


_NEON = Target(
    lane_multiply=True,
    pipelines=True,
    prefetches=1,
    evidence=(
        "one prfm for each entry: Paddle-Lite's sparse_conv_impl.cc (read); XNNPACK's are about as many",
        "FMLA by element; XNNPACK's f32-spmm *_neonfma_pipelined load the next entry's index, weight and inputs before"
        " the FMAs of this one. The libraries' own order is in kernels.loops.delta_strip, which nothing moves",
    ),
)
_AVX = Target(
    memory_operands=True,
    fused_branch=True,
    registers=32,
    evidence=(
        "operands in memory are one fused micro-op, cmp+jcc fuse: AMD software optimisation guides 57647, 58455",
    ),
)
_WASM = (
    "explicit bounds checks are replaced by guard pages in wasmtime and V8 on 64-bit hosts: no instruction",
    "plain SIMD has no FMA: f32x4.mul and f32x4.add; relaxed SIMD's f32x4.relaxed_madd is one FMA",
)
_V8_CHECK = "V8 tests a stack limit on every back edge of a wasm loop: a load, a compare and a branch"
_A64_MODE = "AArch64 has no mode base + zero-extended index + offset: an offset that is not 0 costs an add"

#: Code generators by name.
TARGETS: dict[str, Target] = {
    "neon": _NEON,
    "neon-plain": Target(offset_splats=True, hoists=False, evidence=("`hw_models.cpus.assembly`, op by op",)),
    "avx512": _AVX,
    "avx2": replace(_AVX, registers=16),
    "wasm-wasmtime-arm": Target(fused_multiply_add=False, offset_adds=True, hoists=False, evidence=(*_WASM, _A64_MODE)),
    "wasm-v8-arm": Target(
        fused_multiply_add=True,
        offset_adds=True,
        hoists=False,
        loop_check=(1, 1, 1),
        evidence=(*_WASM, _A64_MODE, _V8_CHECK),
    ),
    "wasm-wasmtime-x86": Target(
        fused_multiply_add=False, memory_operands=True, fused_branch=True, hoists=False, registers=16, evidence=_WASM
    ),
    "wasm-v8-x86": Target(
        fused_multiply_add=True,
        memory_operands=True,
        fused_branch=True,
        hoists=False,
        registers=16,
        loop_check=(1, 0, 1),
        evidence=(*_WASM, _V8_CHECK),
    ),
}


def body_stream(kernel: Kernel, body: Sequence[Node], target: Target, turns: int) -> list[Instruction]:
    """Return one turn of a loop's body, each loop in it taken ``turns`` times, without its own branch."""
    facts = _Facts.of(kernel)
    target = replace(target, hoists=False) if kernel.scheduled else target
    stream: list[Instruction] = []
    for node in body:
        if isinstance(node, Block):
            stream += block_stream(node.ops, target, facts, inner=len(body) == 1)
        else:
            inside = [*body_stream(kernel, node.body, target, turns), *loop_end(node, target)]
            stream += [*(loop_end(node, target) if node.may_skip else []), *inside * turns]
    return stream


def loop_end(loop: Repeat, target: Target) -> list[Instruction]:
    """Return the compare-and-branch of a loop, and what an engine adds to it."""
    loads, integers, branches = target.loop_check
    check = [Instruction("load_scalar", (), "limit")] * loads + [Instruction("integer", ("limit",), "flag")] * integers
    check += [Instruction("branch", ("flag",) if integers else ("limit",))] * branches
    compare = (loop.pointer, loop.end)
    if target.fused_branch:
        return [*check, Instruction("branch", compare)]
    return [*check, Instruction("integer", compare, "flags"), Instruction("branch", ("flags",))]


@dataclass(frozen=True, slots=True)
class _Facts:
    """What is known of the registers of a kernel: those only ever multiplied by, and the sums."""

    factors: frozenset[str]
    pointers_only: frozenset[str]

    @classmethod
    def of(cls, kernel: Kernel) -> _Facts:
        factors: set[str] = set()
        others: set[str] = set()
        pointers: Counter[str] = Counter()
        integers: set[str] = set()
        for op in kernel.ops():
            if op.kind == Kind.FMA:
                factors |= set(op.ins[1:])
                others.add(op.ins[0])
            else:
                others |= set(op.vectors)
            if op.kind in (Kind.LOAD_VECTOR, Kind.LOAD_SPLAT, Kind.STORE_VECTOR):
                pointers[op.ins[0]] += 1
            integers |= set(op.pointers) - ({op.ins[0]} if op.kind in (Kind.LOAD_VECTOR, Kind.LOAD_SPLAT) else set())
        return cls(frozenset(factors - others), frozenset(set(pointers) - integers))


def block_stream(ops: Sequence[Op], target: Target, facts: _Facts, *, inner: bool) -> list[Instruction]:
    """Return the instructions of straight-line ops; ``inner`` where they are all of a loop's body."""
    merged = list(_merge_splats(ops, target, facts))
    stream = _resolve_aliases([i for op in _rename(merged) for i in _instructions(op, target, facts)])
    if target.memory_operands:
        stream = _fuse_loads(stream)
    if target.hoists:
        stream = _hoist(stream, target, pipelined=target.pipelines and inner)
    return stream


def _merge_splats(ops: Sequence[Op], target: Target, facts: _Facts) -> Iterator[Op]:
    """Yield the ops, four splats of adjacent factors made one vector load where FMAs can take a lane of it."""
    splats = [op for op in ops if op.kind == Kind.LOAD_SPLAT and op.out in facts.factors]
    whole = len(splats) // 4 * 4
    near = all(b.offset == a.offset + 4 and b.ins == a.ins for a, b in pairwise(splats[:whole]))
    if not target.lane_multiply or not whole or not near:
        yield from ops
        return
    lane_of: dict[str, str] = {}
    at = 0
    for op in ops:
        if op.kind == Kind.LOAD_SPLAT and op.out in facts.factors and at < whole:
            if at % 4 == 0:
                yield replace(op, kind=Kind.LOAD_VECTOR, out=f"few{at // 4}")
            lane_of[op.out] = f"few{at // 4}"
            at += 1
        else:
            yield replace(op, ins=tuple(lane_of.get(name, name) for name in op.ins))


def _rename(ops: Sequence[Op]) -> Iterator[Op]:
    """Yield the ops, a register that is loaded several times made several: its one name says nothing of timing."""
    fresh = (Kind.LOAD_VECTOR, Kind.LOAD_SPLAT, Kind.LOAD_INDEX, Kind.ADD_INDEX)
    written = Counter(op.out for op in ops if op.out not in op.ins)
    now: dict[str, str] = {}
    for at, op in enumerate(ops):
        ins = tuple(now.get(name, name) for name in op.ins)
        if op.out is not None and op.kind in fresh and written[op.out] > 1 and op.out not in op.ins:
            now[op.out] = f"{op.out}@{at}"
        yield replace(op, ins=ins, out=now.get(op.out, op.out) if op.out is not None else None)


_VECTOR = {
    Kind.MUL: "mul",
    Kind.ADD: "add",
    Kind.MAX: "add",
    Kind.MIN: "add",
    Kind.EVEN: "shuffle",
    Kind.ODD: "shuffle",
    Kind.SLIDE: "shuffle",
    Kind.ZERO: "move",
}


def _instructions(op: Op, target: Target, facts: _Facts) -> Iterator[Instruction]:
    """Yield what one op becomes."""
    kind, out = op.kind, op.out
    pointer = op.ins[0] if op.ins else ""
    if kind in (Kind.LOAD_VECTOR, Kind.LOAD_SPLAT, Kind.LOAD_INDEX, Kind.STORE_VECTOR):
        if op.offset and (target.offset_adds or (target.offset_splats and kind == Kind.LOAD_SPLAT)):
            yield Instruction("integer", (pointer,), f"{pointer}+{op.offset}")
            pointer = f"{pointer}+{op.offset}"
        if kind == Kind.STORE_VECTOR:
            yield Instruction("store_vector", (pointer, op.ins[1]))
        elif kind == Kind.LOAD_INDEX:
            yield Instruction("load_scalar", (pointer,), out)
        elif kind == Kind.LOAD_VECTOR:
            yield Instruction("load_vector", (pointer,), out)
        elif target.lane_multiply or target.memory_operands or target.offset_splats:
            yield Instruction("load_splat", (pointer,), out)
        else:
            yield Instruction("load_splat", (pointer,), f"{out}'")
            yield Instruction("shuffle", (f"{out}'",), out)
    elif kind == Kind.FMA:
        if target.fused_multiply_add:
            yield Instruction("fma", op.ins[1:], out, adds_to=op.ins[0])
        else:
            yield Instruction("mul", op.ins[1:], "product")
            yield Instruction("add", ("product", op.ins[0]), out)
    elif kind == Kind.PREFETCH:
        yield Instruction("prefetch", (pointer,))
    elif kind == Kind.LANE_INDEX:
        yield Instruction("transfer", op.ins, out)
    elif kind == Kind.SPLAT_LANE:
        if target.lane_multiply and out in facts.factors:
            yield Instruction("alias", op.ins, out)
        else:
            yield Instruction("shuffle", op.ins, out)
    elif kind in _VECTOR:
        yield Instruction(_VECTOR[kind], op.ins, out)
    elif kind == Kind.ADD_INDEX and target.memory_operands and out in facts.pointers_only:
        yield Instruction("alias", op.ins, out)
    else:
        yield Instruction("integer", op.ins, out)


def with_misses(stream: Sequence[Instruction], vectors_a_line: int) -> tuple[list[Instruction], int]:
    """Return the stream with a miss for each line that its vectors come from, and how many those are.

    Pointers that walk on by themselves are left out: the prefetcher has their lines there in time.
    """
    walking = {one.writes for one in stream if one.kind == "integer" and one.reads == (one.writes,)}
    waits: dict[str, str] = {}
    loaded: Counter[str] = Counter()
    result: list[Instruction] = []
    for one in stream:
        if one.kind == "load_vector" and one.writes is not None and not walking & set(one.reads):
            base = "+".join(one.reads)
            line = f"line {base} {loaded[base] // vectors_a_line}"
            if loaded[base] % vectors_a_line == 0:
                result.append(Instruction("miss", one.reads, line))
            loaded[base] += 1
            waits[one.writes] = line
        if one.kind == "prefetch" and not walking & set(one.reads):
            result.append(Instruction("miss", one.reads))
        lines = tuple(dict.fromkeys(waits[read] for read in one.reads if read in waits))
        result.append(replace(one, reads=(*one.reads, *lines)) if lines else one)
    return result, sum(-(-count // vectors_a_line) for count in loaded.values())


def _resolve_aliases(stream: Sequence[Instruction]) -> list[Instruction]:
    """Return the stream without its aliases: a reader of one reads what the alias stands for."""
    stands: dict[str, tuple[str, ...]] = {}
    kept = []
    for one in stream:
        reads = tuple(name for read in one.reads for name in stands.get(read, (read,)))
        if one.kind == "alias" and one.writes is not None:
            stands[one.writes] = reads
            continue
        kept.append(replace(one, reads=reads))
    return kept


def _fuse_loads(stream: list[Instruction]) -> list[Instruction]:
    """Return the stream with loads that only one FMA, addition or multiplication uses marked as its operand."""
    uses = Counter(read for one in stream for read in one.reads)
    arithmetic = {read for one in stream if one.kind in ("fma", "mul", "add") for read in one.reads}
    result = []
    for one in stream:
        fits = one.kind == "load_vector" and one.writes in arithmetic and uses[one.writes] == 1
        result.append(replace(one, fused=True) if fits else one)
    return result


def _hoist(stream: list[Instruction], target: Target, *, pipelined: bool) -> list[Instruction]:
    """Return the stream with loads and addresses first, then arithmetic, as far as there are registers.

    Pipelined, the scalars of the next turn (index, address, weight) are loaded after this turn's inputs are.
    """
    sums = {one.adds_to or one.writes for one in stream if one.kind in ("fma", "mul", "add")}
    room = max(2, target.registers - len(sums) - 2)
    result: list[Instruction] = []
    waiting: list[Instruction] = []
    loaded = 0
    for one in stream:
        if not _early(one):
            waiting.append(one)
            continue
        if loaded == room or any(_clash(one, earlier) for earlier in waiting):
            result += waiting
            waiting, loaded = [], 0
        loaded += one.kind == "load_vector"
        result.append(one)
    result += waiting
    if not pipelined:
        return result
    inputs = [one for one in result if one.kind == "load_vector"]
    indices = [one for one in result if one.kind == "load_scalar"]
    weights = [one for one in result if one.kind == "load_splat"]
    addresses = [one for one in result if one.kind == "integer" and _early(one)]
    ahead = [Instruction("load_scalar", one.reads) for one in addresses[:1] for _ in range(target.prefetches)]
    return [*inputs, *indices, *ahead, *(one for one in result if not _early(one)), *addresses, *weights]


def _early(one: Instruction) -> bool:
    """Return whether an instruction only fetches: a load, or an address that does not update itself."""
    return one.kind.startswith("load") or (one.kind == "integer" and one.writes not in one.reads)


def _clash(one: Instruction, earlier: Instruction) -> bool:
    """Return whether two instructions must stay in order."""
    return earlier.writes in one.reads or (
        one.writes is not None and one.writes in (*earlier.reads, earlier.writes, earlier.adds_to)
    )
