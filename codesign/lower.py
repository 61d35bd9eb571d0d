"""Lower: from a graph of ops to the tasks that a systolic accelerator works off, one after the other."""

from __future__ import annotations

from dataclasses import dataclass

from codesign.fuse import Chain, fuse
from hw_models.network.steps import ceil_div
from hw_models.systolic.config import SystolicConfig
from hw_models.systolic.tiling import Nest
from traces.graph import OpGraph
from traces.nm import parse_nm
from traces.op import Op


@dataclass(frozen=True, slots=True)
class Task:
    """An op with what is fused onto it, and its loop nests.

    Attributes
    ----------
    chain
        The op runs on the array if it has a gemm, else on the vector unit.
    dense, compressed
        The loop nest over all weights and, where the array can skip the pattern of W, over the kept ones only;
        None for a vector op.
    """

    chain: Chain
    dense: Nest | None
    compressed: Nest | None

    @property
    def op(self) -> Op:
        """The op at the head of the chain."""
        return self.chain.op

    @property
    def prefetchable(self) -> bool:
        """Whether operand W is a parameter, which can be loaded before the op's turn."""
        return self.op.weight is not None


def lower(graph: OpGraph, config: SystolicConfig) -> list[Task]:
    """Return the tasks of a graph in program order."""
    tasks = []
    for chain in fuse(graph):
        op, dense, compressed = chain.op, None, None
        if op.gemm is not None:
            dense = _nest(op, chain.fused, 1, 1)
            n, m = _skippable(graph.patterns.get(op.name), config.array.nm_max_m)
            if n < m and op.weight is not None:
                compressed = _nest(op, chain.fused, n, m)
        tasks.append(Task(chain, dense, compressed))
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
