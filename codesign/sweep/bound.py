"""Bound: what a configuration takes at least, and what is known of it exactly, without a simulation.

A systolic array's ops follow each other, so their bounds add up. However an op is tiled, the array takes at least the
cycles of its folds untiled, each operand passes DRAM once or more (all but the first tile of W, which is at most half a
buffer, while the op lasts), and the array makes at least the accesses of the untiled product. Of each op the best
dataflow counts, dense or compressed. Other accelerators and CPUs have no bound, but their size is known.
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, field
from typing import Any

import numpy as np
from numpy.typing import NDArray

from codesign.lower import Task, lower
from codesign.macs import count_macs
from codesign.sweep.limits import sizes, surely_broken
from codesign.sweep.space import Point, Space
from codesign.sweep.study import Limits, Objective
from codesign.sweep.traced import unpack
from hw_models.accelerators.registry import read_accelerator
from hw_models.energy import ADDER32_PJ, DRAM_PJ_PER_BIT, GATED_SHARE, REGISTER_PJ_PER_BIT, mac_pj, sram_pj_per_byte
from hw_models.systolic.config import SystolicConfig
from hw_models.systolic.tiling import Nest, metadata_bits, reduction

Floats = NDArray[np.float64]

#: Sums in another order differ by less than this share.
_ROUNDING = 1e-9


@dataclass(frozen=True, slots=True)
class Bound:
    """Measures that are known exactly, and lower bounds of others, by name."""

    known: Mapping[str, float]
    lower: Mapping[str, float] = field(default_factory=dict)

    def least(self, name: str) -> float | None:
        """Return what a measure is at least, None if nothing is known."""
        return self.known.get(name, self.lower.get(name))

    def breaks(self, constraints: Mapping[Objective, Limits]) -> str | None:
        """Return in words which constraint is broken for sure, None if none."""
        return surely_broken(constraints, self.lower, self.known)


@dataclass(frozen=True, slots=True)
class _Work:
    """The ops of a graph; a row of ``table`` is a way to run one (dense or compressed), ``starts`` where ops begin."""

    table: dict[str, Floats]
    starts: NDArray[np.int64]


class Bounds:
    """Bounds of the points of a space.

    Parameters
    ----------
    space
        The space.
    packed
        Traced graphs by the indices of model and pattern.
    """

    def __init__(self, space: Space, packed: Mapping[tuple[int, int], bytes]) -> None:
        self._space, self._packed = space, packed
        self._work: dict[tuple[int, int, int], _Work] = {}

    def of(self, point: Point, config: Mapping[str, Any], accuracy: float | None) -> Bound:
        """Return the bound of a point with this config."""
        known: dict[str, float] = {} if accuracy is None else {"accuracy": accuracy}
        if self._space.targets[point.target].kind == "cpu":
            return Bound(known)
        known |= sizes(config)
        if config["kind"] != "systolic":
            return Bound(known)
        flows = config["array"]["dataflows"] if point.dataflow in (None, "auto") else [point.dataflow]
        return Bound(known, _least(self._of(point, config).table, self._of(point, config).starts, config, flows))

    def _of(self, point: Point, config: Mapping[str, Any]) -> _Work:
        key = point.model, point.weights, config["array"]["nm_max_m"]
        if key not in self._work:
            # Of this config itself nothing else counts here, and its settings need not go together.
            base = self._space.targets[point.target].config({"array.nm_max_m": key[2]})
            read = read_accelerator(base, config["name"])
            assert isinstance(read, SystolicConfig)
            self._work[key] = _work(self._packed[point.model, point.weights], read)
        return self._work[key]


def _work(packed: bytes, config: SystolicConfig) -> _Work:
    graph = unpack(packed)
    rows: list[dict[str, float]] = []
    starts = []
    for task in lower(graph, config):
        starts.append(len(rows))
        for nest in (task.dense, task.compressed):
            if nest is not None:
                assert task.dense is not None
                macs = count_macs(graph, task.op, nest)
                rows.append(_row(task, nest, task.dense, macs.effectual, macs.gated))
        if task.op.vector is not None:
            work = task.op.vector
            rows.append(_vector_row(work.elements_in, work.elements_out, task.chain.lane_ops))
    table = {name: np.array([row[name] for row in rows], np.float64) for name in rows[0]}
    return _Work(table, np.array(starts))


def _row(task: Task, nest: Nest, dense: Nest, effectual: int, gated: int) -> dict[str, float]:
    m, k = nest.batch * nest.out_h * nest.out_w, reduction(nest, nest.channels)
    rows = _touched(nest.out_h, nest.stride_h, nest.pad_h, nest.dilation_h, nest.kernel_h, nest.in_h)
    cols = _touched(nest.out_w, nest.stride_w, nest.pad_w, nest.dilation_w, nest.kernel_w, nest.in_w)
    inputs = m * nest.filters if nest.timestep_rows else nest.groups * nest.batch * rows * cols * nest.channels
    return {
        "array": 1.0,
        "groups": nest.groups,
        "m": m,
        "n": nest.filters,
        "k": k,
        "k_dense": reduction(dense, dense.channels),
        "weights": nest.groups * nest.filters * k,
        "metadata_bits": nest.groups * nest.filters * metadata_bits(nest, nest.channels),
        "inputs": inputs,
        "outputs": nest.groups * m * nest.stored_n,
        "index_bits": metadata_bits(nest, nest.channels),
        "effectual": effectual,
        "gated": gated,
        "post": nest.groups * m * nest.filters * nest.post_lane_ops,
        "gate": m * nest.gate_lane_ops,
        "lane_ops": task.chain.lane_ops + task.op.gate_lane_ops,
    }


def _vector_row(elements_in: int, elements_out: int, lane_ops: int) -> dict[str, float]:
    nothing = dict.fromkeys(
        ("array", "groups", "weights", "metadata_bits", "index_bits", "effectual", "gated", "gate"), 0
    )
    ones = dict.fromkeys(("m", "n", "k", "k_dense"), 1)
    rest = {"inputs": elements_in, "outputs": elements_out, "post": lane_ops, "lane_ops": lane_ops}
    return {**nothing, **ones, **rest}


def _touched(out: int, stride: int, pad: int, dilation: int, kernel: int, size: int) -> int:
    """Return how many rows (or columns) of an input an op reads at all."""
    rows = (np.arange(out) * stride - pad)[:, None] + np.arange(kernel) * dilation
    return len(np.unique(rows[(rows >= 0) & (rows < size)]))


def _least(
    t: dict[str, Floats], starts: NDArray[np.int64], config: Mapping[str, Any], flows: list[str]
) -> dict[str, float]:
    """Return the lower bounds of cycles, time_s, energy_pj and dram_bytes."""
    array, bits, memory = config["array"], config["precision"], config["memory"]
    sram, dram = memory["sram"], memory["dram"]
    lanes = config["vector"]["lanes"]
    moved = {
        "weight": _bytes(t["weights"], bits["weight_bits"]),
        "metadata": np.ceil(t["metadata_bits"] / 8),
        "input": _bytes(t["inputs"], bits["input_bits"]),
        "output": _bytes(t["outputs"], bits["output_bits"]),
    }
    total = sum(moved.values())
    first_w = np.minimum(moved["weight"] + moved["metadata"], sram["weight_bytes"] // 2)
    channel = 0.0 if memory["ideal"] else np.floor((total - first_w) / dram["bytes_per_cycle"])
    folds = np.array([_folds(t, flow, array) for flow in flows]).min(axis=0)
    after = np.ceil(t["post"] / lanes)
    cycles = np.maximum(np.maximum(folds * t["groups"], after) + np.ceil(t["gate"] / lanes), channel)
    dram_bytes = float(np.minimum.reduceat(total, starts).sum())
    least = float(np.minimum.reduceat(cycles, starts).sum())
    if not memory["ideal"]:
        least = max(least, float(np.floor(dram_bytes / dram["bytes_per_cycle"])))
    energy = np.array([_energy(t, flow, config, moved) for flow in flows]).min(axis=0)
    return {
        "cycles": least,
        "time_s": least / config["clock_hz"] * (1 - _ROUNDING),
        "energy_pj": float(np.minimum.reduceat(energy, starts).sum()) * (1 - _ROUNDING),
        "dram_bytes": dram_bytes,
    }


def _folds(t: dict[str, Floats], flow: str, array: Mapping[str, Any]) -> Floats:
    """Return the array's cycles for one group, untiled; see `hw_models.systolic.folds`."""
    rows, cols = array["rows"], array["cols"]
    if flow == "os":
        return np.asarray(np.ceil(t["m"] / rows) * np.ceil(t["n"] / cols) * (t["k"] + rows + cols - 2))
    stationary, stream = (t["n"], t["m"]) if flow == "ws" else (t["m"], t["n"])
    folds = np.ceil(t["k"] / rows) * np.ceil(stationary / cols)
    if array["overlap_preload"]:
        return np.asarray(rows + (folds - 1) * np.maximum(stream, rows) + stream + rows + cols - 2)
    return np.asarray(folds * (stream + 2 * rows + cols - 2))


def _accesses(t: dict[str, Floats], flow: str, array: Mapping[str, Any]) -> tuple[Floats, Floats, Floats]:
    """Return the SRAM accesses of I, W and O of all groups, untiled; see `hw_models.systolic.folds`."""
    rows, cols, groups = array["rows"], array["cols"], t["groups"]
    m, n, k = t["m"], t["n"], t["k"]
    if flow == "os":
        found = m * k * np.ceil(n / cols), k * n * np.ceil(m / rows), m * n
    elif flow == "ws":
        found = m * k * np.ceil(n / cols), k * n, m * n * np.ceil(k / rows)
    else:
        found = m * k, k * n * np.ceil(m / cols), m * n * np.ceil(k / rows)
    return groups * found[0], groups * found[1], groups * found[2]


def _energy(t: dict[str, Floats], flow: str, config: Mapping[str, Any], moved: Mapping[str, Floats]) -> Floats:
    """Return the least energy of each way to run an op; the terms are those of `hw_models.systolic.counts`."""
    array, bits, memory = config["array"], config["precision"], config["memory"]
    sram = memory["sram"]
    of_i, of_w, of_o = _accesses(t, flow, array)
    vector = t["array"] == 0
    used_i = np.where(vector, moved["input"], _bytes(np.floor(of_i * t["k_dense"] / t["k"]), bits["input_bits"]))
    used_w = _bytes(of_w, bits["weight_bits"])
    used_o = np.where(vector, moved["output"], _bytes(of_o, bits["accumulator_bits"]))
    partial = np.where(vector, 0.0, (of_o - t["groups"] * t["m"] * t["n"]) * bits["accumulator_bits"] / 8)
    used_metadata = np.ceil(of_w * t["index_bits"] / (8 * t["k"]))
    mac = mac_pj(max(bits["weight_bits"], bits["input_bits"]))
    gated = GATED_SHARE if array["zero_gating"] else 1.0
    slots = (t["effectual"] + t["gated"]) * (bits["input_bits"] + bits["accumulator_bits"])

    def read(operand: str) -> float:
        return sram_pj_per_byte(sram[f"{operand}_bytes"], sram["port_bits"])

    def write(operand: str) -> float:
        return sram_pj_per_byte(sram[f"{operand}_bytes"], sram["port_bits"], write=True)

    return np.asarray(
        (t["effectual"] + t["gated"] * gated) * mac
        + slots * REGISTER_PJ_PER_BIT
        + (used_w + used_metadata) * read("weight")
        + (moved["weight"] + moved["metadata"]) * write("weight")
        + used_i * read("input")
        + moved["input"] * write("input")
        + used_o * write("output")
        + (partial + moved["output"]) * read("output")
        + t["lane_ops"] * ADDER32_PJ
        + sum(moved.values()) * 8 * DRAM_PJ_PER_BIT[memory["dram"]["technology"]]
    )


def _bytes(elements: Floats, width: int) -> Floats:
    return np.asarray(np.ceil(elements * width / 8))
