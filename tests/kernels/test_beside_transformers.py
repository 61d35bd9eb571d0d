"""Our package `kernels` and a model library that probes for another package of that name."""

import importlib.util
import subprocess
import sys
import tomllib
from pathlib import Path

import pytest

ROOT = Path(__file__).parents[2]

SCRIPT = """
import kernels
import torch
from transformers import BertConfig, BertModel, LlamaConfig, LlamaModel
from transformers.utils.import_utils import is_kernels_available

assert kernels.formats.NM
assert not is_kernels_available(), "ours was taken for the registry's package of that name"
small = dict(hidden_size=16, num_hidden_layers=1, num_attention_heads=2, intermediate_size=32, vocab_size=50)
for model in BertModel(BertConfig(**small)), LlamaModel(LlamaConfig(**small)):
    out = model.eval()(torch.arange(6)[None]).last_hidden_state
    print(*out.shape, bool(torch.isfinite(out).all()))
"""


def test_transformers_runs_beside_our_kernels(tmp_path):
    """Models of transformers import and run with ours installed under our name and version."""
    if importlib.util.find_spec("transformers") is None:
        pytest.skip("transformers is not installed (it comes with the dev extra)")
    project = tomllib.loads((ROOT / "pyproject.toml").read_text())["project"]
    installed = tmp_path / f"{project['name'].replace('-', '_')}-{project['version']}.dist-info"
    installed.mkdir()
    head = f"Metadata-Version: 2.1\nName: {project['name']}\nVersion: {project['version']}\n"
    (installed / "METADATA").write_text(head)
    (installed / "top_level.txt").write_text("codesign\nhw_models\nkernels\ntraces\n")
    path = f"import sys; sys.path[:0] = [{str(ROOT)!r}, {str(tmp_path)!r}]\n"
    command = [sys.executable, "-c", path + SCRIPT]
    done = subprocess.run(command, capture_output=True, text=True, cwd=tmp_path, check=False)
    assert done.returncode == 0, done.stderr
    assert done.stdout.split("\n")[:2] == ["1 6 16 True", "1 6 16 True"]
