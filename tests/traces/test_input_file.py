"""Input files: what is kept of an array, and what is refused."""

from __future__ import annotations

from contextlib import suppress

import numpy as np
import pytest
import torch

from traces.errors import InputError
from traces.input_file import read_inputs


@pytest.mark.parametrize(
    ("stored", "read"),
    [
        ("float64", torch.float32),
        ("float32", torch.float32),
        (">f4", torch.float32),
        ("float16", torch.float16),
        ("int32", torch.int64),
        ("uint8", torch.int64),
        ("int64", torch.int64),
        ("bool", torch.bool),
    ],
)
@pytest.mark.parametrize("order", ["C", "F"])
def test_values_and_shapes_are_kept(tmp_path, stored, read, order):
    """An array of any number type and memory order arrives with its shape and values."""
    values = np.asarray(np.arange(12).reshape(3, 4) % 5, dtype=stored, order=order)
    np.save(tmp_path / "x.npy", values)
    (tensor,) = read_inputs(tmp_path / "x.npy")
    assert tensor.dtype == read
    assert tensor.is_contiguous()
    np.testing.assert_array_equal(tensor.numpy(), values)


def test_numbered_arrays_come_in_their_order_and_named_ones_in_the_files(tmp_path):
    """arr_10 comes after arr_9; other names keep the order in which they were saved."""
    np.savez(tmp_path / "numbered.npz", **{f"arr_{i}": np.array([i]) for i in (10, 2, 9, 1)})
    assert [int(t) for t in read_inputs(tmp_path / "numbered.npz")] == [1, 2, 9, 10]
    np.savez_compressed(tmp_path / "named.npz", tokens=np.array([3]), mask=np.array([1.0]))
    tokens, mask = read_inputs(tmp_path / "named.npz")
    assert (tokens.dtype, mask.dtype) == (torch.int64, torch.float32)


def saved(tmp_path, values, name="x.npy"):
    """Save one array, objects too, and return its path."""
    np.save(tmp_path / name, values, allow_pickle=True)
    return tmp_path / name


@pytest.mark.parametrize(
    ("values", "sentence"),
    [
        (np.array([{}], object), "cannot be read: Object arrays cannot be loaded when allow_pickle=False"),
        (np.array([1.0, np.nan]), "must hold finite numbers"),
        (np.array([np.inf]), "must hold finite numbers"),
        (np.array([1e300]), "must hold finite numbers, but it holds NaN, infinity or more than float32 can"),
        (np.zeros((0, 3)), r"must be an array of at least one element, not \(0, 3\)"),
        (np.array(["text"]), "must be an array of floats, integers or bools, not '<U4'"),
        (np.array([1j]), "must be an array of floats, integers or bools, not 'complex128'"),
    ],
)
def test_bad_arrays_are_refused(tmp_path, values, sentence):
    """Only finite numbers pass."""
    with pytest.raises(InputError, match=sentence):
        read_inputs(saved(tmp_path, values))


@pytest.mark.parametrize("keep", [0, 3, 40, 200])
@pytest.mark.parametrize("suffix", [".npy", ".npz"])
def test_truncated_files_are_refused(tmp_path, suffix, keep):
    """A file cut off anywhere is an input error, whatever numpy raises."""
    path = tmp_path / f"x{suffix}"
    (np.save if suffix == ".npy" else np.savez)(path, np.arange(100.0))
    path.write_bytes(path.read_bytes()[:keep])
    with pytest.raises(InputError, match=r"the input file .* cannot be read|is damaged"):
        read_inputs(path)


def test_flipped_bytes_never_end_in_a_traceback(tmp_path):
    """A compressed archive with any one byte changed is read or refused."""
    path = tmp_path / "x.npz"
    np.savez_compressed(path, np.arange(50))
    whole = path.read_bytes()
    for index in range(len(whole)):
        path.write_bytes(whole[:index] + bytes([whole[index] ^ 0x55]) + whole[index + 1 :])
        with suppress(InputError):
            read_inputs(path)


def test_files_that_are_not_there_or_of_another_kind(tmp_path):
    """Missing files, directories and other suffixes are told apart."""
    with pytest.raises(InputError, match=r"the input file .*gone\.npy does not exist"):
        read_inputs(tmp_path / "gone.npy")
    (tmp_path / "folder.npy").mkdir()
    with pytest.raises(InputError, match=r"folder\.npy is a directory"):
        read_inputs(tmp_path / "folder.npy")
    with pytest.raises(InputError, match=r"the input file must be a \.npy or \.npz file, not .*x\.png"):
        read_inputs(tmp_path / "x.png")
    np.savez(tmp_path / "none.npz")
    with pytest.raises(InputError, match="must hold at least one array"):
        read_inputs(tmp_path / "none.npz")
