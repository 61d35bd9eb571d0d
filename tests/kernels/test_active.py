"""Convolutions of sparse activations against torch in float64, for every layout, geometry and kind of input."""

import numba
import numpy as np
import pytest
import torch
from hypothesis import given, settings
from hypothesis import strategies as st

from kernels.active import by_pixels, conv_active, delta_conv_update, empty_images, pack_active, scan, spike_conv
from kernels.active import packed as packing
from kernels.arrays import KernelError

GEOMETRIES = ((1, 1, 0), (3, 1, 1), (3, 1, 0), (3, 2, 1), (1, 2, 0), (3, 4, 3))
"""Kernel, stride, padding."""


def drawn(seed, batch, outputs, inputs, height, width, kernel, nonzeros):
    """Return a weight, inputs with zeros, and a bias."""
    random = np.random.default_rng(seed)
    weight = random.standard_normal((outputs, inputs, kernel, kernel), np.float32)
    x = random.standard_normal((batch, inputs, height, width), np.float32)
    x *= random.random(x.shape) < nonzeros
    return weight, x, random.standard_normal(outputs, np.float32)


def truth(weight, x, stride, padding):
    """Return the convolution in float64, and the sum of magnitudes that bounds float32's errors."""
    weight, x = torch.from_numpy(weight).double(), torch.from_numpy(np.ascontiguousarray(x)).double()
    conv = torch.nn.functional.conv2d
    result = conv(x, weight, stride=stride, padding=padding).numpy()
    return result, conv(x.abs(), weight.abs(), stride=stride, padding=padding).numpy()


def assert_close(got, wanted, bound):
    """Hold a result to 1e-5 of its bound."""
    assert got.shape == wanted.shape
    assert np.all(np.abs(got - wanted) <= 1e-5 * bound + 1e-30)


cases = st.fixed_dictionaries(
    {
        "seed": st.integers(0, 99),
        "batch": st.integers(1, 2),
        "outputs": st.sampled_from((1, 3, 16, 64, 70)),
        "inputs": st.integers(1, 140),
        "height": st.integers(3, 9),
        "width": st.integers(3, 9),
        "nonzeros": st.sampled_from((0.0, 0.1, 0.5, 1.0)),
    }
)
LAYOUTS = {
    "by channels": lambda x: x,
    "by pixels": by_pixels,
    "torch": torch.from_numpy,
    "channels_last": lambda x: torch.from_numpy(x).to(memory_format=torch.channels_last),
    "every second column": lambda x: np.repeat(x, 2, axis=3)[..., ::2],
    "read-only": lambda x: np.frombuffer(x.tobytes(), np.float32).reshape(x.shape),
}


@settings(max_examples=60, deadline=None)
@given(case=cases, geometry=st.sampled_from(GEOMETRIES), layout=st.sampled_from(sorted(LAYOUTS)), relu=st.booleans())
def test_equals_torch(case, geometry, layout, relu):
    """The convolution equals torch's in float64 in any geometry, from inputs in any layout, with any share of zeros."""
    kernel, stride, padding = geometry
    weight, x, bias = drawn(**case, kernel=kernel)
    wanted, bound = truth(weight, x, stride, padding)
    wanted, bound = wanted + bias[:, None, None], bound + np.abs(bias)[:, None, None]
    low, high = (0.0, 6.0) if relu else (-np.inf, np.inf)
    got = conv_active(pack_active(weight, stride, padding), LAYOUTS[layout](x), bias, low, high)
    assert_close(got, np.clip(wanted, low, high), bound)


@settings(max_examples=30, deadline=None)
@given(case=cases, geometry=st.sampled_from(GEOMETRIES), pixels=st.booleans())
def test_updates_follow_a_changing_input(case, geometry, pixels):
    """A state updated by the change of an input is the convolution of the new input."""
    kernel, stride, padding = geometry
    weight, x, _ = drawn(**case, kernel=kernel)
    packed = pack_active(weight, stride, padding)
    before = np.random.default_rng(1).integers(-4, 5, x.shape).astype(np.float32)
    state = conv_active(packed, before)
    delta_conv_update(packed, by_pixels(x) if pixels else x, state)
    wanted, _ = truth(weight, before.astype(np.float64) + x, stride, padding)
    bound = truth(weight, np.abs(before) + np.abs(x), stride, padding)[1]
    assert_close(state, wanted, bound)


@settings(max_examples=30, deadline=None)
@given(
    case=cases,
    geometry=st.sampled_from(GEOMETRIES[:4]),
    kind=st.sampled_from((np.uint8, np.bool_)),
    pixels=st.booleans(),
)
def test_spikes_add_weights(case, geometry, kind, pixels):
    """Spikes add to the potentials what a convolution of zeros and ones gives."""
    kernel, stride, padding = geometry
    weight, x, _ = drawn(**case, kernel=kernel)
    spikes = (x != 0).astype(kind)
    wanted, bound = truth(weight, spikes.astype(np.float32), stride, padding)
    potential = by_pixels(np.ones(wanted.shape, np.float32))
    if pixels:
        spikes = spikes.transpose(0, 2, 3, 1).copy().transpose(0, 3, 1, 2)
    spike_conv(pack_active(weight, stride, padding), spikes, potential)
    assert_close(potential, wanted + 1, bound + 1)


@pytest.mark.parametrize("lanes", [4, 8])
def test_narrow_registers_compute_the_same(lanes, monkeypatch):
    """The code for AVX2 and NEON is right where it can run on this machine."""
    for module in packing, scan:
        monkeypatch.setattr(module, "vector_lanes", lambda: lanes)
    weight, x, _ = drawn(0, 1, 20, 70, 6, 5, 3, 0.5)
    packed = pack_active(weight, padding=1)
    assert packed.lanes == lanes
    for inputs in x, by_pixels(x):
        assert_close(conv_active(packed, inputs), *truth(weight, x, 1, 1))


def test_large_kernels_of_two_shapes():
    """A kernel of 5x7 is no special case."""
    random = np.random.default_rng(0)
    weight = random.standard_normal((5, 20, 5, 7), np.float32)
    x = random.standard_normal((1, 20, 11, 10), np.float32)
    assert_close(conv_active(pack_active(weight, 1, 2), x), *truth(weight, x, 1, 2))


@pytest.mark.skipif(numba.config.NUMBA_NUM_THREADS < 2, reason="needs two cores")
def test_threads_and_tiles_change_nothing():
    """Two threads give the bits of one, also where each sweeps several tiles or has no row at all."""
    for height, width in ((60, 40), (1, 3)):
        weight, x, bias = drawn(0, 1, 64, 40, height, width, 3, 0.5)
        packed = pack_active(weight, padding=1)
        alone = conv_active(packed, x, bias)
        wanted, bound = truth(weight, x, 1, 1)
        assert_close(alone, wanted + bias[:, None, None], bound + np.abs(bias)[:, None, None])
        assert np.array_equal(conv_active(packed, x, bias, threads=2), alone)


def test_writes_where_it_is_told():
    """A given output is filled and returned: of numpy by pixels, of torch channels_last; and so is a single state."""
    weight, x, _ = drawn(0, 2, 16, 9, 6, 5, 3, 0.5)
    packed = pack_active(weight, padding=1)
    wanted = conv_active(packed, x)
    out = empty_images(2, 16, 6, 5)
    assert conv_active(packed, x, out=out) is out
    assert np.array_equal(out, wanted)
    tensor = torch.empty(2, 16, 6, 5, memory_format=torch.channels_last)
    conv_active(packed, torch.from_numpy(x), out=tensor)
    assert np.array_equal(tensor.numpy(), wanted)
    state = by_pixels(np.zeros((16, 6, 5), np.float32))
    delta_conv_update(packed, x[1], state)
    assert np.array_equal(state, wanted[1])


def test_zeros_hide_and_nan_passes():
    """A NaN reaches the outputs that see it, and only these; a negative zero is a zero."""
    weight, x, _ = drawn(0, 1, 3, 5, 7, 7, 3, 0.0)
    x[0, 2, 3, 3] = np.nan
    x[0, 1, 0, 0] = -0.0
    y = conv_active(pack_active(weight, padding=1), x)
    seen = np.zeros((1, 3, 7, 7), bool)
    seen[:, :, 2:5, 2:5] = True
    assert np.array_equal(np.isnan(y), seen)
    assert not y[~seen].any()


def _wrong_calls():
    """Return calls that must be refused, and words of the sentence."""
    weight, x, _ = drawn(0, 1, 4, 3, 5, 5, 3, 0.5)
    packed = pack_active(weight, padding=1)
    state = empty_images(1, 4, 5, 5)[0]
    frozen = empty_images(1, 4, 5, 5)
    frozen.flags.writeable = False
    shared = empty_images(1, 3, 5, 5)
    square = pack_active(weight[:3], padding=1)
    return {
        "double weight": (lambda: pack_active(weight.astype(float)), "weight must be of float32"),
        "flat weight": (lambda: pack_active(weight[0]), r"weight must be of shape \(any, any, any, any\)"),
        "infinite weight": (lambda: pack_active(weight * np.float32(np.inf)), "weight must be finite"),
        "huge kernel": (lambda: pack_active(np.ones((1, 1, 16, 1), np.float32)), "at most 15 rows and columns"),
        "no stride": (lambda: pack_active(weight, 0), "stride must be a whole number from 1 to 2147483647, not 0"),
        "half padding": (lambda: pack_active(weight, 1, 0.5), "padding must be a whole number from 0 to 15, not 0.5"),
        "unpacked": (lambda: conv_active(weight, x), "weights must be packed by kernels.active.pack_active, not nd"),
        "channels": (lambda: conv_active(packed, x[:, :2]), r"x must be of shape \(any, 3, any, any\), not \(1, 2,"),
        "double x": (lambda: conv_active(packed, x.astype(float)), "x must be of float32"),
        "list": (lambda: conv_active(packed, [1.0]), "x must be a NumPy array or a torch tensor, not list"),
        "small x": (lambda: conv_active(pack_active(weight), x[..., :2]), "at least as large as the kernel of 3x3"),
        "bias": (lambda: conv_active(packed, x, np.zeros(3, np.float32)), r"bias must be of shape \(4\)"),
        "bounds": (lambda: conv_active(packed, x, low=1, high=0), "low must be at most high"),
        "threads": (lambda: conv_active(packed, x, threads=0), "threads must be"),
        "out shape": (lambda: conv_active(packed, x, out=empty_images(1, 4, 5, 4)), "out must be of shape"),
        "out by channels": (lambda: conv_active(packed, x, out=np.empty((1, 4, 5, 5), np.float32)), "lie by pixels"),
        "out frozen": (lambda: conv_active(packed, x, out=frozen), "out must be writable"),
        "out is x": (lambda: conv_active(square, shared, out=shared), "out must not share memory with an input"),
        "delta": (lambda: delta_conv_update(packed, x[0, :2], state), r"delta must be of shape \(3, any, any\)"),
        "state": (lambda: delta_conv_update(packed, x[0], state[:2]), r"state must be of shape \(4, 5, 5\)"),
        "state batch": (lambda: delta_conv_update(packed, x, state), r"state must be of shape \(1, 4, 5, 5\)"),
        "float spikes": (lambda: spike_conv(packed, x[0], state), "spikes must be of uint8 or bool, not float32"),
        "spikes shape": (lambda: spike_conv(packed, x[0, 0] != 0, state), r"spikes must be of shape \(3, any, any\)"),
        "potential": (
            lambda: spike_conv(packed, x[0] != 0, state.copy(order="C")),
            "potential must be writable and lie",
        ),
        "by pixels": (lambda: by_pixels(np.zeros(3, np.float32)), "x must be of shape"),
    }


@pytest.mark.parametrize("name", _wrong_calls())
def test_wrong_use_is_refused_in_one_sentence(name):
    """What a kernel cannot take is refused before compiled code sees it, with what it should have been."""
    call, words = _wrong_calls()[name]
    with pytest.raises(KernelError, match=words) as caught:
        call()
    assert "\n" not in str(caught.value)


@pytest.mark.parametrize("width", [512, 513, 1300])
def test_rows_wider_than_a_tile(width):
    """A row is never cut, however wide: its sums are swept as one tile."""
    weight, x = drawn_wide(width)
    expected = torch.nn.functional.conv2d(
        torch.from_numpy(x).double(), torch.from_numpy(weight).double(), padding=1
    ).numpy()
    result = conv_active(pack_active(weight, 1, 1), x)
    np.testing.assert_allclose(result, expected, atol=1e-5)


def drawn_wide(width):
    """Return a weight and an image of two wide rows."""
    rng = np.random.default_rng(width)
    shapes = (5, 3, 3, 3), (1, 3, 2, width)
    return [rng.standard_normal(shape, np.float32) for shape in shapes]
