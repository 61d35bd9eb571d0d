"""The edge of public kernels: nothing outside an array is touched, and odd arrays are computed right or refused."""

import ctypes
import mmap
import sys

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

import kernels
from kernels import KernelError, pack, pack_active
from kernels.active import by_pixels, empty_images
from kernels.windows import registers

RNG = np.random.default_rng(0)
WIDE, SQUARE = (RNG.standard_normal(shape, np.float32) for shape in ((9, 23), (3, 2, 3, 3)))
ACTIVE = pack_active(SQUARE, 1, 1)
SHAPES = {
    "spmm": ((23, 21), (9,), (9, 21)),
    "conv1x1": ((2, 23, 3, 5), (9,), (2, 9, 3, 5)),
    "gemv": ((23,), (9,), (9,)),
    "gemv plain": ((23,), (9,), (9,)),
    "gemv_columns": ((9,), (23,), (23,)),
    "gemv_rows": ((23,), (9,), (9,)),
    "conv3x3": ((1, 2, 5, 19), (3,), (1, 3, 5, 19)),
    "depthwise": ((1, 3, 5, 19), (3,), (1, 3, 5, 19)),
    "conv_active": ((1, 2, 5, 19), (3,), (1, 3, 5, 19)),
    "max_pool": ((1, 3, 6, 18), None, (1, 3, 3, 9)),
    "average_pool": ((1, 3, 6, 18), None, (1, 3, 3, 9)),
}
"""Of x, bias and result."""


def call(name: str, x: np.ndarray, bias: np.ndarray | None, out: np.ndarray | None) -> np.ndarray:
    """Return what a kernel makes of its operands."""
    options = {} if bias is None else {"bias": bias}
    match name:
        case "spmm" | "conv1x1" | "gemv":
            return getattr(kernels, name)(pack(WIDE), x, out=out, **options)
        case "gemv plain":
            return kernels.gemv(WIDE, x, out=out, **options)
        case "gemv_columns":
            return kernels.gemv_columns(WIDE, x, out=out, **options)
        case "gemv_rows":
            return kernels.gemv_rows(WIDE, x, np.arange(9) % 3 > 0, out=out, **options)
        case "conv3x3":
            return kernels.conv3x3(SQUARE, x, out=out, **options)
        case "depthwise":
            return kernels.depthwise(SQUARE[:, 0], x, out=out, **options)
        case "conv_active":
            return kernels.conv_active(ACTIVE, x, out=out, **options)
    return getattr(kernels, name)(x, 2, out=out)


@settings(max_examples=200, deadline=None)
@given(data=st.data())
@pytest.mark.parametrize("name", SHAPES)
def test_odd_arrays_are_computed_right_or_refused(name, data):
    """Any type, stride, offset, order or subclass: the result is that of a plain copy, or the refusal one sentence."""
    memory = np.random.default_rng(1).integers(-4, 5, 6000).astype(np.float32)

    def drawn(shape: tuple[int, ...]) -> np.ndarray:
        kind = data.draw(st.sampled_from(("strides", "strides", "offset", "type", "matrix", "masked", "read only")))
        plain = memory[5 : 5 + np.prod(shape)].reshape(shape)
        if kind == "strides":
            steps = [data.draw(st.sampled_from((0, 4, 8, -4, 4 * 19, 4 * 40))) for _ in shape]
            return np.ndarray(shape, np.float32, memory.data, 12000, steps)
        if kind == "offset":
            return np.ndarray(shape, np.float32, memory.data, data.draw(st.integers(0, 9)))
        if kind == "type":
            return plain.astype(data.draw(st.sampled_from((">f4", "f8", "f2", "i4", "O", "?"))))
        if kind == "masked":
            return np.ma.masked_array(plain)
        plain.flags.writeable = kind != "read only"
        return plain.view(np.matrix) if kind == "matrix" and len(shape) == 2 else plain

    x_shape, bias_shape, out_shape = SHAPES[name]
    x = drawn(x_shape)
    bias = drawn(bias_shape) if bias_shape and data.draw(st.booleans()) else None
    out = drawn(out_shape) if data.draw(st.booleans()) else None
    copies = [None if each is None else np.array(each, np.float32) for each in (x, bias)]
    try:
        y = call(name, x, bias, out)
    except KernelError as error:
        said = str(error)
    else:
        said = ""
        np.testing.assert_array_equal(np.asarray(y), call(name, *copies, None))
    assert "\n" not in said


def walled(shape: tuple[int, ...], after: bool, dtype: type = np.float32) -> np.ndarray:
    """Return ones that begin behind, or end before, a page whose touch ends the process."""
    page, size = mmap.PAGESIZE, int(np.prod(shape)) * np.dtype(dtype).itemsize
    pages = -(-size // page)
    memory = np.frombuffer(mmap.mmap(-1, (pages + 2) * page), np.uint8)
    for wall in (0, pages + 1):
        where = ctypes.c_void_p(memory.ctypes.data + wall * page)
        assert ctypes.CDLL(None).mprotect(where, ctypes.c_size_t(page), 0) == 0
    begin = (pages + 1) * page - size if after else page
    array = memory[begin : begin + size].view(dtype).reshape(shape)
    array[...] = 1
    return array


@pytest.mark.skipif(sys.platform != "linux", reason="mprotect is called as Linux has it")
@pytest.mark.parametrize("after", [True, False])
@pytest.mark.parametrize("name", SHAPES)
def test_nothing_beside_an_array_is_touched(name, after):
    """Inputs, bias and result may lie at the edge of what memory there is."""
    x_shape, bias_shape, out_shape = SHAPES[name]
    x, bias = walled(x_shape, after), None if bias_shape is None else walled(bias_shape, after)
    out = walled(out_shape, after)
    if name == "conv_active":
        out = walled((1, 5, 19, 3), after).transpose(0, 3, 1, 2)
    y = call(name, x, bias, out)
    np.testing.assert_array_equal(y, call(name, x.copy(), None if bias is None else bias.copy(), None))


@pytest.mark.skipif(sys.platform != "linux", reason="mprotect is called as Linux has it")
@pytest.mark.parametrize("lanes", [4, 8])
@pytest.mark.parametrize(
    ("kernel", "stride", "height", "width"), [(5, 1, 1, 1), (5, 1, 3, 1), (5, 2, 3, 2), (3, 1, 2, 1)]
)
def test_narrow_planes_touch_nothing_beside(lanes, kernel, stride, height, width, monkeypatch):
    """A plane narrower than a register, of any width of register, is not read past its last column."""
    monkeypatch.setattr(registers, "vector_lanes", lambda: lanes)
    for after in (True, False):
        x, weight = walled((1, 2, height, width), after), walled((2, kernel, kernel), after)
        y = kernels.depthwise(weight, x, stride=stride)
        assert y[0, 0, 0, 0] == min(height, kernel // 2 + 1) * min(width, kernel // 2 + 1)


def test_states_and_spikes_beside_walls():
    """Updates in place stay in their array."""
    state, potential = walled((23,), True), walled((23,), True)
    kernels.delta_update(WIDE, walled((9,), True), state)
    kernels.spike_update(WIDE, walled((9,), True, np.uint8), potential)
    np.testing.assert_allclose(state, 1 + WIDE.sum(0), rtol=1e-5)
    np.testing.assert_allclose(potential, state, rtol=1e-5)
    map_state = walled((5, 19, 3), True).transpose(2, 0, 1)
    kernels.spike_conv(ACTIVE, walled((2, 5, 19), True, np.uint8), map_state)
    expected = by_pixels(np.ones((3, 5, 19), np.float32))
    kernels.delta_conv_update(ACTIVE, np.ones((2, 5, 19), np.float32), expected)
    np.testing.assert_allclose(map_state, expected, rtol=1e-5)


@pytest.mark.parametrize("name", [name for name, shapes in SHAPES.items() if shapes[1]])
def test_the_result_must_lie_apart_from_the_bias(name):
    """A bias is read until the last strip, so one inside the result would be lost."""
    x_shape, bias_shape, out_shape = SHAPES[name]
    out = empty_images(*out_shape) if name == "conv_active" else np.zeros(out_shape, np.float32)
    flat = (np.moveaxis(out, 1, -1) if name == "conv_active" else out).reshape(-1)
    with pytest.raises(KernelError, match="out must not share memory with an input"):
        call(name, np.zeros(x_shape, np.float32), flat[: bias_shape[0]], out)


@pytest.mark.parametrize(
    ("wrong", "sentence"),
    [
        (lambda: kernels.spmm(pack(WIDE), np.ones((23, 4), np.float32), low="0"), "low and high must be numbers"),
        (lambda: kernels.gemv(WIDE, WIDE[0], low=[0, 1]), "low and high must be numbers"),
        (lambda: kernels.gemv(WIDE, WIDE[0], high=10**400), "low and high must be numbers"),
        (lambda: kernels.product(pack(WIDE), 0), "columns must be a whole number from 1"),
        (lambda: kernels.product(pack(WIDE), 2**40), "columns must be a whole number from 1"),
        (lambda: kernels.product(WIDE, 3), "weights must be packed by kernels.pack"),
        (lambda: kernels.empty(0, 4), "rows and columns must be whole numbers of at least 1"),
        (lambda: pack_active(SQUARE, padding=10**6), "padding must be a whole number from 0 to 15"),
        (lambda: kernels.max_pool(SQUARE, 10**9, 1, 5 * 10**8), "kernel must be a whole number from 1 to 32768"),
        (lambda: pack(WIDE, "1:4000000000"), "M of N:M must be at most 1024"),
        (lambda: pack(WIDE, "group:99999999999"), "size of a group must be at most 1024"),
        (lambda: pack(WIDE, "block:99999x99999"), "rows of a block must be at most 1024"),
        (lambda: pack(np.ma.masked_array(WIDE)), "weight must be a NumPy array or a torch tensor, not MaskedArray"),
    ],
)
def test_what_would_take_all_memory_or_time_is_refused(wrong, sentence):
    """Sizes and bounds beyond sense are one sentence, not an error of NumPy's or a process that is killed."""
    with pytest.raises(KernelError, match=sentence):
        wrong()
