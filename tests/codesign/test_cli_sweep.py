"""The commands of sweeps: what they print, write and refuse."""

import csv
import importlib.util
import json
from pathlib import Path

import pytest
from click.testing import CliRunner, Result
from sweep_studies import small, write

from codesign.cli import main
from codesign.cli.sweep import Clock
from codesign.sweep.run import Progress


@pytest.fixture(scope="module")
def swept(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """Return the folder of a study and its sweep."""
    folder = tmp_path_factory.mktemp("swept")
    write(folder, small(folder))
    done = run("sweep", str(folder / "study.yaml"), "--workers", "1", "--out", str(folder / "out"))
    assert done.exit_code == 0, done.stderr
    return folder


def run(*args: str) -> Result:
    """Run a command."""
    return CliRunner().invoke(main, args)


def refused(*args: str) -> str:
    """Return the one sentence with which a command is refused."""
    done = run(*args)
    assert done.exit_code == 2, (done.stdout, done.stderr, done.exception)
    assert done.stdout == ""
    (line,) = done.stderr.splitlines()
    return line


def test_sweep_prints_the_front(swept: Path) -> None:
    """The table has the front, counts, hypervolume beside random's, and what to do next."""
    done = run("sweep", str(swept / "study.yaml"), "--workers", "1", "--out", str(swept / "out"))
    assert done.exit_code == 0
    for word in ("front  ", "24 done", "hypervolume", "random", "codesign report", "codesign query"):
        assert word in done.stdout
    again = run("sweep", str(swept / "study.yaml"), "--workers", "1", "--out", str(swept / "out"), "--json")
    said = json.loads(again.stdout)
    assert said["counts"]["done"] == 24
    assert f"{said['front'][0]['cycles']:,}" in done.stdout


def test_folder_is_named_after_the_study(swept: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """Without --out, results go beside where the command was given."""
    monkeypatch.chdir(tmp_path)
    assert run("sweep", str(swept / "study.yaml"), "--workers", "1", "--budget", "3").exit_code == 0
    assert (tmp_path / "study-sweep" / "results.duckdb").exists()


def test_sweep_refuses(swept: Path, tmp_path: Path) -> None:
    """A folder that is no sweep, a file, another version, and options that contradict are told in a sentence."""
    study = str(swept / "study.yaml")
    (tmp_path / "letters").mkdir()
    (tmp_path / "letters" / "dear.txt").touch()
    assert "it holds dear.txt" in refused("sweep", study, "--out", str(tmp_path / "letters"))
    assert "not a file" in refused("sweep", study, "--out", study)
    assert "no sweep to resume" in refused("sweep", study, "--resume", "--out", str(tmp_path / "new"))
    assert "--workers must be left out" in refused("sweep", study, "--workers", "2", "--cluster", "tcp://x:1")
    assert "--optimizer" in refused("sweep", study, "--optimizer", "genetic")
    assert "another study, optimizer or budget" in refused(
        "sweep", study, "--workers", "1", "--budget", "5", "--out", str(swept / "out")
    )
    (tmp_path / "noise").mkdir()
    (tmp_path / "noise" / "results.duckdb").write_bytes(b"noise" * 5000)
    assert "not a valid DuckDB" in refused("sweep", study, "--out", str(tmp_path / "noise"))


@pytest.mark.parametrize("command", [["sweep", "STUDY", "--workers", "1", "--out"], ["report"]])
def test_other_version_is_refused(swept: Path, tmp_path: Path, command: list[str]) -> None:
    """A store of another format is told by its number."""
    import duckdb

    out = tmp_path / "old"
    assert run("sweep", str(swept / "study.yaml"), "--workers", "1", "--out", str(out)).exit_code == 0
    with duckdb.connect(str(out / "results.duckdb")) as store:
        store.execute("UPDATE about SET value = '0' WHERE name = 'format'")
    args = [str(swept / "study.yaml") if word == "STUDY" else word for word in command]
    assert "is a sweep of format 0" in refused(*args, str(out))


def test_query_answers_in_sql(swept: Path) -> None:
    """A query prints a table, JSON or CSV of the same rows."""
    sql = 'select "array.rows", min(cycles) as least from results group by all order by all'
    text = run("query", str(swept / "out"), sql).stdout.splitlines()
    assert text[0].split() == ["array.rows", "least"]
    rows = json.loads(run("query", str(swept / "out"), sql, "--json").stdout)
    assert [row["array.rows"] for row in rows] == [4, 8, 16, 32]
    assert [list(map(int, line.split())) for line in text[1:]] == [list(row.values()) for row in rows]
    said = list(csv.DictReader(run("query", str(swept / "out"), sql, "--csv").stdout.splitlines()))
    assert [int(row["least"]) for row in said] == [row["least"] for row in rows]


def test_query_json_is_json(swept: Path) -> None:
    """Decimals are numbers, and what is no finite number is null, in lists too."""
    sql = "select 1.5 as a, 'nan'::double as b, ['inf'::double, 2] as c, 1::hugeint as d, date '2026-01-02' as e"
    said = json.loads(run("query", str(swept / "out"), sql, "--json").stdout)
    assert said == [{"a": 1.5, "b": None, "c": [None, 2.0], "d": 1, "e": "2026-01-02"}]


@pytest.mark.parametrize("suffix", ["parquet", "csv", "json"])
def test_query_writes_files(swept: Path, tmp_path: Path, suffix: str) -> None:
    """What is written is what DuckDB reads back."""
    import duckdb

    path = tmp_path / f"it's.{suffix}"
    sql = "select number, cycles, weights from results order by number;"
    for said in ("select 1 -- replaced", sql):
        done = run("query", str(swept / "out"), said, "--out", str(path))
        assert done.exit_code == 0, done.stderr
    assert "24 rows" in done.stdout
    assert [one.name for one in tmp_path.iterdir()] == [path.name]
    with duckdb.connect() as fresh, duckdb.connect(str(swept / "out" / "results.duckdb"), read_only=True) as store:
        quoted = str(path).replace("'", "''")
        assert fresh.execute(f"select * from '{quoted}'").fetchall() == store.execute(sql).fetchall()


def test_query_refuses(swept: Path, tmp_path: Path) -> None:
    """Wrong SQL, a folder without a sweep, and what would change or leave the store are told in a sentence."""
    out = str(swept / "out")
    assert "SQL:" in refused("query", out, "selec 1")
    assert "cycels" in refused("query", out, "select cycels from results")
    assert "read-only" in refused("query", out, "delete from points")
    outside = f"select * from read_csv('{swept / 'gemms.csv'}')"
    assert "Permission Error" in refused("query", out, outside)
    assert "Permission Error" in refused("query", out, outside, "--out", str(tmp_path / "x.csv"))
    assert not (tmp_path / "x.csv").exists()
    assert "not empty" in refused("query", out, "")
    assert "holds no results.duckdb" in refused("query", str(tmp_path), "select 1")
    assert ".parquet" in refused("query", out, "select 1", "--out", str(tmp_path / "x.xlsx"))
    assert "no directory" in refused("query", out, "select 1", "--out", str(tmp_path / "absent" / "x.csv"))
    assert "--csv must be left out" in refused("query", out, "select 1", "--json", "--csv")


@pytest.mark.parametrize("command", [["sweep", "STUDY"], ["query", "OUT", "select 1"], ["report", "OUT"]])
def test_missing_duckdb_is_told(swept: Path, monkeypatch: pytest.MonkeyPatch, command: list[str]) -> None:
    """Without DuckDB, one sentence says how to install it."""
    find = importlib.util.find_spec
    monkeypatch.setattr(importlib.util, "find_spec", lambda name: None if name == "duckdb" else find(name))
    paths = {"STUDY": str(swept / "study.yaml"), "OUT": str(swept / "out")}
    assert "install it with pip install" in refused(*(paths.get(word, word) for word in command))


def test_progress_tells_rate_and_time_left() -> None:
    """The rate is that of what is evaluated now; points of an earlier run make it no faster."""
    times = iter([0.0, 0.0, 10.0, 20.0])
    clock = Clock(lambda: next(times))
    assert clock.told(Progress(100, 400, 100)) == "100 of 400 points"
    assert clock.told(Progress(150, 400, 100)) == "150 of 400 points, 5.0 a second, 50 s left"
    assert clock.told(Progress(200, 4000, 100)) == "200 of 4,000 points, 5.0 a second, 12 min 40 s left"
