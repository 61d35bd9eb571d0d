"""codesign report: what it prints and writes, and its sentence where there is nothing to report."""

import json
import webbrowser
from pathlib import Path

import pytest
from click.testing import CliRunner, Result
from sweep_store import write_store

from codesign.cli import main
from codesign.sweep.results import read_results


def run(*args: object) -> Result:
    """Run the command without simulating anything again."""
    return CliRunner().invoke(main, ["report", *map(str, args), "--timelines", "0"])


def test_page_and_front(tmp_path: Path) -> None:
    """The page is written into the directory, and the points of the front are printed, best first."""
    write_store(tmp_path, 150)
    done = run(tmp_path)
    assert done.exit_code == 0, done.stderr
    assert (tmp_path / "report.html").read_text().startswith("<!DOCTYPE html>")
    results = read_results(tmp_path)
    shown = [line.split()[0] for line in done.stdout.splitlines()[2 : 2 + len(results.front)]]
    assert shown == [str(results.columns["number"][row]) for row in results.front]
    assert f"wrote {tmp_path / 'report.html'}" in done.stdout
    assert sorted(path.name for path in tmp_path.iterdir()) == ["report.html", "results.duckdb"]


def test_json(tmp_path: Path) -> None:
    """One JSON object holds the front with a command for each point; the rest goes to stderr."""
    write_store(tmp_path, 150)
    found = json.loads(run(tmp_path, "--json").stdout)
    assert found["points"]["all"] == 150
    assert len(found["front"]) == len(read_results(tmp_path).front)
    assert all(point["command"].startswith("codesign simulate ") for point in found["front"])


def test_out_figures_and_open(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """--out names the page, --figures adds pictures, and --open shows the page."""
    opened: list[str] = []
    monkeypatch.setattr(webbrowser, "open", opened.append)
    write_store(tmp_path / "sweep", 100)
    done = run(tmp_path / "sweep", "--out", tmp_path / "page.html", "--figures", "--open")
    assert done.exit_code == 0, done.stderr
    assert opened == [(tmp_path / "page.html").as_uri()]
    assert len(list((tmp_path / "sweep" / "figures").iterdir())) == 6
    assert not (tmp_path / "sweep" / "report.html").exists()


def test_nothing_done_is_no_picture(tmp_path: Path) -> None:
    """A sweep without a point that is done has a page, no pictures, and a note."""
    import duckdb

    write_store(tmp_path, 20)
    with duckdb.connect(str(tmp_path / "results.duckdb")) as store:
        store.execute("UPDATE points SET status = 'infeasible'")
    done = run(tmp_path, "--figures")
    assert done.exit_code == 0, done.exception
    assert (tmp_path / "report.html").exists()
    assert "no point is done" in done.stderr


def test_page_is_replaced_whole(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """If the disk fills while the page is written, the earlier page stays and nothing is left beside it."""
    write_store(tmp_path, 50)
    (tmp_path / "report.html").write_text("earlier")
    write = Path.write_bytes

    def half(path: Path, content: bytes) -> int:
        write(path, content[: len(content) // 2])
        raise OSError(28, "No space left on device")

    monkeypatch.setattr(Path, "write_bytes", half)
    done = run(tmp_path)
    assert done.exit_code == 2
    assert "No space left on device" in done.stderr
    assert (tmp_path / "report.html").read_text() == "earlier"
    assert len(list(tmp_path.iterdir())) == 2


@pytest.mark.parametrize(
    ("args", "words"),
    [
        (["absent"], "absent must be the folder of a sweep, and there is no such folder"),
        (["."], "holds no results.duckdb"),
        (["sweep", "--out", "sweep"], "must be the name of a file for the page"),
        (["sweep", "--out", "no/such/page.html"], "must be a directory to hold the page"),
    ],
)
def test_bad_input(args: list[str], words: str, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """What cannot be reported is told in one line, and the exit code is 2."""
    monkeypatch.chdir(tmp_path)
    write_store(tmp_path / "sweep", 3)
    done = run(*args)
    assert done.exit_code == 2
    (line,) = done.stderr.splitlines()
    assert words in line
