"""Pictures of a sweep: they show the points, the front and the cells that a plain count finds."""

from pathlib import Path

import numpy as np
import pytest
from matplotlib.axes import Axes
from matplotlib.figure import Figure
from sweep_store import LEVELS, study, write_store

from codesign.sweep import figures
from codesign.sweep.results import Results, read_results
from codesign.sweep.write import write_figures
from traces.errors import InputError


@pytest.fixture(scope="module")
def results(tmp_path_factory: pytest.TempPathFactory) -> Results:
    """Return a sweep of 200 made-up points, with a name that would begin a formula."""
    return read_results(write_store(tmp_path_factory.mktemp("sweep"), 200, description=study("cost in $ and x_$")))


@pytest.mark.parametrize("name", figures.FIGURES)
def test_figures_and_axes(name: str, results: Results) -> None:
    """Each function returns a figure and its axes, and can be drawn."""
    fig, ax = figures.FIGURES[name](results)
    assert isinstance(fig, Figure)
    assert isinstance(ax, Axes)
    fig.canvas.draw()


def test_front_is_drawn(results: Results) -> None:
    """The line of the default figure goes through the points of the Pareto front, and all points that are done show."""
    _, ax = figures.plot_front(results)
    cycles = sorted(results.columns["cycles"][row] for row in results.front)
    assert ax.lines[0].get_xdata().tolist() == cycles
    assert len(ax.collections[0].get_offsets()) == results.count("done")


def test_front_of_more_is_better(results: Results) -> None:
    """Along the front of cycles and utilization, no point has both fewer cycles and more utilization than another."""
    _, ax = figures.plot_front(results, "cycles", "utilization")
    x, y = ax.lines[0].get_data()
    assert (np.diff(x) > 0).all()
    assert (np.diff(y) > 0).all()


@pytest.mark.parametrize("median", [False, True])
def test_heat_map(median: bool, results: Results) -> None:
    """A cell has the least or the median cycles of the points of its two levels."""
    _, ax = figures.plot_heat(results, "array.rows", "weights", median=median)
    cells = ax.collections[0].get_array()
    names = [label.get_text() for label in ax.get_yticklabels()]
    for i, weights in enumerate(names):
        for j, rows in enumerate(LEVELS["array.rows"]):
            inside = [
                cycles
                for cycles, a, b in zip(
                    *(results.columns[name] for name in ("cycles", "array.rows", "weights")), strict=True
                )
                if (a, b) == (rows, weights) and cycles is not None
            ]
            assert cells[i, j] == (np.median(inside) if median else min(inside))


def test_unknown_columns(results: Results) -> None:
    """A column that is no measure or no parameter is told with those that are."""
    with pytest.raises(InputError, match="measure must be one of cycles, energy_pj"):
        figures.plot_front(results, "speed")
    with pytest.raises(InputError, match="parameter must be one of model, weights"):
        figures.plot_heat(results, "cycles", "weights")


def test_files(results: Results, tmp_path: Path) -> None:
    """PNG and SVG files of all figures are written, and written again they are the same."""
    written = write_figures(results, tmp_path / "figures")
    assert sorted(path.name for path in written) == sorted(path.name for path in (tmp_path / "figures").iterdir())
    assert {path.suffix for path in written} == {".png", ".svg"}
    before = [path.read_bytes() for path in written]
    assert [path.read_bytes() for path in write_figures(results, tmp_path / "figures")] == before
