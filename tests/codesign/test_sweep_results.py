"""What is read of a sweep: all its points in order, its front, and a clear sentence where there is none."""

import subprocess
import sys
from pathlib import Path

import duckdb
import numpy as np
import pytest
from sweep_store import OPS, study, write_store

from codesign.sweep.results import Results, levels, read_results
from traces.errors import InputError


@pytest.fixture(scope="module")
def results(tmp_path_factory: pytest.TempPathFactory) -> Results:
    """Return a sweep of 200 made-up points."""
    return read_results(write_store(tmp_path_factory.mktemp("sweep"), 200))


def test_all_points_in_order(results: Results) -> None:
    """Every point of the store is there once, by number, with its values."""
    with duckdb.connect(str(results.directory / "results.duckdb"), read_only=True) as store:
        rows = store.execute('SELECT number, "array.rows", cycles FROM results ORDER BY number').fetchall()
    ours = zip(*(results.columns[name] for name in ("number", "array.rows", "cycles")), strict=True)
    assert list(ours) == rows
    assert sum(results.count(status) for status in levels(results, "status")) == len(results) == 200


def test_columns_are_told_apart(results: Results) -> None:
    """What was chosen and what was measured are not mixed up, and objectives come first."""
    assert results.parameters[:4] == ("model", "weights", "target", "dataflow")
    assert {"array.rows", "clock_hz"} < set(results.parameters)
    assert results.measures[:2] == ("cycles", "energy_pj")
    assert "accuracy" not in results.measures  # none was given
    assert not set(results.parameters) & set(results.measures)


def test_front_is_what_no_point_beats(results: Results) -> None:
    """A point is on the front if and only if no other point that is done is as good everywhere and better somewhere."""
    costs = results.costs
    done = [row for row in range(len(results)) if results.columns["status"][row] == "done"]
    beaten = {
        a for a in done for b in done if (costs[b] <= costs[a]).all() and (costs[b] < costs[a]).any()
    }  # fmt: skip
    assert set(results.front.tolist()) == set(done) - beaten
    assert results.front[0] == min(done, key=lambda row: (costs[row][0], costs[row][1]))


def test_hypervolume_is_the_area_of_steps(results: Results) -> None:
    """With two objectives, the hypervolume is the sum of the rectangles under the steps of the front."""
    costs = results.costs[np.isfinite(results.costs).all(axis=1)]
    scaled = (costs - costs.min(axis=0)) / (costs.max(axis=0) - costs.min(axis=0))
    area, ceiling = 0.0, 1.0
    for x, y in sorted(map(tuple, scaled)):
        if y < ceiling:
            area += (1 - x) * (ceiling - y)
            ceiling = y
    assert results.hypervolume == pytest.approx(area)


def test_more_accuracy_is_better(tmp_path: Path) -> None:
    """Accuracy is maximised: of points alike in all else, the most accurate is on the front."""
    write_store(tmp_path, 40, description=study(objectives=["accuracy", "cycles"]))
    with duckdb.connect(str(tmp_path / "results.duckdb")) as store:
        store.execute("UPDATE evaluated SET accuracy = 0.5 + (cycles % 7) / 100, cycles = 1000 WHERE status = 'done'")
    results = read_results(tmp_path)
    best = max(value for value in results.columns["accuracy"] if value is not None)
    assert {results.columns["accuracy"][row] for row in results.front} == {best}


def test_layers(results: Results) -> None:
    """Layers are read for the points asked for that have any, and belong to the ops of their model."""
    rows = list(range(60))
    layers = results.layers(rows)
    assert set(layers) == {row for row in rows if results.columns["status"][row] == "done"}
    assert all(len(cycles) == len(energy) == len(OPS) for cycles, energy in layers.values())
    assert all(type(cycles[0]) is int for cycles, _ in layers.values())


def test_nothing_done(tmp_path: Path) -> None:
    """A sweep of which no point is done has no front and no hypervolume, and is no error."""
    write_store(tmp_path, 5)
    with duckdb.connect(str(tmp_path / "results.duckdb")) as store:
        store.execute("UPDATE points SET status = 'infeasible'")
    results = read_results(tmp_path)
    assert len(results.front) == 0
    assert results.hypervolume is None


def empty(path: Path) -> None:
    """Leave a store without points."""
    write_store(path, 3)
    with duckdb.connect(str(path / "results.duckdb")) as store:
        store.execute("DELETE FROM points")


def other_format(path: Path) -> None:
    """Leave a store of another version."""
    write_store(path, 3)
    with duckdb.connect(str(path / "results.duckdb")) as store:
        store.execute("UPDATE about SET value = '99' WHERE name = 'format'")


def other_tables(path: Path) -> None:
    """Leave a database of something else."""
    path.mkdir()
    duckdb.connect(str(path / "results.duckdb")).execute("CREATE TABLE t(a INT)").close()


def noise(path: Path) -> None:
    """Leave a file that is no database."""
    path.mkdir()
    (path / "results.duckdb").write_bytes(b"noise" * 1000)


BAD = {
    "absent": (lambda path: None, "no such folder"),
    "not a sweep": (Path.mkdir, "holds no results.duckdb"),
    "a file": (Path.touch, "must be the folder of a sweep"),
    "empty": (empty, "holds no points yet"),
    "another version": (other_format, "is a sweep of format 99, and this version of codesign reads format"),
    "other tables": (other_tables, "is not the store of a sweep"),
    "noise": (noise, "cannot be read as a store"),
}


@pytest.mark.parametrize(("make", "words"), BAD.values(), ids=BAD)
def test_bad_directories(make, words: str, tmp_path: Path) -> None:
    """What is no sweep that can be read is told in one sentence."""
    make(tmp_path / "dir")
    with pytest.raises(InputError, match=words) as caught:
        read_results(tmp_path / "dir")
    assert "\n" not in str(caught.value)


def test_store_in_use(tmp_path: Path) -> None:
    """While another process writes the store, it is told to be in use."""
    write_store(tmp_path, 3)
    code = "import duckdb, sys; store = duckdb.connect(sys.argv[1]); print(1, flush=True); sys.stdin.read()"
    command = [sys.executable, "-c", code, str(tmp_path / "results.duckdb")]
    with subprocess.Popen(command, stdin=subprocess.PIPE, stdout=subprocess.PIPE) as holder:
        assert holder.stdout is not None
        holder.stdout.readline()
        with pytest.raises(InputError, match="in use by a sweep"):
            read_results(tmp_path)
        holder.communicate()
    assert len(read_results(tmp_path)) == 3
