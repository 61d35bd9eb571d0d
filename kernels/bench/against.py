"""One layer: sparse kernels against all dense libraries, in one interleaved measurement."""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from dataclasses import dataclass

import numpy as np

from kernels.baselines import LIBRARIES, TOLERANCE, Contender, Dense, Operands, prepare, reference, torch_threads
from kernels.bench.nets import Layer
from kernels.bench.row import Row, Work, row
from kernels.limits import Limits
from kernels.measure import Call, interleave


@dataclass(frozen=True)
class Sparse:
    """A sparse kernel on the zeros of one pattern.

    Attributes
    ----------
    pattern, sparsity
        What is zero, and which share.
    operands : Operands
        What it computes on, zeros included; its result is checked against float64.
    contender : Contender
        The kernel, ready to be called.
    work : Work
        What it has to do at least.
    """

    pattern: str
    sparsity: float
    operands: Operands
    contender: Contender
    work: Work


@dataclass(frozen=True)
class Setting:
    """How a layer is timed: the machine's limits, rounds, threads of a call, and the seed of weights and inputs."""

    limits: Limits
    repeats: int
    threads: int = 1
    seed: int = 0


def against(
    layer: Layer,
    kernel: str,
    operands: Operands,
    sparse: Sequence[Sparse],
    setting: Setting,
    names: tuple[str, ...] = tuple(LIBRARIES),
) -> Iterator[Row]:
    """Yield a row for each sparse kernel; the dense libraries of these names compute on ``operands``.

    Raises
    ------
    RuntimeError
        If a sparse kernel's result is wrong.
    """
    for one in sparse:
        _check(layer, one)
    dense, left_out = prepare(layer.problem, operands, names, setting.threads)
    calls: dict[str, Call] = {name: one.run for name, one in dense.items()}
    calls |= {f"{i}": one.contender.run for i, one in enumerate(sparse)}
    with torch_threads(setting.threads):
        timings = interleave(calls, setting.repeats, threads=setting.threads)
    found = Dense({name: timings[name] for name in dense}, left_out)
    for i, one in enumerate(sparse):
        name = layer.name, layer.count, kernel, one.pattern
        yield row(name, one.sparsity, timings[f"{i}"], found, one.work, setting.limits)


def _check(layer: Layer, one: Sparse) -> None:
    """Hold a sparse result to what the dense libraries are held to."""
    wanted, bound = reference(layer.problem, one.operands, 0)
    error = np.abs(one.contender.output(0) - wanted)
    if not np.all(error <= TOLERANCE * bound):
        raise RuntimeError(f"the {one.pattern} kernel on {layer.name} is off by up to {error.max():.1e}")
