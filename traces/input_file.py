"""Input files: the real inputs of a model, from NumPy's .npy and .npz."""

from __future__ import annotations

import re
import zipfile
import zlib
from pathlib import Path
from typing import Any

import numpy as np
import torch
from numpy.typing import NDArray

from traces.errors import InputError


def read_inputs(path: Path | str) -> tuple[torch.Tensor, ...]:
    """Read the inputs of a model, in the order of its arguments.

    Parameters
    ----------
    path
        A ``.npy`` file of one input, or an ``.npz`` file: arrays named ``arr_0``, ``arr_1``, ... in that
        order, others in the order of the file. Pickled objects are never loaded.

    Returns
    -------
    tuple of torch.Tensor
        Shapes as stored. Integers become int64 and float64 becomes float32; float16, float32 and bool stay.

    Raises
    ------
    InputError
        If the file cannot be read, or an array is empty, not of numbers, or not finite.
    """
    path = Path(path)
    if path.suffix.lower() not in (".npy", ".npz"):
        raise InputError.must("the input file", "a .npy or .npz file", str(path), "write it with numpy.save")
    return tuple(_tensor(values, f"{path}, array {name}" if name else str(path)) for name, values in _load(path))


def _load(path: Path) -> list[tuple[str, NDArray[Any]]]:
    """Return the arrays and their names; the array of a .npy has none."""
    try:
        loaded = np.load(path, allow_pickle=False)
        if isinstance(loaded, np.ndarray):
            return [("", loaded)]
        with loaded:
            arrays = [(name, loaded[name]) for name in _in_order(loaded.files)]
    except FileNotFoundError:
        raise InputError(f"the input file {path} does not exist") from None
    except IsADirectoryError:
        raise InputError(f"the input file {path} is a directory") from None
    # NotImplementedError is zipfile's, for a compression that it lacks.
    except (OSError, ValueError, EOFError, MemoryError, NotImplementedError, KeyError) as error:
        raise InputError(f"the input file {path} cannot be read: {_first_line(error)}") from None
    except (zipfile.BadZipFile, zlib.error) as error:
        raise InputError(f"the input file {path} is damaged: {_first_line(error)}") from None
    if not arrays:
        raise InputError(f"the input file {path} must hold at least one array")
    for name, values in arrays:
        if not isinstance(values, np.ndarray):
            raise InputError(f"{path}: its member {name} is not an array")
    return arrays


def _in_order(names: list[str]) -> list[str]:
    if all(re.fullmatch(r"arr_\d+", name) for name in names):
        return sorted(names, key=lambda name: int(name.removeprefix("arr_")))
    return names


def _tensor(values: NDArray[Any], where: str) -> torch.Tensor:
    """Return the array as a tensor of a type that models take."""
    if values.size == 0:
        raise InputError.must(where, "an array of at least one element", values.shape)
    kind = values.dtype.kind
    if kind == "f":
        with np.errstate(over="ignore"):  # told below
            values = values.astype(np.float16 if values.dtype.itemsize == 2 else np.float32)
        if not np.isfinite(values).all():
            raise InputError(f"{where} must hold finite numbers, but it holds NaN, infinity or more than float32 can")
    elif kind in "iu":
        values = values.astype(np.int64)
    elif kind != "b":
        raise InputError.must(where, "an array of floats, integers or bools", str(values.dtype))
    return torch.from_numpy(np.array(values, order="C"))


def _first_line(error: BaseException) -> str:
    return (str(error).strip() or type(error).__name__).splitlines()[0]
