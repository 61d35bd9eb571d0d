"""Pictures: what is drawn is what the report says."""

import subprocess
import sys
from itertools import pairwise

import numpy as np
import pytest
from matplotlib.axes import Axes
from matplotlib.figure import Figure
from report_samples import chain, linear, long_sample, sample, vector

from codesign.report import Report, plots
from codesign.simulation import simulate

DRAW = {name: getattr(plots, f"plot_{name}") for name in ("cycles", "utilization", "energy", "roofline")}


def _lengths(ax: Axes) -> np.ndarray:
    """Return the length of the stacked bar of each op."""
    return sum(np.array([bar.get_width() for bar in part]) for part in ax.containers)


@pytest.mark.parametrize("draw", DRAW.values(), ids=DRAW)
@pytest.mark.parametrize("report", [sample(), long_sample(), simulate(chain(vector("softmax", "softmax", 100)))])
def test_every_report_can_be_drawn(draw, report: Report) -> None:
    """A model with no array op, a small and a long one give a figure that renders, its text inside."""
    fig, ax = draw(report)
    assert isinstance(fig, Figure)
    assert report.model in ax.get_title()
    fig.canvas.draw()
    assert fig.get_size_inches().max() <= 16


def test_bars_are_the_cycles_and_the_energy() -> None:
    """The stacked parts of each op add up to its figure."""
    report = sample()
    ops = [op for op in report.ops if op.fused_into is None]
    np.testing.assert_allclose(_lengths(plots.plot_cycles(report)[1]), [op.cycles for op in ops])
    np.testing.assert_allclose(_lengths(plots.plot_energy(report)[1]), [op.total_energy_pj * 1e-12 for op in ops])
    arrays = [op for op in ops if op.m]
    np.testing.assert_allclose(_lengths(plots.plot_utilization(report)[1]), [100 * op.utilization for op in arrays])


def test_no_point_is_above_the_roof() -> None:
    """MACs a cycle stay under the PEs and, but for weights loaded during the op before, under the channel's slope."""
    report = sample(settings=("memory.dram.bytes_per_cycle=2",))
    _, ax = plots.plot_roofline(report)
    points = np.concatenate([np.asarray(part.get_offsets()) for part in ax.collections])
    assert len(points) == sum(bool(op.m) for op in report.ops)
    assert np.all(points[:, 1] <= report.config.pes)
    intensity, rate = points[0]
    assert rate <= 2 * intensity


def test_labels_are_few_on_a_long_model() -> None:
    """Op names do not run into each other, however many ops there are."""
    for report in (sample(), long_sample(), long_sample(70)):
        fig, ax = plots.plot_cycles(report)
        fig.canvas.draw()
        boxes = [label.get_window_extent() for label in ax.get_yticklabels()]
        assert all(above.y0 >= below.y1 for above, below in pairwise(boxes))


@pytest.mark.parametrize("draw", DRAW.values(), ids=DRAW)
def test_names_are_not_formulas(draw) -> None:
    """A name with dollar signs is drawn as it is."""
    fig, _ = draw(simulate(chain(linear(r"$\frac$", 8, 8, 8))))
    fig.canvas.draw()


def test_pyplot_is_left_alone() -> None:
    """Drawing opens no figure of pyplot; it is not even imported."""
    code = (
        "import sys; from traces.topology import read_topology; from codesign.report import plots;"
        "assert 'matplotlib.pyplot' not in sys.modules"
    )
    subprocess.run([sys.executable, "-c", code], check=True)
