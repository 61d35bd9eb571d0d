"""Comparing the speed of calls: interleaved, on the clock of this thread's own CPU time, medians with their spread.

Only ratios of times taken in one `interleave` mean anything: a machine's clock and its neighbours change by the
second, and interleaving (A B A B) lets all contenders see the same weather. Each call gets its number, so that a
contender can rotate weights and inputs: the caches and the branch predictor learn what is repeated, and show a
sparse kernel faster than any user will see it.

The caches are each contender's own when it is timed: one call before each sample, not timed, brings back what the other
contenders put out. To time cold data, rotate over more of it than the caches hold.
"""

from __future__ import annotations

import gc
import statistics
import time
from collections.abc import Callable, Iterator, Mapping
from contextlib import contextmanager
from dataclasses import dataclass

Call = Callable[[int], object]
"""What is timed: a function of the number of the call, 0, 1, 2, ..."""


REST_S = 0.2
"""Seconds before a sample of several threads: those of the contender before keep cores busy while waiting for work."""


@dataclass(frozen=True)
class Timing:
    """What one contender took.

    Attributes
    ----------
    samples : tuple of float
        Seconds a call, one for each round: the mean of that round's calls.
    calls : int
        How many calls one sample times together.
    clock : str
        ``thread CPU time`` or ``wall time``.
    """

    samples: tuple[float, ...]
    calls: int
    clock: str

    @property
    def seconds(self) -> float:
        """The median over the rounds, in seconds a call."""
        return statistics.median(self.samples)

    @property
    def spread(self) -> tuple[float, float]:
        """The first and third quartile over the rounds, in seconds a call."""
        if len(self.samples) == 1:
            return self.samples[0], self.samples[0]
        low, _, high = statistics.quantiles(self.samples, n=4, method="inclusive")
        return low, high


def interleave(
    contenders: Mapping[str, Call], repeats: int = 15, least_s: float = 200e-6, threads: int = 1
) -> dict[str, Timing]:
    """Time calls against each other.

    Reading the thread's CPU clock is a system call of .5 to 1 us, so that short calls are timed several at once.

    Parameters
    ----------
    contenders : mapping of str to function of int
        What to time, by name. The numbers of one contender's calls go up by one without a gap, from 0 in the warm-up.
    repeats : int
        Rounds; in each, every contender gives one sample, in the order of the mapping.
    least_s : float
        Seconds that one sample lasts at least.
    threads : int
        Threads that a contender uses. With more than one the clock is wall time, because a thread's CPU time does
        not show the others.

    Returns
    -------
    dict of str to Timing
        In the order of the contenders.

    Raises
    ------
    ValueError
        If there is nothing to time, or repeats or threads are below 1.
    """
    if not contenders or repeats < 1 or threads < 1:
        raise ValueError(
            f"there must be a contender, a repeat and a thread, not {len(contenders)}, {repeats}, {threads}"
        )
    clock = time.thread_time if threads == 1 else time.perf_counter
    runners = {name: _Runner(call, clock) for name, call in contenders.items()}
    with _no_garbage_collection():
        for runner in runners.values():
            runner.warm_up(least_s)
        samples: dict[str, list[float]] = {name: [] for name in runners}
        for _ in range(repeats):
            for name, runner in runners.items():
                if threads > 1:
                    time.sleep(REST_S)
                samples[name].append(runner.sample())
    words = "thread CPU time" if threads == 1 else "wall time"
    return {name: Timing(tuple(samples[name]), runner.calls, words) for name, runner in runners.items()}


class _Runner:
    """One contender, and the number of its next call."""

    def __init__(self, call: Call, clock: Callable[[], float]) -> None:
        self.call, self.clock, self.number, self.calls = call, clock, 0, 1

    def sample(self) -> float:
        """Return the mean seconds of the next ``calls`` calls, after one that is not timed."""
        call, numbers = self.call, range(self.number + 1, self.number + 1 + self.calls)
        call(self.number)
        begin = self.clock()
        for number in numbers:
            call(number)
        end = self.clock()
        self.number = numbers.stop
        return (end - begin) / self.calls

    def warm_up(self, least_s: float) -> None:
        """Compile and fill caches, and find how many calls a sample takes."""
        self.sample()
        while self.sample() * self.calls < least_s:
            self.calls *= 2


@contextmanager
def _no_garbage_collection() -> Iterator[None]:
    """Keep Python's collector out of the samples."""
    enabled = gc.isenabled()
    gc.disable()
    try:
        yield
    finally:
        if enabled:
            gc.enable()
