"""Op traces: what they compute, what they touch, how often they turn."""

from collections import Counter

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from kernels import KernelError
from kernels.loops import Block, Kernel, Kind, Repeat, advance, count, fma, load_vector, store_vector, zero
from kernels.loops.depthwise import depthwise_program
from kernels.loops.layer import DensePlan, Layer, Plan, SparsePlan
from kernels.loops.machine import accesses, run
from kernels.loops.program import Program
from kernels.loops.strips import cut
from kernels.loops.update import update_program

PLANS = [
    DensePlan(6, 2),
    DensePlan(5, 2, shuffle=True),
    DensePlan(3, 1, shuffle=True, unroll=4),
    DensePlan(2, 1, lanes=8),
    DensePlan(2, 2, shuffle=True, lanes=16),
    SparsePlan(3),
    SparsePlan(2, block=5),
    SparsePlan(2, block=10, unroll=2),
    SparsePlan(2, rows=2),
    SparsePlan(2, rows=4, block=7, shuffle=True),
    SparsePlan(1, rows=8, shuffle=True),
    SparsePlan(1, rows=4, block=6, lanes=16),
    SparsePlan(4, length=12),
    SparsePlan(2, pieces=2),
    SparsePlan(1, rows=4, block=7, pieces=4, unroll=2),
]


def layer(outputs: int, inputs: int, columns: int, density: float, seed: int) -> Layer:
    """Draw a layer with ReLU6, some of whose rows may be empty."""
    rng = np.random.default_rng(seed)
    weight = rng.standard_normal((outputs, inputs)) * (rng.random((outputs, inputs)) < density)
    bias, x = rng.standard_normal(outputs), rng.standard_normal((inputs, columns))
    return Layer(*(array.astype(np.float32) for array in (weight, bias, x)), low=0, high=6)


def depthwise_truth(weight: np.ndarray, bias: np.ndarray, x: np.ndarray, stride: int) -> np.ndarray:
    """Return a depthwise 3x3 convolution with padding 1, in float64."""
    padded = np.pad(x.astype(np.float64), ((0, 0), (1, 1), (1, 1)))
    windows = np.lib.stride_tricks.sliding_window_view(padded, (3, 3), axis=(1, 2))[:, ::stride, ::stride]
    return np.einsum("chwij,cij->chw", windows, weight.astype(np.float64)) + bias[:, None, None]


def ran(program: Program) -> Counter[str]:
    """Return how often each kind of op that touches memory ran, from what the machine recorded."""
    found: Counter[str] = Counter()
    memory = program.image.copy()
    for call in program.calls:
        ops = list(call.kernel.ops())
        for chunk in accesses(call.kernel, call.arguments, memory, chunk=97):
            found.update(ops[number].kind.value for number in chunk.op)
    return found


@pytest.mark.parametrize("plan", PLANS, ids=str)
@pytest.mark.parametrize("padded", [True, False])
@settings(max_examples=12, deadline=None)
@given(
    outputs=st.integers(1, 13),
    inputs=st.integers(1, 24),
    columns=st.integers(16, 70),
    density=st.sampled_from([0, 0.1, 0.5]),
    seed=st.integers(0, 99),
)
def test_traces_compute_the_layer(
    plan: Plan, padded: bool, outputs: int, inputs: int, columns: int, density: float, seed: int
) -> None:
    """Whatever the tile, strip, block, unrolling or lanes: the trace computes the layer, and counts what it runs."""
    one = layer(outputs, inputs, columns, min(density, 12 / inputs), seed)
    if isinstance(plan, SparsePlan) and plan.length and (one.weight != 0).sum(axis=1).max() > plan.length:
        with pytest.raises(KernelError, match="at most 12 non-zeros"):
            one.program(plan, padded)
        return
    program = one.program(plan, padded)
    np.testing.assert_allclose(program.run(), one.reference(), atol=1e-5, rtol=0)
    counts = program.counts()
    assert {kind: n for kind, n in counts.items() if kind in ("load_index", "load_splat", "load_vector")} == {
        kind: n for kind, n in ran(program).items() if kind != "store_vector"
    }


@pytest.mark.parametrize("spikes", [False, True])
@settings(max_examples=20, deadline=None)
@given(outputs=st.integers(1, 40), events=st.integers(0, 9), vectors=st.integers(1, 3), seed=st.integers(0, 99))
def test_updates_add_columns(spikes: bool, outputs: int, events: int, vectors: int, seed: int) -> None:
    """A state gains the columns of the inputs that changed or spiked, also if none did."""
    rng = np.random.default_rng(seed)
    weight = rng.standard_normal((outputs, 9)).astype(np.float32)
    state, changes = rng.standard_normal(outputs).astype(np.float32), rng.standard_normal(events).astype(np.float32)
    inputs = rng.permutation(9)[:events]
    program = update_program(weight, state, inputs, None if spikes else changes, vectors)
    truth = state + weight[:, inputs].astype(np.float64) @ (np.ones(events) if spikes else changes)
    np.testing.assert_allclose(program.run()[0], truth, atol=1e-5, rtol=0)
    assert program.counts()["load_vector"] == ran(program)["load_vector"]


@pytest.mark.parametrize("stride", [1, 2])
@pytest.mark.parametrize("lanes", [4, 8])
@settings(max_examples=15, deadline=None)
@given(height=st.integers(1, 9), width=st.integers(15, 24), seed=st.integers(0, 99))
def test_depthwise_is_the_convolution(stride: int, lanes: int, height: int, width: int, seed: int) -> None:
    """Depthwise 3x3 with padding 1 equals the sum over windows."""
    rng = np.random.default_rng(seed)
    weight, bias, x = (rng.standard_normal(shape).astype(np.float32) for shape in ((3, 3, 3), (3,), (3, height, width)))
    program = depthwise_program(weight, bias, x, stride, lanes=lanes)
    np.testing.assert_allclose(program.run(), depthwise_truth(weight, bias, x, stride), atol=1e-5, rtol=0)
    assert program.counts()["load_splat"] == ran(program)["load_splat"]


@given(columns=st.integers(4, 300), vectors=st.integers(1, 13), pieces=st.integers(1, 4))
def test_cuts_cover_every_column(columns: int, vectors: int, pieces: int) -> None:
    """Strips cover all columns, stay within them and within their width, and are as few as can be."""
    cuts = cut(columns, vectors, pieces=pieces)
    seen = np.zeros(columns, int)
    for strips in cuts:
        assert 4 <= strips.columns <= 4 * vectors
        for first in range(strips.first, strips.first + strips.count * strips.width, strips.columns):
            assert first >= 0
            assert first + strips.columns <= columns
            seen[first : first + strips.columns] += 1
    assert seen.all()
    assert 4 * vectors * (sum(strips.count * strips.pieces for strips in cuts) - 1) < columns


def test_addresses_come_in_order() -> None:
    """The machine tells what is touched in the order of the ops, whatever the size of the chunks."""
    body = (load_vector("a", "x", 16), fma("sum", "a", "a"), advance("x", 32))
    end = (store_vector("out", "sum"),)
    nest = (Block((zero("sum"),)), Repeat("turns", "x", "end", (Block(body),)), Block(end))
    kernel = Kernel("squares", ("x", "end", "out"), nest)
    values = np.arange(32, dtype=np.float32)
    for chunk in (1, 2, 100):
        memory = np.concatenate((values, np.zeros(4, np.float32))).view(np.uint8)
        found = list(accesses(kernel, {"x": 0, "end": 128, "out": 128}, memory, chunk))
        assert np.concatenate([one.address for one in found]).tolist() == [16, 48, 80, 112, 128]
        assert np.concatenate([one.op for one in found]).tolist() == [1, 1, 1, 1, 4]
        assert memory.view(np.float32)[32:].tolist() == (values.reshape(4, 2, 4)[:, 1] ** 2).sum(axis=0).tolist()
    assert count(kernel, {"turns": 4})["branch"] == 4


def test_the_machine_keeps_to_its_memory() -> None:
    """An address outside of the memory is refused, with the op that has it."""
    kernel = Kernel("one", ("x",), (Block((load_vector("a", "x"),)),))
    for address in (-16, 4, 2):
        with pytest.raises(IndexError, match="kernel one left its memory: a = load_vector x"):
            run(kernel, {"x": address}, np.zeros(16, np.uint8))


def test_kernels_are_checked() -> None:
    """A register must be written before it is read and keep its type; loops need a name each and pointers."""
    turn = Repeat("turn", "x", "end", (Block((advance("x", 4),)),))
    with pytest.raises(ValueError, match="must read registers that were written, of the right type: sum = fma"):
        Kernel("bad", ("x",), (Block((load_vector("a", "x"), fma("sum", "a", "a"))),))
    with pytest.raises(ValueError, match="an integer or a vector, not both: x = load_vector x"):
        Kernel("bad", ("x",), (Block((load_vector("x", "x"),)),))
    with pytest.raises(ValueError, match="the pointer and end of loop turn"):
        Kernel("bad", ("x",), (turn,))
    with pytest.raises(ValueError, match="different names"):
        Kernel("bad", ("x", "end"), (turn, turn))


def test_narrow_outputs_are_refused() -> None:
    """What is narrower than a vector is told so."""
    with pytest.raises(KernelError, match="at least 4 columns, one vector, not 3"):
        layer(2, 3, 3, 1, 0).program(DensePlan(2, 1), padded=False)
    ones = np.ones((1, 3, 3), np.float32)
    with pytest.raises(KernelError, match="at least 4 wide, one vector, not 3"):
        depthwise_program(ones, ones[:, 0, 0], ones)


def test_ops_tell_what_they_touch() -> None:
    """Vectors touch all lanes, splats and indices four bytes, arithmetic nothing."""
    assert load_vector("a", "x").size(8) == 32
    assert fma("sum", "a", "b").size(8) == 0
    assert fma("sum", "a", "b").vectors == ("sum", "a", "b")
    assert store_vector("x", "a").pointers == ("x",)
    assert advance("x", 4).kind is Kind.ADVANCE
