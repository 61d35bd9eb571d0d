"""Gemv: every form of a matrix gives the product that float64 gives, and what cannot be computed is refused."""

import numpy as np
import pytest
import torch
from hypothesis import given, settings
from hypothesis import strategies as st

from kernels import KernelError, empty, machine, pack
from kernels.formats import NM
from kernels.matvec import gemv, nm, rows, sliced, stacked

PATTERNS = ("dense", "unstructured", "2:4", "1:4", "1:8", "3:5", "2:40", "group:2", "group:3", "group:4", "group:16")
PATTERNS += ("group:32", "block:4x4", "block:1x8")


def sparse(pattern, shape, density, seed):
    """Draw a matrix that fits a pattern."""
    rng = np.random.default_rng(seed)
    tall, wide = shape
    dense = rng.standard_normal(shape).astype(np.float32)
    head, _, size = pattern.partition(":")
    if head == "dense":
        return dense
    if head.isdecimal():
        padded = np.ones((tall, -(-wide // int(size)), int(size)))
        padded.reshape(tall, -1)[:, :wide] = rng.random(shape)
        kept = padded.argsort(axis=2).argsort(axis=2) < int(head)
        return dense * kept.reshape(tall, -1)[:, :wide]
    down, across = map(int, (size if head == "block" else f"{size or 1}x1").split("x"))
    kept = rng.random((-(-tall // down), -(-wide // across))) < density
    return dense * kept.repeat(down, 0).repeat(across, 1)[:tall, :wide]


def close(y, weight, x, bias=0.0):
    """Tell whether y is W x within 1e-5 of what its terms amount to."""
    exact, size = weight.astype(np.float64) @ x, np.abs(weight).astype(np.float64) @ np.abs(x)
    return bool((np.abs(y - (exact + bias)) <= 1e-5 * (size + np.abs(bias)) + 1e-30).all())


@settings(deadline=None, max_examples=120)
@given(
    st.sampled_from(PATTERNS),
    st.tuples(st.integers(1, 75), st.integers(1, 150)),
    st.sampled_from((0.0, 0.1, 0.5, 1.0)),
    st.integers(0, 99),
)
def test_a_packed_matrix_gives_the_product(pattern, shape, density, seed):
    """Whatever the format, the shape and the density, down to an empty matrix."""
    weight = sparse(pattern, shape, density, seed)
    x = np.random.default_rng(seed + 1).standard_normal(shape[1]).astype(np.float32)
    assert close(gemv(pack(weight, pattern), x), weight, x)


@settings(deadline=None, max_examples=30)
@given(st.tuples(st.integers(1, 40), st.integers(1, 150)), st.integers(0, 3), st.integers(0, 99))
def test_a_plain_matrix_gives_the_product(shape, gap, seed):
    """Also one whose rows are apart, and a transposed one, which is copied."""
    rng = np.random.default_rng(seed)
    weight = rng.standard_normal((shape[0], shape[1] + gap)).astype(np.float32)[:, : shape[1]]
    x = rng.standard_normal(2 * shape[1]).astype(np.float32)[::2]
    assert close(gemv(weight, x), weight, x)
    assert close(gemv(np.asfortranarray(weight), x), weight, x)
    assert close(gemv(torch.from_numpy(weight), torch.from_numpy(x.copy())), weight, x)


@pytest.mark.parametrize("pattern", ["dense", "unstructured", "2:4"])
def test_bias_and_bounds_end_the_product(pattern):
    """As clamp(W x + b) does in float64; the result is written to ``out`` and returned."""
    weight = sparse(pattern, (50, 96), 0.3, 0)
    rng = np.random.default_rng(1)
    x, bias = rng.standard_normal(96).astype(np.float32), rng.standard_normal(50).astype(np.float32)
    out = np.full(50, 9, np.float32)
    y = gemv(pack(weight, pattern), x, bias, low=-0.5, high=0.75, out=out)
    assert y is out
    np.testing.assert_allclose(y, np.clip(weight.astype(float) @ x + bias, -0.5, 0.75), atol=1e-5)
    assert close(gemv(pack(weight, pattern), x, bias), weight, x, bias)


@pytest.mark.parametrize("lanes", [4, 8])
@pytest.mark.parametrize("pattern", ["dense", "unstructured", "2:4", "1:8", "group:4"])
def test_narrower_registers_give_the_same(pattern, lanes, monkeypatch):
    """Of 8 lanes as AVX2 has, and of 4 without a permutation as everything has."""
    if lanes > machine.vector_lanes():
        pytest.skip("this machine has no such registers")
    for module in (nm, rows, sliced, stacked):
        monkeypatch.setattr(module, "vector_lanes", lambda: lanes)
    weight = sparse(pattern, (45, 104), 0.2, 2)
    x = np.random.default_rng(3).standard_normal(104).astype(np.float32)
    assert close(gemv(pack(weight, pattern), x), weight, x)


@pytest.mark.parametrize("pattern", ["plain", "dense", "unstructured", "1:4"])
def test_two_threads_give_what_one_gives(pattern):
    """To the bit: they divide the rows, and each row is summed as before."""
    weight = sparse(pattern.replace("plain", "dense"), (301, 64), 0.2, 4)
    x = np.random.default_rng(5).standard_normal(64).astype(np.float32)
    form = weight if pattern == "plain" else pack(weight, pattern)
    np.testing.assert_array_equal(gemv(form, x, threads=2), gemv(form, x))


def test_columns_beyond_16_bits():
    """Their indices take 32 bits."""
    weight = sparse("unstructured", (3, 70_000), 0.01, 6)
    x = np.random.default_rng(7).standard_normal(70_000).astype(np.float32)
    assert close(gemv(pack(weight), x), weight, x)


def test_rows_of_very_different_length():
    """A full row, empty rows and single entries share slices."""
    weight = np.zeros((70, 130), np.float32)
    weight[33] = 1
    weight[::7, 5] = 2
    x = np.arange(130, dtype=np.float32)
    assert close(gemv(pack(weight), x), weight, x)
    assert close(gemv(pack(weight), x, threads=2), weight, x)


@pytest.mark.parametrize(("n", "m", "bits"), [(2, 4, 2), (1, 4, 2), (1, 8, 3), (1, 16, 4)])
def test_nm_reads_its_values_and_hardly_more(n, m, bits):
    """A 32-bit word a row holds the places of as many values as fit, and nothing else is added."""
    packed = NM.pack(sparse(f"{n}:{m}", (64, 480), 1, 8), n, m)
    values = 64 * 480 // m * n
    words = 64 * -(-480 // m // (32 // (n * bits)))
    assert nm.streamed(packed, 16).bytes == 4 * (values + words)


def test_what_is_not_finite_meets_only_what_is_stored():
    """A NaN in x reaches the rows that have a weight there, and passes the bounds; other rows do not see it."""
    weight = np.eye(20, dtype=np.float32)
    x = np.ones(20, np.float32)
    x[3], x[4] = np.nan, np.inf
    y = gemv(pack(weight), x, low=0, high=2)
    assert np.isnan(y[3])
    assert y[4] == 2
    assert (np.delete(y, [3, 4]) == 1).all()


X, W = np.zeros(6, np.float32), np.zeros((4, 6), np.float32)
ODD = np.zeros(25, np.uint8)[1:].view(np.float32)


@pytest.mark.parametrize(
    ("call", "sentence"),
    [
        (lambda: gemv(W, X.astype(np.float64)), "x must be of float32"),
        (lambda: gemv(W.astype(np.float16), X), "weight must be of float32"),
        (lambda: gemv(W, X[:5]), r"x must be of shape \(6\), not \(5,\)"),
        (lambda: gemv(pack(W), X[None]), r"x must be of shape \(6\), not \(1, 6\)"),
        (lambda: gemv(X, X), "weight must be of shape"),
        (lambda: gemv([[1.0]], X), "weight must be a NumPy array or a torch tensor, not list"),
        (lambda: gemv(W, ODD), "x must be aligned"),
        (lambda: gemv(W, X, bias=X), r"bias must be of shape \(4\)"),
        (lambda: gemv(W, X, low=1, high=0), "low must be at most high"),
        (lambda: gemv(W, X, out=np.zeros(8, np.float32)[::2]), "out must be contiguous and writable"),
        (lambda: gemv(W, X, out=np.zeros(5, np.float32)), r"out must be of shape \(4\)"),
        (lambda: gemv(W, X, out=X[:4]), "out must not share memory with an input"),
        (lambda: gemv(pack(W), X, bias=X[:4].view(), out=X[:4]), "out must not share memory with an input"),
        (lambda: gemv(W, X, threads=0), "threads must be"),
        (lambda: gemv(W, torch.zeros(6, dtype=torch.bfloat16)), "x must be a dense float32 tensor on the CPU"),
    ],
)
def test_misuse_is_refused_in_one_sentence(call, sentence):
    """Before anything is computed or written."""
    with pytest.raises(KernelError, match=sentence):
        call()


def test_the_result_starts_on_a_cache_line():
    """So that loads and stores of whole registers do not cross lines."""
    assert gemv(empty(4, 6), X).ctypes.data % 64 == 0
