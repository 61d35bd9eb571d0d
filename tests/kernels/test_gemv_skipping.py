"""Gemv that skips: only the columns of inputs that are not zero, or the rows that a gate keeps, count."""

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from kernels import KernelError, empty, machine
from kernels.matvec import columns, delta_update, gemv_columns, gemv_rows, rows, spike_update

SHAPES = st.tuples(st.integers(1, 60), st.integers(1, 90))
ZEROS = st.sampled_from((0.0, 0.3, 0.9, 1.0))


def drawn(shape, zeros, seed):
    """Draw weights by column (K, M), with rows that are apart, and an input with zeros."""
    rng = np.random.default_rng(seed)
    weights = empty(shape[1], shape[0])
    weights[:] = rng.standard_normal(weights.shape)
    x = rng.standard_normal(shape[1]).astype(np.float32) * (rng.random(shape[1]) >= zeros)
    return weights, x, rng


def close(y, terms, start=0.0):
    """Tell whether y is the sum of the columns of ``terms``, and a start, within 1e-5 of what they amount to."""
    size = np.abs(terms).sum(axis=1) + np.abs(start)
    return bool((np.abs(y - terms.sum(axis=1) - start) <= 1e-5 * size + 1e-30).all())


@settings(deadline=None, max_examples=60)
@given(SHAPES, ZEROS, st.integers(0, 99))
def test_columns_give_the_product(shape, zeros, seed):
    """With any number of non-zeros, none and all included, and any number of outputs."""
    weights, x, rng = drawn(shape, zeros, seed)
    terms = weights.T.astype(np.float64) * x
    assert close(gemv_columns(weights, x), terms)
    bias = rng.standard_normal(shape[0]).astype(np.float32)
    exact = np.clip(terms.sum(axis=1) + bias, 0, 1)
    np.testing.assert_allclose(gemv_columns(weights, x, bias, low=0, high=1), exact, atol=1e-5 * (shape[1] + 1))


@settings(deadline=None, max_examples=60)
@given(SHAPES, ZEROS, st.sampled_from((np.bool_, np.uint8)), st.integers(0, 99))
def test_updates_add_to_the_state_in_place(shape, zeros, kind, seed):
    """A delta adds W delta; a spike adds a column, whatever number stands for it."""
    weights, delta, rng = drawn(shape, zeros, seed)
    before = rng.standard_normal(shape[0]).astype(np.float32)
    state = before.copy()
    assert delta_update(weights, delta, state) is state
    assert close(state, weights.T.astype(np.float64) * delta, before)
    spikes = (7 * (delta != 0)).astype(kind)
    potential = before.copy()
    assert spike_update(weights, spikes, potential) is potential
    assert close(potential, weights.T.astype(np.float64) * (spikes != 0), before)


@settings(deadline=None, max_examples=60)
@given(SHAPES, ZEROS, st.integers(0, 99))
def test_a_gate_keeps_rows(shape, zeros, seed):
    """Kept ones are the product with bias and bounds, the others 0 even where the bounds exclude it."""
    weights, x, rng = drawn(shape, 0, seed)
    weight = np.ascontiguousarray(weights.T)
    gate = rng.random(shape[0]) >= zeros
    exact = weight.astype(np.float64) @ x
    y = gemv_rows(weight, x, gate)
    assert close(y, weight.astype(np.float64) * x * gate[:, None])
    bias = rng.standard_normal(shape[0]).astype(np.float32)
    y = gemv_rows(weight, x, gate, bias, low=0.5, high=1, out=np.ones(shape[0], np.float32))
    np.testing.assert_allclose(y, np.where(gate, np.clip(exact + bias, 0.5, 1), 0), atol=1e-5 * (shape[1] + 1))


def test_two_threads_give_what_one_gives():
    """To the bit: they divide the outputs."""
    weights, x, rng = drawn((137, 90), 0.5, 0)
    gate = rng.random(90) >= 0.5
    np.testing.assert_array_equal(gemv_columns(weights, x, threads=2), gemv_columns(weights, x))
    wide = np.resize(x, 137)
    np.testing.assert_array_equal(gemv_rows(weights, wide, gate, threads=2), gemv_rows(weights, wide, gate))


@pytest.mark.parametrize("lanes", [4, 8])
def test_narrower_registers_give_the_same(lanes, monkeypatch):
    """Of 8 lanes as AVX2 has, and of 4 as everything has."""
    if lanes > machine.vector_lanes():
        pytest.skip("this machine has no such registers")
    for module in (columns, rows):
        monkeypatch.setattr(module, "vector_lanes", lambda: lanes)
    weights, x, rng = drawn((50, 90), 0.5, 1)
    assert close(gemv_columns(weights, x), weights.T.astype(np.float64) * x)
    gate, wide = rng.random(90) >= 0.5, np.resize(x, 50)
    assert close(gemv_rows(weights, wide, gate), weights.astype(np.float64) * wide * gate[:, None])


def test_a_zero_input_hides_its_weights_and_a_nan_does_not():
    """Skipped columns are not read, even if they are not finite; a NaN is no zero."""
    weights = np.ones((40, 20), np.float32)
    weights[7] = np.inf
    x = np.ones(40, np.float32)
    x[7] = 0
    assert (gemv_columns(weights, x) == 39).all()
    x[30] = np.nan
    assert np.isnan(gemv_columns(weights, x, low=0, high=1)).all()


def test_negative_zero_is_a_zero():
    """It adds nothing to a weight that is not finite."""
    assert gemv_columns(np.full((1, 3), np.inf, np.float32), np.array([-0.0], np.float32)).tolist() == [0, 0, 0]


W, X, Y = np.zeros((6, 4), np.float32), np.zeros(6, np.float32), np.zeros(4, np.float32)


@pytest.mark.parametrize(
    ("call", "sentence"),
    [
        (lambda: gemv_columns(W, X[:4]), r"x must be of shape \(6\)"),
        (lambda: gemv_columns(X, X), "weights_by_column must be of shape"),
        (lambda: gemv_columns(W, X, bias=X), r"bias must be of shape \(4\)"),
        (lambda: delta_update(W, X, Y.astype(np.float64)), "state must be of float32"),
        (lambda: delta_update(W, X, X), r"state must be of shape \(4\)"),
        (lambda: delta_update(W, X, X[:4]), "state must not share memory with an input"),
        (lambda: delta_update(W, X, np.zeros(8, np.float32)[::2]), "state must be contiguous and writable"),
        (lambda: spike_update(W, X, Y), r"spikes must be bool or uint8 of shape \(6,\)"),
        (lambda: spike_update(W, np.zeros(5, np.bool_), Y), r"spikes must be bool or uint8 of shape \(6,\)"),
        (lambda: gemv_rows(W, Y, np.ones(4, np.bool_)), r"gate must be bool of shape \(6,\)"),
        (lambda: gemv_rows(W, Y, np.ones(6, np.uint8)), r"gate must be bool of shape \(6,\)"),
        (lambda: gemv_rows(W, X, np.ones(6, np.bool_)), r"x must be of shape \(4\)"),
        (lambda: gemv_rows(W, Y, np.ones(6, np.bool_), threads=True), "threads must be"),
    ],
)
def test_misuse_is_refused_in_one_sentence(call, sentence):
    """Before anything is computed or written."""
    with pytest.raises(KernelError, match=sentence):
        call()
