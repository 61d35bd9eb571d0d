"""Effectual MACs against brute force on unrolled operands."""

import numpy as np
import pytest
import torch
from hypothesis import given
from hypothesis import strategies as st

from traces.bitmap import Bitmap
from traces.effectual import effectual_macs
from traces.errors import InputError
from traces.gemm import Gemm
from traces.op import Op
from traces.vector import VectorWork


@st.composite
def convs(draw):
    """Draw a convolution that fits its image."""
    small = st.integers(1, 3)
    kernel, stride, dilation = ((draw(small), draw(small)) for _ in range(3))
    pad = draw(st.integers(0, 3)), draw(st.integers(0, 3))
    spans = [d * (k - 1) + 1 for d, k in zip(dilation, kernel, strict=True)]
    size = [draw(st.integers(max(1, s - 2 * p), s + 5)) for s, p in zip(spans, pad, strict=True)]
    out = [(n + 2 * p - s) // t + 1 for n, p, s, t in zip(size, pad, spans, stride, strict=True)]
    names = ("in", "out", "kernel", "stride", "pad", "dilation")
    values = (size, out, kernel, stride, pad, dilation)
    sides = {f"{name}_{axis}": v[i] for name, v in zip(names, values, strict=True) for i, axis in enumerate("hw")}
    return Gemm(channels=draw(small), filters=draw(small), batch=draw(small), groups=draw(small), **sides)


def op_of(kind: str, gemm: Gemm) -> Op:
    """Return an op of that kind."""
    return Op(name="op", kind=kind, gemm=gemm)


@given(convs(), st.integers(0, 2**32 - 1), st.booleans())
def test_convolution_counts_what_a_convolution_of_ones_sums(gemm, seed, sparse_weights):
    """On 0/1 operands the convolution's own sum is the number of effectual MACs."""
    rng = np.random.default_rng(seed)
    image = rng.random((gemm.batch, gemm.groups * gemm.channels, gemm.in_h, gemm.in_w)) < 0.6
    weight = rng.random((gemm.groups, gemm.n, gemm.k)) < (0.5 if sparse_weights else 1.1)
    torch_weight = weight.reshape(gemm.groups * gemm.n, gemm.kernel_h, gemm.kernel_w, gemm.channels)
    want = torch.nn.functional.conv2d(
        torch.from_numpy(image).double(),
        torch.from_numpy(torch_weight.transpose(0, 3, 1, 2).astype(float)),
        stride=(gemm.stride_h, gemm.stride_w),
        padding=(gemm.pad_h, gemm.pad_w),
        dilation=(gemm.dilation_h, gemm.dilation_w),
        groups=gemm.groups,
    ).sum()
    given_weight = weight if sparse_weights else None
    assert effectual_macs(op_of("conv", gemm), given_weight, (Bitmap.of(image),)) == int(want)


@given(st.integers(1, 4), st.integers(1, 4), st.integers(1, 4), st.integers(1, 4), st.integers(0, 2**32 - 1))
def test_matmul_counts_what_a_product_of_ones_sums(groups, m, n, k, seed):
    """On 0/1 operands the sum of I @ W is the number of effectual MACs, for activations and for weights."""
    rng = np.random.default_rng(seed)
    left, right = rng.random((groups, m, k)) < 0.5, rng.random((groups, k, n)) < 0.5
    gemm, want = Gemm.matmul(m, n, k, groups), int((left.astype(int) @ right.astype(int)).sum())
    assert effectual_macs(op_of("matmul", gemm), None, (Bitmap.of(left), Bitmap.of(right))) == want
    assert effectual_macs(op_of("linear", gemm), right.transpose(0, 2, 1), (Bitmap.of(left),)) == want


@given(convs())
def test_without_bitmaps_every_mac_counts(gemm):
    """Dense operands, padding included, give the dense MACs."""
    assert effectual_macs(op_of("conv", gemm)) == gemm.macs


def test_wrong_operands_are_told_in_a_sentence():
    """Vector ops and misfit shapes are refused with the op's name."""
    vector = Op(name="act", kind="relu", vector=VectorWork.of("relu", 1, 1))
    with pytest.raises(InputError, match="op act must be an op of a MAC array"):
        effectual_macs(vector)
    op = op_of("linear", Gemm.matmul(2, 3, 4))
    with pytest.raises(InputError, match=r"operand W of op must be \(groups, n, k\) = \(1, 3, 4\)"):
        effectual_macs(op, np.ones((1, 4, 3), dtype=bool))
    with pytest.raises(InputError, match="operand I of op"):
        effectual_macs(op, None, (Bitmap.of(np.ones((2, 5))),))
