"""The command line on good input."""

import json
import subprocess
import sys
from pathlib import Path

import pytest
import yaml
from cli_models import CONV, MODELS, resnet50_csv
from click.testing import CliRunner, Result

from codesign.cli import main
from codesign.report.save import FOLDER
from hw_models.accelerators import load_accelerator, preset_names
from traces.zoo import ZOO


@pytest.fixture(autouse=True)
def folder(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    """Run in a directory with a topology and a model of a user's."""
    monkeypatch.chdir(tmp_path)
    Path("conv.csv").write_text(CONV)
    Path("models.py").write_text(MODELS)
    return tmp_path


def run(*args: str) -> Result:
    """Run a command that must succeed."""
    result = CliRunner().invoke(main, args)
    assert result.exit_code == 0, result.stderr
    return result


def test_table_is_printed() -> None:
    """Without options the table of a topology comes out, and nothing on stderr."""
    result = run("simulate", "conv.csv")
    assert "conv on systolic-32x32" in result.stdout
    assert all(name in result.stdout for name in ("conv1", "conv2", "uJ", "note"))
    assert result.stderr == ""


def test_json_is_alone_on_stdout() -> None:
    """With --json a program can read stdout, whatever the user's code prints."""
    result = run("simulate", "models.py:good", "--json", "--weights", "unstructured:0.5", "--rule", "2=2:4")
    values = json.loads(result.stdout)
    assert [(op["name"], op["pattern"]) for op in values["ops"]] == [
        ("0", "unstructured:0.5"),
        ("1", "dense"),
        ("2", "2:4"),
    ]
    assert values["activations"] == "captured"
    assert "loading my weights" in result.stderr


def test_settings_and_dataflow_reach_the_accelerator() -> None:
    """--set and --dataflow change what is simulated."""
    result = run("simulate", "conv.csv", "--json", "--set", "array.rows=64", "--set", "memory.ideal=true",
                 "--dataflow", "os")  # fmt: skip
    values = json.loads(result.stdout)
    assert values["config"]["array"]["rows"] == 64
    assert values["config"]["memory"]["ideal"] is True
    assert {op["dataflow"] for op in values["ops"]} == {"os"}


def test_names_cannot_steer_a_terminal() -> None:
    """Control characters in a layer's name are printed as question marks."""
    Path("red.csv").write_text("Layer, M, N, K\n\x1b[31mred, 4, 4, 4\n")
    result = run("simulate", "red.csv", "--explain")
    assert "\x1b" not in result.stdout
    assert result.stdout.count("?[31mred") == 2


def test_engines_agree() -> None:
    """Both executors print the same table."""
    assert run("simulate", "conv.csv", "--engine", "simpy").stdout == run("simulate", "conv.csv").stdout


def test_rules_alone_leave_the_rest_dense() -> None:
    """Without --weights only what a rule selects is pruned; the last = splits selector and pattern."""
    values = json.loads(run("simulate", "models.py:good", "--json", "--rule", "kind:linear=1:4").stdout)
    assert [op["pattern"] for op in values["ops"]] == ["1:4", "dense", "1:4"]


def test_seed_decides_the_weights() -> None:
    """The same seed gives the same bytes; another one gives other zeros."""
    same, again, other = (run("simulate", "models.py:good", "--json", "--seed", seed).stdout for seed in "112")
    assert same == again != other


def test_explain_and_all_ops() -> None:
    """--explain adds mappings; long models are folded to 60 ops unless --all-ops is given."""
    Path("long.csv").write_text("Layer, M, N, K\n" + "".join(f"op{i}, 4, {i + 1}, 8\n" for i in range(70)))
    assert "cycles (chosen)" in run("simulate", "conv.csv", "--explain").stdout
    folded, whole = run("simulate", "long.csv").stdout, run("simulate", "long.csv", "--all-ops").stdout
    assert "... and 10 smaller ops" in folded
    assert "--all-ops" in folded
    assert all(f"\nop{i} " in whole for i in range(70))


def test_out_saves_a_report() -> None:
    """--out leaves the files of a report, twice over."""
    for _ in range(2):
        run("simulate", "conv.csv", "--out", "out")
    assert {entry.name for entry in Path("out").iterdir()} == set(FOLDER.files)
    assert sorted(entry.name for entry in Path.cwd().iterdir()) == ["conv.csv", "models.py", "out"]


def test_resnet50_as_a_table_of_shapes() -> None:
    """The 54 layers make the 4.09 billion MACs that torchvision states for its ResNet-50 (stride in the 3x3)."""
    Path("resnet50.csv").write_text(resnet50_csv())
    values = json.loads(run("simulate", "resnet50.csv", "--json").stdout)
    assert len(values["ops"]) == 54
    assert sum(op["dense_macs"] for op in values["ops"]) == pytest.approx(4.09e9, rel=0.001)


def test_accelerators_are_listed_and_printed() -> None:
    """Every preset has a line; a printed config, saved to a file, is that accelerator."""
    lines = run("accelerators").stdout.splitlines()
    assert [line.split()[0] for line in lines] == preset_names()
    for name in preset_names():
        printed = run("accelerators", name).stdout
        assert "sources:" in printed
        Path("mine.yaml").write_text(printed)
        assert load_accelerator("mine.yaml") == load_accelerator(name)
        assert json.loads(run("accelerators", name, "--json").stdout) == yaml.safe_load(printed)
    assert set(json.loads(run("accelerators", "--json").stdout)) == set(preset_names())


def test_zoo_is_listed() -> None:
    """Every network of the zoo has a line."""
    assert [line.split()[0] for line in run("zoo").stdout.splitlines()] == sorted(ZOO)


@pytest.mark.parametrize("args", [(), ("--help",), ("-h",), ("simulate", "--help"), ("zoo", "-h"), ("--version",)])
def test_help(args: tuple[str, ...]) -> None:
    """Asking for help is no error."""
    assert "codesign" in run(*args).stdout or "Usage" in run(*args).stdout


@pytest.mark.parametrize(
    ("args", "absent"),
    [
        (["--help"], {"torch", "numba", "matplotlib", "networkx", "pydantic", "numpy", "rich"}),
        (["zoo"], {"torch", "numba", "matplotlib", "pydantic"}),
        (["simulate", "conv.csv"], {"torch", "matplotlib", "simpy", "rich"}),
        (["simulate", "conv.csv", "--out", "out"], {"torch", "simpy", "matplotlib.pyplot"}),
    ],
)
def test_commands_import_no_more_than_they_need(args: list[str], absent: set[str]) -> None:
    """Starting fast means leaving alone what a command does not use."""
    code = (
        "import sys\nfrom codesign.cli import main\ntry:\n    main(sys.argv[1:])\n"
        "except SystemExit as end:\n    assert end.code == 0\nprint(sorted(sys.modules), file=sys.stderr)"
    )
    done = subprocess.run([sys.executable, "-c", code, *args], capture_output=True, text=True, check=True)
    loaded = done.stderr.splitlines()[-1]
    assert {module for module in absent if f"'{module}'" in loaded} == set()


def test_reader_that_leaves_is_no_error() -> None:
    """`codesign ... | head -1` ends in silence."""
    Path("long.csv").write_text("Layer, M, N, K\n" + "".join(f"op{i}, 4, {i + 1}, 8\n" for i in range(300)))
    command = [sys.executable, "-m", "codesign", "simulate", "long.csv", "--json"]
    with subprocess.Popen(command, stdout=subprocess.PIPE, stderr=subprocess.PIPE, text=True) as process:
        assert process.stdout is not None
        assert process.stderr is not None
        process.stdout.close()
        said = [line for line in process.stderr.read().splitlines() if not line.startswith("note: ")]
        assert said == []
    assert process.returncode in (0, 141)
