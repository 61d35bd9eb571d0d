"""Sparse times dense: every pattern against float64 NumPy, and what happens to arrays that do not fit."""

import subprocess
import sys

import numpy as np
import pytest
import torch
from hypothesis import given, settings
from hypothesis import strategies as st
from numba import config

from kernels import KernelError, conv1x1, empty, pack, spmm
from kernels.products import product

PATTERNS = ("unstructured", "dense", "2:4", "group:4", "group:16", "block:4x4")


def sparse(rng: np.random.Generator, shape: tuple[int, int], pattern: str, density: float) -> np.ndarray:
    """Return a random matrix that fits a pattern."""
    keep = rng.random(shape) < density
    if pattern == "2:4":
        keep &= np.arange(shape[1]) % 4 < 2
    elif pattern == "dense":
        keep[:] = True
    return (rng.standard_normal(shape) * keep).astype(np.float32)


def off(result: np.ndarray, weight: np.ndarray, x: np.ndarray, expected: np.ndarray) -> float:
    """Return the largest error relative to the sum of the sizes of what was added."""
    scale = np.abs(weight).astype(np.float64) @ np.abs(x) + 1
    return float((np.abs(result - expected) / scale).max())


@settings(max_examples=120, deadline=None)
@given(
    shape=st.tuples(st.sampled_from([1, 2, 7, 33, 64]), st.sampled_from([1, 3, 64, 130, 600])),
    columns=st.sampled_from([1, 20, 49, 196]),
    pattern=st.sampled_from(PATTERNS),
    density=st.sampled_from([0.0, 0.05, 0.3, 1.0]),
    lying=st.sampled_from(["rows", "aligned", "columns", "every other"]),
    seed=st.integers(0, 99),
)
def test_equals_numpy(
    shape: tuple[int, int], columns: int, pattern: str, density: float, lying: str, seed: int
) -> None:
    """Any shape, density and layout of the input gives the product of float64, within 1e-5 of its norm."""
    rng = np.random.default_rng(seed)
    weight = sparse(rng, shape, pattern, density)
    x = rng.standard_normal((shape[1], columns)).astype(np.float32)
    expected = weight.astype(np.float64) @ x
    match lying:
        case "aligned":
            x, values = empty(*x.shape), x
            x[:] = values
        case "columns":
            x = np.asfortranarray(x)
        case "every other":
            x = np.repeat(x, 2, axis=1)[:, ::2]
    assert off(spmm(pack(weight, pattern), x), weight, x, expected) < 1e-5


@pytest.mark.parametrize("pattern", PATTERNS)
def test_bias_bounds_and_threads(pattern: str) -> None:
    """The bias is added before the bounds; two threads give the bits of one."""
    rng = np.random.default_rng(3)
    weight = sparse(rng, (96, 200), pattern, 0.3)
    x, bias = rng.standard_normal((200, 300)).astype(np.float32), rng.standard_normal(96).astype(np.float32)
    packed = pack(weight, pattern)
    one = spmm(packed, x, bias, 0, 6)
    expected = np.clip(weight.astype(np.float64) @ x + bias[:, None], 0, 6)
    assert off(one, weight, x, expected) < 1e-5
    if config.NUMBA_NUM_THREADS > 1:
        assert np.array_equal(one, spmm(packed, x, bias, 0, 6, threads=2))


def test_only_the_output_is_written() -> None:
    """An output inside a larger array leaves its surroundings alone, also where registers reach over the edge."""
    rng = np.random.default_rng(4)
    weight = sparse(rng, (8, 16), "unstructured", 0.5)
    x = rng.standard_normal((16, 37)).astype(np.float32)
    whole = np.full((10, 60), 5, np.float32)
    spmm(pack(weight), x, out=whole[1:9, 11:48])
    assert off(whole[1:9, 11:48], weight, x, weight.astype(np.float64) @ x) < 1e-5
    whole[1:9, 11:48] = 5
    assert (whole == 5).all()


def test_torch_tensors_are_used_where_they_lie() -> None:
    """A 1x1 convolution of tensors is torch's; the same memory, no gradient needed."""
    rng = np.random.default_rng(5)
    weight = torch.nn.Parameter(torch.from_numpy(sparse(rng, (24, 16), "group:4", 0.4)).reshape(24, 16, 1, 1))
    x = torch.from_numpy(rng.standard_normal((3, 16, 7, 9)).astype(np.float32))
    y = conv1x1(pack(weight, "group:4"), x, low=0)
    expected = torch.relu(torch.nn.functional.conv2d(x.double(), weight.double())).detach().numpy()
    assert np.allclose(y, expected, atol=1e-5)


def test_a_plan_is_remembered_and_explained() -> None:
    """Asking twice gives the same product; its explanation names the tile."""
    packed = pack(np.ones((512, 512), np.float32), "dense")
    ready = product(packed, 196)
    assert product(packed, 196) is ready
    assert "columns by" in ready.explain()


def test_a_bound_product_follows_its_memory() -> None:
    """A bound call multiplies what lies in x when it is called, and writes the same output each time."""
    packed, x, y = pack(SQUARE, "dense"), empty(8, 20), empty(8, 20)
    run = product(packed, 20).bind(x, low=1, out=y)
    assert (run() == 1).all()
    x[:] = 2
    assert run() is y
    assert (y == 16).all()


SQUARE = np.ones((8, 8), np.float32)
READ_ONLY = np.zeros((8, 8), np.float32)
READ_ONLY.flags.writeable = False
WRONG = {
    "float64": (SQUARE.astype(np.float64), {}, "x must be of float32"),
    "big endian": (SQUARE.astype(">f4"), {}, "x must be of float32"),
    "a list": ([[1.0]], {}, "x must be a NumPy array or a torch tensor, not list"),
    "one dimension": (np.ones(8, np.float32), {}, r"x must be of shape \(8, any\), not \(8,\)"),
    "other rows": (np.ones((7, 8), np.float32), {}, r"x must be of shape \(8, any\), not \(7, 8\)"),
    "no columns": (np.ones((8, 0), np.float32), {}, r"x must be of shape \(8, any\), not \(8, 0\)"),
    "odd address": (np.ones(257, np.uint8)[1:].view(np.float32).reshape(8, 8), {}, "x must be aligned"),
    "half tensor": (torch.ones(8, 8, dtype=torch.float16), {}, "x must be of float32"),
    "bfloat16 tensor": (torch.ones(8, 8, dtype=torch.bfloat16), {}, "x must be a dense float32 tensor on the CPU"),
    "sparse tensor": (torch.ones(8, 8).to_sparse(), {}, "x must be a dense float32 tensor on the CPU"),
    "meta tensor": (torch.ones(8, 8, device="meta"), {}, "x must be a dense float32 tensor on the CPU"),
    "short bias": (SQUARE, {"bias": np.ones(7, np.float32)}, r"bias must be of shape \(8\), not \(7,\)"),
    "crossed bounds": (SQUARE, {"low": 1, "high": 0}, "low must be at most high"),
    "bound of text": (SQUARE, {"low": "a"}, "low and high must be numbers"),
    "NaN bound": (SQUARE, {"low": float("nan")}, "low must be at most high"),
    "out of other shape": (SQUARE, {"out": np.ones((8, 9), np.float32)}, r"out must be of shape \(8, 8\)"),
    "out of float64": (SQUARE, {"out": np.ones((8, 8))}, "out must be of float32"),
    "out not contiguous": (SQUARE, {"out": np.ones((8, 16), np.float32)[:, ::2]}, "out must be writable, with contig"),
    "out by columns": (SQUARE, {"out": np.ones((8, 8), np.float32).T}, "out must be writable, with contiguous rows"),
    "out backwards": (SQUARE, {"out": np.ones((8, 8), np.float32)[::-1]}, "out must be writable, with contiguous"),
    "out read only": (SQUARE, {"out": READ_ONLY}, "out must be writable"),
    "out is x": (SQUARE, {"out": SQUARE}, "out must not share memory"),
    "out of rows that are one": (
        SQUARE,
        {"out": np.lib.stride_tricks.as_strided(np.zeros(8, np.float32), (8, 8), (0, 4))},
        "out must be writable, with contiguous rows that do not overlap",
    ),
    "no threads": (SQUARE, {"threads": 0}, "threads must be a whole number from 1"),
    "half a thread": (SQUARE, {"threads": 0.5}, "threads must be a whole number from 1"),
}


@pytest.mark.parametrize("case", WRONG)
def test_wrong_use_is_one_sentence(case: str) -> None:
    """Arrays that do not fit are refused before anything is computed, in one sentence."""
    x, options, sentence = WRONG[case]
    with pytest.raises(KernelError, match=sentence) as raised:
        spmm(pack(SQUARE, "dense"), x, **options)
    assert "\n" not in str(raised.value)


def test_weights_must_be_packed() -> None:
    """A plain matrix is told to be packed, a pattern without a form gets the list of forms."""
    with pytest.raises(KernelError, match="not ndarray; pack them first"):
        spmm(SQUARE, SQUARE)
    for pattern in ("csr", "group:x", "block:4", "block:axb", "2:4:8", "", "group", 7):
        with pytest.raises(KernelError, match="one of the forms dense, unstructured, 2:4"):
            pack(SQUARE, pattern)
    for matrix in (np.full((2, 2), np.nan, np.float32), np.full((2, 2), np.inf, np.float32)):
        for pattern in ("dense", "unstructured"):
            with pytest.raises(ValueError, match="finite"):
                pack(matrix, pattern)


@settings(max_examples=150, deadline=None)
@given(data=st.data())
def test_fuzzed_arrays_never_crash(data: st.DataObject) -> None:
    """Whatever lies behind a view (dtype, strides, offset), the call returns the product or raises one sentence."""
    rng = np.random.default_rng(0)
    memory = rng.integers(0, 255, 8192).astype(np.uint8)

    def view(rows: int, columns: int) -> np.ndarray:
        dtype = data.draw(st.sampled_from(["<f4", "<f4", "<f4", "<f4", "<f8", ">f4", "<i4", "<f2"]))
        size = np.dtype(dtype).itemsize
        steps = tuple(data.draw(st.sampled_from([0, 1, 4, 8, 32, 36, -4, 64])) for _ in range(2))
        offset = data.draw(st.sampled_from([0, 1, 2, 4, 16])) + 600 * size
        steps = (steps[0], data.draw(st.sampled_from([size, steps[1]])))
        return np.ndarray((rows, columns), dtype, memory.data, offset + 1024, steps)

    packed = pack(SQUARE, data.draw(st.sampled_from(["dense", "unstructured", "group:4"])))
    x, out = view(8, 8), data.draw(st.sampled_from([None, "view"]))
    memory[:] = 0
    try:
        y = spmm(packed, x, out=None if out is None else view(8, 8))
    except KernelError as error:
        y = np.array("\n" in str(error))
    assert not y.any()


def test_many_columns_are_planned_at_once() -> None:
    """A plan does not grow with the columns: it has a strip of each width."""
    ready = product(pack(SQUARE), 10**9 + 7)
    assert all(len(plan.strips) <= 3 for plan in ready.plans)
    assert all(sum(strip.count for strip in plan.strips) == 10**9 + 7 for plan in ready.plans)


@pytest.mark.skipif(sys.platform != "linux", reason="only there GNU OpenMP ends a forked process")
def test_a_forked_process_is_told_to_use_one_thread() -> None:
    """After a fork that OpenMP does not survive, several threads are refused and one works."""
    code = """if 1:
        import os, sys
        import numba, numpy as np
        from kernels import KernelError, pack, spmm
        if numba.config.NUMBA_NUM_THREADS < 2:
            sys.exit(0)
        packed, x = pack(np.ones((8, 8), np.float32)), np.ones((8, 8), np.float32)
        spmm(packed, x, threads=2)
        child = os.fork()
        if child == 0:
            spmm(packed, x)
            try:
                spmm(packed, x, threads=2)
            except KernelError:
                pass
            os._exit(7)
        sys.exit(os.waitpid(child, 0)[1] != 7 << 8)
    """
    subprocess.run([sys.executable, "-c", code], check=True, timeout=120)
