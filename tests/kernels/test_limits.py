"""Limits: the roofline's arithmetic, and a measurement whose parts stand in the order that physics gives them."""

import json

import pytest
from hypothesis import given
from hypothesis import strategies as st

from kernels.limits import Limits, measure_limits

PLAIN = Limits(
    16,
    100e9,
    {"L1": 200e9, "L2": 100e9, "L3": 50e9, "DRAM": 20e9},
    {"L1": 16 << 10, "L2": 512 << 10, "L3": 16 << 20, "DRAM": 256 << 20},
    {"L1": 32 << 10, "L2": 1 << 20, "L3": 32 << 20},
)


@pytest.mark.parametrize(
    ("size", "level"), [(1, "L1"), (32 << 10, "L1"), (33 << 10, "L2"), (2 << 20, "L3"), (1e9, "DRAM")]
)
def test_level_is_the_first_that_holds(size: float, level: str) -> None:
    """A working set lives in the smallest cache that holds all of it."""
    assert PLAIN.level(size) == level


def test_roofline_by_hand() -> None:
    """A product bound by arithmetic, and one bound by bytes out of memory: 1 of 4 and 5 of 10 milliseconds."""
    assert PLAIN.of_limit(flops=100e6, moved_bytes=1e3, seconds=4e-3) == pytest.approx(1 / 4)
    assert PLAIN.of_limit(flops=1e3, moved_bytes=100e6, seconds=10e-3) == pytest.approx(5 / 10)
    assert PLAIN.of_limit(flops=1e3, moved_bytes=1e6, seconds=1e-3, set_bytes=1e9) == pytest.approx(0.05)


@given(st.floats(1, 1e12), st.floats(1, 1e9), st.floats(1e-9, 1))
def test_roofline_is_the_tighter_bound(flops: float, moved: float, seconds: float) -> None:
    """The share is at least that of each bound alone, and halves when the time doubles."""
    share = PLAIN.of_limit(flops, moved, seconds)
    assert share >= flops / 100e9 / seconds * (1 - 1e-12)
    assert PLAIN.of_limit(flops, moved, 2 * seconds) == pytest.approx(share / 2)


def test_measured_once() -> None:
    """The limits are positive, become JSON and are measured once; its first cache is faster than memory."""
    limits = measure_limits()
    assert measure_limits() is limits
    assert json.loads(json.dumps(limits.to_dict()))["peak_flops"] == limits.peak_flops > 1e8
    assert limits.bytes_per_s.keys() == limits.set_bytes.keys() == {"L1", "L2", "L3", "DRAM"}
    assert limits.bytes_per_s["L1"] > limits.bytes_per_s["DRAM"] > 1e8
