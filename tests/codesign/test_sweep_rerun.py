"""Points of a real sweep, simulated again: the command told for a point gives that point."""

import json
import shlex
from pathlib import Path

import pytest
import yaml
from cli_models import CONV
from click.testing import CliRunner
from sweep_store import study, write_store

from codesign.cli import main
from codesign.sweep.page import page
from codesign.sweep.rerun import command, commands, setting, timelines
from codesign.sweep.results import Results, levels, read_results
from codesign.sweep.run import run_sweep

STUDY = {
    "name": "convolutions",
    "seed": 3,
    "models": [{"model": "conv net.csv", "name": "two"}],
    "weights": ["dense", "2:4"],
    "accelerators": [
        {
            "base": "systolic-32x32",
            "set": {"array.rows": [8, 16], "memory.ideal": [True, False]},
            "dataflow": ["auto", "ws"],
        },
        {"base": "edge-16x16-nm", "name": "it's small", "set": {"clock_hz": [5e8, 1.25e9]}},
    ],
    "objectives": ["cycles", "energy_pj"],
    "prune": False,
}


@pytest.fixture(scope="module")
def results(tmp_path_factory: pytest.TempPathFactory) -> Results:
    """Return a sweep of two accelerators on a topology table, in the folder that its paths start from."""
    folder = tmp_path_factory.mktemp("study")
    with pytest.MonkeyPatch.context() as patch:
        patch.chdir(folder)
        Path("conv net.csv").write_text(CONV)
        Path("study.yaml").write_text(yaml.safe_dump(STUDY))
        run_sweep("study.yaml", out="sweep", workers=1)
        return read_results(folder / "sweep")


@pytest.fixture(autouse=True)
def folder(results: Results, monkeypatch: pytest.MonkeyPatch) -> None:
    """Run in the folder of the study, as a reader of the page does."""
    monkeypatch.chdir(results.directory.parent)


def test_paths_start_from_where_the_reader_is(results: Results, monkeypatch: pytest.MonkeyPatch) -> None:
    """In another folder than the study's its files are found too, and no path of this machine is kept or told."""
    monkeypatch.chdir(results.directory)
    elsewhere = read_results(".")
    assert "'../conv net.csv'" in command(elsewhere, 0)
    assert timelines(elsewhere, [0])[1] == ""
    assert str(results.directory.parent) not in str(elsewhere.about)


def test_commands_give_their_points(results: Results) -> None:
    """Each point's command, as a shell reads it, takes the cycles and the energy that the sweep stored."""
    assert results.count("done") == len(results) == 20
    for row in range(len(results)):
        program, *args = shlex.split(command(results, row))
        assert program == "codesign"
        done = CliRunner().invoke(main, [*args, "--json"])
        assert done.exit_code == 0, (args, done.stderr)
        found = json.loads(done.stdout)
        assert found["total_cycles"] == results.columns["cycles"][row], args
        assert found["total_energy_pj"] == pytest.approx(results.columns["energy_pj"][row])


MODELS = """
import torch
from torch import nn


def net():
    return nn.Sequential(nn.Conv2d(4, 8, 3), nn.ReLU(), nn.Conv2d(8, 16, 3)), torch.randn(2, 4, 12, 12)


def gru():
    return nn.GRU(16, 32), torch.randn(12, 1, 16)


def spiking():
    return nn.Sequential(nn.Linear(16, 8)), (torch.rand(4, 16) > 0.7).float()
"""


def test_options_of_models_are_those_of_simulate(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """Rules, a training step, changes in a sequence and spikes are swept as `codesign simulate` takes them."""
    monkeypatch.chdir(tmp_path)
    Path("models.py").write_text(MODELS)
    models = [
        {"model": "models.py:net", "name": "ruled", "rules": {"2": "2:4"}},
        {"model": "models.py:net", "name": "step", "training": True},
        {"model": "models.py:gru", "activations": "delta:0.3"},
        {"model": "models.py:spiking", "activations": "spikes"},
    ]
    machines = ["systolic-32x32-nm", "prosperity"]
    made = {"name": "options", "seed": 3, "models": models, "accelerators": machines, "objectives": ["cycles"]}
    Path("study.yaml").write_text(yaml.safe_dump(made))
    run_sweep("study.yaml", out="sweep", workers=1)
    results = read_results("sweep")
    assert len(results) == 8
    for row in range(8):
        done = CliRunner().invoke(main, [*shlex.split(command(results, row))[1:], "--json"])
        stored, reason = results.columns["cycles"][row], results.columns["reason"][row]
        if stored is None:
            assert done.exit_code == 2
            assert reason in done.stderr
        else:
            assert done.exit_code == 0, done.stderr
            assert json.loads(done.stdout)["total_cycles"] == stored
    assert results.count("done") >= 6


def test_page_puts_commands_together_alike(results: Results) -> None:
    """The parts that the page holds, joined by the levels of a point, are its command."""
    how = commands(results)
    for row in range(len(results)):
        point = results.row(row)
        chosen = how[point["target"]]
        words = [
            texts[levels(results, name).index(point[name])]
            for name, texts in chosen["parts"]
            if point[name] is not None
        ]
        assert " ".join(filter(None, [chosen["start"], *words])) == command(results, row)


def test_timelines(results: Results) -> None:
    """A timeline ends with the point's cycles, its ops follow each other, and no event leaves it."""
    rows = results.front[:3].tolist()
    made, note = timelines(results, rows)
    assert note == ""
    assert list(made) == rows
    for row, found in made.items():
        assert found["cycles"] == results.columns["cycles"][row]
        assert found["ops"] == ["conv1", "conv2"]
        assert sum(cycles for track, _, _, cycles in found["events"] if track == 0) == found["cycles"]
        assert all(start >= 0 and start + cycles <= found["cycles"] for _, _, start, cycles in found["events"])
    assert '"events":' in page(results, made)


def test_changed_model_has_no_timeline(results: Results, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """If a point does not take its cycles any more, no timeline of it is shown, and it is told why."""
    Path(tmp_path, "conv net.csv").write_text(CONV.replace("34, 34", "35, 34"))
    monkeypatch.chdir(tmp_path)
    made, note = timelines(results, results.front.tolist())
    assert made == {}
    assert "the model or the code has changed" in note


def test_missing_model_has_no_timeline(results: Results, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """If the model is gone, the report is made without timelines, and it is told why."""
    monkeypatch.chdir(tmp_path)
    made, note = timelines(results, results.front.tolist())
    assert made == {}
    assert "conv net.csv" in note


def test_cpus_are_compared(tmp_path: Path) -> None:
    """A point on a CPU is told as a comparison without measuring, which has a dense side whatever is pruned."""
    write_store(tmp_path, 5, description=study(accelerators=[], cpus=["mid"]))
    results = read_results(tmp_path)
    said = command(results, results.columns["weights"].index("dense"))
    assert said.startswith("codesign compare mobilenet_v1@0.5-128 --cpu mid --no-measure --weights unstructured:0.5")


@pytest.mark.parametrize(
    ("value", "text"), [(True, "k=true"), (2e9, "k=2000000000"), (0.5, "k=0.5"), (8, "k=8"), ("nm", "k=nm")]
)
def test_settings(value: object, text: str) -> None:
    """Settings are written as --set reads them back."""
    assert setting("k", value) == text
    assert yaml.safe_load(text.partition("=")[2]) == value
