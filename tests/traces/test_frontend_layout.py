"""Layouts of torch weights as GEMM operands."""

import numpy as np
import torch
from hypothesis import given
from hypothesis import strategies as st

from traces.frontend.layout import Layout

sizes = st.integers(1, 4)


def layouts():
    """Draw layouts of every kind."""
    conv = st.builds(
        lambda groups, n, c, kernel: Layout.conv((groups * n, c, *kernel), groups),
        sizes,
        sizes,
        sizes,
        st.lists(sizes, min_size=1, max_size=3),
    )
    transposed = st.builds(
        lambda groups, k, n, kernel: Layout.conv_transpose((groups * k, n, *kernel), groups),
        sizes,
        sizes,
        sizes,
        st.lists(sizes, min_size=1, max_size=3),
    )
    shapes = st.lists(sizes, min_size=1, max_size=4).map(tuple)
    return st.one_of(
        conv, transposed, shapes.filter(lambda s: len(s) < 3).map(Layout.linear), shapes.map(Layout.product)
    )


@given(layouts())
def test_round_trip_is_the_identity(layout):
    """Torch -> GEMM -> torch gives every element back in its place, for every kind of weight."""
    weight = np.arange(np.prod(layout.shape), dtype=np.float32).reshape(layout.shape)
    matrix = layout.to_gemm(weight)
    assert matrix.shape == layout.matrix
    assert np.array_equal(layout.to_torch(matrix), weight)


@given(sizes, sizes, sizes, sizes, sizes)
def test_conv_layout_multiplies_an_unrolled_image(groups, n, c, kernel_h, kernel_w):
    """(groups, n, k) times image patches with k over (kh, kw, c) is torch's convolution."""
    generator = torch.Generator().manual_seed(0)
    weight = torch.randn(groups * n, c, kernel_h, kernel_w, generator=generator)
    patch = torch.randn(1, groups * c, kernel_h, kernel_w, generator=generator)
    matrix = Layout.conv(tuple(weight.shape), groups).to_gemm(weight.numpy())
    column = patch.numpy().reshape(groups, c, kernel_h, kernel_w).transpose(0, 2, 3, 1).reshape(groups, -1, 1)
    want = torch.nn.functional.conv2d(patch, weight, groups=groups).numpy().reshape(groups, n, 1)
    np.testing.assert_allclose(matrix @ column, want, rtol=1e-4, atol=1e-5)
