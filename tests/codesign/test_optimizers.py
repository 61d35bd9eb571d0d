"""Tests of the optimisers: what they ask for, and that they learn."""

import re
from math import sqrt

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from codesign.sweep import pareto
from codesign.sweep.optimizers import OPTIMIZERS, Axis, Grid, make_optimizer, shuffled
from traces.errors import InputError

SMALL = [Axis("kind", 3, ordered=False), Axis("size", 5, ordered=True), Axis("one", 1, ordered=True)]
JOINED = [
    Axis("space", 3, ordered=False),
    Axis("rows", 4, ordered=True, space=0),
    Axis("depth", 5, ordered=True, space=1),
    Axis("pattern", 2, ordered=False),
]
LARGE = [
    Axis("a", 20, ordered=True),
    Axis("b", 20, ordered=True),
    Axis("c", 10, ordered=True),
    Axis("d", 4, ordered=False),
]


def objectives(point: tuple[int, ...]) -> tuple[float, float]:
    """Return ZDT1's objectives: a convex front at b = 0, c = 5, d = 2."""
    a, b, c, d = point
    far = 1 + 3 * b / 19 + abs(c - 5) / 5 + (d != 2)
    x = a / 19
    return x, far * (1 - sqrt(x / far))


def run(name: str, seed: int, budget: int, batch: int = 16) -> tuple[list[tuple[int, ...]], float]:
    """Return what an optimiser asks for on LARGE with one point in nine infeasible, and its hypervolume."""
    optimizer = make_optimizer(name, LARGE, 2, seed, budget)
    asked, found = [], []
    while points := optimizer.ask(batch):
        values = [None if (p[0] + p[1]) % 9 == 8 else objectives(p) for p in points]
        optimizer.tell(points, values)
        asked += points
        found += [value for value in values if value is not None]
    return asked, pareto.hypervolume(np.array(found), [1.1, 6.0])


@pytest.mark.parametrize("axes", [SMALL, JOINED])
def test_numbers_and_points_are_one_to_one_in_lexicographic_order(axes: list[Axis]) -> None:
    """The points of 0, 1, 2, ... are all points that differ, sorted; axes that do not count are 0."""
    grid = Grid(axes)
    points = [grid.point(number) for number in range(grid.size)]
    assert points == sorted(set(points))
    assert [grid.number(point) for point in points] == list(range(grid.size))
    assert grid.size == (15 if axes is SMALL else (4 + 5 + 1) * 2)
    if axes is JOINED:
        assert all(p[1] == 0 or p[0] == 0 for p in points)
        assert grid.number((2, 3, 4, 1)) == grid.number((2, 0, 0, 1))


@given(st.integers(0, 200), st.integers(0, 5))
def test_shuffled_is_a_permutation(size: int, seed: int) -> None:
    """Each number comes once."""
    assert sorted(shuffled(size, seed)) == list(range(size))


def test_shuffled_takes_no_more_memory_than_it_yields() -> None:
    """The first numbers of a space of 10^18 come at once."""
    first = shuffled(10**18, 1)
    assert len({next(first) for _ in range(1000)}) == 1000


def test_shuffled_is_even() -> None:
    """Every number is about equally often the first, and the second."""
    draws = [list(shuffled(5, seed))[:2] for seed in range(2000)]
    for place in (0, 1):
        counts = np.bincount([draw[place] for draw in draws], minlength=5)
        assert (abs(counts - 400) < 5 * sqrt(400 * 0.8)).all()


@pytest.mark.parametrize("name", OPTIMIZERS)
@pytest.mark.parametrize("axes", [SMALL, JOINED])
def test_the_whole_space_is_found_and_no_point_twice(name: str, axes: list[Axis]) -> None:
    """With budget enough, every point is asked once, and then none."""
    optimizer = make_optimizer(name, axes, 2, 0, 1000)
    asked = []
    while points := optimizer.ask(4):
        optimizer.tell(points, [(float(sum(p)), -float(p[0])) if p[-1] == 0 else None for p in points])
        asked += points
    grid = Grid(axes)
    assert sorted(asked) == [grid.point(number) for number in range(grid.size)]


@pytest.mark.parametrize("name", OPTIMIZERS)
def test_the_same_seed_asks_the_same_and_the_budget_is_kept(name: str) -> None:
    """Two runs agree point by point, stop at the budget, and ask for no point twice."""
    asked, _ = run(name, seed=3, budget=75)
    assert asked == run(name, seed=3, budget=75)[0]
    assert len(asked) == len(set(asked)) == 75
    if name != "grid":
        assert asked != run(name, seed=4, budget=75)[0]


def test_a_larger_budget_continues_grid_and_random() -> None:
    """Their first points do not depend on the budget or the size of batches."""
    for name in ("grid", "random"):
        assert run(name, 0, 90, batch=7)[0][:40] == run(name, 0, 40)[0]


@pytest.mark.parametrize("name", ["tpe", "nsga2"])
def test_optimisers_that_learn_beat_random(name: str) -> None:
    """Their hypervolume is larger than random's on average over two seeds."""
    seeds = range(2)
    learned = np.mean([run(name, seed, 200)[1] for seed in seeds])
    by_chance = np.mean([run("random", seed, 200)[1] for seed in seeds])
    assert learned > by_chance


@pytest.mark.slow
def test_tpe_forgets_without_repeating() -> None:
    """Beyond what TPE is shown at once it still asks for new points only, and keeps close to the best."""
    asked, volume = run("tpe", 0, 450, batch=50)
    assert len(set(asked)) == 450
    every = [objectives(Grid(LARGE).point(number)) for number in range(Grid(LARGE).size)]
    assert volume > 0.9 * pareto.hypervolume(np.array(every), [1.1, 6.0])


@pytest.mark.parametrize("name", ["tpe", "nsga2"])
def test_a_space_without_feasible_points_is_no_mistake(name: str) -> None:
    """Optimisers that are only told of failures go on asking."""
    optimizer = make_optimizer(name, LARGE, 3, 0, 60)
    while points := optimizer.ask(20):
        optimizer.tell(points, [None] * len(points))
    assert optimizer.ask(1) == []


@pytest.mark.parametrize(
    ("name", "axes", "budget", "sentence"),
    [
        ("annealing", SMALL, None, "optimizer must be one of grid, random, tpe, nsga2, not 'annealing'"),
        ("grid", SMALL, 0, "budget must be at least 1, not 0"),
        ("grid", [Axis("rows", 0, ordered=True)], None, "axis rows must be of at least one value, not 0"),
        ("grid", [SMALL[0], SMALL[0]], None, "axes must be of different names, not 'kind, kind'"),
        ("grid", [SMALL[0], Axis("x", 2, ordered=True, space=3)], None, "space of axis x must be an index of the"),
    ],
)
def test_wrong_input_gets_one_sentence(name: str, axes: list[Axis], budget: int | None, sentence: str) -> None:
    """What is wrong is told before anything is asked."""
    with pytest.raises(InputError, match=re.escape(sentence)):
        make_optimizer(name, axes, 2, 0, budget)


@pytest.mark.parametrize("name", ["tpe", "nsga2"])
def test_telling_of_what_was_not_asked_is_refused(name: str) -> None:
    """A point that was never asked is a mistake of the caller."""
    with pytest.raises(InputError, match="a point told must be one that was asked and not told yet"):
        make_optimizer(name, SMALL, 1, 0, None).tell([(0, 0, 0)], [(1.0,)])
