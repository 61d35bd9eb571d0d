"""What this machine can do at most, measured: multiply-adds out of registers, and reads out of each memory level.

A kernel's time is at least the larger of its arithmetic at the peak rate and its bytes at the rate of the level that
holds them (the roofline, Williams et al. 2009, https://doi.org/10.1145/1498765.1498785). One core, one thread.
"""

from __future__ import annotations

import functools
from collections.abc import Callable
from dataclasses import asdict, dataclass

import numpy as np
from numba import njit
from numpy.typing import NDArray

from kernels.arrays import empty
from kernels.machine import cache_bytes, vector_lanes
from kernels.measure import Call, interleave
from kernels.tile import add, fma, load, store, zeros

ROWS, VECTORS = 3, 4
"""The register tile of the arithmetic loop: more sums than two pipes of latency 4 need."""
STEPS = 20_000
"""Iterations of the arithmetic loop in one call."""
STREAMS = 4
"""Places that the reading loop reads from in turn, each one a stretch of two registers."""
CALL_BYTES = 4 << 20
"""Bytes that one call of the reading loop reads at least, so that what a call costs does not count."""
USUAL_BYTES = {"L1": 32 << 10, "L2": 512 << 10, "L3": 8 << 20}
"""Cache sizes to assume where the machine does not tell them."""
MOST_BYTES = 512 << 20
"""Bound of the working set in memory."""
ROUNDS = 9


@dataclass(frozen=True)
class Limits:
    """The measured limits of one core.

    Attributes
    ----------
    lanes : int
        Float32 lanes of the registers that reached the peak.
    peak_flops : float
        Float32 additions and multiplications a second, in fused multiply-adds.
    bytes_per_s : dict of str to float
        Bytes read a second out of L1, L2, L3 and DRAM.
    set_bytes : dict of str to int
        Bytes of the working set that each of these was measured on.
    holds_bytes : dict of str to int
        Bytes of each cache.
    """

    lanes: int
    peak_flops: float
    bytes_per_s: dict[str, float]
    set_bytes: dict[str, int]
    holds_bytes: dict[str, int]

    def to_dict(self) -> dict[str, object]:
        """Return all of it as values that JSON can hold."""
        return asdict(self)

    def level(self, set_bytes: float) -> str:
        """Return the first level that holds a working set: L1, L2, L3 or DRAM."""
        return next((name for name, size in self.holds_bytes.items() if set_bytes <= size), "DRAM")

    def of_limit(self, flops: float, moved_bytes: float, seconds: float, set_bytes: float | None = None) -> float:
        """Return which share of the roofline a kernel reached.

        Parameters
        ----------
        flops : float
            Additions and multiplications that the result needs (two for each non-zero and column).
        moved_bytes : float
            Bytes that it reads and writes at least once.
        seconds : float
            What it took.
        set_bytes : float or None
            Bytes that come by before the same ones are used again, which tells the level they come from; the bytes
            moved if None.

        Returns
        -------
        float
            The least time that the limits allow over the time it took.
        """
        level = self.level(moved_bytes if set_bytes is None else set_bytes)
        return max(flops / self.peak_flops, moved_bytes / self.bytes_per_s[level]) / seconds


@functools.cache
def measure_limits() -> Limits:
    """Measure the limits of this machine, once a process (about two seconds).

    Arithmetic is measured with registers of 16 and 8 lanes (4 where the machine has no more), and the best counts: some
    cores run the wide ones at half rate.
    """
    widths = (16, 8) if vector_lanes() == 16 else (vector_lanes(),)
    loops = {str(lanes): _arithmetic(lanes) for lanes in widths}
    flops = {int(name): one.seconds for name, one in interleave(loops, ROUNDS).items()}
    flops = {lanes: 2 * ROWS * VECTORS * lanes * STEPS / seconds for lanes, seconds in flops.items()}
    best = max(flops, key=lambda lanes: flops[lanes])
    holds = {name: size or USUAL_BYTES[name] for name, size in cache_bytes().items()}
    sets = {name: size // 2 for name, size in holds.items()} | {"DRAM": min(8 * holds["L3"], MOST_BYTES)}
    return Limits(best, flops[best], {name: _read_speed(size, widths) for name, size in sets.items()}, sets, holds)


def _arithmetic(lanes: int) -> Call:
    """Return a call of `STEPS` multiply-adds into every register of the tile."""
    loop, y = _multiply_adds(lanes), empty(ROWS, VECTORS * lanes).reshape(-1)
    x = np.full(VECTORS * lanes, 0.5, np.float32)
    return lambda number: loop(x, y, STEPS)


def _read_speed(size: int, widths: tuple[int, ...]) -> float:
    """Return the bytes read a second out of a working set of this size, by the best of several loops.

    Reading one stretch or four of them at once differs by machine: each stream of misses has its own prefetcher.
    """
    loops: dict[str, Call] = {}
    passes = -(-CALL_BYTES // size)
    x = empty(1, size // 4)[0]
    x[:] = 1.0
    for lanes in widths:
        stretch = 2 * lanes
        loops[f"{lanes} lanes, 1 stream"] = _reading(lanes, x, stretch, STREAMS * stretch, x.size, passes)
        loops[f"{lanes} lanes, {STREAMS} streams"] = _reading(
            lanes, x, x.size // STREAMS, stretch, x.size // STREAMS, passes
        )
    return passes * size / min(timing.seconds for timing in interleave(loops, ROUNDS).values())


def _reading(lanes: int, x: NDArray[np.float32], apart: int, step: int, end: int, passes: int) -> Call:
    """Return a call that sums an array: stream s reads at ``s * apart + range(0, end, step)``."""
    loop, y = _sums(lanes), np.zeros(2 * lanes, np.float32)
    return lambda number: loop(x, y, apart, step, end, passes)


@functools.cache
def _multiply_adds(lanes: int) -> Callable[..., None]:
    """Return the compiled arithmetic loop."""
    width, rows, vectors = VECTORS * lanes, ROWS, VECTORS

    @njit(cache=True, nogil=True)  # type: ignore[untyped-decorator,unused-ignore]
    def loop(x, y, steps):  # type: ignore[no-untyped-def]  # noqa: ANN001, ANN202  # numba types it
        strip, acc = load(x, 0, width, vectors, lanes), zeros(rows, vectors, lanes)
        for _ in range(steps):
            acc = fma(acc, x, 0, strip)
        store(y, 0, width, width, acc)

    return loop


@functools.cache
def _sums(lanes: int) -> Callable[..., None]:
    """Return the compiled reading loop."""
    width = 2 * lanes

    @njit(cache=True, nogil=True)  # type: ignore[untyped-decorator,unused-ignore]
    def loop(x, y, apart, step, end, passes):  # type: ignore[no-untyped-def]  # noqa: ANN001, ANN202  # as above
        a = b = c = d = zeros(1, 2, lanes)
        for _ in range(passes):
            for i in range(0, end, step):
                a = add(a, load(x, i, width, 2, lanes))
                b = add(b, load(x, i + apart, width, 2, lanes))
                c = add(c, load(x, i + 2 * apart, width, 2, lanes))
                d = add(d, load(x, i + 3 * apart, width, 2, lanes))
        store(y, 0, width, width, add(add(a, b), add(c, d)))

    return loop
