"""The figures of a comparison: correlation, crossover, errors, the fit of constants."""

from itertools import permutations

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from codesign.comparison.calibration import calibration, fitted, provenance
from codesign.comparison.figures import crossover, errors, spearman
from traces.errors import InputError

FLOATS = st.floats(0.1, 100, allow_nan=False)


def test_spearman_is_the_textbook_formula() -> None:
    """Without ties it is 1 - 6 sum(d^2) / (n (n^2 - 1)), for every order of five values."""
    x = np.arange(5.0)
    for order in permutations(range(5)):
        difference = x - np.array(order)
        expected = 1 - 6 * float((difference**2).sum()) / (5 * 24)
        assert spearman(x, np.array(order, float)) == pytest.approx(expected)


@given(st.lists(st.tuples(st.integers(1, 100), FLOATS), min_size=2, max_size=20))
def test_spearman_sees_only_the_order(pairs: list[tuple[int, float]]) -> None:
    """A rising function of the values changes nothing, ties included (logarithms of integers stay apart)."""
    x, y = np.array(pairs, float).T
    assert spearman(np.log(x), y) == spearman(x, y)


def test_spearman_of_ties_is_pearson_of_mean_ranks() -> None:
    """Equal values share their mean rank; values that are all equal have no correlation."""
    x, y = np.array([1.0, 2.0, 2.0, 3.0]), np.array([1.0, 2.0, 3.0, 4.0])
    assert spearman(x, y) == pytest.approx(np.corrcoef([1, 2.5, 2.5, 4], [1, 2, 3, 4])[0, 1])
    assert spearman(np.ones(4), y) is None


def test_errors_count_wrong_decisions_outside_the_margin() -> None:
    """A wrong order counts only where the measured speedup is clearly not 1."""
    found = errors([(1.2, 1.0), (0.9, 1.05), (0.9, 1.5), (1.1, 0.5), (2.0, 2.5)])
    assert found is not None
    assert (found.wrong, found.count) == (2, 5)
    assert found.worst == pytest.approx(1.2)
    assert found.mean == pytest.approx(np.mean([0.2, 1 - 0.9 / 1.05, 0.4, 1.2, 0.2]))
    assert errors([]) is None


@given(st.floats(0.05, 0.95), st.floats(0.2, 5))
def test_crossover_of_a_line_is_where_it_is_one(at: float, slope: float) -> None:
    """Points on a straight line cross at its own crossing."""
    points = [(s, 1 + slope * (s - at)) for s in (0.0, 0.3, 0.6, 1.0)]
    assert crossover(points) == pytest.approx(at, abs=1e-5)


def test_crossover_at_the_ends() -> None:
    """Always faster: the lowest sparsity. Never: None. Only the last crossing counts."""
    assert crossover([(0.5, 1.2), (0.7, 2.0)]) == 0.5
    assert crossover([(0.5, 0.8), (0.7, 0.9)]) is None
    assert crossover([(0.0, 0.5), (0.4, 1.5), (0.6, 0.5), (0.8, 1.5)]) == pytest.approx(0.7)


@given(st.integers(0, 1000), st.lists(st.floats(0.1, 10), min_size=1, max_size=5))
def test_fit_finds_constants_that_explain_all(seed: int, constants: list[float]) -> None:
    """Where a non-negative combination is exact, it is found, and what does not matter gets nothing."""
    random = np.random.default_rng(seed)
    names = [f"c{i}" for i in range(len(constants))]
    table = random.uniform(1, 100, (40, len(constants)))
    counts = [dict(zip(names, row, strict=True)) | {"other": float(random.uniform(1, 2))} for row in table.tolist()]
    found = fitted(counts, list(table @ np.array(constants)))
    assert [found[name] for name in names] == pytest.approx(constants, rel=2e-2, abs=2e-2)
    assert found["other"] == pytest.approx(0, abs=0.3)


def test_fit_is_never_negative() -> None:
    """A count that goes along with less time is left out instead of saving time."""
    counts = [{"a": float(n), "b": float(10 - n)} for n in range(1, 10)]
    found = fitted(counts, [10.0 * n for n in range(1, 10)])
    assert found["b"] == 0
    assert found["a"] > 0


def test_constants_that_ship_are_complete() -> None:
    """Every target has its models, no constant is negative, and it is said where they are from."""
    models = {
        "host": {"dense_blocked", "dense_product", "skipping", "sparse", "vector"},
        "wasm-wasmtime": {"dense", "sparse"},
        "wasm-v8": {"dense", "sparse"},
    }
    for target, expected in models.items():
        found = calibration(target).cycles
        assert set(found) == expected
        assert all(cost >= 0 for model in found.values() for cost in model.values())
        assert all(any(model.values()) for model in found.values())
    assert {"core", "machine", "date", "versions", "fitted_on", "held_out"} <= set(provenance())
    with pytest.raises(InputError, match="must be one of host"):
        calibration("abacus")
