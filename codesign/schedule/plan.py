"""Plan: the best mapping of every op, chosen together.

Each op contributes the candidates that could be part of an optimal plan; neighbours meet only in the prefetch of one
W tile, so a pass over the ops (Viterbi's algorithm) finds the plan with the fewest cycles of all combinations, and
its total is the executors' total to the cycle.
"""

from __future__ import annotations

import itertools
from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from functools import lru_cache

import numpy as np

from codesign.lower import Task
from codesign.schedule.candidates import MOST_STEPS, candidates
from codesign.schedule.search import Options, search
from codesign.schedule.vectors import vector_options
from hw_models.network.steps import Ints, Machine, Steps, vector_steps
from hw_models.network.timing import dram_cycles
from hw_models.systolic.config import SystolicConfig
from hw_models.systolic.folds import DATAFLOWS
from hw_models.systolic.mapping import Mapping
from hw_models.systolic.tiling import Nest, Tile, gemm_steps
from traces.errors import InputError


@dataclass(frozen=True, slots=True)
class Plan:
    """The mapping of every task, and what the other dataflows would have cost it.

    ``alternatives[i]`` gives for each dataflow tried the cycles of task i alone under its best tiling;
    ``total_cycles`` is what the executors will give, None with ideal memory.
    """

    mappings: tuple[Mapping, ...]
    alternatives: tuple[dict[str, int], ...]
    total_cycles: int | None


@dataclass(frozen=True, slots=True)
class _Choices:
    """Mappings of one task with cycles alone, through the prefetch of its successor, and of its own first W."""

    mappings: list[Mapping]
    alone: Ints
    through: Ints
    first_w: Ints
    best: dict[str, int]


def make_plan(tasks: Sequence[Task], config: SystolicConfig, dataflows: Sequence[int]) -> Plan:
    """Return the plan with the fewest cycles under the dataflows allowed.

    Raises
    ------
    InputError
        If no tiling of an op fits the buffers; it says which one lacks how many bytes.
    """
    array = config.machine()
    known: dict[object, _Choices] = {}
    choices = []
    for i, task in enumerate(tasks):
        own_first_w = i == 0 or not task.prefetchable
        next_most = _most_first_w(tasks[i + 1], array) if i + 1 < len(tasks) else 0
        key = (task.dense, task.compressed, task.op.vector, task.chain.lane_ops, own_first_w, next_most)
        if key not in known:
            known[key] = _choices(task, config, dataflows, own_first_w, next_most)
        choices.append(known[key])
    picks, total = _viterbi(choices)
    mappings = tuple(choice.mappings[pick] for choice, pick in zip(choices, picks, strict=True))
    return Plan(mappings, tuple(choice.best for choice in choices), total)


def make_ideal_plan(tasks: Sequence[Task], config: SystolicConfig, dataflows: Sequence[int]) -> Plan:
    """Return the plan for a memory that never stalls: each op whole, under its fastest dataflow."""
    array = config.machine()
    mappings, alternatives = [], []
    for task in tasks:
        best: dict[str, int] = {}
        chosen, least = Mapping(), None
        for nest, mapping in whole(task, dataflows):
            cycles = int(gemm_steps(nest, _tile(mapping), mapping.dataflow_index, array).cycles.sum())
            best[mapping.dataflow] = min(cycles, best.get(mapping.dataflow, cycles))
            if least is None or cycles < least:
                chosen, least = mapping, cycles
        mappings.append(chosen)
        alternatives.append(best)
    return Plan(tuple(mappings), tuple(alternatives), None)


def whole(task: Task, dataflows: Sequence[int]) -> Iterator[tuple[Nest, Mapping]]:
    """Yield each way to run an array op in one piece, compressed before dense."""
    for nest in (task.compressed, task.dense):
        if nest is not None:
            rows = nest.timestep_rows or nest.out_h
            tile = Tile(nest.groups, nest.batch, rows, nest.out_w, nest.filters, nest.channels, 0)
            for dataflow in dataflows:
                yield nest, Mapping(DATAFLOWS[dataflow], nest is task.compressed, tile)


def _tile(mapping: Mapping) -> Tile:
    assert mapping.tile is not None
    return mapping.tile


def steps_of(task: Task, mapping: Mapping, config: SystolicConfig) -> Steps:
    """Return the steps of a task under a mapping."""
    array = config.machine()
    if mapping.tile is None:
        vector = task.op.vector
        assert vector is not None
        return vector_steps(vector.elements_in, vector.elements_out, task.chain.lane_ops, mapping.chunks, array)
    nest = task.compressed if mapping.compressed else task.dense
    assert nest is not None
    return gemm_steps(nest, mapping.tile, mapping.dataflow_index, array)


def _choices(
    task: Task, config: SystolicConfig, dataflows: Sequence[int], own_first_w: bool, next_w_most: int
) -> _Choices:
    """Return the mappings of a task that an optimal plan could use."""
    array = config.machine()
    parts: list[Options] = []
    mappings: list[Mapping] = []
    best: dict[str, int] = {}
    if task.op.vector is not None:
        work = task.op.vector
        parts = [
            vector_options(work.elements_in, work.elements_out, task.chain.lane_ops, array, own_first_w, next_w_most)
        ]
        mappings = [Mapping(chunks=int(chunks)) for chunks in parts[0].which]
    least = np.full(3, np.iinfo(np.int64).max)
    for nest in (task.compressed, task.dense):
        for dataflow in dataflows if nest is not None else ():
            assert nest is not None
            options, tiles, smallest = _searched(nest, dataflow, array, own_first_w, next_w_most)
            least = np.minimum(least, smallest)
            parts.append(options)
            name = DATAFLOWS[dataflow]
            if len(options.which):
                best[name] = min(int(options.alone[0]), best.get(name, int(options.alone[0])))
            mappings += [Mapping(name, nest is task.compressed, tile) for tile in tiles]
    if not mappings:
        raise does_not_fit(task, config, least)
    alone, through, first_w = (np.concatenate([part[i] for part in parts]) for i in (1, 2, 3))
    return _Choices(mappings, alone, through, first_w, best)


@lru_cache(maxsize=4096)
def _searched(
    nest: Nest, dataflow: int, array: Machine, own_first_w: bool, next_w_most: int
) -> tuple[Options, list[Tile], Ints]:
    """Return the options of a nest, their tiles, and the least bytes that it needs; remembered."""
    found = candidates(nest, dataflow, array)
    options = search(nest, dataflow, array, found, own_first_w, next_w_most)
    return options, [Tile(*found.tiles[i].tolist()) for i in options.which], found.least_bytes


def _most_first_w(task: Task, array: Machine) -> int:
    """Return what the DRAM time of a task's first W tile cannot exceed."""
    if task.dense is None or not task.prefetchable:
        return 0
    weights = task.dense.groups * task.dense.filters * task.dense.channels * task.dense.kernel_h * task.dense.kernel_w
    whole = -(-weights * array.weight_bits // 8)
    metadata = weights  # at most a bit a weight, in whole bytes a tile
    return dram_cycles(min(array.weight_half_bytes, whole + metadata), array.bytes_per_cycle)


def _viterbi(choices: Sequence[_Choices]) -> tuple[list[int], int]:
    """Return the pick of each task that makes the total least, and that total."""
    if not choices:
        return [], 0
    best = np.zeros(len(choices[0].alone), dtype=np.int64)
    came_from: list[Ints] = []
    for here, there in itertools.pairwise(choices):
        joined = np.maximum(here.alone[:, None], here.through[:, None] + there.first_w[None, :])
        total = best[:, None] + np.where(there.first_w > 0, joined, here.alone[:, None])
        came_from.append(total.argmin(axis=0))
        best = total.min(axis=0)
    best = best + choices[-1].alone
    picks = [int(best.argmin())]
    for back in reversed(came_from):
        picks.append(int(back[picks[-1]]))
    return picks[::-1], int(best.min())


def does_not_fit(task: Task, config: SystolicConfig, least: Ints) -> InputError:
    """Return the error that says which buffer lacks how many bytes."""
    if task.op.vector is not None:
        least = np.array([0, -(-config.precision.input_bits // 8), -(-config.precision.output_bits // 8)])
    array, lacking = config.machine(), []
    halves = (array.weight_half_bytes, array.input_half_bytes, array.output_half_bytes)
    for operand, need, half in zip(("weight", "input", "output"), least.tolist(), halves, strict=True):
        if need > half:
            lacking.append(
                f"its smallest {operand} tile takes {need:,} bytes, but half of memory.sram.{operand}_bytes is"
                f" {half:,}: {2 * (need - half):,} bytes more are needed"
            )
    if not lacking:
        lacking.append(f"it takes more than {MOST_STEPS:,} tiles to run it in these buffers; enlarge memory.sram")
    return InputError(f"{task.op.name} does not fit {config.name}: {'; '.join(lacking)}")
