"""Sampled: Optuna's TPE and NSGA-II, kept from asking for a point twice."""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from typing import Any

import numpy as np
import optuna
from optuna.distributions import BaseDistribution, CategoricalDistribution, IntDistribution
from optuna.samplers import BaseSampler, NSGAIISampler, TPESampler
from optuna.study import Study
from optuna.trial import FrozenTrial, Trial, TrialState

from codesign.sweep import pareto
from codesign.sweep.optimizers import Grid, Point, shuffled
from traces.errors import InputError

#: How often a sampler may propose a known point before a random one takes the place.
_TRIES = {"nsga2": 16, "tpe": 4}
#: TPE reads all points told at each ask, so it is shown at most this many: half of them the best, half of the rest.
_MOST_TOLD = 400


class Sampled:
    """An optimiser on Optuna's ask and tell.

    Infeasible points are told with a violated constraint, so that samplers keep away from their like.
    """

    def __init__(self, name: str, grid: Grid, objectives: int, seed: int, most: int) -> None:
        self._grid, self._objectives, self._left = grid, objectives, most
        self._forgets = name == "tpe"
        self._space = _distributions(grid)
        self._sampler = _Fresh(_sampler(name, seed, most), grid, self._space, seed, _TRIES[name])
        self._study = self._create_study()
        self._asked: dict[Point, Trial] = {}

    def ask(self, count: int) -> list[Point]:
        """Return up to ``count`` new points."""
        points = []
        for _ in range(min(count, self._left)):
            trial = self._study.ask(self._space)
            point = _point(self._grid, trial.params)
            self._asked[point] = trial
            points.append(point)
        self._left -= len(points)
        return points

    def tell(self, points: Sequence[Point], values: Sequence[tuple[float, ...] | None]) -> None:
        """Pass on the objectives of points asked before.

        Raises
        ------
        InputError
            If a point was not asked, or has been told.
        """
        for point, objectives in zip(points, values, strict=True):
            trial = self._asked.pop(point, None)
            if trial is None:
                raise InputError.must("a point told", "one that was asked and not told yet", point)
            if objectives is None:
                trial.set_constraint("infeasible", 1.0)
            self._study.tell(trial, [0.0] * self._objectives if objectives is None else list(objectives))
        if self._forgets and not self._asked and len(self._study.get_trials(deepcopy=False)) > _MOST_TOLD:
            self._forget()

    def _create_study(self) -> Study:
        verbosity = optuna.logging.get_verbosity()
        optuna.logging.set_verbosity(optuna.logging.WARNING)  # it would print a line for every study
        try:
            return optuna.create_study(directions=["minimize"] * self._objectives, sampler=self._sampler)
        finally:
            optuna.logging.set_verbosity(verbosity)

    def _forget(self) -> None:
        """Go on with a new study that holds the best points told, and others evenly chosen, half as many in all."""
        trials = self._study.get_trials(deepcopy=False)
        feasible = [trial for trial in trials if not any(value > 0 for value in trial.constraints.values())]
        best: list[int] = []
        while feasible and len(best) < _MOST_TOLD // 4:
            front = pareto.front(np.array([trial.values for trial in feasible]))
            best += [trial.number for trial, on_it in zip(feasible, front, strict=True) if on_it]
            feasible = [trial for trial, on_it in zip(feasible, front, strict=True) if not on_it]
        best = _spread(best, _MOST_TOLD // 4)
        others = sorted({trial.number for trial in trials}.difference(best))
        kept = {*best, *_spread(others, _MOST_TOLD // 2 - len(best))}
        self._study = self._create_study()
        self._study.add_trials([trial for trial in trials if trial.number in kept])


class _Fresh(BaseSampler):
    """Has another sampler propose points until one is new."""

    def __init__(
        self, inner: BaseSampler, grid: Grid, space: dict[str, BaseDistribution], seed: int, tries: int
    ) -> None:
        self._inner, self._grid, self._space, self._tries = inner, grid, space, tries
        self._known: set[int] = set()
        self._random: Iterator[int] = shuffled(grid.size, seed)

    def infer_relative_search_space(self, study: Study, trial: FrozenTrial) -> dict[str, BaseDistribution]:
        """Return all axes: they are proposed together, or a point could not be compared."""
        return self._space

    def sample_relative(
        self, study: Study, trial: FrozenTrial, search_space: dict[str, BaseDistribution]
    ) -> dict[str, Any]:
        """Return a new point."""
        for _ in range(self._tries):
            proposed = self._inner.sample_relative(study, trial, search_space)
            for name, distribution in search_space.items():
                if name not in proposed:
                    proposed[name] = self._inner.sample_independent(study, trial, name, distribution)
            number = self._grid.number(_point(self._grid, proposed))
            if number not in self._known:
                break
            trial = study.get_trials(deepcopy=False)[trial.number]  # what the sampler noted spares it a search
        else:
            number = next(number for number in self._random if number not in self._known)
        self._known.add(number)
        point = self._grid.point(number)
        return {axis.name: index for axis, index in zip(self._grid.axes, point, strict=True) if axis.size > 1}

    def sample_independent(
        self, study: Study, trial: FrozenTrial, param_name: str, param_distribution: BaseDistribution
    ) -> Any:  # noqa: ANN401 (as Optuna's)
        """Refuse: all axes are sampled together."""
        raise AssertionError(f"{param_name} was not sampled with the others")

    def after_trial(self, study: Study, trial: FrozenTrial, state: TrialState, values: Sequence[float] | None) -> None:
        """Pass on what the other sampler wants to note."""
        self._inner.after_trial(study, trial, state, values)


def _spread(numbers: list[int], most: int) -> list[int]:
    """Return at most so many of the numbers, evenly chosen."""
    count = min(most, len(numbers))
    return [numbers[len(numbers) * i // count] for i in range(count)]


def _sampler(name: str, seed: int, most: int) -> BaseSampler:
    if name == "tpe":
        return TPESampler(seed=seed, multivariate=True, n_startup_trials=max(10, most // 20))
    # Enough generations to evolve in a small budget, enough points to spread in a large one.
    return NSGAIISampler(seed=seed, population_size=min(50, max(8, most // 10)))


def _distributions(grid: Grid) -> dict[str, BaseDistribution]:
    return {
        axis.name: IntDistribution(0, axis.size - 1) if axis.ordered else CategoricalDistribution(range(axis.size))
        for axis in grid.axes
        if axis.size > 1
    }


def _point(grid: Grid, params: dict[str, Any]) -> Point:
    """Return the point of Optuna's values, with 0 on axes that do not count for it."""
    raw = tuple(int(params.get(axis.name, 0)) for axis in grid.axes)
    return grid.point(grid.number(raw))
