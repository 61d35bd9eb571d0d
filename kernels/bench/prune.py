"""Weights to time: pruned by magnitude to an exact number of zeros, in the pattern that a format packs."""

from __future__ import annotations

import re

import numpy as np
from numpy.typing import NDArray

from kernels.arrays import KernelError

Array = NDArray[np.float32]


def unit(pattern: str) -> tuple[int, int]:
    """Return the rows and columns of weights that live and die together.

    Raises
    ------
    KernelError
        If it is no pattern: unstructured, group:R, block:RxC or N:M.
    """
    if pattern == "unstructured" or fixed_sparsity(pattern) is not None:
        return 1, 1
    match = re.fullmatch(r"group:([1-9]\d*)|block:([1-9]\d*)x([1-9]\d*)", pattern)
    if match is None:
        raise KernelError(f"a pattern must be one of unstructured, group:R, block:RxC or N:M, not {pattern!r}")
    group, rows, columns = match.groups()
    return (int(group), 1) if group else (int(rows), int(columns))


def fixed_sparsity(pattern: str) -> float | None:
    """Return the sparsity that an N:M pattern is of, None for patterns of any sparsity."""
    match = re.fullmatch(r"([1-9]\d*):([1-9]\d*)", pattern)
    if match is None:
        return None
    n, m = map(int, match.groups())
    if n > m:
        raise KernelError(f"a pattern N:M must keep at most all of M weights, not {pattern!r}")
    return 1 - n / m


def prune(weight: Array, pattern: str, sparsity: float) -> Array:
    """Return the weight with its smallest units set to zero.

    Parameters
    ----------
    weight : ndarray of float32
        Of shape (outputs, inputs).
    pattern : str
        ``unstructured``: single weights. ``group:R`` and ``block:RxC``: units of R rows and one or C columns, by the
        sum of their magnitudes. ``N:M``: all but the N largest of every M neighbours in a row.
    sparsity : float
        The share of units to set to zero; their number is exact. N:M has its own and takes no notice of it.
    """
    if fixed_sparsity(pattern) is not None:
        n, m = map(int, pattern.split(":"))
        padded = np.pad(weight, ((0, 0), (0, -weight.shape[1] % m)))
        groups = np.abs(padded).reshape(len(weight), -1, m)
        rank = np.argsort(np.argsort(-groups, axis=2, kind="stable"), axis=2)
        return np.where(rank.reshape(padded.shape)[:, : weight.shape[1]] < n, weight, np.float32(0))
    rows, columns = unit(pattern)
    padded = np.pad(weight, ((0, -weight.shape[0] % rows), (0, -weight.shape[1] % columns)))
    tall, wide = padded.shape[0] // rows, padded.shape[1] // columns
    size = np.abs(padded).reshape(tall, rows, wide, columns).sum(axis=(1, 3)).ravel()
    kept = np.ones(size.size, bool)
    gone = round(sparsity * size.size)
    if gone < size.size:
        kept[np.argpartition(size, gone)[:gone]] = False
    else:
        kept[:] = False
    mask = kept.reshape(tall, wide).repeat(rows, axis=0).repeat(columns, axis=1)
    return np.where(mask[: weight.shape[0], : weight.shape[1]], weight, np.float32(0))
