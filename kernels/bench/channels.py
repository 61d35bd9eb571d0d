"""Our dense depthwise convolution, without zeros, against the libraries' own."""

from __future__ import annotations

from collections.abc import Iterator

import numpy as np

from kernels.baselines import LIBRARIES, draw
from kernels.baselines.ours import dense
from kernels.bench.against import Setting, Sparse, against
from kernels.bench.nets import Layer
from kernels.bench.row import Row, Work

OTHERS = tuple(name for name in LIBRARIES if name != "ours")


def time_layer(layer: Layer, setting: Setting) -> Iterator[Row]:
    """Yield the row of one depthwise layer; the baseline is the fastest library beside ours."""
    problem = layer.problem
    operands = draw(problem, setting.seed, inputs=1)
    moved = 4 * int(np.prod(problem.x_shape) + np.prod(problem.weight_shape) + np.prod(problem.y_shape))
    contender = dense(problem, operands, setting.threads)
    ours = Sparse("dense", 0.0, operands, contender, Work(problem.flops, moved))
    return against(layer, "depthwise", operands, [ours], setting, OTHERS)
