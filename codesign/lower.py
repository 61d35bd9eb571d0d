"""Lower: from a graph of ops to the tasks that a systolic accelerator works off, one after the other."""

from __future__ import annotations

from dataclasses import dataclass

from hw_models.systolic.config import SystolicConfig
from hw_models.systolic.folds import ceil_div
from hw_models.systolic.steps import Nest
from traces.graph import OpGraph
from traces.nm import parse_nm
from traces.op import ELEMENTWISE_KINDS, Op


@dataclass(frozen=True, slots=True)
class Task:
    """An op with what is fused onto it.

    Attributes
    ----------
    op
        Runs on the array if it has a gemm, else on the vector unit.
    fused
        Elementwise ops done on its output on the way out, at no memory traffic of their own.
    dense, compressed
        The loop nest over all weights and, where the array can skip the pattern of W, over the kept ones only;
        None for a vector op.
    after
        Indices of the tasks whose outputs it reads.
    """

    op: Op
    fused: tuple[Op, ...]
    dense: Nest | None
    compressed: Nest | None
    after: tuple[int, ...]

    @property
    def lane_ops(self) -> int:
        """Vector work of a vector op and what is fused onto it."""
        return sum(op.vector.lane_ops for op in (self.op, *self.fused) if op.vector)

    @property
    def prefetchable(self) -> bool:
        """Whether operand W is a parameter, which can be loaded before the op's turn."""
        return self.op.weight is not None


def lower(graph: OpGraph, config: SystolicConfig) -> list[Task]:
    """Return the tasks of a graph in program order, elementwise ops fused onto their only producer."""
    chains: dict[str, list[Op]] = {}
    head: dict[str, str] = {}
    for op in graph:
        producers = graph.producers(op.name)
        if op.kind in ELEMENTWISE_KINDS and len(producers) == 1 and graph.consumers(producers[0]) == [op.name]:
            head[op.name] = head[producers[0]]
            chains[head[op.name]].append(op)
        else:
            head[op.name] = op.name
            chains[op.name] = [op]
    number = {name: i for i, name in enumerate(chains)}
    tasks = []
    for op, *fused in chains.values():
        after = sorted({number[head[name]] for name in graph.producers(op.name)})
        dense = compressed = None
        if op.gemm is not None:
            dense = _nest(op, tuple(fused), 1, 1)
            n, m = _skippable(graph.patterns.get(op.name), config.array.nm_max_m)
            if n < m and op.weight is not None:
                compressed = _nest(op, tuple(fused), n, m)
        tasks.append(Task(op, tuple(fused), dense, compressed, tuple(after)))
    return tasks


def _skippable(pattern: str | None, max_m: int) -> tuple[int, int]:
    """Return N and M of a pattern that the array can skip; 1 and 1 if it can't."""
    if pattern is None or not pattern[0].isdigit():
        return 1, 1
    n, m = parse_nm(pattern)
    return (n, m) if m <= max_m else (1, 1)


def _nest(op: Op, fused: tuple[Op, ...], n: int, m: int) -> Nest:
    gemm = op.gemm
    assert gemm is not None
    post = sum(ceil_div(f.vector.lane_ops, gemm.output_elements) for f in fused if f.vector)
    recurrent = op.kind == "recurrent"
    return Nest(
        batch=gemm.batch,
        in_h=gemm.in_h,
        in_w=gemm.in_w,
        out_h=gemm.out_h,
        out_w=gemm.out_w,
        kernel_h=gemm.kernel_h,
        kernel_w=gemm.kernel_w,
        stride_h=gemm.stride_h,
        stride_w=gemm.stride_w,
        pad_h=gemm.pad_h,
        pad_w=gemm.pad_w,
        dilation_h=gemm.dilation_h,
        dilation_w=gemm.dilation_w,
        channels=gemm.channels,
        filters=gemm.filters,
        groups=gemm.groups,
        keep_n=n,
        keep_m=m,
        flat=op.declared is not None,
        timestep_rows=gemm.m // op.timesteps if recurrent else 0,
        stored_n=gemm.k if recurrent else gemm.filters,
        post_lane_ops=post,
        gate_lane_ops=ceil_div(op.gate_lane_ops, gemm.m),
    )
