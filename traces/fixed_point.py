"""Fixed point: weights as narrow integers with a power-of-two step."""

from __future__ import annotations

import numpy as np

from traces.errors import InputError
from traces.graph import OpGraph


def quantise_weights(graph: OpGraph, bits: int = 8) -> OpGraph:
    """Return the graph with every GEMM weight rounded to a signed fixed-point number of that many bits.

    Each tensor has the smallest power-of-two step with which its largest magnitude fits, as binary points placed a
    layer. Biases keep their precision. Weights that round to zero are zeros from then on.

    Raises
    ------
    InputError
        If ``bits`` is not a whole number from 2 to 16, or the graph has no weights in memory.
    """
    if not isinstance(bits, int) or not 2 <= bits <= 16:
        raise InputError.must("bits", "a whole number from 2 to 16", bits)
    if not graph.weights:
        raise InputError(f"{graph.name} has no weights in memory to round; trace the model with its weights")
    most = 2 ** (bits - 1) - 1
    rounded = {}
    for key, weight in graph.weights.items():
        largest = float(np.abs(weight).max())
        step = np.float32(2.0 ** np.ceil(np.log2(largest / most))) if largest else np.float32(1)
        rounded[key] = np.round(weight / step) * step
    return graph.with_weights(rounded, {})
