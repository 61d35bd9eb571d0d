"""Write buffer: where outputs queue behind the collection bus of the STONNE machines (SIGMA, OS mesh)."""

from __future__ import annotations

import numba
import numpy as np
from numpy.typing import NDArray

Ints = NDArray[np.int64]


@numba.njit(cache=True)
def drained(leaving: Ints, halving: bool) -> int:
    """Return the cycle in which a write buffer is empty for good, given how many outputs leave the bus in each cycle.

    They reach the buffer a cycle later; ``halving`` then writes half of the queue, rounded up, and else all of it.
    """
    queued, last, cycle = 0, 0, 0
    while cycle < len(leaving) or queued:
        if cycle < len(leaving):
            queued += leaving[cycle]
        cycle += 1
        if queued:
            last = cycle
        queued = queued // 2 if halving else 0
    return last
