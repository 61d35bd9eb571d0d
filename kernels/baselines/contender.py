"""A dense library's way to compute a problem, ready to be called."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass
from typing import Any

import numpy as np
from numpy.typing import NDArray

from kernels.arrays import empty


class LeftOutError(Exception):
    """A library cannot compute a problem here; the message says why."""


@dataclass(frozen=True)
class Contender:
    """One way to compute a problem: its weight packed and its inputs in the layout that the library likes best.

    Attributes
    ----------
    run : function of int
        Compute call number i, and return the result in the library's own layout.
    standard : function
        Turn what ``run`` returned into a float32 array of the problem's ``y_shape``.
    """

    run: Callable[[int], Any]
    standard: Callable[[Any], NDArray[np.float32]]

    def output(self, number: int) -> NDArray[np.float32]:
        """Return the result of one call as an array of the problem's ``y_shape``."""
        return self.standard(self.run(number))


def aligned(x: NDArray[np.float32]) -> NDArray[np.float32]:
    """Return a C-contiguous copy that starts on a cache line: NumPy's own 16 bytes can cost a kernel a third."""
    copy = empty(1, x.size).reshape(x.shape)
    copy[...] = x
    return copy
