"""Timing: the fastest plan for each kernel of a layer, and these kernels against each other, interleaved."""

from __future__ import annotations

import dataclasses
from collections.abc import Mapping, Sequence
from dataclasses import dataclass

import numpy as np

from kernels.loops.layer import Layer
from kernels.measure import Timing
from kernels.wasm.engine import Engine, Loaded
from kernels.wasm.plans import WasmPlan, plans

TOLERANCE = 1e-5
"""How far a result may be from that in float64, as a share of the largest sum, or absolute if that is below 1."""


@dataclass(frozen=True, slots=True)
class Measured:
    """A layer measured in an engine.

    Attributes
    ----------
    plan
        The fastest of the plans tried.
    timing
        What it took, timed in turn with the other kernels of the layer.
    """

    plan: WasmPlan
    timing: Timing


def measure(engine: Engine, kernels: Mapping[str, tuple[str, Layer]], rounds: int = 9) -> dict[str, Measured]:
    """Measure kernels of one layer: choose the fastest plan for each, then time these in turn.

    Parameters
    ----------
    engine
        Where to run.
    kernels
        By name: the pattern, as `kernels.wasm.plans.plans` takes it, and the layer with its weights.
    rounds
        Samples of each kernel.

    Returns
    -------
    dict of str to Measured
        In the order of the kernels. Every result has been compared with float64.

    Raises
    ------
    ArithmeticError
        If a kernel computes something else.
    """
    chosen = {
        name: fastest(engine, layer, plans(engine.name, pattern, layer, engine.fused))
        for name, (pattern, layer) in kernels.items()
    }
    times = interleave({name: loaded for name, (_, loaded) in chosen.items()}, engine.clock, rounds)
    return {name: Measured(chosen[name][0], times[name]) for name in kernels}


def fastest(engine: Engine, layer: Layer, choice: Sequence[WasmPlan], rounds: int = 3) -> tuple[WasmPlan, Loaded]:
    """Return the plan that computes a layer fastest, and the layer loaded with it."""
    loaded = {str(number): load_checked(engine, layer, plan) for number, plan in enumerate(choice)}
    times = interleave(loaded, engine.clock, rounds, least_s=1e-3)
    best = min(times, key=lambda name: times[name].seconds)
    return choice[int(best)], loaded[best]


def load_checked(engine: Engine, layer: Layer, plan: WasmPlan) -> Loaded:
    """Load a layer, run it once and compare it with float64; ArithmeticError if an output is wrong."""
    loaded = engine.load(layer.program(plan.plan), plan.fused)
    loaded.seconds(1)
    size = float(np.abs(dataclasses.replace(layer, low=-np.inf, high=np.inf).reference()).max())
    error = float(np.abs(loaded.output() - layer.reference()).max())
    if not error <= TOLERANCE * max(1.0, size):
        raise ArithmeticError(f"{engine.version} computes {plan} wrongly: an output is off by {error:g}")
    return loaded


def interleave(programs: Mapping[str, Loaded], clock: str, rounds: int = 9, least_s: float = 2e-3) -> dict[str, Timing]:
    """Time programs in turn (A B A B), so that all see the machine in the same state.

    Parameters
    ----------
    programs
        What to time, by name.
    clock
        The engine's clock, in words.
    rounds
        Samples of each program.
    least_s
        Seconds that one sample lasts at least: the program is repeated within the engine.
    """
    repeats = {}
    for name, program in programs.items():
        times = 1
        while (seconds := program.seconds(times)) < least_s:
            times = max(2 * times, round(1.1 * times * least_s / max(seconds, least_s / 100)))
        repeats[name] = times
    samples: dict[str, list[float]] = {name: [] for name in programs}
    for _ in range(rounds):
        for name, program in programs.items():
            samples[name].append(program.seconds(repeats[name]) / repeats[name])
    return {name: Timing(tuple(samples[name]), repeats[name], clock) for name in programs}
