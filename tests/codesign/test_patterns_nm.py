"""N:M masks against brute force and torch's own pruner."""

import numpy as np
import pytest
import torch
from hypothesis import given
from hypothesis import strategies as st
from hypothesis.extra import numpy as hnp
from torch.ao.pruning import WeightNormSparsifier

import kernels.formats
from codesign.patterns import NM, Dense
from traces.errors import InputError

TIED = st.integers(-3, 3).map(float)


@st.composite
def cases(draw, elements=TIED):
    """Draw (weights, run, pattern), short groups and convolution groups included."""
    n = draw(st.integers(1, 4))
    pattern = NM(n, n + draw(st.integers(0, 4)))
    run, positions = draw(st.integers(1, 10)), draw(st.integers(1, 3))
    shape = (draw(st.integers(1, 3)), draw(st.integers(1, 3)), positions * run)
    return draw(hnp.arrays(np.float32, shape, elements=elements)), run, pattern


def brute_force(weights, run, n, m):
    """Sort each group by falling magnitude, then by position, and keep the first N."""
    mask = np.zeros(weights.shape, bool)
    for g, row in np.ndindex(weights.shape[:2]):
        for first in range(0, weights.shape[2], run):
            for start in range(first, first + run, m):
                places = range(start, min(start + m, first + run))
                for place in sorted(places, key=lambda k: (-abs(weights[g, row, k]), k))[:n]:
                    mask[g, row, place] = True
    return mask


@given(cases())
def test_mask_keeps_the_largest_of_each_group(case):
    """The mask is that of a plain sort: the N largest magnitudes, of equal ones the first, in every group."""
    weights, run, pattern = case
    assert np.array_equal(pattern.mask(weights, run), brute_force(weights, run, pattern.n, pattern.m))


@given(cases())
def test_masked_weights_satisfy_the_pattern_and_stay(case):
    """Masked weights satisfy the pattern, can be packed by it, and masking them again changes nothing."""
    weights, run, pattern = case
    masked = np.where(pattern.mask(weights, run), weights, np.float32(0))
    assert pattern.satisfied_by(masked, run)
    assert np.array_equal(np.where(pattern.mask(masked, run), masked, np.float32(0)), masked)
    for matrix in masked:
        assert np.array_equal(kernels.formats.NM.pack(matrix, pattern.n, pattern.m, run).to_dense(), matrix)


@given(cases(elements=st.sampled_from([0.0, 0.0, 1.0])))
def test_satisfied_by_is_what_can_be_packed(case):
    """A tensor satisfies the pattern exactly if the packed format accepts each of its matrices."""
    weights, run, pattern = case

    def fits(matrix):
        try:
            kernels.formats.NM.pack(matrix, pattern.n, pattern.m, run)
        except kernels.formats.FormatError:
            return False
        return True

    assert pattern.satisfied_by(weights, run) == all(fits(matrix) for matrix in weights)


@given(cases())
def test_metadata_is_that_of_the_packed_format(case):
    """Metadata is what the packed matrices report, or none where nothing is removed."""
    weights, run, pattern = case
    mask = pattern.mask(weights, run)
    packed = [kernels.formats.NM.pack(m.astype(np.float32), pattern.n, pattern.m, run) for m in mask]
    expected = 0 if mask.all() else sum(matrix.metadata_bits for matrix in packed)
    assert pattern.metadata_bits(weights.shape, run) == expected
    assert pattern.removes(weights.shape, run) == (not mask.all())


@pytest.mark.parametrize(("n", "m"), [(2, 4), (1, 4), (4, 8)])
def test_mask_of_a_linear_layer_is_that_of_torch(n, m):
    """On a linear layer of random weights the mask is that of torch's sparsifier."""
    torch.manual_seed(0)
    layer = torch.nn.Linear(64, 24)
    weights = layer.weight.detach().numpy()[None].copy()
    pruner = WeightNormSparsifier(sparsity_level=1.0, sparse_block_shape=(1, m), zeros_per_block=m - n)
    pruner.prepare(layer, [{"tensor_fqn": "weight"}])
    pruner.step()
    theirs = layer.parametrizations.weight[0].mask.numpy()
    assert np.array_equal(NM(n, m).mask(weights, 64)[0], theirs)


def test_groups_of_a_convolution_run_over_channels():
    """In a convolution each group is M neighbouring channels of one kernel position of one filter."""
    filters = np.random.default_rng(0).standard_normal((3, 8, 2, 2)).astype(np.float32)  # torch's (n, c, h, w)
    weights = filters.transpose(0, 2, 3, 1).reshape(1, 3, 32)
    kept = NM(1, 4).mask(weights, 8).reshape(3, 2, 2, 8).transpose(0, 3, 1, 2)
    largest = np.abs(filters).reshape(3, 2, 4, 2, 2).max(axis=2, keepdims=True)
    assert np.array_equal(kept, (np.abs(filters).reshape(3, 2, 4, 2, 2) == largest).reshape(filters.shape))


def test_n_equal_to_m_is_dense():
    """N = M keeps everything and costs what dense costs."""
    weights = np.ones((1, 2, 8), np.float32)
    for pattern in NM(4, 4), Dense():
        assert pattern.mask(weights, 8).all()
        assert pattern.density == 1
        assert not pattern.removes(weights.shape, 8)
        assert pattern.metadata_bits(weights.shape, 8) == 0
        assert pattern.satisfied_by(weights, 8)


@pytest.mark.parametrize(("n", "m"), [(4, 2), (0, 4), (-1, 4), (1, 0), (2.0, 4), ("2", 4), (True, 2)])
def test_impossible_pairs_are_refused(n, m):
    """N and M are whole numbers with 1 <= N <= M."""
    with pytest.raises(InputError, match="an N:M pattern must be two whole numbers with 1 <= N <= M"):
        NM(n, m)
