"""Product: a matrix times a vector, whatever form the matrix has."""

from __future__ import annotations

from kernels.arrays import ArrayLike
from kernels.matvec import nm, rows, sliced, stacked
from kernels.matvec.memory import Floats, ending, finish, matrix, result, vector
from kernels.packed import Packed
from kernels.threads import check_threads

INFINITY = float("inf")


def gemv(
    weight: Packed | ArrayLike,
    x: ArrayLike,
    bias: ArrayLike = None,
    low: float = -INFINITY,
    high: float = INFINITY,
    out: ArrayLike = None,
    threads: int = 1,
) -> Floats:
    """Return ``clamp(W @ x + bias, low, high)`` for one vector x; several at once are columns for `kernels.spmm`.

    Parameters
    ----------
    weight
        W (M, K): packed by `kernels.pack` with any pattern, or a plain float32 matrix with contiguous rows. At its
        first product a packed one is put in the order in which it is read, and that is kept beside it.
    x
        float32 (K,). What packing skipped adds nothing, also where x is not finite; zeros that a format stores (a
        group's, a block's, an unused slot of N:M) give NaN there, as a plain matrix does.
    bias
        float32 (M,), or None for zeros.
    low, high
        Bounds of the output: 0 and infinity for a ReLU. A NaN passes.
    out
        Contiguous float32 (M,) to write; None makes one.
    threads
        Cores to use.

    Raises
    ------
    KernelError
        If an array has another shape, type or layout.
    """
    threads = check_threads(threads)
    if isinstance(weight, Packed):
        outputs, inputs = weight.shape
        x, end = vector("x", x, inputs), ending(bias, low, high, outputs)
        y = result(out, outputs, x, *(end or ())[:1])
        form = stacked if stacked.fits(weight.store) else nm if nm.fits(weight.store) else sliced
        form.multiply(weight, x, y, threads)
    else:
        plain, stride = matrix("weight", weight)
        x, end = vector("x", x, plain.shape[1]), ending(bias, low, high, len(plain))
        y = result(out, len(plain), x, plain, *(end or ())[:1])
        rows.multiply(plain, stride, x, y, None, threads)
    if end is not None:
        finish(y, *end)
    return y
