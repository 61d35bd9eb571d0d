"""Count: how often each op of a kernel runs, exactly, given how often its loops turn."""

from __future__ import annotations

from collections import Counter
from collections.abc import Iterator, Mapping

from kernels.loops.nest import Block, Kernel, Node, Repeat

BRANCH = "branch"
"""The key under which the compare-and-branches of loops are counted."""


def block_counts(kernel: Kernel, iterations: Mapping[str, int]) -> Iterator[tuple[Block, int]]:
    """Yield each block with the number of times it runs.

    Parameters
    ----------
    kernel
        The kernel, called once.
    iterations
        For each loop, by name, how often its body runs in the whole call: of a loop over the entries of rows, the sum
        of the rows' lengths times the strips. The layouts of this package give it.
    """
    for node, times in _runs(kernel.body, 1, iterations):
        if isinstance(node, Block):
            yield node, times


def branches(kernel: Kernel, iterations: Mapping[str, int]) -> int:
    """Return the compare-and-branches of one call: one for each turn of a loop, and one where it may be skipped."""
    return sum(
        iterations[node.name] + times * node.may_skip
        for node, times in _runs(kernel.body, 1, iterations)
        if isinstance(node, Repeat)
    )


def count(kernel: Kernel, iterations: Mapping[str, int]) -> Counter[str]:
    """Return how often each kind of op runs in one call, and under ``branch`` the compare-and-branches."""
    total = Counter({BRANCH: branches(kernel, iterations)})
    for block, times in block_counts(kernel, iterations):
        for op in block.ops:
            total[op.kind.value] += times
    return total


def _runs(nodes: tuple[Node, ...], times: int, iterations: Mapping[str, int]) -> Iterator[tuple[Node, int]]:
    """Yield every node with how often it is reached."""
    for node in nodes:
        yield node, times
        if isinstance(node, Repeat):
            yield from _runs(node.body, iterations[node.name], iterations)
