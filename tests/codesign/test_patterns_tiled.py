"""Unstructured, group and block masks against brute force, torch's pruner and the packed formats."""

from fractions import Fraction

import numpy as np
import pytest
import torch
from hypothesis import given
from hypothesis import strategies as st
from hypothesis.extra import numpy as hnp
from torch.nn.utils import prune

from codesign.patterns import Block, Dense, Group, Unstructured, parse_pattern
from kernels import formats
from traces.errors import InputError

TIED = st.integers(-3, 3).map(float)
SIZES = st.integers(1, 5)
SPARSITIES = st.one_of(st.sampled_from([0.0, 0.25, 0.5, 0.75, 0.99]), st.floats(0, 1, exclude_max=True))
PATTERNS = st.one_of(
    st.builds(Unstructured, SPARSITIES),
    st.builds(Group, SIZES, SPARSITIES),
    st.builds(Block, SIZES, SIZES, SPARSITIES),
)
SHAPES = hnp.array_shapes(min_dims=3, max_dims=3, max_side=7)
TENSORS = hnp.arrays(np.float32, SHAPES, elements=TIED)


def tiles_of(shape, pattern):
    """Return the slices of each tile in order of position: group, then row, then column."""
    height, width = {"Unstructured": (1, 1), "Group": (getattr(pattern, "size", 0), 1)}.get(
        type(pattern).__name__, (getattr(pattern, "rows", 0), getattr(pattern, "cols", 0))
    )
    groups, n, k = shape
    return [
        (g, slice(i, i + height), slice(j, j + width))
        for g in range(groups)
        for i in range(0, n, height)
        for j in range(0, k, width)
    ]


def brute_force(weights, pattern):
    """Sort the tiles by falling L1 norm, then by position, and keep the exact count."""
    tiles = tiles_of(weights.shape, pattern)
    removed = min(round(Fraction(pattern.sparsity) * len(tiles)), len(tiles) - 1)
    order = sorted(range(len(tiles)), key=lambda t: (-float(np.abs(weights[tiles[t]]).sum()), t))
    mask = np.zeros(weights.shape, bool)
    for t in order[: len(tiles) - removed]:
        mask[tiles[t]] = True
    return mask


@given(TENSORS, PATTERNS)
def test_mask_keeps_the_tiles_of_largest_norm(weights, pattern):
    """The mask is that of a plain sort with the exact count, of equal norms the first, at ragged edges too."""
    mask = pattern.mask(weights, weights.shape[2])
    assert mask.shape == weights.shape
    assert np.array_equal(mask, brute_force(weights, pattern))


@given(TENSORS, SPARSITIES)
def test_unstructured_removes_an_exact_count(weights, sparsity):
    """The number removed is within half a weight of the share asked for, as long as one is left."""
    removed = np.count_nonzero(~Unstructured(sparsity).mask(weights, 1))
    assert abs(removed - sparsity * weights.size) <= 0.5 or removed == weights.size - 1


@given(TENSORS, PATTERNS)
def test_masked_weights_satisfy_the_pattern_and_stay(weights, pattern):
    """Masked weights satisfy the pattern, and masking them again changes nothing."""
    run = weights.shape[2]
    masked = np.where(pattern.mask(weights, run), weights, np.float32(0))
    assert pattern.satisfied_by(masked, run)
    assert np.array_equal(np.where(pattern.mask(masked, run), masked, np.float32(0)), masked)


@given(TENSORS, PATTERNS)
def test_one_tile_too_many_is_not_satisfied(weights, pattern):
    """A tensor without zeros satisfies a pattern only if that removes nothing."""
    full = np.abs(weights) + 1
    assert pattern.satisfied_by(full, 1) == (not pattern.removes(full.shape, 1))
    assert pattern.removes(full.shape, 1) == (not pattern.mask(full, 1).all())


@given(TENSORS, PATTERNS)
def test_metadata_is_that_of_the_packed_format(weights, pattern):
    """Metadata is what the packed matrices report, or none where nothing is removed."""
    mask = pattern.mask(weights, 1)
    if mask.all():
        expected = 0
    elif isinstance(pattern, Group):
        expected = sum(formats.Group.pack(m.astype(np.float32), pattern.size).metadata_bits for m in mask)
    elif isinstance(pattern, Block):
        size = pattern.rows, pattern.cols
        expected = sum(formats.Block.pack(m.astype(np.float32), *size).metadata_bits for m in mask)
    else:
        rows = [m.astype(np.float32) for m in mask]
        compressed = sum(formats.Csr.pack(m).metadata_bits for m in rows)
        expected = min(compressed, sum(formats.Bitmask.pack(m).metadata_bits for m in rows))
    assert pattern.metadata_bits(weights.shape, 1) == expected


@pytest.mark.parametrize("sparsity", [0.1, 0.5, 0.9])
def test_unstructured_mask_is_that_of_torch(sparsity):
    """On random weights the mask is that of torch's magnitude pruning."""
    torch.manual_seed(0)
    layer = torch.nn.Linear(50, 20)
    weights = layer.weight.detach().numpy()[None].copy()
    prune.l1_unstructured(layer, "weight", amount=sparsity)
    assert np.array_equal(Unstructured(sparsity).mask(weights, 50)[0], layer.weight_mask.numpy() != 0)


def test_norms_do_not_overflow():
    """Blocks of the largest float32 values are still told apart."""
    weights = np.full((1, 2, 4), np.finfo(np.float32).max, np.float32)
    weights[0, 0, 0] = 0
    assert Block(2, 2, 0.5).mask(weights, 4)[0, 0].tolist() == [False, False, True, True]


@pytest.mark.parametrize("sparsity", [-0.1, 1, 1.5, float("nan"), float("inf"), "0.5", None, True])
def test_sparsity_out_of_range_is_refused(sparsity):
    """Sparsity is a number from 0 up to, but not including, 1."""
    for build in Unstructured, lambda s: Group(4, s), lambda s: Block(2, 2, s):
        with pytest.raises(InputError, match="sparsity must be a number from 0 up to, but not including, 1, not"):
            build(sparsity)


@pytest.mark.parametrize("size", [0, -4, 1.5, "4", True])
def test_sizes_are_whole_numbers(size):
    """Groups and blocks have at least one row and one column."""
    for build in lambda s: Group(s, 0.5), lambda s: Block(s, 1, 0.5), lambda s: Block(1, s, 0.5):
        with pytest.raises(InputError, match="must be a whole number of at least 1, not"):
            build(size)


@pytest.mark.parametrize("text", ["dense", "2:4", "unstructured:0.5", "group:2:0.5", "block:2x2:0.5"])
@pytest.mark.parametrize(
    ("weights", "run", "said"),
    [
        (np.ones((1, 2, 4)), 4, "weights must be a NumPy array of float32, not 'float64'"),
        (np.ones((2, 4), np.float32), 4, r"weights must be of a shape \(groups, n, k\)"),
        (np.ones((1, 0, 4), np.float32), 4, r"weights must be of a shape \(groups, n, k\)"),
        (np.ones((1, 2, 4), np.float32), 3, "run must be a divisor of the reduction length 4, not 3"),
        (np.ones((1, 2, 4), np.float32), 0, "run must be a divisor of the reduction length 4, not 0"),
        (np.full((1, 2, 4), np.nan, np.float32), 4, r"weights must be finite, not nan at index \(0, 0, 0\)"),
    ],
)
def test_every_pattern_checks_the_weights(text, weights, run, said):
    """A tensor of another type, shape or with NaN, or a run that does not fit, is refused by all patterns."""
    with pytest.raises(InputError, match=said):
        parse_pattern(text).mask(weights, run)
    with pytest.raises(InputError, match=said):
        parse_pattern(text).satisfied_by(weights, run)


def test_tiles_may_be_far_larger_than_the_tensor():
    """A huge size costs no memory: the tile is cut to the tensor."""
    weights = np.array([[[1, 3], [2, 4]]], np.float32)
    assert Group(10**12, 0.5).mask(weights, 2).tolist() == [[[False, True], [False, True]]]
    assert Block(1, 10**12, 0.5).mask(weights, 2).tolist() == [[[False, False], [True, True]]]


def test_dense_removes_nothing():
    """Dense keeps every weight."""
    assert Dense().mask(np.zeros((1, 2, 4), np.float32), 4).all()
