"""Packed: a weight matrix checked and stored once, from which every kernel takes the layout that suits it."""

from __future__ import annotations

from collections.abc import Callable, Hashable
from dataclasses import dataclass, field
from typing import Any, TypeVar

import numpy as np
from numpy.typing import NDArray

from kernels.arrays import ArrayLike, KernelError, as_numpy, checked
from kernels.formats import NM, Block, Csr, Group
from kernels.formats.check import checked as finite

Store = Csr | NM | Group | Block | NDArray[np.float32]
T = TypeVar("T")
FORMS = ("dense", "unstructured", "2:4", "group:4", "block:4x4")


@dataclass(frozen=True, slots=True, eq=False, repr=False)
class Packed:
    """Weights (M outputs, K inputs) in one of the packed formats.

    Attributes
    ----------
    pattern
        What was asked for: ``dense``, ``unstructured``, ``2:4``, ``group:4`` or ``block:4x4``, with any sizes.
    store
        The packed matrix, a class of `kernels.formats`; for ``dense`` the matrix itself.
    """

    pattern: str
    store: Store
    _layouts: dict[Hashable, Any] = field(default_factory=dict)

    @property
    def shape(self) -> tuple[int, int]:
        """(M, K)."""
        rows, columns = self.store.shape
        return rows, columns

    @property
    def nonzeros(self) -> int:
        """Weights that are not zero."""
        return int(np.count_nonzero(self.store)) if isinstance(self.store, np.ndarray) else self.store.nonzeros

    @property
    def sparsity(self) -> float:
        """Fraction of weights that are zero."""
        return 1 - self.nonzeros / (self.shape[0] * self.shape[1])

    @property
    def bytes(self) -> float:
        """Size as stored: float32 values and metadata."""
        if isinstance(self.store, np.ndarray):
            return float(self.store.nbytes)
        return (self.store.value_bits(32) + self.store.metadata_bits) / 8

    def to_dense(self) -> NDArray[np.float32]:
        """Return the matrix, equal to the one packed."""
        return self.store.copy() if isinstance(self.store, np.ndarray) else self.store.to_dense()

    def layout(self, name: Hashable, build: Callable[[Store], T]) -> T:
        """Return a layout derived from the store, built when first asked for and then kept."""
        if name not in self._layouts:
            self._layouts[name] = build(self.store)
        kept: T = self._layouts[name]
        return kept

    def __repr__(self) -> str:
        rows, columns = self.shape
        return f"Packed({rows}x{columns}, {self.pattern}, {self.nonzeros} non-zeros, {self.bytes:,.0f} bytes)"


def pack(weight: ArrayLike, pattern: str = "unstructured") -> Packed:
    """Check a weight matrix and pack it; the product then costs no checks of the weights.

    Parameters
    ----------
    weight
        float32 (M, K), finite; a NumPy array or torch tensor. A 1x1 convolution's (M, K, 1, 1) is taken too.
    pattern
        ``unstructured``: the non-zeros one by one. ``N:M``: at most N non-zeros of M consecutive inputs. ``group:R``: R
        consecutive outputs share their inputs; a group with any non-zero is kept. ``block:RxC``: the same with blocks.
        ``dense``: everything.

    Raises
    ------
    KernelError, FormatError
        If the pattern has no such form, or the weight is not a finite float32 matrix that fits it.
    """
    weight = as_numpy("weight", weight)
    matrix = checked("weight", weight[:, :, 0, 0] if weight.shape[2:] == (1, 1) else weight, (None, None))
    head, *sizes = str(pattern).split(":")
    try:
        match head, sizes:
            case "unstructured", []:
                return Packed(pattern, Csr.pack(matrix))
            case "dense", []:
                return Packed(pattern, np.array(finite(matrix), np.float32, order="C"))
            case "group", [size]:
                return Packed(pattern, Group.pack(matrix, int(size)))
            case "block", [size]:
                rows, columns = size.split("x")
                return Packed(pattern, Block.pack(matrix, int(rows), int(columns)))
            case n, [m] if n.isdecimal():
                return Packed(pattern, NM.pack(matrix, int(n), int(m)))
    except ValueError as error:
        if type(error) is not ValueError:
            raise
    raise KernelError(f"a pattern to pack must be of one of the forms {', '.join(FORMS)}, not {pattern!r}")
