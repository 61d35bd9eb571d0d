"""Packing of SIGMA: which non-zeros of the stationary operand share an iteration, and what each iteration takes."""

from __future__ import annotations

from collections.abc import Iterable
from dataclasses import dataclass
from typing import NamedTuple

import numba
import numpy as np
from numpy.typing import NDArray

from hw_models.accelerators.sigma_iteration import SUM, iteration_cycles
from traces.workload import Bools

Ints = NDArray[np.int64]


class Engine(NamedTuple):
    """Sizes of an engine, powers of two: multipliers, elements a cycle of distribution and reduction; write buffer."""

    multipliers: int
    distribution: int
    reduction: int
    halving: bool


@dataclass(frozen=True, slots=True)
class Iterations:
    """All iterations of an op on SIGMA, for one choice of the stationary operand.

    Attributes
    ----------
    columns
        Vectors streamed in each iteration.
    service_cycles
        By `STAGES` and iteration, (4, iterations). They do not overlap: their sum is the time.
    vectors
        Stationary vectors, whole or in part, that each iteration holds, (iterations,).
    continued
        1 if it goes on with a folded vector, (iterations,).
    reads
        Non-zero elements of the streamed operand that each iteration needs, (iterations,).
    span
        Elements of a streamed vector from the first to the last one it needs, (iterations,).
    """

    columns: int
    service_cycles: Ints
    vectors: Ints
    continued: Ints
    reads: Ints
    span: Ints

    @property
    def cycles(self) -> int:
        """Cycles of all iterations."""
        return int(self.service_cycles.sum())


def iterations(stationary: Iterable[tuple[Bools, Ints]], columns: int, engine: Engine) -> Iterations:
    """Pack stationary matrices, one after the other, and time every iteration.

    Parameters
    ----------
    stationary
        Of each matrix, where it is not zero, (vectors, k), and how many of the vectors streamed past it are not zero
        at each k, int64 (k,). An iteration never holds vectors of two matrices.
    columns
        Vectors that are streamed past each of them.
    engine
        Its sizes.
    """
    parts = [_run(np.ascontiguousarray(bitmap), streamed, columns, *engine) for bitmap, streamed in stationary]
    service, facts = (np.concatenate(arrays, axis=1) for arrays in zip(*parts, strict=True))
    return Iterations(columns, service, *facts)


@numba.njit(cache=True)
def pack(counts: Ints, multipliers: int) -> Ints:
    """Pack vectors of so many non-zeros, in order, into iterations.

    Returns
    -------
    Ints
        Pieces of vectors, (pieces, 4): vector, its first non-zero here, its non-zeros here, iteration.
    """
    most = 0
    for count in counts:
        most += 1 + count // (multipliers - 1)
    pieces = np.empty((most, 4), np.int64)
    done, iteration, free = 0, -1, 0
    for vector, count in enumerate(counts):
        if count > free:
            iteration += 1
            free = multipliers
        at = 0
        while at < count:
            if at:
                iteration += 1
                free = multipliers - 1  # one carries the running sum
            take = min(count - at, free)
            pieces[done] = vector, at, take, iteration
            done += 1
            at += take
            free -= take
        if count > multipliers:  # the last piece of a folded vector shares no iteration
            free = 0
    return pieces[:done]


@numba.njit(cache=True)
def _run(
    bitmap: Bools, streamed: Ints, columns: int, multipliers: int, distribution: int, reduction: int, halving: bool
) -> tuple[Ints, Ints]:
    """Pack the rows of a bitmap and time each iteration; linear in the elements of the bitmap.

    Returns the service cycles, (4, iterations), and the vectors, continued, reads and span of `Iterations`, likewise.
    """
    rows, length = bitmap.shape
    counts = np.zeros(rows, np.int64)
    for r in range(rows):
        for k in range(length):
            counts[r] += bitmap[r, k]
    pieces = pack(counts, multipliers)
    total = pieces[-1, 3] + 1 if len(pieces) else 0
    service = np.empty((4, total), np.int64)
    facts = np.zeros((4, total), np.int64)
    vectors, continued, reads, span = facts
    last_in = np.full(length, -1, np.int64)  # iteration in which k was needed last
    held = np.empty(multipliers, np.int64)  # k of the value in each multiplier
    ends = np.empty(multipliers, np.int64)  # multiplier after each vector
    # with a port each, vectors alone in their iteration are alike if as long; column 0 is for all others
    known = np.zeros((4, 2 * multipliers + 1), np.int64)
    used, k, lowest, highest = 0, 0, length, -1
    for p in range(len(pieces)):
        vector, at, take, iteration = pieces[p]
        if at == 0:
            k = 0
        else:
            held[0] = SUM
            used = 1
            continued[iteration] = 1
        while take:
            if bitmap[vector, k]:
                held[used] = k
                used += 1
                take -= 1
                lowest, highest = min(lowest, k), max(highest, k)
                if last_in[k] != iteration:
                    last_in[k] = iteration
                    reads[iteration] += streamed[k]
            k += 1
        ends[vectors[iteration]] = used
        vectors[iteration] += 1
        if p + 1 == len(pieces) or pieces[p + 1, 3] > iteration:
            alike = used + (multipliers if at else 0) if vectors[iteration] == 1 and distribution == multipliers else 0
            if known[0, alike] == 0:
                known[:, alike] = iteration_cycles(
                    held[:used], ends[: vectors[iteration]], columns, multipliers, distribution, reduction, halving
                )
            service[:, iteration] = known[:, alike]
            known[0, 0] = 0
            span[iteration] = highest - lowest + 1
            used, lowest, highest = 0, length, -1
    return service, facts
