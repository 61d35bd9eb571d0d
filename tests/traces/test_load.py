"""Load: each form of MODEL reaches its reader, and every other text is answered with a sentence."""

from __future__ import annotations

import sys
from pathlib import Path
from types import ModuleType

import numpy as np
import pytest
import torch
from torch import nn

from traces import zoo
from traces.errors import InputError
from traces.load import load_model

MODEL = """
import torch
from torch import nn

def alone():
    return nn.Linear(3, 2)

def pair():
    return nn.Linear(3, 2), torch.ones(1, 3)
"""


@pytest.fixture
def traced(monkeypatch):
    """Replace the tracer by one that keeps what it was called with."""
    calls = []

    def trace(model, *inputs, name, unknown):
        calls.append((model, inputs, name, unknown))
        return f"graph of {name}"

    export = ModuleType("traces.frontend.export")
    export.trace = trace
    monkeypatch.setitem(sys.modules, "traces.frontend.export", export)
    return calls


@pytest.fixture
def folder(tmp_path, monkeypatch):
    """Stand in a folder with a model file, a package and an input file."""
    (tmp_path / "model.py").write_text(MODEL)
    (tmp_path / "load_test_package").mkdir()
    (tmp_path / "load_test_package" / "nets.py").write_text(MODEL)
    np.save(tmp_path / "x.npy", np.full((4, 3), 2.0))
    (tmp_path / "net.csv").write_text("Layer, M, N, K,\nfc, 2, 3, 4,\n")
    monkeypatch.chdir(tmp_path)
    return tmp_path


@pytest.mark.parametrize("spec", ["model.py:pair", "load_test_package.nets:pair"])
def test_user_code_is_traced_with_its_own_inputs(folder, traced, spec):
    """A callable of a file or of a package gives module and inputs, and the graph its name."""
    assert load_model(spec, unknown="vector") == "graph of pair"
    ((model, (x,), name, unknown),) = traced
    assert isinstance(model, nn.Linear)
    assert (tuple(x.shape), name, unknown) == ((1, 3), "pair", "vector")


@pytest.mark.parametrize("spec", ["model.py:pair", "model.py:alone"])
def test_an_input_file_comes_before_the_models_own_inputs(folder, traced, spec):
    """What --input holds is what the model is traced with."""
    load_model(spec, input_path=Path("x.npy"))
    ((_, (x,), _, _),) = traced
    assert torch.equal(x, torch.full((4, 3), 2.0))


def test_a_scale_of_the_zoo_is_in_the_graphs_name(traced):
    """A narrower network is traced at its size and told apart from the full one."""
    assert load_model("zoo:MobileNet-v1@0.25-96") == "graph of mobilenet_v1@0.25-96"
    ((_, (image,), _, _),) = traced
    assert image.shape == (1, 3, 96, 96)


@pytest.mark.parametrize("spec", ["gru", "zoo:gru", "GRU"])
def test_the_zoo_is_traced_with_seeded_inputs(traced, spec):
    """A name of the zoo gives the seeded model and inputs of the zoo."""
    assert load_model(spec, seed=5) == "graph of gru"
    ((model, (frames,), _, unknown),) = traced
    expected, (same_frames,) = zoo.build("gru", seed=5)
    assert torch.equal(frames, same_frames)
    assert torch.equal(model.classifier.weight, expected.classifier.weight)
    assert unknown == "error"


def test_the_real_tracer_takes_what_is_loaded(folder):
    """Without stand-ins a user's model becomes a graph of the shapes of its inputs."""
    graph = load_model("model.py:alone", input_path=Path("x.npy"))
    (op,) = graph
    assert (graph.name, op.kind, op.gemm.m, op.gemm.k, op.gemm.n) == ("alone", "linear", 4, 3, 2)


def save_program(path, model, *inputs):
    """Export a model and save it."""
    torch.export.save(torch.export.export(model.eval(), inputs), path)


def test_a_saved_program_is_loaded_and_takes_other_inputs_of_its_shapes(folder):
    """A .pt2 file keeps its work; --input replaces the data it was saved with, of the same shapes only."""
    save_program("net.pt2", nn.Linear(3, 2), torch.ones(4, 3))
    graph = load_model("net.pt2")
    assert (graph.name, graph.macs) == ("net", 24)
    (x,) = load_model("net.pt2", input_path=Path("x.npy")).program.example_inputs
    assert torch.equal(x, torch.full((4, 3), 2.0))
    np.save("wide.npy", np.ones((5, 3)))
    with pytest.raises(InputError, match=r"input 0 must be of shape \(4, 3\)"):
        load_model("net.pt2", input_path=Path("wide.npy"))


def test_a_table_is_read(folder):
    """A .csv becomes a graph named after the file."""
    graph = load_model("net.csv")
    assert (graph.name, graph.macs) == ("net", 24)


@pytest.mark.parametrize(
    ("spec", "sentence"),
    [
        ("resnet51", "no model 'resnet51': did you mean resnet50"),
        ("zoo:vit_b17", "no model 'zoo:vit_b17': did you mean vit_b16? MODEL must be file.py:callable, package.module"),
        ("resnet50@0.5", "resnet50 comes in one size only; leave out '@0.5'"),
        ("resnet50@2.py:make", "the model file resnet50@2.py does not exist"),
        ("", "no model '': MODEL must be"),
        ("model.onnx", "or one of the zoo: bert_base, efficientnet_b0, efficientnet_b1, gru"),
        ("a b:c", "no model 'a b:c'"),
        ("net:", "no model 'net:'"),
        ("model.py", "model.py must be followed by a colon and the name of a function, as in model.py:make_model"),
        ("model.py:", "model.py must be followed by a colon"),
        ("gone.py", "the model file gone.py does not exist"),
        ("gone.py:make", "the model file gone.py does not exist"),
        ("folder.py:make", "the model file folder.py is a directory"),
        ("empty.py:make", "the model file empty.py is empty"),
        ("model.py:none", "model.py has no 'none'; did you mean 'alone'? it defines alone, pair"),
        ("model.py:alone", "model.py:alone has no inputs to be traced with: return a pair (module, inputs)"),
        ("no_such_package.nets:make", "the module no_such_package.nets cannot be found"),
        ("gone.csv", "the topology file gone.csv does not exist"),
        ("gone.pt2", "the program file gone.pt2 does not exist"),
        ("empty.pt2", "the program file empty.pt2 is empty"),
    ],
)
def test_what_is_no_model_is_told_in_a_sentence(folder, traced, spec, sentence):
    """Whatever MODEL is, the answer is one line that says what is wrong."""
    (folder / "folder.py").mkdir()
    (folder / "empty.py").touch()
    (folder / "empty.pt2").touch()
    with pytest.raises(InputError) as told:
        load_model(spec)
    assert sentence in str(told.value)
    assert "\n" not in str(told.value)
    assert not traced


def test_a_table_takes_no_inputs(folder):
    """Inputs beside a topology table are refused rather than ignored."""
    with pytest.raises(InputError, match=r"--input must be left out with net\.csv"):
        load_model("net.csv", input_path=Path("x.npy"))


def test_a_bad_input_file_is_told_before_user_code_runs(folder, traced):
    """The cheap check comes first."""
    (folder / "model.py").write_text("raise SystemExit('ran')")
    with pytest.raises(InputError, match=r"the input file gone\.npy does not exist"):
        load_model("model.py:make", input_path=Path("gone.npy"))


def test_only_a_callable_runs_user_code(folder, traced):
    """Without ':callable' a file is looked at, never run."""
    (folder / "model.py").write_text("from pathlib import Path\nPath('ran').touch()")
    for spec in ("model.py", "model.py:", "model"):
        with pytest.raises(InputError):
            load_model(spec)
    assert not (folder / "ran").exists()
