"""Op traces: each kernel's loop nest written once, to emit code from, to simulate a core on, and to count exactly.

A `Kernel` is a tree of `Block` (straight-line ops on virtual registers) and `Repeat` (a loop that ends where a pointer
reaches its end). Registers are names: integers (addresses and byte counts, 32 bits) and vectors of float32 lanes; they
are variables, not values, so that an op depends on the last one that wrote what it reads, round the loop too.

>>> from kernels.loops import Block, Kernel, Repeat, advance, count, fma, load_splat, load_vector, store_vector, zero
>>> body = (load_vector("a", "x"), load_splat("w", "y"), fma("sum", "a", "w"), advance("x", 16), advance("y", 4))
>>> nest = (Block((zero("sum"),)), Repeat("inputs", "x", "end", (Block(body),)), Block((store_vector("out", "sum"),)))
>>> kernel = Kernel("dot", ("x", "end", "y", "out"), nest)
>>> print(kernel)
dot(x, end, y, out)
    sum = zero
    inputs: until x == end
        a = load_vector x
        w = load_splat y
        sum = fma sum, a, w
        x = advance x +16
        y = advance y +4
    store_vector out, sum
>>> dict(count(kernel, {"inputs": 5}))  # doctest: +NORMALIZE_WHITESPACE
{'branch': 5, 'zero': 1, 'load_vector': 5, 'load_splat': 5, 'fma': 5, 'advance': 10, 'store_vector': 1}

Every op says what it reads and writes (``op.ins``, ``op.out``) and where it touches memory (``op.ins[0] + op.offset``,
``op.size(lanes)`` bytes). `kernels.loops.machine` (which needs Numba) runs a kernel on a flat memory and yields all
addresses in order; `kernels.loops.layer` packs the weights of a layer, lays them out in such a memory and says what
calls of which kernels, with which arguments, compute it and how often each loop turns.
"""

from kernels.loops.counts import BRANCH, block_counts, branches, count
from kernels.loops.dense import dense_tile
from kernels.loops.depthwise import depthwise_3x3
from kernels.loops.nest import Block, Kernel, Node, Repeat
from kernels.loops.op import (
    INTEGER,
    MEMORY,
    Kind,
    Op,
    add_index,
    advance,
    binary,
    copy,
    fma,
    lane_index,
    load_index,
    load_splat,
    load_vector,
    prefetch,
    slide,
    splat_lane,
    store_vector,
    zero,
)
from kernels.loops.strip import sparse_strip
from kernels.loops.update import delta_update, spike_update

__all__ = [
    "BRANCH",
    "INTEGER",
    "MEMORY",
    "Block",
    "Kernel",
    "Kind",
    "Node",
    "Op",
    "Repeat",
    "add_index",
    "advance",
    "binary",
    "block_counts",
    "branches",
    "copy",
    "count",
    "delta_update",
    "dense_tile",
    "depthwise_3x3",
    "fma",
    "lane_index",
    "load_index",
    "load_splat",
    "load_vector",
    "prefetch",
    "slide",
    "sparse_strip",
    "spike_update",
    "splat_lane",
    "store_vector",
    "zero",
]
