"""What a program reads: CSV, JSON, timeline, and the directory of all."""

import csv
import io
import json
from collections import defaultdict
from dataclasses import fields
from itertools import pairwise
from pathlib import Path
from typing import Any

import pytest
from report_samples import long_sample, sample

from codesign.report import OpRecord, Report, plots
from codesign.report.layers import COMPONENTS, columns
from codesign.report.save import FOLDER
from codesign.report.timeline import timeline
from traces.errors import InputError

REPORTS = {
    "buffers": sample(),
    "narrow": sample("edge-16x16", ("memory.dram.bytes_per_cycle=0.7",)),
    "ideal": sample(settings=("memory.ideal=true",)),
}


@pytest.mark.parametrize("report", REPORTS.values(), ids=REPORTS)
def test_csv_has_every_figure_of_every_op(report: Report) -> None:
    """A row's cells are the record's fields; those of a mapping stand in columns that begin alike."""
    rows = list(csv.DictReader(io.StringIO(report.to_csv())))
    assert [row["name"] for row in rows] == [op.name for op in report.ops]
    for row, op in zip(rows, report.ops, strict=True):
        assert sum(float(row[f"energy_{name}_pj"]) for name in COMPONENTS) == pytest.approx(op.total_energy_pj)
        assert sum(int(row[f"stalls_{cause}_cycles"]) for cause in ("weight", "input", "output", "drain")) == (
            op.stall_cycles
        )
        for operand, size in op.dram_bytes.items():
            assert int(row[f"dram_bytes_{operand}"]) == size
        for field in fields(OpRecord):
            if field.name in row:
                value = getattr(op, field.name)
                assert row[field.name] == ("" if value is None else str(value))


def test_components_are_those_of_the_energy_model() -> None:
    """The CSV misses no component and has none that does not exist."""
    op = sample().ops[0]
    assert set(COMPONENTS) == set(op.energy_pj)
    assert len(columns()) == len(set(columns()))


def test_json_has_every_op() -> None:
    """The JSON is strict, and its totals are those of the report."""
    report = sample()
    values = json.loads(report.to_json(), parse_constant=pytest.fail)
    assert values["total_cycles"] == sum(op["cycles"] for op in values["ops"]) == report.total_cycles
    assert values["total_energy_pj"] == pytest.approx(sum(op["total_energy_pj"] for op in values["ops"]))


def _tracks(events: list[dict[str, Any]]) -> dict[str, list[dict[str, Any]]]:
    names = {e["tid"]: e["args"]["name"] for e in events if e["ph"] == "M" and e["name"] == "thread_name"}
    tracks: dict[str, list[dict[str, Any]]] = defaultdict(list)
    for event in events:
        if event["ph"] == "X":
            tracks[names[event["tid"]]].append(event)
    return tracks


@pytest.mark.parametrize("max_events", [200_000, 0])
@pytest.mark.parametrize("report", REPORTS.values(), ids=REPORTS)
def test_timeline_is_one_of_perfetto(report: Report, max_events: int) -> None:
    """Events are sorted, none is negative, those of a track do not overlap, and the last ends with the run."""
    read = json.loads(json.dumps(timeline(report, max_events=max_events)))
    events = [event for event in read["traceEvents"] if event["ph"] == "X"]
    times = [event["ts"] for event in events]
    assert times == sorted(times)
    assert min(times) >= 0
    assert min(event["dur"] for event in events) > 0
    for track in _tracks(read["traceEvents"]).values():
        assert all(before["ts"] + before["dur"] <= after["ts"] for before, after in pairwise(track))
    assert max(event["ts"] + event["dur"] for event in events) == report.total_cycles
    assert {event["name"] for event in events} <= {op.name for op in report.ops if op.fused_into is None}


def test_timeline_execute_track_is_the_compute_time() -> None:
    """What the array executes for an op adds up to its compute cycles, in the whole timeline and in the merged."""
    report = sample("edge-16x16")
    for max_events, key in ((200_000, "cycles"), (0, "served_cycles")):
        worked: dict[str, int] = defaultdict(int)
        for event in _tracks(timeline(report, max_events=max_events)["traceEvents"])["execute"]:
            worked[event["name"]] += event["args"][key]
        assert worked == {op.name: op.compute_cycles for op in report.ops if op.fused_into is None}


def test_timeline_is_bounded() -> None:
    """Above the limit there is one event an op and stage at most."""
    report = long_sample()
    merged = timeline(report, max_events=100)["traceEvents"]
    assert all(len(track) <= len(report.ops) for track in _tracks(merged).values())


def test_save_writes_everything_and_replaces_an_earlier_report(tmp_path: Path) -> None:
    """All files are there, each readable; saving again leaves the new report and nothing else."""
    out = tmp_path / "out"
    sample().save(out)
    long_sample(5).save(out)
    assert {entry.name for entry in out.iterdir()} == set(FOLDER.files)
    assert json.loads((out / "report.json").read_text())["ops"][4]["name"] == "block.4.linear"
    assert json.loads((out / "timeline.json").read_text())["otherData"]["total_cycles"] == long_sample(5).total_cycles
    assert len((out / "layers.csv").read_text().splitlines()) == 6
    assert all((out / name).read_bytes().startswith(b"\x89PNG") for name in FOLDER.files if name.endswith(".png"))
    assert (out / "index.html").read_text().count("data:image/png") == 4
    assert [entry.name for entry in tmp_path.iterdir()] == ["out"]
    (tmp_path / "plain").mkdir()
    assert out.stat().st_mode == (tmp_path / "plain").stat().st_mode


@pytest.mark.parametrize("error", [KeyboardInterrupt, OSError, MemoryError])
def test_save_that_breaks_off_changes_nothing(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, error: type[BaseException]
) -> None:
    """Whatever ends it, an earlier report is as it was and no file is left behind."""
    out = tmp_path / "out"
    sample().save(out)
    before = {entry.name: entry.read_bytes() for entry in out.iterdir()}

    def stop(report: Report) -> None:
        raise error

    monkeypatch.setattr(plots, "plot_roofline", stop)
    with pytest.raises(InputError if error is OSError else error):
        long_sample(5).save(out)
    assert {entry.name: entry.read_bytes() for entry in out.iterdir()} == before
    assert [entry.name for entry in tmp_path.iterdir()] == ["out"]


def test_a_move_that_fails_brings_the_earlier_report_back(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """If the last rename fails, the first is undone."""
    out = tmp_path / "out"
    sample().save(out)
    rename, calls = Path.rename, []

    def second_fails(self: Path, target: Path) -> Path:
        calls.append(self)
        if len(calls) == 2:
            raise OSError("no")
        return rename(self, target)

    monkeypatch.setattr(Path, "rename", second_fails)
    with pytest.raises(InputError, match="nothing was changed"):
        long_sample(5).save(out)
    assert json.loads((out / "report.json").read_text())["ops"][0]["name"] == "<up> & out"
    assert [entry.name for entry in tmp_path.iterdir()] == ["out"]


def test_only_new_empty_and_own_directories_are_taken(tmp_path: Path) -> None:
    """A directory with anything else in it is refused by name, and is left as it is."""
    (tmp_path / "empty").mkdir()
    assert FOLDER.check(tmp_path / "empty") == (tmp_path / "empty").resolve()
    (tmp_path / "mine").mkdir()
    (tmp_path / "mine" / "thesis.tex").write_text("x")
    (tmp_path / "alike").mkdir()
    (tmp_path / "alike" / "report.json").write_text('{"schema_version": 7}')
    sample().save(tmp_path / "noted")
    (tmp_path / "noted" / "notes.txt").write_text("x")
    for name, held in (("mine", "thesis.tex"), ("alike", "report.json"), ("noted", "notes.txt")):
        with pytest.raises(InputError, match=held):
            sample().save(tmp_path / name)
    (tmp_path / "file").write_text("x")
    with pytest.raises(InputError, match="not a file"):
        FOLDER.check(tmp_path / "file")
    with pytest.raises(InputError, match="must be a directory"):
        FOLDER.check(tmp_path / "missing" / "out")
    assert (tmp_path / "noted" / "notes.txt").exists()
