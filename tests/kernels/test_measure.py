"""Measuring: who is called when, with which numbers, and what the statistics are."""

import gc
import time

import pytest
from hypothesis import given
from hypothesis import strategies as st

from kernels import measure
from kernels.measure import Timing, interleave


def test_rounds_are_interleaved() -> None:
    """After the warm-up, A and B take turns: a call that is not timed, and one that is."""
    log: list[str] = []

    def slow(name: str) -> measure.Call:
        def call(number: int) -> None:
            log.append(name)

        return call

    timings = interleave({"a": slow("a"), "b": slow("b")}, repeats=4, least_s=0)
    assert all(timing.calls == 1 for timing in timings.values())
    assert log[-16:] == ["a", "a", "b", "b"] * 4


def test_numbers_have_no_gap() -> None:
    """Every contender gets 0, 1, 2, ... over warm-up and samples, so that rotated data never repeats too soon."""
    seen: dict[str, list[int]] = {"a": [], "b": []}
    interleave({name: numbers.append for name, numbers in seen.items()}, repeats=3)
    for numbers in seen.values():
        assert numbers == list(range(len(numbers)))


def test_short_calls_are_timed_together() -> None:
    """A call far shorter than a sample is repeated within it, and a sample lasts what was asked for."""
    timing = interleave({"nothing": lambda _number: None}, repeats=3, least_s=1e-3)["nothing"]
    assert timing.calls > 50
    assert len(timing.samples) == 3


def test_more_threads_take_the_wall_clock() -> None:
    """One thread is timed by its CPU time, in which sleeping is free; more by the wall, on which it is not."""
    calls = {"sleep": lambda _number: time.sleep(0.002)}
    assert interleave(calls, repeats=1, least_s=0)["sleep"].clock == "thread CPU time"
    wall = interleave(calls, repeats=1, least_s=0, threads=2)["sleep"]
    assert wall.clock == "wall time"
    assert wall.seconds >= 0.002


def test_collector_is_back_after_an_error() -> None:
    """Python's garbage collector is off while timing and on again when a contender fails."""

    def fail(_number: int) -> None:
        assert not gc.isenabled()
        raise KeyError("contender")

    with pytest.raises(KeyError, match="contender"):
        interleave({"fails": fail})
    assert gc.isenabled()


@pytest.mark.parametrize("wrong", [{"repeats": 0}, {"threads": 0}])
def test_nothing_to_time_is_refused(wrong: dict[str, int]) -> None:
    """No contender, no round and no thread are refused with what was given."""
    with pytest.raises(ValueError, match="a contender, a repeat and a thread"):
        interleave({"a": lambda _number: None}, **wrong)
    with pytest.raises(ValueError, match="not 0"):
        interleave({})


@given(st.lists(st.floats(1e-9, 1e3), min_size=1, max_size=30))
def test_median_lies_in_the_spread(samples: list[float]) -> None:
    """Half of the samples are at most the median, and the quartiles enclose it."""
    timing = Timing(tuple(samples), 1, "wall time")
    low, high = timing.spread
    assert min(samples) <= low <= timing.seconds <= high <= max(samples)
    assert sum(sample <= timing.seconds for sample in samples) >= len(samples) / 2
