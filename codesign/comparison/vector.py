"""Vector: a matrix times one vector on the host, where all that counts is how fast weights come from memory.

Calls rotate over so many copies of the weights that no cache keeps one, as in a model that is larger than the caches.
"""

from __future__ import annotations

import dataclasses
from collections.abc import Callable, Sequence
from typing import Any

import numpy as np
from numpy.typing import NDArray

from codesign.comparison.job import Array, Job, Variant
from hw_models.cpus import CpuConfig
from kernels import machine
from kernels.arrays import empty
from kernels.baselines import Linear, draw, prepare, torch_threads
from kernels.formats import NM
from kernels.matvec import delta_update, gemv, spike_update
from kernels.matvec.sliced import VECTORS
from kernels.measure import Timing, interleave
from kernels.packed import Packed, pack

#: Bytes of an index (`kernels.matvec.sliced`), and above so many columns.
_INDEX, _WIDE_INDEX, _WIDE_FROM = 2, 4, 1 << 16
_MOST_COPY_BYTES = 1 << 30


def vector_counts(packed: Packed, cpu: CpuConfig) -> dict[str, float]:
    """Return what a product with one vector reads and does: lines from memory, registers of weights, of indices.

    The stream of weights pushes the vector out of the L1 cache, so each slice of rows reads its lines again
    (``inputs``). Where every lane has an index of its own these are waited for (``exposed``): gathering takes so many
    instructions that few entries are in flight.
    """
    rows, width = packed.shape
    store = packed.store
    lanes = machine.vector_lanes()
    values = packed.nonzeros if isinstance(store, np.ndarray) else store.values.size
    indices = 0.0
    read = 4.0 * values
    together = float(lanes)
    if isinstance(store, NM):
        read, together = packed.bytes, 1.0
    elif not isinstance(store, np.ndarray):
        together = min(store.values.size // max(1, store.indices.size), lanes)
        indices = values / together
        read += indices * (_INDEX if width < _WIDE_FROM else _WIDE_INDEX)
    slices = -(-rows // (VECTORS * lanes))
    inputs = slices * width / (cpu.caches[0].line_bytes / 4)
    return {
        "line": read / 64,
        "fma": values / lanes,
        "gather": indices / lanes,
        "inputs": inputs,
        "exposed": 0.0 if isinstance(store, np.ndarray) else inputs / together,
        "start": cpu.clock_hz * 1e-6,
    }


def skipping_counts(variant: Variant, cpu: CpuConfig) -> dict[str, float]:
    """Return what an update of a state by the inputs that are not zero reads and does, of one vector on average."""
    assert variant.inputs is not None
    rows, width = variant.weight.shape
    events = float(variant.inputs.sum(axis=1).mean())
    lanes = machine.vector_lanes()
    return {
        "line": events * -(-4 * rows // 64),
        "fma": events * rows / lanes,
        "event": events,
        "scan": width / lanes,
        "start": cpu.clock_hz * 1e-6,
    }


def vector_timings(job: Job, threads: int, seed: int, rounds: int) -> tuple[dict[str, Timing], list[Timing]]:
    """Time a product with one vector: the dense libraries, and ours with each variant; all out of memory."""
    height, width, _ = job.shape
    problem = Linear(height, width, 1)
    copies = _copies(job.weight.nbytes)
    operands = dataclasses.replace(draw(problem, seed, copies=copies), weight=np.array(job.weight))
    dense, _ = prepare(problem, operands, threads=threads)
    calls: dict[str, Any] = {name: one.run for name, one in dense.items()}
    xs, y = [x[0] for x in operands.inputs], empty(1, height)[0]
    by_column = _by_column([variant for variant in job.variants if variant.inputs is not None])
    for number, variant in enumerate(job.variants):
        if variant.inputs is not None:
            calls[str(number)] = _skipping(variant, variant.inputs, by_column, threads, seed)
            continue
        first = pack(variant.weight, variant.form)
        packed = [first, *(dataclasses.replace(first, _layouts={}) for _ in range(_copies(int(first.bytes)) - 1))]
        for one in packed:  # the first product puts weights into the order in which they are read
            gemv(one, xs[0])

        def run(call: int, packed: list[Packed] = packed) -> object:
            x = xs[call % len(xs)]
            return gemv(packed[call % len(packed)], x, operands.bias, low=0.0, out=y, threads=threads)

        calls[str(number)] = run
    with torch_threads(threads):
        timings = interleave(calls, rounds, threads=threads)
    return {name: timings[name] for name in dense}, [timings[str(i)] for i in range(len(job.variants))]


def _by_column(variants: Sequence[Variant]) -> list[Array]:
    """Return copies of the weights, input by input, that all products which skip inputs share."""
    count = max((_passed_over(variant) for variant in variants), default=0)
    found = []
    for _ in range(count):
        rows, width = variants[0].weight.shape
        found.append(empty(width, rows))
        found[-1][...] = variants[0].weight.T
    return found


def _passed_over(variant: Variant) -> int:
    """Return over how many copies of the weights calls rotate, where each reads the inputs that are not zero."""
    assert variant.inputs is not None
    kept = max(float(variant.inputs.mean()), 1 / variant.weight.shape[1])
    return _copies(int(variant.weight.nbytes * kept), variant.weight.nbytes)


def _skipping(
    variant: Variant, inputs: NDArray[np.bool_], copies: Sequence[Array], threads: int, seed: int
) -> Callable[[int], object]:
    """Return updates of a state by the inputs that are not zero, in their order, out of memory."""
    by_column = copies[: _passed_over(variant)]
    state = np.zeros(len(variant.weight), np.float32)
    if variant.form == "spikes":
        return lambda call: spike_update(
            by_column[call % len(by_column)], inputs[call % len(inputs)], state, threads=threads
        )
    values = np.random.default_rng(seed).standard_normal(inputs.shape, np.float32) * inputs
    return lambda call: delta_update(
        by_column[call % len(by_column)], values[call % len(values)], state, threads=threads
    )


def _copies(read: int, size: int | None = None) -> int:
    """Return over how many copies of weights of a size calls rotate, if one reads so much: twice the last cache."""
    last = machine.cache_bytes()["L3"] or 32 << 20
    return max(1, min(2 * last // max(read, 1) + 1, _MOST_COPY_BYTES // max(size or read, 1)))
