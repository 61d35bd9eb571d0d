"""Studies: a bad one gets one sentence with the path in the file, and a good one the space it says."""

import math
from pathlib import Path
from typing import Any

import pytest
from click.testing import CliRunner
from hypothesis import given
from hypothesis import strategies as st
from sweep_studies import small, write

from codesign.cli import main
from codesign.sweep.axis import read_values
from codesign.sweep.space import read_space
from codesign.sweep.study import StudyFile, study_names
from traces.errors import InputError

SET = {"array.rows": [8, 16]}


def on(**changes: Any) -> dict[str, Any]:
    """Return a study's accelerators with changes to the only one."""
    return {"accelerators": [{"base": "systolic-32x32-nm", "set": SET, **changes}]}


BAD: dict[str, tuple[dict[Any, Any], list[str]]] = {
    "unknown key": ({"objectivs": ["cycles"]}, ["objectivs is an unknown key", "did you mean objectives?"]),
    "unknown key of a space": (on(sett={}), ["accelerators.0.sett is an unknown key", "did you mean set?"]),
    "unknown key of a model": ({"models": [{"model": "a.csv", "inputs": "x"}]}, ["models.0.inputs", "mean input?"]),
    "unknown key of a constraint": ({"constraints": {"pes": {"most": 4}}}, ["constraints.pes.most", "min, max"]),
    "unknown parameter": (on(set={"array.row": [8]}), ["accelerators.0.set.array.row", "did you mean rows?"]),
    "unknown section": (on(set={"aray.rows": [8]}), ["accelerators.0.set.aray.rows", "did you mean array?"]),
    "key below a value": (on(set={"clock_hz.fast": [8]}), ["accelerators.0.set.clock_hz.fast", "no keys of its own"]),
    "unknown range key": (
        on(set={"array.rows": {"from": 8, "to": 16, "by": 2}}),
        ["accelerators.0.set.array.rows", "by is an unknown key"],
    ),
    "activations of no form": (
        {"models": [{"model": "gemms.csv", "activations": "delta"}]},
        ["models.0.activations", "must be of the form delta:THRESHOLD"],
    ),
    "training on changes": (
        {"models": [{"model": "gemms.csv", "activations": "delta:0.1", "training": True}]},
        ["models.0.training", "left out with activations"],
    ),
    "bad pattern of a rule": (
        {"models": [{"model": "gemms.csv", "rules": {"a": "9:4"}}]},
        ["models.0.rules.a", "9"],
    ),
    "training on CPUs": (
        {"models": [{"model": "gemms.csv", "training": True}], "cpus": ["cortex-a53"], "objectives": ["cycles"]},
        ["models.0.training", "left out with cpus"],
    ),
    "empty list": (on(set={"array.rows": []}), ["accelerators.0.set.array.rows", "empty"]),
    "empty range": (
        on(set={"array.rows": {"from": 32, "to": 8, "step": 8}}),
        ["accelerators.0.set.array.rows", "from 32 to 8 is empty"],
    ),
    "range beyond numbers": (
        on(set={"clock_hz": {"from": 1, "to": 1e300, "step": 1e-300}}),
        ["accelerators.0.set.clock_hz", "more than 100,000"],
    ),
    "too many points": (
        on(set={"array.rows": {"from": 1, "to": 9999, "step": 1}, "array.cols": {"from": 1, "to": 9999, "step": 1}}),
        ["199,960,002 points", "--budget"],
    ),
    "step of nothing": (
        on(set={"array.rows": {"from": 8, "to": 32, "step": 0}}),
        ["accelerators.0.set.array.rows", "never ends"],
    ),
    "step backwards": (
        on(set={"array.rows": {"from": 8, "to": 32, "step": -8}}),
        ["accelerators.0.set.array.rows", "never ends"],
    ),
    "factor of one": (
        on(set={"array.rows": {"from": 8, "to": 32, "factor": 1}}),
        ["accelerators.0.set.array.rows", "never ends"],
    ),
    "factor from nothing": (
        on(set={"memory.dram.latency_cycles": {"from": 0, "to": 32, "factor": 2}}),
        ["accelerators.0.set.memory.dram.latency_cycles", "never ends"],
    ),
    "step and factor": (
        on(set={"array.rows": {"from": 8, "to": 32, "step": 8, "factor": 2}}),
        ["accelerators.0.set.array.rows", "either step or factor"],
    ),
    "range too long": (
        on(set={"clock_hz": {"from": 1, "to": 1000000000, "step": 1}}),
        ["accelerators.0.set.clock_hz", "1,000,000,000 values"],
    ),
    "value twice": (on(set={"array.rows": [8, 16, 8]}), ["accelerators.0.set.array.rows", "8 is given twice"]),
    "value twice in other words": (on(set={"clock_hz": [10**9, 2e9, 1e9]}), ["set.clock_hz", "is given twice"]),
    "key that is no text": ({True: 1}, ["must be a key of text, not True"]),
    "accuracy of a switch": ({"weights": [{"pattern": "2:4", "accuracy": True}]}, ["weights.0.accuracy", "a number"]),
    "value out of range": (on(set={"array.rows": [8, -8]}), ["accelerators.0.set.array.rows", "not -8"]),
    "text for a number": (on(set={"array.rows": ["many"]}), ["accelerators.0.set.array.rows", "whole number", "many"]),
    "infinite": (on(set={"clock_hz": [math.inf]}), ["accelerators.0.set.clock_hz", "finite"]),
    "name varied": (on(set={"name": ["a", "b"]}), ["accelerators.0.set.name", "cannot be varied"]),
    "unknown preset": (on(base="systolic-23x23"), ["accelerators.0.base", "unknown accelerator", "systolic-32x32"]),
    "missing config": (on(base="mine.yaml"), ["accelerators.0.base", "no such file"]),
    "unknown dataflow": (on(dataflow=["auto", "rs"]), ["accelerators.0.dataflow", "'rs'", "ws"]),
    "dataflow twice": (on(dataflow=["ws", "ws"]), ["accelerators.0.dataflow", "ws is given twice"]),
    "dataflow of another kind": (on(base="sigma", set={}, dataflow="ws"), ["accelerators.0.dataflow", "auto", "'ws'"]),
    "two of a name": (
        {"accelerators": [{"base": "systolic-32x32"}, {"base": "systolic-32x32"}]},
        ["accelerators.1", "two targets of the name systolic-32x32"],
    ),
    "two models of a name": ({"models": ["gemms.csv", "gemms.csv"]}, ["models.1", "two models of the name gemms"]),
    "unknown model": ({"models": ["resnet51"]}, ["models.0", "no model 'resnet51'", "resnet50"]),
    "missing table": ({"models": ["absent.csv"]}, ["models.0", "absent.csv", "does not exist"]),
    "no models": ({"models": []}, ["models must be a list of at least 1"]),
    "unknown pattern": ({"weights": ["dense", "diagonal:0.5"]}, ["weights.1", "diagonal:0.5"]),
    "impossible pattern": ({"weights": ["5:4"]}, ["weights.0", "5:4"]),
    "pattern without quotes": ({"weights": [124]}, ["weights.0", "124", 'quotes in YAML, "2:4"']),
    "pattern twice": ({"weights": ["2:4", " 2:4 "]}, ["weights.1", "2:4 is given twice"]),
    "unknown objective": ({"objectives": ["area"]}, ["objectives.0", "'cycles'", "'area'"]),
    "objective twice": ({"objectives": ["cycles", "cycles"]}, ["objectives.1", "cycles is given twice"]),
    "no objectives": ({"objectives": []}, ["objectives must be a list of at least 1"]),
    "accuracy without figures": ({"objectives": ["cycles", "accuracy"]}, ["objectives.1", "weights.0 has none"]),
    "constraint on nothing": ({"constraints": {"area": {"max": 1}}}, ["constraints.area is an unknown measure", "pes"]),
    "constraint of nothing": ({"constraints": {"pes": {}}}, ["constraints.pes", "min or max must be given"]),
    "constraint turned around": ({"constraints": {"pes": {"min": 9, "max": 8}}}, ["constraints.pes", "9 above 8"]),
    "constraint that nothing keeps": ({"constraints": {"pes": {"max": 16}}}, ["constraints.pes.max", "at least 256"]),
    "constraint beyond all": ({"constraints": {"pes": {"min": 4096}}}, ["constraints.pes.min", "at most 512"]),
    "negative time": ({"constraints": {"time_s": {"max": -1.0}}}, ["constraints.time_s.max", "above 0", "-1.0"]),
    "constraint as text": ({"constraints": {"pes": {"max": "few"}}}, ["constraints.pes.max", "a number", "few"]),
    "unknown optimizer": ({"optimizer": "genetic"}, ["optimizer", "'nsga2'", "'genetic'"]),
    "budget of nothing": ({"budget": 0}, ["budget", "greater than or equal to 1", "0"]),
    "seed of text": ({"seed": "x"}, ["seed must be a whole number", "'x'"]),
    "unknown CPU": (
        {"cpus": ["cortex-a54"], "objectives": ["time_s"]},
        ["cpus.0", "did you mean cortex-a55 or cortex-a53?"],
    ),
    "energy of a CPU": ({"cpus": ["cortex-a53"]}, ["objectives.1", "energy_pj is not known of a CPU", "cortex-a53"]),
    "no targets": ({"accelerators": []}, ["accelerators", "at least one"]),
    "no name": ({"name": ""}, ["name must be text that is not empty"]),
}
TEXTS = {
    "mistake": ("name: [x\nmodels: y", ["must be YAML", "line"]),
    "list": ("- 1\n", ["must hold a mapping", "list"]),
    "nothing": ("", ["must hold a mapping"]),
    "key twice": ("name: a\nname: b\n", ["line 2", "name is given twice"]),
    "no date": ("name: 2026-13-45\n", ["must be YAML", "month"]),
    "no number": ("seed: 0x_\n", ["must be YAML"]),
    "too deep": ("[" * 1500, ["must be YAML"]),
    "code": ("!!python/object/apply:pathlib.Path.touch [!!python/object/apply:pathlib.Path [ran]]", ["study.yaml"]),
}


@pytest.fixture(autouse=True)
def _folder(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.chdir(tmp_path)


def told(*words: str) -> None:
    """Assert that sweeping study.yaml ends with one sentence that has the words, and leaves no results."""
    done = CliRunner().invoke(main, ["sweep", "study.yaml", "--workers", "1"])
    assert done.exit_code == 2, (done.stdout, done.stderr, done.exception)
    assert done.stdout == ""
    (line,) = done.stderr.splitlines()
    assert line.startswith("codesign: study.yaml")
    assert "Traceback" not in line
    for word in words:
        assert word in line, line


@pytest.mark.parametrize(("changes", "words"), BAD.values(), ids=BAD)
def test_bad_study(changes: dict[str, Any], words: list[str]) -> None:
    """A mistake at any depth is told by its path in the file, with the rule and what to do."""
    write(Path(), small(Path()) | on() | changes)
    told(*words)


@pytest.mark.parametrize(("text", "words"), TEXTS.values(), ids=TEXTS)
def test_bad_file(text: str, words: list[str]) -> None:
    """A file that holds no study is refused, and nothing in it is run."""
    Path("study.yaml").write_text(text)
    told(*words)
    assert not Path("ran").exists()


def test_missing_study() -> None:
    """A study that is not there is told with those that ship."""
    done = CliRunner().invoke(main, ["sweep", "sparse-mobilnet"])
    assert done.exit_code == 2
    assert "did you mean sparse-mobilenet?" in done.stderr


@pytest.mark.parametrize("name", study_names())
def test_shipped_studies_are_good(name: str) -> None:
    """Every study that ships can be read, and has a thousand points or more."""
    assert read_space(StudyFile.read(name)).grid.size >= 1000


@given(first=st.integers(-50, 50), count=st.integers(1, 30), step=st.integers(1, 9), over=st.integers(0, 8))
def test_steps_are_those_of_range(first: int, count: int, step: int, over: int) -> None:
    """A range of whole numbers has the values of Python's, its end included."""
    last = first + (count - 1) * step + min(over, step - 1)
    assert read_values("x", {"from": first, "to": last, "step": step}).values == tuple(range(first, last + 1, step))


@given(first=st.integers(1, 50), count=st.integers(1, 20), factor=st.integers(2, 5))
def test_factors_multiply(first: int, count: int, factor: int) -> None:
    """A range with a factor ends exactly where a power of it hits the end."""
    values = read_values("x", {"from": first, "to": first * factor ** (count - 1), "factor": factor}).values
    assert values == tuple(first * factor**i for i in range(count))


def test_every_number_is_a_point_of_its_own() -> None:
    """The joined grids of several targets have each configuration once, and neighbours have the same machine."""
    study = small(
        Path(),
        accelerators=[
            {"base": "systolic-32x32-nm", "name": "a", "set": {"array.rows": [8, 16, 32]}, "dataflow": ["ws", "os"]},
            {"base": "sigma", "name": "b", "set": {"memory.dram.bytes_per_cycle": [16, 32]}},
        ],
        cpus=["cortex-a53"],
        objectives=["time_s"],
    )
    space = read_space(StudyFile.read(write(Path(), study)))
    points = [space.point(number) for number in range(space.grid.size)]
    assert len(points) == (3 * 2 + 2 + 1) * 2
    said = [(p.target, p.model, p.weights, p.dataflow, *sorted(p.settings.items())) for p in points]
    assert len(set(said)) == len(points)
    assert [space.grid.number(space.grid.point(p.number)) for p in points] == list(range(len(points)))
    assert points[0].settings == points[3].settings == {"array.rows": 8}


def test_values_are_those_of_the_config() -> None:
    """A whole number for a real one is the same configuration as the real one."""
    study = small(Path(), accelerators=[{"base": "systolic-32x32", "set": {"clock_hz": [1000000000, 2e9]}}])
    space = read_space(StudyFile.read(write(Path(), study)))
    assert space.targets[0].varied[0].values == (1e9, 2e9)
    assert space.parameters == {"clock_hz": float}


def test_yaml_that_people_write() -> None:
    """Numbers without a dot, 1e9, are numbers in a range; a section can be merged into another."""
    assert read_values("x", {"from": "1e8", "to": 4e8, "factor": 2}).values == (1e8, 2e8, 4e8)
    text = "weights: [&a {pattern: dense}, {<<: *a, pattern: '2:4'}]\nname: n\nmodels: [m]\n"
    assert [one.pattern for one in StudyFile.of(text, "x", Path()).study.weights] == ["dense", "2:4"]


def test_study_of_python() -> None:
    """A mapping in Python is checked as the file is."""
    from codesign import run_sweep

    with pytest.raises(InputError, match="plain values"):
        run_sweep(small(Path()) | {"seed": Path()}, out="out")
    with pytest.raises(InputError, match="study: budgt is an unknown key"):
        run_sweep(small(Path()) | {"budgt": 3}, out="out")
