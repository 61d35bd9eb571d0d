"""Network: the pipeline of a whole model on a systolic accelerator, op after op.

Four stages: DMA loads tiles of W and of I into the halves of their buffers, the array (or the vector unit) works off
the steps, DMA stores tiles of O. The DRAM channel is one resource that all transfers share, granted in the order
of DMA's list. Ops follow each other in program order; of the next op only the first tile of W is loaded ahead.
"""

from __future__ import annotations

from collections.abc import Callable, Sequence
from dataclasses import dataclass

import numpy as np

from hw_models.network.steps import Ints, Machine, Steps
from hw_models.network.timing import NEXT_W, I, O, W, transfers
from hw_models.pipeline import Edge, Fifo, Pipeline, Resource, Stage

LOAD_W, LOAD_I, EXECUTE, STORE = "load_weight", "load_input", "execute", "store"
_HALVES = 2


@dataclass(frozen=True, slots=True, eq=False)
class Network:
    """A pipeline and where each op's tokens begin in its stages.

    ``first[stage]`` has one entry an op and a last one with the number of all tokens.
    """

    pipeline: Pipeline
    first: dict[str, Ints]


def ideal_network(ops: Sequence[Steps]) -> Network:
    """Return the network with a memory that never makes the array wait: one stage, all steps in order."""
    cycles = np.concatenate([np.zeros(0, np.int64), *(steps.cycles for steps in ops)])
    first = np.cumsum([0, *(len(steps.cycles) for steps in ops)])
    return Network(Pipeline((Stage(EXECUTE, cycles),)), {EXECUTE: first})


def build_network(
    ops: Sequence[Steps], after: Sequence[Sequence[int]], prefetched: Sequence[bool], array: Machine
) -> Network:
    """Return the network of ops in program order.

    Parameters
    ----------
    ops
        The steps of each op.
    after
        For each op the indices of the ops whose outputs it loads.
    prefetched
        For each op whether its first tile of W is loaded during the op before it (never so for the first).
    array
        Bandwidth and latency.
    """
    first = {
        LOAD_W: np.cumsum([0, *(len(steps.w_first) for steps in ops)]),
        LOAD_I: np.cumsum([0, *(len(steps.i_first) for steps in ops)]),
        EXECUTE: np.cumsum([0, *(len(steps.cycles) for steps in ops)]),
        STORE: np.cumsum([0, *(len(steps.o_last) for steps in ops)]),
    }
    w_rates, i_rates, order, done, stored, half_after, half_before = [], [], [], [], [], [], []
    for number, steps in enumerate(ops):
        count, begin = len(steps.cycles), first[EXECUTE][number]
        w_rates.append(_rates(steps.w_first, count, first[LOAD_W][number]))
        i_rates.append(_rates(steps.i_first, count, first[LOAD_I][number]))
        next_w = number + 1 < len(ops) and prefetched[number + 1]
        order.append(transfers(steps, not prefetched[number], next_w)[0])
        tiles = np.arange(first[STORE][number], first[STORE][number + 1])
        done.append(begin + steps.o_last)
        stored.append(tiles)
        # The third tile of O and each after it needs the half that the tile two before it leaves.
        half_after.append(tiles[:-_HALVES])
        half_before.append(begin + steps.o_last[_HALVES - 1 : -1] + 1)
    stages = (
        Stage(LOAD_W, _dram(ops, lambda s: s.w_bytes + s.w_metadata_bytes, array), "dram", array.latency_cycles),
        Stage(LOAD_I, _dram(ops, lambda s: s.i_bytes, array), "dram", array.latency_cycles),
        Stage(EXECUTE, _joined([steps.cycles for steps in ops])),
        Stage(STORE, _dram(ops, lambda s: s.o_bytes, array), "dram"),
    )
    user = np.zeros(4, np.int64)
    user[[W, NEXT_W, I, O]] = [0, 0, 1, 2]
    produced = [(p, number) for number, producers in enumerate(after) for p in producers]
    pipeline = Pipeline(
        stages,
        (
            _buffer(LOAD_W, "W", w_rates),
            _buffer(LOAD_I, "I", i_rates),
        ),
        (Resource("dram", order=user[_joined(order)], users=(LOAD_W, LOAD_I, STORE)),),
        (
            Edge(EXECUTE, STORE, _joined(done), _joined(stored)),
            Edge(STORE, EXECUTE, _joined(half_after), _joined(half_before)),
            Edge(
                STORE,
                LOAD_I,
                np.array([first[STORE][p + 1] - 1 for p, _ in produced], dtype=np.int64),
                np.array([first[LOAD_I][c] for _, c in produced], dtype=np.int64),
            ),
        ),
    )
    return Network(pipeline, first)


def _rates(tile_first: Ints, steps: int, begin: int) -> tuple[Ints, Ints]:
    """Return how many tiles each step needs, and how many are used up after it, counted from the first op's."""
    step = np.arange(steps)
    need = np.searchsorted(tile_first, step, side="right")
    used_up = np.searchsorted(tile_first[1:], step + 1, side="right")
    if steps and len(tile_first):
        used_up[-1] = len(tile_first)
    return begin + need, begin + used_up


def _buffer(load: str, name: str, rates: Sequence[tuple[Ints, Ints]]) -> Fifo:
    """Return the FIFO of a double buffer, from each op's need and release."""
    need, release = (_joined([rate[i] for rate in rates]) for i in (0, 1))
    return Fifo(load, EXECUTE, _HALVES, need, release, name)


def _joined(parts: Sequence[Ints]) -> Ints:
    return np.concatenate([np.zeros(0, np.int64), *parts])


def _dram(ops: Sequence[Steps], part: Callable[[Steps], Ints], array: Machine) -> Ints:
    """Return the DRAM cycles of one kind of transfer of all ops."""
    return np.ceil(_joined([part(steps) for steps in ops]) / array.bytes_per_cycle).astype(np.int64)
