"""Program: what an engine or the machine runs: a memory and the calls of kernels that compute something on it."""

from __future__ import annotations

from collections import Counter
from collections.abc import Mapping
from dataclasses import dataclass, field

import numpy as np
from numpy.typing import NDArray

from kernels.loops.counts import count
from kernels.loops.nest import Kernel

ALIGNMENT = 64
"""Bytes of a cache line, to which every array is aligned."""


@dataclass(frozen=True, slots=True)
class Place:
    """A float32 array in a flat memory, rows one behind the other.

    Attributes
    ----------
    address
        Its first byte.
    shape
        Its rows and columns, and perhaps planes before them.
    """

    address: int
    shape: tuple[int, ...]

    @property
    def end(self) -> int:
        """The byte behind its last."""
        return self.address + 4 * int(np.prod(self.shape))

    def view(self, memory: NDArray[np.uint8]) -> NDArray[np.float32]:
        """Return the array as it lies in a memory, without a copy."""
        return memory[self.address : self.end].view(np.float32).reshape(self.shape)


@dataclass(slots=True)
class Memory:
    """Arrays laid out one behind the other, each on its own cache lines; nothing lies at address 0."""

    size: int = ALIGNMENT
    _parts: list[tuple[int, NDArray[np.uint8]]] = field(default_factory=list)

    def add(self, array: NDArray[np.float32] | NDArray[np.int32], slack: int = 0) -> Place:
        """Lay out an array of 4-byte words; ``slack`` bytes behind it may be read too."""
        data = np.ascontiguousarray(array)
        place = Place(self.size, data.shape)
        self._parts.append((self.size, data.reshape(-1).view(np.uint8)))
        self.size = -(-(self.size + data.nbytes + slack) // ALIGNMENT) * ALIGNMENT
        return place

    def image(self) -> NDArray[np.uint8]:
        """Return all of it as bytes."""
        image = np.zeros(self.size, np.uint8)
        for address, data in self._parts:
            image[address : address + len(data)] = data
        return image


@dataclass(frozen=True, slots=True)
class Call:
    """One call of a kernel.

    Attributes
    ----------
    kernel
        What is called.
    arguments
        The value of each parameter.
    iterations
        For each loop, how often its body runs in this call.
    """

    kernel: Kernel
    arguments: Mapping[str, int]
    iterations: Mapping[str, int]


@dataclass(frozen=True, slots=True, eq=False)
class Program:
    """Calls that compute something on a memory.

    Attributes
    ----------
    calls
        In order.
    image
        uint8: the memory before the first call.
    output
        Where the result is after the last, with what pads it.
    shape
        The result's own rows and columns, the first of each.
    """

    calls: tuple[Call, ...]
    image: NDArray[np.uint8]
    output: Place
    shape: tuple[int, ...]

    def result(self, memory: NDArray[np.uint8]) -> NDArray[np.float32]:
        """Return a copy of the result in a memory."""
        return self.output.view(memory)[tuple(slice(size) for size in self.shape)].copy()

    def counts(self) -> Counter[str]:
        """Return how often each kind of op runs, and under ``branch`` the compare-and-branches."""
        total: Counter[str] = Counter()
        for call in self.calls:
            total += count(call.kernel, call.iterations)
        return total

    def run(self) -> NDArray[np.float32]:
        """Return the result, computed by the machine of this package (which imports Numba)."""
        from kernels.loops.machine import run

        memory = self.image.copy()
        for call in self.calls:
            run(call.kernel, call.arguments, memory)
        return self.result(memory)
