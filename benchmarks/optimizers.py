"""How much of a study's exhaustive hypervolume each optimiser finds with a tenth of its points.

    python benchmarks/optimizers.py [--study sparse-mobilenet] [--seeds 8]

The whole grid is evaluated first, without pruning; optimisers are then told from that table, in the batches of a sweep.
The hypervolume is that of the box between the best and the worst of the grid in each objective.
"""

from __future__ import annotations

import argparse
import tempfile
from pathlib import Path
from statistics import mean

import numpy as np
import yaml

from codesign import run_sweep
from codesign.sweep.optimizers import OPTIMIZERS, make_optimizer
from codesign.sweep.pareto import front, hypervolume
from codesign.sweep.run import LEARNING_BATCH
from codesign.sweep.space import Space, read_space
from codesign.sweep.study import StudyFile

Costs = dict[int, tuple[float, ...]]


def exhaustive(study: str) -> tuple[Space, Costs]:
    """Return the space of a study, and the objectives of all its points that count, by number."""
    file = StudyFile.read(study)
    values = yaml.safe_load(file.text) | {"prune": False}
    with tempfile.TemporaryDirectory() as folder:
        results = run_sweep(values, out=Path(folder) / "out", optimizer="grid").results
    costs = {
        number: tuple(cost)
        for number, cost in zip(results.columns["number"], results.costs.tolist(), strict=True)
        if np.isfinite(cost).all()
    }
    return read_space(file), costs


def share(found: list[tuple[float, ...]], everything: np.ndarray) -> float:
    """Return the hypervolume of some points over that of all."""
    low, high = everything.min(axis=0), everything.max(axis=0)
    one = np.ones(everything.shape[1])

    def volume(values: np.ndarray) -> float:
        scaled = (values - low) / np.where(high > low, high - low, 1.0)
        return float(hypervolume(scaled[front(scaled)], one))

    return volume(np.array(found)) / volume(everything)


def run(name: str, space: Space, costs: Costs, seed: int, budget: int) -> list[tuple[float, ...]]:
    """Return the objectives of what one optimiser asks for."""
    objectives = len(next(iter(costs.values())))
    optimizer = make_optimizer(name, space.axes, objectives, seed, budget)
    found = []
    while asked := optimizer.ask(LEARNING_BATCH):
        values = [costs.get(space.grid.number(point)) for point in asked]
        optimizer.tell(asked, values)
        found += [value for value in values if value is not None]
    return found


def main() -> None:
    """Print a row for each optimiser."""
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--study", default="sparse-mobilenet")
    parser.add_argument("--seeds", type=int, default=8)
    options = parser.parse_args()
    space, costs = exhaustive(options.study)
    everything, budget = np.array(list(costs.values())), space.grid.size // 10
    print(f"{options.study}: {space.grid.size:,} points, {len(costs):,} feasible; {budget} asked for")
    for name in OPTIMIZERS[1:]:
        shares = [share(run(name, space, costs, seed, budget), everything) for seed in range(options.seeds)]
        print(f"  {name:<8}mean {mean(shares):.1%}, worst of {options.seeds} seeds {min(shares):.1%}", flush=True)


if __name__ == "__main__":
    main()
