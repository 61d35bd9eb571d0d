"""Packed formats: lossless, refused on bad input, and as large as they say."""

from math import ceil, log2

import numpy as np
import pytest
import torch
from hypothesis import given
from hypothesis import strategies as st
from hypothesis.extra import numpy as hnp

from kernels.formats import NM, Bitmask, Block, Csr, FormatError, Group

VALUES = st.one_of(st.just(0.0), st.floats(-8, 8, width=32))
SHAPES = hnp.array_shapes(min_dims=2, max_dims=2, max_side=9)
MATRICES = hnp.arrays(np.float32, SHAPES, elements=VALUES)
SIZES = st.integers(1, 5)


@st.composite
def nm_matrices(draw):
    """Draw (matrix, n, m, run) of a matrix that is N:M sparse by construction."""
    n = draw(st.integers(1, 5))
    m = n + draw(st.integers(0, 5))
    run, positions, rows = draw(st.integers(1, 11)), draw(st.integers(1, 3)), draw(st.integers(1, 4))
    dense = draw(hnp.arrays(np.float32, (rows, positions, run), elements=VALUES))
    for start in range(0, run, m):
        group = dense[:, :, start : start + m]
        for row, position in np.ndindex(rows, positions):
            group[row, position, draw(st.permutations(range(group.shape[2])))[n:]] = 0
    return dense.reshape(rows, positions * run), n, m, run


def all_packed(dense, size, columns):
    """Pack a matrix in every format that takes any matrix."""
    whole_row = NM.pack(dense, dense.shape[1], dense.shape[1])
    packed = Csr.pack(dense), Bitmask.pack(dense), Group.pack(dense, size), Block.pack(dense, size, columns)
    return (*packed, whole_row)


def assert_same_bits(restored, dense):
    """Compare bit for bit; a negative zero comes back as a positive one."""
    assert restored.dtype == np.float32
    assert restored.shape == dense.shape
    assert restored.tobytes() == np.where(dense == 0, np.float32(0), dense).tobytes()


@given(MATRICES, SIZES, SIZES)
def test_round_trip_is_exact(dense, size, columns):
    """What is packed is unpacked bit for bit, and the non-zeros are counted, whatever the matrix."""
    for packed in all_packed(dense, size, columns):
        assert_same_bits(packed.to_dense(), dense)
        assert packed.nonzeros == np.count_nonzero(dense)


@given(nm_matrices())
def test_nm_round_trip_is_exact(case):
    """N:M unpacks bit for bit with short groups at the end of every run, in slots of ascending place."""
    dense, n, m, run = case
    packed = NM.pack(dense, n, m, run)
    assert_same_bits(packed.to_dense(), dense)
    assert packed.nonzeros == np.count_nonzero(dense)
    places = packed.indices.reshape(len(dense), -1, n).astype(int)
    assert (np.diff(places, axis=2) > 0).all()
    assert places.max() < m


@given(nm_matrices(), st.integers(1, 32))
def test_nm_size_is_the_sum_over_its_groups(case, bits):
    """Each group takes N values and N indices or a bitmap, whichever is smaller; N = M needs no metadata."""
    dense, n, m, run = case
    packed = NM.pack(dense, n, m, run)
    groups = sum(1 for _ in dense for _ in range(dense.shape[1] // run) for _ in range(0, run, m))
    assert packed.value_bits(bits) == groups * n * bits
    assert packed.metadata_bits == (0 if n == m else groups * min(n * ceil(log2(m)), m))


@pytest.mark.parametrize(("n", "m", "bits"), [(1, 2, 1), (1, 4, 2), (2, 4, 4), (2, 8, 6), (4, 8, 8), (1, 16, 4)])
def test_nm_metadata_of_common_patterns(n, m, bits):
    """A group of 2:4 takes 4 bits; 4:8 is cheaper as a bitmap of 8 than as four indices of 3."""
    assert NM.pack(np.zeros((1, m), np.float32), n, m).metadata_bits == bits


@given(MATRICES, SIZES, SIZES, st.integers(1, 32))
def test_compressed_sizes_match_a_count_of_tiles(dense, height, width, bits):
    """CSR, groups and blocks store each tile that holds a non-zero, one index a tile, one pointer a tile row."""
    formats = {(1, 1): Csr.pack(dense), (height, 1): Group.pack(dense, height)}
    for (tall, wide), packed in [*formats.items(), ((height, width), Block.pack(dense, height, width))]:
        starts = [range(0, side, step) for side, step in zip(dense.shape, (tall, wide), strict=True)]
        kept = sum(dense[i : i + tall, j : j + wide].any() for i in starts[0] for j in starts[1])
        assert packed.value_bits(bits) == kept * tall * wide * bits
        assert packed.metadata_bits == 32 * (len(starts[0]) + 1) + kept * ceil(log2(len(starts[1])))


@given(MATRICES)
def test_bitmask_takes_a_bit_an_element(dense):
    """The mask is one bit an element and packs to whole bytes."""
    packed = Bitmask.pack(dense)
    assert packed.metadata_bits == dense.size
    assert packed.bits.nbytes == ceil(dense.size / 8)
    assert packed.value_bits(8) == 8 * np.count_nonzero(dense)


@pytest.mark.filterwarnings("ignore:Sparse CSR tensor support is in beta")
@given(MATRICES)
def test_csr_is_that_of_torch(dense):
    """Pointers, indices and values are those torch computes."""
    packed, theirs = Csr.pack(dense), torch.from_numpy(dense).to_sparse_csr()
    assert packed.pointers.tolist() == theirs.crow_indices().tolist()
    assert packed.indices.tolist() == theirs.col_indices().tolist()
    assert packed.values.tolist() == theirs.values().tolist()


@given(st.data(), SIZES, SIZES)
def test_block_is_that_of_torch(data, rows, columns):
    """Where blocks divide the matrix, they are those of torch's block-compressed rows."""
    shape = (rows * data.draw(SIZES), columns * data.draw(SIZES))
    dense = data.draw(hnp.arrays(np.float32, shape, elements=st.sampled_from([0.0, 0.0, 1.0, -2.5])))
    packed, theirs = Block.pack(dense, rows, columns), torch.from_numpy(dense).to_sparse_bsr((rows, columns))
    assert packed.pointers.tolist() == theirs.crow_indices().tolist()
    assert packed.indices.tolist() == theirs.col_indices().tolist()
    assert packed.values.tolist() == theirs.values().tolist()


def pack_any(dense):
    """Yield a call for each format."""
    yield lambda: Csr.pack(dense)
    yield lambda: Bitmask.pack(dense)
    yield lambda: NM.pack(dense, 2, 4)
    yield lambda: Group.pack(dense, 2)
    yield lambda: Block.pack(dense, 2, 2)


@pytest.mark.parametrize("bad", [np.nan, np.inf, -np.inf])
def test_values_must_be_finite(bad):
    """The first NaN or infinity is named with its place."""
    dense = np.zeros((3, 4), np.float32)
    dense[1, 2] = dense[2, 0] = bad
    for pack in pack_any(dense):
        with pytest.raises(FormatError, match=rf"must be finite, not {bad} at row 1, column 2$"):
            pack()


@pytest.mark.parametrize(
    ("dense", "said"),
    [
        (np.zeros((2, 2)), "float32, not float64"),
        ([[1.0]], "float32, not list"),
        (np.zeros((2, 2, 2), np.float32), r"two dimensions .* not of shape \(2, 2, 2\)"),
        (np.zeros((0, 2), np.float32), r"not of shape \(0, 2\)"),
    ],
)
def test_only_float32_matrices_are_packed(dense, said):
    """Another type or shape is refused, by every format."""
    for pack in pack_any(dense):
        with pytest.raises(FormatError, match=said):
            pack()


def test_nm_refuses_a_group_with_too_many():
    """The first group that breaks the pattern is named by row and column, across runs and short groups."""
    dense = np.zeros((2, 12), np.float32)
    dense[1, 6 + 4 : 12] = 1  # second run of 6: its short group of 2 starts at column 10
    with pytest.raises(FormatError, match="at most 1 non-zeros in each group of 4, not 2 at row 1 from column 10"):
        NM.pack(dense, 1, 4, run=6)


@pytest.mark.parametrize(
    ("pack", "said"),
    [
        (lambda dense: NM.pack(dense, 3, 2), "N of N:M must be at most M, not 3:2"),
        (lambda dense: NM.pack(dense, 0, 2), "N of N:M must be a whole number of at least 1, not 0"),
        (lambda dense: NM.pack(dense, 1, 2.0), "M of N:M must be a whole number"),
        (lambda dense: NM.pack(dense, 1, 2, run=4), "run must divide the 6 columns of the matrix, not be 4"),
        (lambda dense: Group.pack(dense, 0), "size of a group must be"),
        (lambda dense: Block.pack(dense, True, 1), "rows of a block must be"),
        (lambda dense: Block.pack(dense, 1, -2), "columns of a block must be"),
    ],
)
def test_options_out_of_range_are_refused(pack, said):
    """Each option says its rule."""
    with pytest.raises(FormatError, match=said):
        pack(np.zeros((2, 6), np.float32))


def test_repr_is_one_line():
    """Formats print their shape and what they hold, not their arrays."""
    dense = np.eye(4, dtype=np.float32)
    shown = [repr(packed) for packed in all_packed(dense, 2, 2)]
    assert shown == [
        "Csr(4x4, 4 non-zeros)",
        "Bitmask(4x4, 4 non-zeros)",
        "Group(4x4, 1x2, 4 non-zeros)",
        "Block(4x4, 2x2 blocks, 4 non-zeros)",
        "NM(4x4, 4:4, 4 non-zeros)",
    ]
