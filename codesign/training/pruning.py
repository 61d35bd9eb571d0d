"""Pruning: the pattern and the weights of the backward pass, beside those of the forward pass.

BDWP (SAT, arXiv 2309.13015) prunes one tensor twice: N:M along the input channels, the reduction of the forward
product, and N:M along the output channels, the reduction of the input gradient. The second mask needs the weights as
they were before the first.
"""

from __future__ import annotations

from collections.abc import Callable

import numpy as np
from numpy.typing import NDArray

from codesign.patterns import NM, Pattern, parse_pattern
from codesign.training.products import transposed
from traces.graph import OpGraph
from traces.op import Op

Weights = NDArray[np.float32]


def backward_pattern(graph: OpGraph, op: Op) -> Pattern | None:
    """Return the pattern of W in the input gradient of an op; None for dense.

    N:M runs along the output channels there. Any other pattern is one mask for both passes, whose shape in the
    transposed tensor has no name: its sparsity is declared.
    """
    text = graph.patterns.get(op.name)
    if text is None or op.gemm is None:
        return None
    pattern = parse_pattern(text)
    if isinstance(pattern, NM):
        gemm = op.gemm
        removes = pattern.removes((gemm.groups, gemm.channels, gemm.filters), gemm.filters)
        return pattern if removes else None
    return parse_pattern(f"unstructured:{round(1 - pattern.density, 12)}") if pattern.density < 1 else None


def backward_weights(graph: OpGraph, op: Op, dense: Callable[[str], Weights | None]) -> Weights | None:
    """Return W of the input gradient, (groups, channels, kernel_h, kernel_w, n), pruned for the backward pass.

    Parameters
    ----------
    graph
        The sparsified forward graph.
    op
        One of its array ops with a `backward_pattern`.
    dense
        Gives the weights of a key as they were before they were pruned; None where they are not in memory.

    Returns
    -------
    NDArray or None
        None where they are not in memory: the pattern is only declared then.
    """
    pattern, gemm, key = backward_pattern(graph, op), op.gemm, op.weight or ""
    assert gemm is not None
    if not isinstance(pattern, NM):
        return transposed(graph.weights[key], gemm) if key in graph.weights else None
    unpruned = dense(key)
    if unpruned is None:
        return None
    backward = transposed(unpruned, gemm)
    mask = pattern.mask(backward.reshape(gemm.groups, gemm.channels, -1), gemm.filters)
    return np.where(mask.reshape(backward.shape), backward, np.float32(0))


def traced_weights(graph: OpGraph, key: str) -> Weights | None:
    """Return a tensor of the traced program, (groups, n, k), which pruning does not touch; None without a program."""
    if graph.program is None or key not in graph.program.layouts:
        return None
    values: Weights = graph.program.state[key].detach().float().numpy(force=True)
    return graph.program.layouts[key].to_gemm(values)
