"""Mapper: all ways to run one op on a systolic array, the fastest first, to the cycle.

A mapping is a dataflow, a tile size for each axis and a loop order. Every feasible one gets a lower bound on its
cycles; those whose bound is low enough to be among the best are timed exactly, and what is returned is run by the
executor as well. An op is mapped as if it were alone: `codesign.simulate` also weighs how neighbours overlap.
"""

from __future__ import annotations

import time
from collections.abc import Iterable, Sequence
from dataclasses import dataclass
from difflib import get_close_matches

import numpy as np

from codesign.lower import Task, lower
from codesign.mapped import Mapped, OpMappings, Refusal
from codesign.schedule.candidates import Candidates, candidates
from codesign.schedule.plan import does_not_fit, steps_of, whole
from codesign.schedule.rank import Ranked, rank
from codesign.systolic import dataflow_indices
from hw_models.accelerators import load_accelerator
from hw_models.base import AcceleratorConfig
from hw_models.network.network import EXECUTE, LOAD_I, LOAD_W, STORE, build_network
from hw_models.network.steps import Ints, Steps, ceil_div
from hw_models.network.timing import dram_cycles
from hw_models.pipeline import compiled
from hw_models.systolic.config import SystolicConfig
from hw_models.systolic.folds import DATAFLOWS
from hw_models.systolic.mapping import Mapping
from hw_models.systolic.tiling import Nest, Tile, reduction
from traces.errors import InputError
from traces.gemm import Gemm
from traces.graph import OpGraph
from traces.op import Op


def gemm_graph(m: int, n: int, k: int, pattern: str = "dense") -> OpGraph:
    """Return the graph of one matrix product of (m, k) inputs by (k, n) weights of that pattern.

    Raises
    ------
    InputError
        If a size is not positive.
    """
    for axis, size in (("m", m), ("n", n), ("k", k)):
        if size < 1:
            raise InputError.must(axis, "at least 1", size)
    op = Op(name="gemm", kind="linear", gemm=Gemm.matmul(m, n, k), weight="gemm.weight")
    return OpGraph.of(f"{m}x{n}x{k}", [op], []).with_weights({}, {} if pattern == "dense" else {op.name: pattern})


def map_ops(
    graph: OpGraph,
    accelerator: str | AcceleratorConfig = "systolic-32x32",
    *,
    names: Iterable[str] | None = None,
    dataflow: str = "auto",
    top: int = 10,
) -> list[OpMappings]:
    """Return the best mappings of the array ops of a graph; identical ones are searched once.

    Parameters
    ----------
    graph
        From `traces.trace`, `traces.load_model` or `gemm_graph`, sparsified or not.
    accelerator
        A preset's name, the path of a YAML config, or a config, of a systolic array.
    names
        The ops to map; None: all.
    dataflow
        ``ws``, ``os``, ``is``, or ``auto``: all that the array has.
    top
        How many mappings to rank.

    Raises
    ------
    InputError
        If a name or value is wrong, the accelerator is no systolic array, or an op does not fit its buffers.
    """
    config = load_accelerator(accelerator) if isinstance(accelerator, str) else accelerator
    if not isinstance(config, SystolicConfig):
        raise InputError(f"{config.name} has no mapping to choose; only systolic arrays have, such as systolic-32x32")
    if config.memory.ideal:
        raise InputError("with ideal memory there are no tiles to choose; leave memory.ideal=true out")
    if top < 1:
        raise InputError.must("top", "at least 1", top)
    dataflows = dataflow_indices(dataflow, config)
    tasks = [task for task in lower(graph, config) if task.dense is not None]
    if names is not None:
        tasks = _chosen(tasks, list(names), graph)
    if not tasks:
        raise InputError(f"{graph.name} has no op that runs on an array")
    same: dict[tuple[Nest | None, Nest | None], list[Task]] = {}
    for task in tasks:
        same.setdefault((task.dense, task.compressed), []).append(task)
    return [_map(alike, graph, config, dataflows, top) for alike in same.values()]


def _chosen(tasks: Sequence[Task], names: Sequence[str], graph: OpGraph) -> list[Task]:
    known = {task.op.name: task for task in tasks}
    for name in names:
        if name in known:
            continue
        if name in graph.dag:
            raise InputError(f"{name} is work of the vector unit and has no mapping; name an op that has MACs")
        near = get_close_matches(name, known, n=1)
        hint = f"did you mean {near[0]}?" if near else "`codesign map MODEL` lists all that can be mapped"
        raise InputError(f"{graph.name} has no op {name!r}; {hint}")
    return [known[name] for name in dict.fromkeys(names)]


@dataclass(frozen=True, slots=True)
class _Found:
    """Candidates of one nest under one dataflow, and the fastest of them."""

    compressed: bool
    dataflow: int
    candidates: Candidates
    ranked: Ranked

    def mapping(self, at: int) -> Mapping:
        tile = Tile(*self.candidates.tiles[self.ranked.which[at]].tolist())
        return Mapping(DATAFLOWS[self.dataflow], self.compressed, tile)


def _map(
    alike: Sequence[Task], graph: OpGraph, config: SystolicConfig, dataflows: Sequence[int], top: int
) -> OpMappings:
    task, begun = alike[0], time.perf_counter()
    found = _search(task, config, dataflows, top, finely=True)
    seconds = time.perf_counter() - begun
    order = _fastest(found)
    if not order:
        raise does_not_fit(task, config, np.min([part.candidates.least_bytes for part in found], axis=0))
    best: dict[str, Mapped] = {}
    for part, at in order:
        if DATAFLOWS[part.dataflow] not in best:
            best[DATAFLOWS[part.dataflow]] = _run(task, part, at, config)
    part, at = _fastest(_search(task, config, dataflows, 1, finely=False))[0]
    gemm = task.op.gemm
    assert gemm is not None
    k = min(reduction(nest, nest.channels) for nest in (task.dense, task.compressed) if nest is not None)
    refused = np.sum([part.candidates.refused for part in found], axis=0)
    least_bytes = min(
        sum(_moved(steps_of(task, mapping, config)).values()) for _, mapping in whole(task, dataflows[:1])
    )
    return OpMappings(
        names=tuple(task.op.name for task in alike),
        gemm=gemm,
        pattern=graph.patterns.get(task.op.name, "dense"),
        accelerator=config.name,
        ranked=tuple(_run(task, part, at, config) for part, at in order[:top]),
        best=best,
        planned=_run(task, part, at, config),
        bounded=sum(len(part.candidates.bound) for part in found),
        exact=sum(len(part.ranked.which) for part in found),
        refused=tuple(_refusals(refused, found, config)),
        too_many_tiles=int(refused[0]),
        infeasible=int(refused.sum()),
        least_array_cycles=ceil_div(gemm.groups * gemm.m * gemm.n * k, config.pes),
        least_dram_cycles=dram_cycles(least_bytes, config.memory.dram.bytes_per_cycle),
        least_dram_bytes=least_bytes,
        seconds=seconds,
    )


def _search(task: Task, config: SystolicConfig, dataflows: Sequence[int], top: int, *, finely: bool) -> list[_Found]:
    """Search each nest under each dataflow: the best of all are wanted, and the best of each dataflow."""
    array, found = config.machine(), []
    for nest in (task.compressed, task.dense):
        for dataflow in dataflows if nest is not None else ():
            assert nest is not None
            tilings = candidates(nest, dataflow, array, finely=finely)
            ranked = rank(nest, dataflow, array, tilings, top)
            found.append(_Found(nest is task.compressed, dataflow, tilings, ranked))
    return found


def _fastest(found: Sequence[_Found]) -> list[tuple[_Found, int]]:
    """Return what was timed exactly, by cycles, then bytes, then tiles; ties in the order of the search."""
    every = [
        (int(part.ranked.cycles[at]), int(part.ranked.dram_bytes[at]), int(part.ranked.steps[at]), i, at)
        for i, part in enumerate(found)
        for at in range(len(part.ranked.which))
    ]
    return [(found[i], at) for *_, i, at in sorted(every)]


def _run(task: Task, part: _Found, at: int, config: SystolicConfig) -> Mapped:
    """Run the executor on one mapping, and see that it takes what was promised."""
    mapping = part.mapping(at)
    steps = steps_of(task, mapping, config)
    schedule = compiled.run(build_network([steps], [()], [False], config.machine()).pipeline)
    cycles, busy = schedule.total_cycles, int(steps.cycles.sum())
    if cycles != part.ranked.cycles[at]:
        raise AssertionError(f"{mapping} of {task.op.name}: {part.ranked.cycles[at]} promised, {cycles} executed")
    fill = int(schedule.start(EXECUTE)[0])
    drain = cycles - int(schedule.end_cycles[EXECUTE][-1])
    stages = [stage for stage in schedule.pipeline.stages if stage.name in (LOAD_W, LOAD_I, STORE)]
    return Mapped(
        mapping=mapping,
        cycles=cycles,
        array_cycles=busy,
        fill_cycles=fill,
        wait_cycles=cycles - busy - fill - drain,
        drain_cycles=drain,
        dram_cycles=sum(int(stage.service_cycles.sum()) for stage in stages),
        dram_bytes=_moved(steps),
        tiles=len(steps.cycles),
    )


def _moved(steps: Steps) -> dict[str, int]:
    """Return the bytes of DRAM by operand."""
    weights = int(steps.w_bytes.sum() + steps.w_metadata_bytes.sum())
    return {"weight": weights, "input": int(steps.i_bytes.sum()), "output": int(steps.o_bytes.sum())}


def _refusals(refused: Ints, found: Sequence[_Found], config: SystolicConfig) -> Iterable[Refusal]:
    array = config.machine()
    halves = (array.weight_half_bytes, array.input_half_bytes, array.output_half_bytes)
    most = np.max([part.candidates.most_bytes for part in found], axis=0)
    for at, operand in enumerate(("weight", "input", "output")):
        count = int(sum(refused[over] for over in range(8) if over >> at & 1))
        if count:
            yield Refusal(f"memory.sram.{operand}_bytes", count, halves[at], int(most[at]))
