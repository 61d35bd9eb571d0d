"""Host counts: what the host's kernels do for a product, counted; a calibration has what each costs.

Sparse (`kernels.strips`), from the real panels of the weights and the planner's tiles:

    fma         multiply-adds on a full register
    load        registers of inputs read
    scalar      weights read and broadcast
    rest        multiply-adds on the narrow register of columns left over
    wait        cycles in which the sums of an entry wait for those of the entry before: too few to hide the latency
    spill       sums that do not fit into the registers, moved in and out for every entry
    panel       panels of rows begun and ended
    move        registers of sums read and written between blocks, or begun and stored
    exit        ends of the inner loop that a predictor gets wrong: the length differs from the one before, or is long
    l2, l3, dram  lines filled into the L1 from there
    burst       rows of several lines each that come from beyond the L2: a prefetcher that brings the next line has
                strips of a single line ready
    stream      lines of packed weights that pass by once a strip, because the L2 does not hold them
    page        pages that the first table of addresses lacks
    call        microseconds that one call of compiled code takes anyway; ``start`` those of a product

Dense libraries: ``fma`` (sizes rounded up to whole tiles), ``output`` registers stored, ``start``.
"""

from __future__ import annotations

from collections.abc import Iterator

import numpy as np

from codesign.comparison.panel_lines import LINE_FLOATS, Matrices, Memory, fills, tiles_of
from hw_models.cpus import CpuConfig
from kernels import machine, plan
from kernels.packed import Packed
from kernels.panels import Panels, panels
from kernels.products import tiled

Counts = dict[str, float]

#: A loop longer than this has an exit that is predicted wrongly, as far as was seen on x86.
LEARNED = 32
#: Cycles from one multiply-add to the next on the same register, on AVX-512 run at half rate.
LATENCY = 5
#: Channels of a block of onnxruntime's and oneDNN's layouts, and rows that a matrix product rounds up to.
CHANNELS = 16


def sparse_counts(packed: Packed, columns: int, cpu: CpuConfig) -> Counts:
    """Return the counts of a product of packed weights (of any pattern, dense too) with so many columns."""
    rows, width = packed.shape
    counts: Counts = {"start": cpu.clock_hz * 1e-6}
    calls = list(_calls(packed, columns))
    lines = max((_bytes(one) // 64 for one, _, _ in calls), default=0)
    memory = Memory(cpu, Matrices(rows, width, columns), lines)
    for one, strip, lanes in calls:
        for name, count in _call_counts(one, strip, lanes, cpu).items():
            counts[name] = counts.get(name, 0.0) + count
        filled = dict(zip(("l2", "l3", "dram", "page"), fills(one, strip, lanes, memory).tolist(), strict=True))
        across = -(-strip.vectors * lanes // LINE_FLOATS)
        filled["burst"] = (filled["l3"] + filled["dram"]) / across if across > 1 else 0.0
        for name, count in filled.items():
            counts[name] = counts.get(name, 0.0) + count
    return counts


def _bytes(one: Panels) -> int:
    return int(one.values.nbytes + one.columns.nbytes)


def _calls(packed: Packed, columns: int) -> Iterator[tuple[Panels, plan.Strip, int]]:
    """Yield what each call of compiled code works on: panels, a strip of columns, and the lanes of a register."""
    width = packed.shape[1]
    for part in tiled(packed, columns):
        best = plan.plan(plan.Problem(len(part), part.height, width, len(part.columns), columns))
        whole = len(part) - len(part) % best.slices
        for cut, slices in ((part.cut(0, whole), best.slices), (part.cut(whole, len(part)), 1)):
            if len(cut):
                one = panels(cut, width, best.block, slices, 1)
                yield from ((one, strip, best.lanes) for strip in best.strips)


def _call_counts(one: Panels, strip: plan.Strip, lanes: int, cpu: CpuConfig) -> Counts:
    tiles, height, vectors = tiles_of(strip, lanes), one.height, strip.vectors
    entries, begun = int(one.starts[-1]) * tiles, (len(one.starts) - 1) * tiles
    lengths = np.diff(one.starts)
    exits = np.count_nonzero((lengths[1:] != lengths[:-1]) | (lengths[1:] > LEARNED)) + 1
    wide = vectors + bool(strip.rest)
    spilled = max(0, height * wide + wide + 1 - machine.vector_registers())
    return {
        "fma": entries * height * vectors,
        "load": entries * vectors * (1 if one.shared else height),
        "scalar": entries * height,
        "rest": int(one.starts[-1]) * height * bool(strip.rest) * tiles,
        "wait": entries * max(0, LATENCY - height * vectors),
        "spill": entries * spilled,
        "stream": _bytes(one) // 64 * tiles * (_bytes(one) > cpu.caches[1].bytes),
        "panel": begun,
        "move": begun * height * wide,
        "exit": int(exits) * tiles,
        "call": cpu.clock_hz * 1e-6,
    }


def blocked_counts(shape: tuple[int, int, int], cpu: CpuConfig) -> Counts | None:
    """Return the counts of a convolution on blocks of channels; None where the channels do not fill blocks."""
    rows, width, columns = shape
    if rows % CHANNELS or width % CHANNELS:
        return None
    return _library(rows, width, columns, cpu)


def product_counts(shape: tuple[int, int, int], cpu: CpuConfig) -> Counts:
    """Return the counts of a library's dense matrix product."""
    rows, width, columns = shape
    return _library(-(-rows // CHANNELS) * CHANNELS, width, columns, cpu)


def _library(rows: int, width: int, columns: int, cpu: CpuConfig) -> Counts:
    lanes = machine.vector_lanes()
    outputs = rows * columns / lanes
    return {"fma": outputs * width, "output": outputs, "start": cpu.clock_hz * 1e-6}
