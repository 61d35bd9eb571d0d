"""How many cores a kernel may use: as the caller says, but one only in a process forked from one that used more."""

from __future__ import annotations

import os
import sys

from numba import config
from numba.np.ufunc.parallel import threading_layer

from kernels.arrays import KernelError

_forked = False


def check_threads(threads: int) -> int:
    """Return the number of threads.

    Raises
    ------
    KernelError
        Unless it is a whole number from 1 to what Numba has; and for more than 1 after a fork that GNU OpenMP does
        not survive: it would end the process.
    """
    most: int = config.NUMBA_NUM_THREADS  # type: ignore[attr-defined]  # set when numba starts
    if isinstance(threads, bool) or not isinstance(threads, int) or not 1 <= threads <= most:
        raise KernelError(f"threads must be a whole number from 1 to {most} (the cores there are), not {threads!r}")
    if threads > 1 and _forked:
        raise KernelError(
            f"threads must be 1 in a process forked from one that used several, not {threads}; start it by spawn"
        )
    return threads


def _after_fork() -> None:
    global _forked
    try:
        _forked = threading_layer() == "omp"  # type: ignore[no-untyped-call]  # numba's
    except ValueError:  # no threads have run yet
        _forked = False


if sys.platform == "linux":
    os.register_at_fork(after_in_child=_after_fork)
