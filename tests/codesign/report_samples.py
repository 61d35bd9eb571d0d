"""Reports of small networks, for the tests of what users see."""

from functools import cache
from itertools import pairwise

import numpy as np

from codesign.report import Report
from codesign.simulation import simulate
from traces.gemm import Gemm
from traces.graph import OpGraph
from traces.op import Op
from traces.vector import VectorWork

CONV_CSV = """Layer name, IFMAP height, IFMAP width, Filter height, Filter width, Channels, Num filter, Strides,
first, 34, 34, 3, 3, 3, 16, 1,
second, 34, 34, 3, 3, 16, 32, 1,
last, 1, 1, 1, 1, 512, 10, 1,
"""


def chain(*ops: Op, seed: int = 0) -> OpGraph:
    """Return a graph of ops one after the other, its weights half zeros."""
    random = np.random.default_rng(seed)
    weights = {}
    for op in ops:
        if op.gemm and op.weight:
            values = random.standard_normal((op.gemm.groups, op.gemm.n, op.gemm.k)).astype(np.float32)
            weights[op.weight] = np.where(random.random(values.shape) < 0.5, values, np.float32(0))
    return OpGraph.of("sample", list(ops), list(pairwise(op.name for op in ops)), weights=weights)


def linear(name: str, m: int, n: int, k: int) -> Op:
    """Return a linear op."""
    return Op(name=name, kind="linear", gemm=Gemm.matmul(m, n, k), weight=name)


def vector(name: str, kind: str, elements: int) -> Op:
    """Return a vector op."""
    return Op(name=name, kind=kind, vector=VectorWork.of(kind, elements, elements))


@cache
def sample(accelerator: str = "systolic-32x32", settings: tuple[str, ...] = ()) -> Report:
    """Return the report of two linear ops, one with a ReLU fused onto it, and a softmax."""
    ops = (
        linear("<up> & out", 64, 256, 128),
        vector("relu", "relu", 64 * 256),
        linear("down", 64, 96, 256),
        vector("softmax", "softmax", 64 * 96),
    )
    return simulate(chain(*ops), accelerator, settings=settings)


@cache
def long_sample(ops: int = 160) -> Report:
    """Return the report of as many linear ops of growing size."""
    return simulate(chain(*(linear(f"block.{i}.linear", 8, 8 + i, 8) for i in range(ops))))
