"""Deltas: a sparse layer packed for the strips of `kernels.loops.delta_strip`, as a program."""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray

from kernels.arrays import KernelError
from kernels.loops.delta_strip import AHEAD_HEAD, FOURS_HEAD, Schedule, ahead_strip, fours_strip
from kernels.loops.program import Call, Memory, Place, Program

Array = NDArray[np.float32]
Ints = NDArray[np.int32]

#: Widths of strips, tried from the widest.
_WIDTHS = {Schedule.FOURS: (48, 32, 16, 8, 4), Schedule.AHEAD: (32, 16, 8, 4)}


@dataclass(frozen=True, slots=True)
class DeltaPlan:
    """How a sparse layer is computed: see `kernels.loops.delta_strip`.

    Attributes
    ----------
    schedule
        Whose order of ops.
    columns
        Width of the widest strip: 48, 32, 16, 8 or 4. What remains is done in strips of half the width, and so on.
    rows
        Output rows that share their indices; with ``FOURS`` 1.
    """

    schedule: Schedule = Schedule.FOURS
    columns: int = 48
    rows: int = 1
    lanes: int = 4

    def strips(self, columns: int) -> list[tuple[int, int, int]]:
        """Return (first column, width, count) of the strips; the last may overlap, where libraries do single columns.

        >>> DeltaPlan().strips(196)
        [(0, 48, 4), (192, 4, 1)]
        >>> DeltaPlan().strips(49)
        [(0, 48, 1), (45, 4, 1)]
        """
        cuts, first = [], 0
        for width in (one for one in _WIDTHS[self.schedule] if one <= self.columns):
            count = (columns - first) // width
            if count:
                cuts.append((first, width, count))
                first += count * width
        if first < columns:
            cuts.append((columns - 4, 4, 1))
        return cuts


def delta_program(
    weight: Array, bias: Array, x: Array, plan: DeltaPlan, low: float = -np.inf, high: float = np.inf
) -> Program:
    """Return the program of y = clip(weight @ x + bias, low, high), its images contiguous as libraries have them.

    Parameters
    ----------
    weight, bias
        float32 (M, K) and (M,).
    x
        float32 (K, columns).
    plan
        The strip.
    low, high
        The bounds of the outputs.

    Raises
    ------
    KernelError
        If there are fewer columns than 4, one vector.
    """
    outputs, columns = len(weight), x.shape[1]
    if columns < 4:
        raise KernelError(f"a layer must have at least 4 columns, one vector, not {columns}")
    more = -outputs % plan.rows
    weight, bias = np.pad(weight, ((0, more), (0, 0))), np.pad(bias, (0, more))
    memory = Memory()
    inputs = memory.add(x)
    out = memory.add(np.zeros((outputs + more, columns), np.float32))
    limits = memory.add(np.array([low, high], np.float32))
    pack = _pack_fours if plan.schedule == Schedule.FOURS else _pack_ahead
    weights, distances, heads, turns = pack(weight, bias, 4 * columns, plan.rows)
    # Loads run up to four entries ahead of what is used.
    shared = {
        "weights": memory.add(weights, slack=64).address,
        "distances": memory.add(distances, slack=64).address,
        **_ends(memory.add(heads)),
        "limits": limits.address,
        "y_stride": 4 * columns,
    }
    # The heads of FOURS say where a row begins; with AHEAD the pointer begins at the first entry of all.
    entered = np.nonzero(weight.reshape(-1, plan.rows, weight.shape[1]).any(axis=1))[1][:1]
    begin = 4 * columns * int(entered.sum()) if plan.schedule == Schedule.AHEAD else 0
    calls = []
    for first, width, count in plan.strips(columns):
        kernel = fours_strip(width) if plan.schedule == Schedule.FOURS else ahead_strip(width, plan.rows)
        own = shared | {"x": inputs.address + begin + 4 * first, "y": out.address + 4 * first}
        own["x_end"] = own["x"] + 4 * width * count
        arguments = {name: own[name] for name in kernel.parameters}
        calls.append(Call(kernel, arguments, {"strips": count} | {name: count * n for name, n in turns.items()}))
    return Program(tuple(calls), memory.image(), out, (outputs, columns))


def _ends(heads: Place) -> dict[str, int]:
    return {"heads": heads.address, "heads_end": heads.end}


def _steps(columns: NDArray[np.int64], stride: int) -> Ints:
    """Return the bytes from each entry's input row to the next entry's, and from the last to the first."""
    return (np.diff(np.append(columns, columns[:1])) * stride).astype(np.int32)


def _pack_fours(weight: Array, bias: Array, stride: int, rows: int) -> tuple[Array, Ints, Ints, dict[str, int]]:
    """Return weights, distances, heads and turns: rows begin at whole vectors of weights and of distances."""
    row, column = np.nonzero(weight)
    counts = np.bincount(row, minlength=len(weight))
    begin = np.cumsum(-(-counts // 4) * 4) - (-(-counts // 4) * 4)
    place = np.arange(len(row)) - np.repeat(np.cumsum(counts) - counts, counts) + begin[row]
    size = int((-(-counts // 4) * 4).sum())
    packed, steps = np.zeros(size, np.float32), np.zeros(size, np.int32)
    packed[place], steps[place] = weight[row, column], _steps(column, stride)
    first = np.zeros(len(weight), np.int64)
    np.put(first, row[::-1], column[::-1])  # of several columns of a row the first one stays
    heads = np.empty((len(weight), FOURS_HEAD), np.int32)
    heads[:, 0], heads[:, 1], heads[:, 2] = np.arange(len(weight)) * stride, 4 * begin, first * stride
    heads[:, 3], heads[:, 4], heads[:, 5] = counts // 4 * 16, counts % 4 * 4, bias.view(np.int32)
    turns = {"rows": len(weight), "fours": int((counts // 4).sum()), "left": int((counts % 4).sum())}
    return packed[None], steps[None], heads, turns


def _pack_ahead(weight: Array, bias: Array, stride: int, rows: int) -> tuple[Array, Ints, Ints, dict[str, int]]:
    """Return weights with biases before each row's, distances, heads and turns.

    The first distance is that to the first entry of all: the pointer begins at row 0 of the inputs.
    """
    groups = len(weight) // rows
    grouped = weight.reshape(groups, rows, -1)
    group, column = np.nonzero((grouped != 0).any(axis=1))
    counts = np.bincount(group, minlength=groups)
    values = np.zeros((groups + len(group), rows), np.float32)
    values[np.arange(groups) + np.cumsum(counts) - counts] = bias.reshape(groups, rows)
    values[np.arange(len(group)) + group + 1] = grouped[group, :, column]
    heads = np.stack((np.arange(groups) * rows * stride, 4 * counts), axis=1).astype(np.int32)
    assert heads.shape[1] == AHEAD_HEAD
    return values, _steps(column, stride)[None], heads, {"rows": groups, "entries": len(group)}
