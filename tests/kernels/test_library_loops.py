"""The loops of libraries for ARM compute what they should, and turn and touch what they say."""

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from kernels.arrays import KernelError
from kernels.loops import count
from kernels.loops.delta_strip import Schedule
from kernels.loops.deltas import DeltaPlan, delta_program
from kernels.loops.depthwise_rows import depthwise_rows, depthwise_rows_program
from kernels.loops.machine import accesses

PLANS = [
    DeltaPlan(),
    DeltaPlan(columns=16),
    *(DeltaPlan(Schedule.AHEAD, columns, rows) for columns, rows in ((16, 1), (32, 1), (16, 2), (16, 4))),
]


@settings(max_examples=60, deadline=None)
@given(
    st.sampled_from(PLANS),
    st.integers(1, 9),
    st.integers(1, 14),
    st.sampled_from([4, 5, 16, 49, 52, 100]),
    st.floats(0, 1),
    st.integers(0, 99),
)
def test_sparse_strips_compute_the_layer(
    plan: DeltaPlan, outputs: int, inputs: int, columns: int, density: float, seed: int
) -> None:
    """Any matrix, empty rows included, times any image, bounded, is that of float64 arithmetic."""
    random = np.random.default_rng(seed)
    weight = random.standard_normal((outputs, inputs)) * (random.random((outputs, inputs)) < density)
    x, bias = random.standard_normal((inputs, columns)), random.standard_normal(outputs)
    program = delta_program(*(one.astype(np.float32) for one in (weight, bias, x)), plan, -1.0, 2.0)
    np.testing.assert_allclose(program.run(), np.clip(weight @ x + bias[:, None], -1, 2), rtol=1e-4, atol=1e-5)


@pytest.mark.parametrize("plan", PLANS)
def test_turns_are_those_of_the_run(plan: DeltaPlan) -> None:
    """Loads counted from the stated turns of the loops are those that happen."""
    random = np.random.default_rng(1)
    weight = (random.standard_normal((8, 20)) * (random.random((8, 20)) < 0.4)).astype(np.float32)
    program = delta_program(weight, np.zeros(8, np.float32), np.zeros((20, 100), np.float32), plan)
    memory = program.image.copy()
    for call in program.calls:
        happened = sum(len(part.op) for part in accesses(call.kernel, call.arguments, memory))
        counted = count(call.kernel, call.iterations)
        touching = ("load_vector", "load_splat", "load_index", "store_vector", "prefetch")
        assert happened == sum(counted[kind] for kind in touching)


def test_a_layer_narrower_than_a_vector_is_refused() -> None:
    """The sentence says how wide it must be."""
    with pytest.raises(KernelError, match="at least 4 columns"):
        delta_program(np.ones((2, 2), np.float32), np.zeros(2, np.float32), np.zeros((2, 3), np.float32), DeltaPlan())


@pytest.mark.parametrize("stride", [1, 2])
@pytest.mark.parametrize("rows", [None, 1, 3])
@pytest.mark.parametrize(("height", "width"), [(4, 5), (7, 7), (9, 13), (16, 16)])
def test_depthwise_by_rows_is_that_of_torch(stride: int, rows: int | None, height: int, width: int) -> None:
    """Heights and widths need not be whole bands and vectors."""
    torch = pytest.importorskip("torch")
    random = np.random.default_rng(height)
    x, weight = random.standard_normal((3, height, width)), random.standard_normal((3, 3, 3))
    bias = random.standard_normal(3)
    program = depthwise_rows_program(*(one.astype(np.float32) for one in (weight, bias, x)), stride, -1.0, 2.0, rows)
    told = torch.nn.functional.conv2d(
        torch.tensor(x)[None], torch.tensor(weight)[:, None], torch.tensor(bias), stride=stride, padding=1, groups=3
    )
    np.testing.assert_allclose(program.run(), told[0].clamp(-1, 2).numpy(), rtol=1e-4, atol=1e-5)


def test_other_strides_are_refused() -> None:
    """There are kernels for stride 1 and 2."""
    with pytest.raises(ValueError, match="must be 1 or 2, not 3"):
        depthwise_rows(3)
