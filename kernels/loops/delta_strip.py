"""Delta strip: sparse rows as the public libraries for ARM have them, op by op in their order.

Two schedules, both taken from what the libraries' kernels do, not from their text:

- ``FOURS``, as Paddle-Lite 2.11's (``sparse_conv_impl.cc``): four weights and four distances are loaded at once; each
  distance moves from a vector to an integer register; an entry's inputs are loaded just before they are multiplied.
- ``AHEAD``, as XNNPACK's ``f32-spmm`` of one row (pipelined) or of 2 or 4 rows (not): an entry's distance, weight and
  inputs are loaded while, or before, the one before it is multiplied.

An entry says how many bytes lie between its input row and the next entry's, so one pointer walks over the inputs: no
entry knows where it is. Rows come in their own order.
"""

from __future__ import annotations

from enum import StrEnum
from itertools import pairwise

from kernels.loops.columns import clamp, offsets
from kernels.loops.nest import Block, Kernel, Node, Repeat
from kernels.loops.op import (
    Op,
    add_index,
    advance,
    copy,
    fma,
    lane_index,
    load_index,
    load_splat,
    load_vector,
    prefetch,
    splat_lane,
    store_vector,
)

#: int32 words of the head of a row in the two schedules, without biases.
FOURS_HEAD, AHEAD_HEAD = 6, 2
#: Integer instructions of Paddle-Lite's row in C++ for which the trace has no ops of their own; copies stand for them.
_WORKED_OUT = 10


class Schedule(StrEnum):
    """Whose order of ops."""

    FOURS = "fours"
    AHEAD = "ahead"


def fours_strip(columns: int) -> Kernel:
    """Return the strip with four entries a turn, and those left of a row one by one.

    Parameters
    ----------
    columns
        Width of a strip: a multiple of 4, at most 48.

    Returns
    -------
    Kernel
        Parameters: ``x``, ``x_end``, ``y``, ``weights``, ``distances``, ``heads``, ``heads_end``, ``limits``. A head
        is: the bytes to the row's output, to its entries, to its first input; the bytes of its fours and of the
        entries left; its bias. Loops: ``strips``, ``rows``, ``fours``, ``left``.
    """
    at = offsets(columns, 4)
    sums = [f"sum{v}" for v in range(len(at))]
    start = [load_index("place", "head"), add_index("out", "y", "place"), load_index("packed", "head", 4)]
    # Where a row begins is worked out from the counts of two rows, by masks, shifts and subtractions.
    start += [copy("first", "packed"), *[copy("first", "first")] * (_WORKED_OUT - 1)]
    start += [add_index("weight", "weights", "first"), add_index("distance", "distances", "first")]
    start += [load_index("begin", "head", 8), add_index("input", "x", "begin")]
    start += [load_index("whole", "head", 12), add_index("fours_end", "weight", "whole")]
    start += [load_index("more", "head", 16), add_index("row_end", "fours_end", "more")]
    start += [load_splat("bias", "head", 20), prefetch("weight", 128), prefetch("distance", 128)]
    start += [prefetch("input", 4 * columns), *(splat_lane(one, "bias", 0) for one in sums)]
    start.append(advance("head", 4 * FOURS_HEAD))
    four: list[Op] = [load_vector("w", "weight"), load_vector("few", "distance")]
    four += [advance("weight", 16), advance("distance", 16)]
    four += _four(sums, at, prefetch("input", 4 * columns))
    four += [prefetch("weight", 128), prefetch("distance", 128)]
    one = [load_splat("w", "weight"), load_index("step", "distance")]
    one += [advance("weight", 4), advance("distance", 4)]
    one += [load_vector(f"x{v}", "input", offset) for v, offset in enumerate(at)]
    one += [fma(each, f"x{v}", "w") for v, each in enumerate(sums)]
    one += [add_index("input", "input", "step"), prefetch("input", 4 * columns)]
    row: tuple[Node, ...] = (
        Block(tuple(start)),
        Repeat("fours", "weight", "fours_end", (Block(tuple(four)),), may_skip=True),
        Repeat("left", "weight", "row_end", (Block(tuple(one)),), may_skip=True),
        Block((*clamp(sums), *(store_vector("out", each, offset) for each, offset in zip(sums, at, strict=True)))),
    )
    moves = Block((advance("x", 4 * columns), advance("y", 4 * columns)))
    strip = (Block((copy("head", "heads"),)), Repeat("rows", "head", "heads_end", row), moves)
    parameters = ("x", "x_end", "y", "weights", "distances", "heads", "heads_end", "limits")
    return Kernel(f"fours_{columns}", parameters, (Repeat("strips", "x", "x_end", strip),), scheduled=True)


def _four(sums: list[str], at: list[int], ask: Op) -> list[Op]:
    """Return the ops of four entries: the inputs of the next are loaded as this one's registers become free.

    Those of the first are loaded before its multiplications, all but three, and nothing is loaded beside the last's.
    """
    loads = [load_vector(f"x{v}", "input", offset) for v, offset in enumerate(at)]
    ops: list[Op] = []
    for lane in range(4):
        products = [fma(one, f"x{v}", f"w{lane}") for v, one in enumerate(sums)]
        move = [lane_index("moved", "few", lane), copy("step", "moved")]  # then widened to 64 bits
        done = 0
        ops.append(splat_lane(f"w{lane}", "w", lane))
        if lane == 0:
            ops += [*move, *loads[:6]]
            for first in range(6, len(loads), 2):
                ops += [products[done], *loads[first : first + 2]]
                done += 1
        else:
            ops += move
        ops += [add_index("input", "input", "step"), ask]
        loaded = 0
        for v in range(done, len(sums)):
            ops.append(products[v])
            # Two inputs are loaded at once, when both registers are free and two multiplications have been issued.
            if lane < 3 and v > done and (v >= loaded + 1 or v == len(sums) - 1):
                ops += loads[loaded : loaded + 2]
                loaded += 2
        ops += loads[loaded:] if lane < 3 else []
    return ops


def ahead_strip(columns: int, rows: int = 1) -> Kernel:
    """Return the strip with one entry a turn; of one row, everything of the next entry is loaded in this one's turn.

    Parameters
    ----------
    columns
        Width of a strip: a multiple of 4, at most 32.
    rows
        Output rows that share their indices.

    Returns
    -------
    Kernel
        Parameters: ``x``, ``x_end``, ``y``, ``weights`` (biases of a row, then its entries' weights), ``distances``,
        ``heads``, ``heads_end``, ``limits``, and ``y_stride`` with more rows than one. A head is: the bytes to the
        row's output, and of its distances. Loops: ``strips``, ``rows``, ``entries``.
    """
    at = offsets(columns, 4)
    sums = [[f"sum{r}_{v}" for v in range(len(at))] for r in range(rows)]
    outs = ["out", *(f"out{r}" for r in range(1, rows))]
    inputs = [load_vector(f"x{v}", "input", offset) for v, offset in enumerate(at)]
    ask = [prefetch("input", offset) for offset in range(64, 64 * (columns // 16 + 1), 64)] or [prefetch("input", 64)]
    next_distance = [load_index("step", "distance"), advance("distance", 4)]
    start = [load_index("place", "head"), add_index("out", "y", "place")]
    start += [add_index(out, before, "y_stride") for before, out in pairwise(outs)]
    start += [load_index("length", "head", 4)]
    if rows == 1:
        next_weight = [load_splat("w", "weight"), advance("weight", 4)]
        begin = [copy("input", "x"), *next_weight, *next_distance, *inputs]
        # The distance of the first entry has been loaded: the pointer is one entry ahead of the row.
        start += [add_index("row_end", "distance", "length"), *(splat_lane(one, "w", 0) for one in sums[0])]
        start += next_weight
        turn = [fma(one, f"x{v}", "w") for v, one in enumerate(sums[0])]
        turn += [add_index("input", "input", "step"), ask[0], *next_distance, *ask[1:]]
        turn += [*next_weight, prefetch("weight", 128), *inputs]
    else:
        begin = [copy("input", "x")]
        start += [add_index("row_end", "distance", "length")]
        start += [load_splat(one, "weight", 4 * r) for r, row in enumerate(sums) for one in row]
        start.append(advance("weight", 4 * rows))
        turn = [*next_distance, *inputs, add_index("input", "input", "step"), *ask, load_vector("few", "weight")]
        turn += [advance("weight", 4 * rows), prefetch("weight", 128)]
        for r, row in enumerate(sums):
            turn += [splat_lane("w", "few", r), *(fma(one, f"x{v}", "w") for v, one in enumerate(row))]
    end = clamp([one for row in sums for one in row])
    for out, row in zip(outs, sums, strict=True):
        end += [store_vector(out, one, offset) for one, offset in zip(row, at, strict=True)]
    body = (
        Block((*start, advance("head", 4 * AHEAD_HEAD))),
        Repeat("entries", "distance", "row_end", (Block(tuple(turn)),), may_skip=True),
        Block(tuple(end)),
    )
    strip = (
        Block((copy("head", "heads"), copy("weight", "weights"), copy("distance", "distances"), *begin)),
        Repeat("rows", "head", "heads_end", body),
        Block((advance("x", 4 * columns), advance("y", 4 * columns))),
    )
    shared = ("x", "x_end", "y", "weights", "distances", "heads", "heads_end", "limits")
    parameters = (*shared, *(["y_stride"] * (rows > 1)))
    return Kernel(f"ahead_{rows}x{columns}", parameters, (Repeat("strips", "x", "x_end", strip),), scheduled=True)
