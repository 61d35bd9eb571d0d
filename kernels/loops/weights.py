"""Weights: the two ways in which one weight after the other comes into all lanes of a register."""

from __future__ import annotations

from kernels.loops.op import Op, load_splat, load_vector, splat_lane


def splat_weight(pointer: str, offset: int, number: int, lanes: int | None) -> list[Op]:
    """Return the ops that splat one of several weights into register ``w``.

    Parameters
    ----------
    pointer, offset
        Where the first weight is.
    number
        Which weight; they are taken in order.
    lanes
        Load so many weights at once into register ``few``, when the first of them is taken, and splat its lanes. None:
        load and splat each by itself.
    """
    if lanes is None:
        return [load_splat("w", pointer, offset + 4 * number)]
    load = [load_vector("few", pointer, offset + 4 * number)] if number % lanes == 0 else []
    return [*load, splat_lane("w", "few", number % lanes)]
