"""The command line on bad input for sequences, spikes and op-wise accelerators: one sentence, exit code 2."""

import sys
from pathlib import Path

import numpy as np
import pytest
from click.testing import CliRunner

from codesign.cli import main

MODELS = """
from torch import nn

def net():
    return nn.Sequential(nn.Conv2d(3, 8, 3), nn.ReLU(), nn.Flatten(), nn.Linear(8 * 14 * 14, 10))
"""
NET = ["simulate", "models.py:net", "--input", "frames.npy"]


@pytest.fixture(autouse=True)
def folder(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """Run in a directory with a model, a topology and sequences."""
    monkeypatch.chdir(tmp_path)
    Path("models.py").write_text(MODELS)
    Path("gemm.csv").write_text("Layer, M, N, K, Sparsity\na, 64, 48, 128, 2:32,\nb, 64, 48, 64, 2:32,\n")
    Path("broken.nir").write_bytes(b"not hdf5")
    frames = np.random.default_rng(0).random((4, 3, 16, 16)).astype(np.float32)
    np.save("frames.npy", frames)
    np.save("one.npy", frames[:1])
    np.save("speech.npy", frames[0, 0])


CASES = {
    "sequence of another shape": (
        ["simulate", "models.py:net", "--input", "speech.npy", "--activations", "delta:0.1"],
        "cannot be run and exported on inputs of shape",
    ),
    "recurrent sequence of another shape": (
        ["simulate", "zoo:gru", "--on", "edgedrnn", "--input", "frames.npy", "--activations", "delta:0.1"],
        "gru cannot be run and exported",
    ),
    "a single frame": (
        ["simulate", "models.py:net", "--input", "one.npy", "--activations", "delta:0.1"],
        "must have at least 2 frames, not 1",
    ),
    "delta on shapes": (["simulate", "gemm.csv", "--activations", "delta:0.1"], "knows only shapes"),
    "negative threshold": ([*NET, "--activations", "delta:-1"], "THRESHOLD must be 0 or a number"),
    "no threshold": ([*NET, "--activations", "delta"], "must be of the form delta:THRESHOLD"),
    "spikes that are none": ([*NET, "--activations", "spikes"], "input 0 must hold spikes (0 or 1)"),
    "spikes on shapes": (["simulate", "gemm.csv", "--activations", "spikes"], "needs a model that can be run"),
    "N:M the array cannot do": (["simulate", "gemm.csv", "--on", "sat"], "N:M with M of at most 16"),
    "dataflow off the systolic arrays": (
        [*NET, "--on", "eie", "--dataflow", "ws"],
        "dataflow is an option of systolic",
    ),
    "verify off the systolic arrays": ([*NET, "--on", "sigma", "--verify"], "verify is an option of systolic arrays"),
    "unknown key of a section": (
        [*NET, "--on", "eie", "--set", "eie.queue_dept=3"],
        "eie.queue_dept is an unknown key (did you mean queue_depth?)",
    ),
    "queue of no depth": ([*NET, "--on", "eie", "--set", "eie.queue_depth=0"], "eie.queue_depth must be"),
    "training on changes": ([*NET, "--training", "--activations", "delta:0.1"], "--training must be left out"),
    "no such network file": (["simulate", "none.nir", "--input", "frames.npy"], "none.nir does not exist"),
    "network without inputs": (["simulate", "broken.nir"], "needs --input"),
    "unknown topic": (["validate", "--only", "eei"], "--only must be one of systolic"),
    "unknown kind": (["simulate", "gemm.csv", "--on", "systolic-32x32", "--set", "kind=tpu"], "kind must be one of"),
}


@pytest.mark.parametrize(("args", "words"), CASES.values(), ids=CASES)
def test_bad_input(args: list[str], words: str) -> None:
    """One line on stderr that has the words, nothing on stdout, exit code 2."""
    result = CliRunner().invoke(main, args)
    assert result.exit_code == 2, (result.stdout, result.stderr, result.exception)
    assert result.stdout == ""
    (line,) = result.stderr.splitlines()
    assert line.startswith("codesign: ")
    assert words in line


def test_broken_network_file() -> None:
    """A .nir file that is none says so in one sentence, whether or not the nir package is there."""
    result = CliRunner().invoke(main, ["simulate", "broken.nir", "--input", "frames.npy"])
    assert result.exit_code == 2, result.exception
    assert len(result.stderr.splitlines()) == 1


def test_missing_extra(monkeypatch: pytest.MonkeyPatch) -> None:
    """Without the nir package the sentence says what to install."""
    monkeypatch.setitem(sys.modules, "nir", None)
    result = CliRunner().invoke(main, ["simulate", "broken.nir", "--input", "frames.npy"])
    assert result.exit_code == 2
    assert "install" in result.stderr
    assert "snn" in result.stderr
