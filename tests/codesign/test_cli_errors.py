"""The command line on bad input: one sentence on stderr, exit code 2, never a traceback."""

import json
import signal
import subprocess
import sys
import time
import zipfile
from collections.abc import Callable
from pathlib import Path

import numpy as np
import pytest
import torch
from cli_models import CONV, MODELS
from click.testing import CliRunner, Result

from codesign.cli import main
from codesign.report import plots
from hw_models.accelerators import load_accelerator


@pytest.fixture(autouse=True)
def folder(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    """Run in a directory with a topology and a file of models."""
    monkeypatch.chdir(tmp_path)
    Path("conv.csv").write_text(CONV)
    Path("models.py").write_text(MODELS)
    return tmp_path


def run(*args: str) -> Result:
    """Run a command."""
    return CliRunner().invoke(main, args)


def check(result: Result, *words: str) -> None:
    """Assert exit code 2, silence on stdout, and one line on stderr that has the words."""
    assert result.exit_code == 2, (result.stdout, result.stderr, result.exception)
    assert result.stdout == ""
    (line,) = (line for line in result.stderr.splitlines() if line != "loading my weights")
    assert line.startswith("codesign: ")
    assert "Traceback" not in line
    for word in words:
        assert word in line, line


USAGE = {
    "no model": (["simulate"], ["missing argument 'MODEL'", "simulate --help"]),
    "two models": (["simulate", "conv.csv", "b.csv"], ["unexpected extra argument", "b.csv"]),
    "misspelt command": (["simulat"], ["no command 'simulat'", "did you mean simulate?"]),
    "far-off command": (["xyz"], ["no command 'xyz'", "simulate, map, sweep, report, query, compare"]),
    "misspelt option": (["simulate", "conv.csv", "--datflow", "ws"], ["'--datflow'", "did you mean '--dataflow'?"]),
    "unknown dataflow": (["simulate", "conv.csv", "--dataflow", "rs"], ["--dataflow", "'rs'", "'ws', 'os', 'is'"]),
    "unknown engine": (["simulate", "conv.csv", "--engine", "fast"], ["--engine", "'fast'", "'simpy'"]),
    "seed of text": (["simulate", "conv.csv", "--seed", "x"], ["--seed", "'x'"]),
    "negative seed": (["simulate", "conv.csv", "--seed", "-1"], ["--seed", "-1"]),
    "explain with json": (["simulate", "conv.csv", "--json", "--explain"], ["--explain must be left out"]),
}
CONFIG = {
    "unknown accelerator": (["--on", "systolic-23x23"], ["unknown accelerator 'systolic-23x23'", "systolic-32x32"]),
    "missing config": (["--on", "mine.yaml"], ["mine.yaml", "no such file"]),
    "no equals sign": (["--set", "array.rows"], ["--set must be of the form key=value", "'array.rows'"]),
    "no value": (["--set", "array.rows="], ["--set must be of the form key=value"]),
    "misspelt section": (["--set", "aray.rows=64"], ["aray is an unknown key", "did you mean array?"]),
    "misspelt key": (["--set", "array.row=64"], ["array.row is an unknown key", "did you mean rows?"]),
    "key below a value": (["--set", "name.rows=64"], ["name is a value and has no keys"]),
    "text for a number": (["--set", "array.rows=many"], ["array.rows must be a whole number, not 'many'"]),
    "fraction": (["--set", "array.rows=1.5"], ["array.rows must be a whole number, not 1.5"]),
    "negative size": (["--set", "array.rows=-4"], ["array.rows must be", "greater than or equal to 1", "-4"]),
    "zero bandwidth": (["--set", "memory.dram.bytes_per_cycle=0"], ["bytes_per_cycle must be", "0.000001, not 0"]),
    "hardly any bandwidth": (["--set", "memory.dram.bytes_per_cycle=1e-300"], ["bytes_per_cycle must be", "1e-300"]),
    "date that there is not": (["--set", "clock_hz=2024-13-45"], ["--set clock_hz must be a YAML value", "2024-13-45"]),
    "infinite clock": (["--set", "clock_hz=.inf"], ["clock_hz must be", "finite"]),
    "value for a section": (["--set", "array=7"], ["array must be", "not 7"]),
    "narrow accumulator": (["--set", "precision.accumulator_bits=4"], ["accumulator_bits must be at least as wide"]),
    "buffers too small": (
        ["--set", "memory.sram.weight_bytes=4"],
        ["conv1 does not fit systolic-32x32", "memory.sram.weight_bytes", "more are needed"],
    ),
}
PATTERNS = {
    "more than all": (["--weights", "5:4"], ["5:4"]),
    "none of four": (["--weights", "0:4"], ["0:4"]),
    "of zero": (["--weights", "2:0"], ["2:0"]),
    "unknown": (["--weights", "diagonal:0.5"], ["diagonal:0.5"]),
    "misspelt": (["--weights", "unstructurd:0.5"], ["unstructurd:0.5"]),
    "out of range": (["--weights", "unstructured:1.5"], ["unstructured:1.5"]),
    "not a number": (["--weights", "unstructured:nan"], ["unstructured:nan"]),
    "empty": (["--weights", ""], ["pattern"]),
    "rule without equals sign": (["--rule", "2:4"], ["--rule must be of the form SELECTOR=PATTERN", "'2:4'"]),
    "rule of a bad pattern": (["--rule", "*=9:4"], ["9:4"]),
    "rule that selects nothing": (["--rule", "conv3=2:4"], ["conv3", "conv1"]),
}


@pytest.mark.parametrize(("args", "words"), USAGE.values(), ids=USAGE)
def test_usage(args: list[str], words: list[str]) -> None:
    """A command that is spelt wrong says how it is spelt right."""
    check(run(*args), *words)


@pytest.mark.parametrize(("args", "words"), CONFIG.values(), ids=CONFIG)
def test_config(args: list[str], words: list[str]) -> None:
    """A wrong accelerator or setting is told by its key, with its rule and value."""
    check(run("simulate", "conv.csv", *args), *words)


@pytest.mark.parametrize(("args", "words"), PATTERNS.values(), ids=PATTERNS)
def test_pattern(args: list[str], words: list[str]) -> None:
    """A pattern or rule that cannot be is told as it was written."""
    check(run("simulate", "conv.csv", *args), *words)


YAML = {
    "mistake": ("kind: [systolic\nname: x", ["must be YAML", "line"]),
    "date that there is not": ("kind: systolic\nname: 2024-13-45\n", ["mine.yaml must be YAML"]),
    "list": ("- 1\n- 2\n", ["must hold a mapping", "list"]),
    "nothing": ("", ["must hold a mapping"]),
    "binary": ("kind: \0", ["mine.yaml"]),
    "missing key": ("kind: systolic\nname: x\n", ["is missing"]),
    "other kind": ("kind: quantum\n", ["mine.yaml"]),
    "code": ("!!python/object/apply:pathlib.Path.touch [!!python/object/apply:pathlib.Path [ran]]", ["mine.yaml"]),
}


@pytest.mark.parametrize(("text", "words"), YAML.values(), ids=YAML)
def test_config_file(text: str, words: list[str]) -> None:
    """A config file that is none is refused, and nothing in it is run."""
    Path("mine.yaml").write_text(text)
    check(run("simulate", "conv.csv", "--on", "mine.yaml"), *words)
    assert not Path("ran").exists()


def test_sentences_cannot_steer_a_terminal() -> None:
    """What is quoted from a user's file is printed without control characters."""
    result = run("simulate", "\x1b[31m\nred.csv")
    check(result, "?[31m red.csv")


def test_near_misses_of_accelerators() -> None:
    """`codesign accelerators NAME` with a name that is nearly one."""
    check(run("accelerators", "edge-16"), "unknown accelerator 'edge-16'", "edge-16x16")


HEAD = CONV.splitlines()[0]
TABLES = {
    "empty": ("", ["empty"]),
    "no header": ("conv1,34,34,3,3,3,16,1,\n", ["line 1", "header"]),
    "no layers": (HEAD + "\n", ["at least one layer"]),
    "cut off": (CONV[: CONV.rindex("16, 32")], ["line 3", "ends before"]),
    "text in a number": (CONV.replace("conv2, 34", "conv2, wide"), ["line 3", "IFMAP height", "'wide'"]),
    "negative": (CONV.replace("conv2, 34", "conv2, -34"), ["line 3", "IFMAP height", "'-34'"]),
    "filter larger than image": (CONV.replace("34, 34, 3, 3, 16", "34, 34, 35, 3, 16"), ["Filter height", "35"]),
    "impossible sparsity": (CONV.replace("16, 32, 1,", "16, 32, 1, 5:4"), ["line 3", "5:4"]),
}


@pytest.mark.parametrize(("text", "words"), TABLES.values(), ids=TABLES)
def test_topology(text: str, words: list[str]) -> None:
    """A topology is refused with the line and the column."""
    Path("bad.csv").write_text(text)
    check(run("simulate", "bad.csv"), "bad.csv", *words)


MODEL = {
    "unknown name": ("resnet51", ["no model 'resnet51'", "resnet50"]),
    "missing table": ("absent.csv", ["absent.csv", "does not exist"]),
    "missing program": ("absent.pt2", ["absent.pt2", "does not exist"]),
    "missing file": ("absent.py:make", ["absent.py", "does not exist"]),
    "directory": ("folder.csv", ["folder.csv", "directory"]),
    "program that is a directory": ("folder.pt2", ["folder.pt2", "directory"]),
    "empty program": ("empty.pt2", ["empty.pt2", "empty"]),
    "program of noise": ("noise.pt2", ["noise.pt2", "torch.export.save"]),
    "file without function": ("models.py", ["models.py", "function"]),
    "misspelt function": ("models.py:god", ["did you mean 'good'?"]),
    "missing package": ("no_such_package.model:make", ["no_such_package.model", "cannot be found"]),
    "number": ("models.py:number", ["must return a torch.nn.Module", "int"]),
    "raises": ("models.py:raises", ["RuntimeError: no checkpoint here", "line"]),
    "forward that fails": ("models.py:fails", ["cannot be run", "(2, 5)"]),
    "weights that are not numbers": ("models.py:nan_weights", ["0.weight", "finite"]),
    "no inputs": ("models.py:bare", ["inputs", "--input"]),
    "unknown operator": ("models.py:unknown", ["fft", "vector"]),
}


@pytest.mark.parametrize(("model", "words"), MODEL.values(), ids=MODEL)
def test_model(model: str, words: list[str]) -> None:
    """A model that cannot be had is told by its name and what is wrong with it."""
    Path("folder.csv").mkdir()
    Path("folder.pt2").mkdir()
    Path("empty.pt2").touch()
    Path("noise.pt2").write_bytes(np.random.default_rng(0).bytes(5000))
    check(run("simulate", model), *words)


def test_unknown_operator_can_be_costed() -> None:
    """What the sentence about an unknown operator advises works."""
    assert run("simulate", "models.py:unknown", "--unknown", "vector").exit_code == 0


def test_truncated_program() -> None:
    """A .pt2 that lost its end, or holds code, is refused."""
    program = torch.export.export(torch.nn.Linear(4, 2), (torch.ones(3, 4),))
    torch.export.save(program, "whole.pt2")
    assert run("simulate", "whole.pt2").exit_code == 0
    Path("cut.pt2").write_bytes(Path("whole.pt2").read_bytes()[:-200])
    check(run("simulate", "cut.pt2"), "cut.pt2", "torch.export.save")
    with zipfile.ZipFile("whole.pt2", "a") as archive:
        archive.writestr(f"{archive.namelist()[0].partition('/')[0]}/code.so", b"\x7fELF")
    check(run("simulate", "whole.pt2"), "whole.pt2", "code.so")


INPUTS: dict[str, tuple[Callable[[], object], list[str]]] = {
    "missing": (lambda: None, ["x.npy", "does not exist"]),
    "wrong shape": (lambda: np.save("x.npy", np.ones((8, 17), np.float32)), ["good", "(8, 17)"]),
    "objects": (lambda: np.save("x.npy", np.array([{}], dtype=object), allow_pickle=True), ["x.npy", "cannot be read"]),
    "not numbers": (lambda: np.save("x.npy", np.full((8, 16), np.nan, np.float32)), ["x.npy", "finite", "NaN"]),
    "text": (lambda: np.save("x.npy", np.array(["a"])), ["x.npy", "floats"]),
    "nothing": (lambda: np.save("x.npy", np.ones((0, 16), np.float32)), ["x.npy", "at least one element"]),
    "noise": (lambda: Path("x.npy").write_bytes(b"\x93NUMPY\x01"), ["x.npy", "cannot be read"]),
    "directory": (lambda: Path("x.npy").mkdir(), ["x.npy", "directory"]),
}


@pytest.mark.parametrize(("make", "words"), INPUTS.values(), ids=INPUTS)
def test_input(make: Callable[[], object], words: list[str]) -> None:
    """An input file is refused with what is wrong in it; pickles are not loaded."""
    make()
    check(run("simulate", "models.py:good", "--input", "x.npy"), *words)


def test_input_beside_a_topology() -> None:
    """Shapes alone cannot be run on an input."""
    check(run("simulate", "conv.csv", "--input", "x.npy"), "--input must be left out")


OUT: dict[str, tuple[Callable[[], object], str, list[str]]] = {
    "no parent": (lambda: None, "absent/out", ["absent", "must be a directory"]),
    "file": (lambda: Path("out").touch(), "out", ["out", "not a file"]),
    "below a file": (lambda: None, "conv.csv/out", ["conv.csv", "must be a directory"]),
    "other files": (lambda: (Path("out").mkdir(), Path("out/x.txt").touch()), "out", ["x.txt", "another directory"]),
    "here": (lambda: None, ".", ["must be new, empty or an earlier report"]),
    "root": (lambda: None, "/", ["/"]),
    "unwritable": (lambda: None, "/proc/out", ["/proc/out", "cannot be written"]),
}


@pytest.mark.parametrize(("make", "out", "words"), OUT.values(), ids=OUT)
def test_out(make: Callable[[], object], out: str, words: list[str]) -> None:
    """A directory that cannot take a report is refused before the model is read."""
    make()
    before = sorted(str(path) for path in Path.cwd().rglob("*"))
    check(run("simulate", "models.py:slow", "--out", out), *words)
    assert sorted(str(path) for path in Path.cwd().rglob("*")) == before


@pytest.mark.parametrize("error", [OSError(28, "No space left on device"), KeyboardInterrupt(), MemoryError()])
def test_end_while_saving_leaves_nothing(monkeypatch: pytest.MonkeyPatch, error: BaseException) -> None:
    """Neither a full disk, Ctrl-C nor a lack of memory leaves half a report."""

    def stop(report: object) -> None:
        raise error

    monkeypatch.setattr(plots, "plot_energy", stop)
    result = run("simulate", "conv.csv", "--out", "out")
    said = result.stderr.strip()
    assert said.count("\n") == 0
    assert sorted(path.name for path in Path.cwd().iterdir()) == ["conv.csv", "models.py"]
    expected = {OSError: (2, "No space left"), KeyboardInterrupt: (130, "interrupted"), MemoryError: (1, "memory")}
    code, word = expected[type(error)]
    assert result.exit_code == code
    assert said.startswith("codesign: ")
    assert word in said


def test_mistakes_of_ours_keep_their_traceback(monkeypatch: pytest.MonkeyPatch) -> None:
    """What is not the user's fault is not dressed up as bad input."""

    def broken(name: str) -> None:
        raise KeyError(name)

    monkeypatch.setattr("hw_models.accelerators.load_accelerator", broken)
    result = run("accelerators", "edge-16x16")
    assert result.exit_code == 1
    assert isinstance(result.exception, KeyError)
    assert any("mistake in codesign" in note for note in result.exception.__notes__)


def test_a_process_ends_the_same_way() -> None:
    """What holds in one process holds for a command in a shell."""
    for args in (["simulate", "absent.csv"], ["simulate", "conv.csv", "--set", "array.rows=x"], ["--nope"]):
        done = subprocess.run([sys.executable, "-m", "codesign", *args], capture_output=True, text=True, check=False)
        assert done.returncode == 2
        assert done.stdout == ""
        assert done.stderr.startswith("codesign: ")
        assert done.stderr.count("\n") == 1


def test_ctrl_c() -> None:
    """An interrupted command exits with 130, says so in one line, and leaves no directory."""
    command = [sys.executable, "-m", "codesign", "simulate", "models.py:slow", "--out", "out"]
    with subprocess.Popen(command, stdout=subprocess.PIPE, stderr=subprocess.PIPE, text=True) as process:
        until = time.monotonic() + 50
        while not Path("started").exists() and time.monotonic() < until:
            time.sleep(0.02)
        process.send_signal(signal.SIGINT)
        out, err = process.communicate(timeout=20)
    assert process.returncode == 130
    assert out == ""
    assert err.strip() == "codesign: interrupted; nothing was written"
    assert {path.name for path in Path.cwd().iterdir()} - {"__pycache__"} == {"conv.csv", "models.py", "started"}


def test_config_file_with_the_presets_values_works() -> None:
    """The config files above fail for what is wrong in them, not for being files."""
    Path("mine.yaml").write_text(json.dumps(load_accelerator("edge-16x16").model_dump()))
    assert run("simulate", "conv.csv", "--on", "mine.yaml").exit_code == 0
