"""Evaluate: what one configuration takes. Workers run this; it needs no torch."""

from __future__ import annotations

import json
from collections.abc import Mapping
from dataclasses import dataclass
from typing import NamedTuple

import numpy as np

from codesign.comparison.core import CoreTarget
from codesign.comparison.job import jobs_of
from codesign.patterns import Dense, Unstructured, parse_pattern
from codesign.simulation import simulate
from codesign.sweep.limits import sizes
from codesign.sweep.point import Task
from codesign.sweep.traced import unpack
from hw_models.accelerators.registry import read_accelerator
from hw_models.cpus.config import CpuConfig
from hw_models.cpus.network import network_time
from traces.errors import InputError
from traces.graph import OpGraph


class Outcome(NamedTuple):
    """A row of the store's table ``evaluated``, and the names of the ops that its lists are of."""

    key: str
    status: str
    reason: str | None = None
    cycles: int | None = None
    time_s: float | None = None
    energy_pj: float | None = None
    pes: int | None = None
    sram_bytes: int | None = None
    dram_bytes: int | None = None
    utilization: float | None = None
    macs: int | None = None
    effectual_macs: int | None = None
    layer_cycles: tuple[int, ...] | None = None
    layer_energy_pj: tuple[float, ...] | None = None
    names: tuple[str, ...] = ()


@dataclass
class Evaluator:
    """Evaluates tasks on graphs that it holds by their digest; it remembers what tasks have in common."""

    packed: Mapping[str, bytes]

    def __post_init__(self) -> None:
        self._graphs: dict[tuple[str, bool], OpGraph] = {}
        self._cores: dict[str, CoreTarget] = {}

    def __call__(self, task: Task) -> Outcome:
        """Return the outcome: ``done``, ``infeasible`` (with the reason), or ``failed``."""
        try:
            return self._accelerator(task) if task.kind == "accelerator" else self._cpu(task)
        except InputError as error:
            return Outcome(task.key, "infeasible", str(error))
        except MemoryError:
            return Outcome(task.key, "failed", "out of memory")
        except Exception as error:  # noqa: BLE001 (one bad point must not end a sweep; it is told in the results)
            return Outcome(task.key, "failed", f"a mistake in codesign: {type(error).__name__}: {error}")

    def _graph(self, task: Task, dtype: type[np.bool_] | type[np.float32]) -> OpGraph:
        known = task.graph, dtype is np.bool_
        if known not in self._graphs:
            self._graphs[known] = unpack(self.packed[task.graph], dtype)
        return self._graphs[known]

    def _accelerator(self, task: Task) -> Outcome:
        config = read_accelerator(task.config, task.config["name"])
        report = simulate(self._graph(task, np.bool_), config, dataflow=task.dataflow or "auto")
        ops = report.ops
        return Outcome(
            task.key,
            "done",
            None,
            report.total_cycles,
            report.seconds,
            report.total_energy_pj,
            config.pes,
            sizes(task.config)["sram_bytes"],
            sum(sum(op.dram_bytes.values()) for op in ops),
            report.utilization,
            sum(op.dense_macs for op in ops),
            sum(op.effectual_macs for op in ops),
            tuple(op.cycles for op in ops),
            tuple(op.total_energy_pj for op in ops),
            tuple(op.name for op in ops),
        )

    def _cpu(self, task: Task) -> Outcome:
        """Simulate the network on a core as `codesign compare` does: layers that have a sparse kernel by it."""
        said = json.dumps(task.config, sort_keys=True)
        if said not in self._cores:
            self._cores[said] = CoreTarget(CpuConfig.read(task.config, task.config["name"]))
        target, graph = self._cores[said], self._graph(task, np.float32)
        pattern = parse_pattern(task.pattern)
        dense = isinstance(pattern, Dense)
        # Dense layers go the same way, whatever the pattern is that marks them.
        jobs, others, _ = jobs_of(graph, [Unstructured(0.5) if dense else pattern], {}, 1, task.seed)
        cycles = dict.fromkeys((op.name for op in graph), 0.0)
        for job in jobs:
            one = target.dense(job) if dense else target.sparse(job, job.variants[0])
            cycles |= dict.fromkeys(job.layers, one.cycles * job.times)
        rest = network_time(target.core, _only(graph, {op.name for op in others}))
        cycles |= {name: time.cycles for name, time in rest.layers.items()}
        layers = tuple(round(one) for one in cycles.values())
        total = sum(layers)
        return Outcome(
            task.key,
            "done",
            cycles=total,
            time_s=total / target.clock_hz,
            macs=graph.macs,
            layer_cycles=layers,
            names=tuple(cycles),
        )


def _only(graph: OpGraph, names: set[str]) -> OpGraph:
    """Return the graph of some ops, each by itself."""
    ops = [op for op in graph if op.name in names]
    return OpGraph.of(graph.name, ops, [], weights=graph.weights)
