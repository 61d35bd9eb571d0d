"""Tests of the Pareto front and the hypervolume."""

import re

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from codesign.sweep import pareto
from traces.errors import InputError


@st.composite
def points(draw: st.DrawFn) -> np.ndarray:
    """Draw up to 12 points of 1 to 4 objectives, on few different values, so that many are equal."""
    objectives = draw(st.integers(1, 4))
    row = st.lists(st.integers(0, 5), min_size=objectives, max_size=objectives)
    return np.array(draw(st.lists(row, min_size=0, max_size=12)), dtype=float).reshape(-1, objectives)


def dominates(a: np.ndarray, b: np.ndarray) -> bool:
    """Return whether a is nowhere worse than b and somewhere better."""
    return bool((a <= b).all() and (a < b).any())


@given(points())
def test_the_front_is_what_no_point_dominates(values: np.ndarray) -> None:
    """A point is on the front exactly if no other dominates it, by the definition."""
    expected = [not any(dominates(other, value) for other in values) for value in values]
    assert pareto.front(values).tolist() == expected


@given(points(), st.integers(1, 6))
def test_hypervolume_is_the_count_of_dominated_unit_cells(values: np.ndarray, corner: int) -> None:
    """With whole numbers, the volume is the number of unit cells that some point dominates."""
    cells = np.indices((corner,) * values.shape[1]).reshape(values.shape[1], -1).T
    count = (values[:, None] <= cells[None]).all(axis=2).any(axis=0).sum()
    assert pareto.hypervolume(values, [corner] * values.shape[1]) == count


@pytest.mark.parametrize("objectives", [2, 3, 4])
def test_hypervolume_agrees_with_random_shots(objectives: int) -> None:
    """The share of random shots that lie behind some point is the volume, within five standard errors."""
    generator = np.random.default_rng(objectives)
    values, shots = generator.random((40, objectives)), generator.random((20000, objectives))
    hit = np.zeros(len(shots), dtype=bool)
    for value in values:
        hit |= (value <= shots).all(axis=1)
    share = hit.mean()
    volume = pareto.hypervolume(values, np.ones(objectives))
    assert abs(volume - share) < 5 * np.sqrt(share * (1 - share) / len(shots))


def test_hypervolume_of_three_objectives_agrees_with_optuna() -> None:
    """Optuna's own exact hypervolume gives the same volume, on uneven scales too."""
    from optuna._hypervolume import compute_hypervolume

    values = np.random.default_rng(0).random((60, 3)) * [1e9, 1.0, 1e-3]
    reference = np.array([0.8e9, 0.9, 1e-3])
    inside = values[(values < reference).all(axis=1)]
    assert pareto.hypervolume(values, reference) == pytest.approx(compute_hypervolume(inside, reference), rel=1e-12)


def test_infinite_objectives_are_dominated_and_add_no_volume() -> None:
    """A point that is infinitely bad in one objective stays on the front only for what it is best in."""
    values = [[1.0, np.inf], [2.0, 2.0], [3.0, np.inf]]
    assert pareto.front(values).tolist() == [True, True, False]
    assert pareto.hypervolume(values, [4.0, 4.0]) == 4.0


@pytest.mark.parametrize(
    ("values", "reference", "sentence"),
    [
        ([1.0, 2.0], [3.0], "an array of points by objectives (n, k)"),
        ([[np.nan, 1.0]], [3.0, 3.0], "values must be numbers, not NaN"),
        ([[1.0, 2.0]], [3.0], "reference must be one number for each of the 2 objectives"),
        ([[1.0] * 5], [3.0] * 5, "values must be of 1 to 4 objectives, not 5"),
        ([[1.0]], [np.inf], "choose a finite reference"),
    ],
)
def test_wrong_values_get_one_sentence(values: list[object], reference: list[float], sentence: str) -> None:
    """What cannot be measured is told."""
    with pytest.raises(InputError, match=re.escape(sentence)):
        pareto.hypervolume(values, reference)  # type: ignore[arg-type]  # wrong on purpose
