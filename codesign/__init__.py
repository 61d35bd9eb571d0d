"""The workbench: what a sparse model costs on an accelerator.

>>> import torch, codesign
>>> model = torch.nn.Sequential(torch.nn.Linear(256, 128), torch.nn.ReLU(), torch.nn.Linear(128, 10))
>>> graph = codesign.sparsify(codesign.trace(model, torch.ones(64, 256), name="mlp"), "2:4")
>>> report = codesign.simulate(graph, "systolic-32x32-nm")
>>> [(op.name, op.pattern, op.dense_macs, op.skipped_macs) for op in report.ops if op.dense_macs]
[('0', '2:4', 2097152, 1048576), ('2', 'dense', 81920, 0)]

``report.table()`` is for reading, ``report.to_json()`` and ``report.to_csv()`` for programs, and
``report.save("mlp-report")`` writes both with pictures and a timeline.

``import codesign`` imports nothing heavy; each name brings what it needs when it is first used.
"""

from __future__ import annotations

from importlib import import_module
from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from codesign.comparison import Comparison, compare
    from codesign.mapper import map_ops
    from codesign.masks import Masks
    from codesign.report import Report
    from codesign.simulation import simulate
    from codesign.sparsification import sparsify, sparsity_summary
    from codesign.sweep.run import run_sweep
    from codesign.sweep.summary import Summary
    from codesign.training import training_step
    from hw_models.accelerators import load_accelerator, preset_names
    from traces.capture import capture
    from traces.errors import InputError
    from traces.frontend.export import trace
    from traces.load import load_model
    from traces.topology import read_topology

_LAZY = {
    "Comparison": "codesign.comparison",
    "InputError": "traces.errors",
    "Masks": "codesign.masks",
    "Report": "codesign.report",
    "Summary": "codesign.sweep.summary",
    "capture": "traces.capture",
    "compare": "codesign.comparison",
    "load_accelerator": "hw_models.accelerators",
    "load_model": "traces.load",
    "map_ops": "codesign.mapper",
    "preset_names": "hw_models.accelerators",
    "read_topology": "traces.topology",
    "run_sweep": "codesign.sweep.run",
    "simulate": "codesign.simulation",
    "sparsify": "codesign.sparsification",
    "sparsity_summary": "codesign.sparsification",
    "trace": "traces.frontend.export",
    "training_step": "codesign.training",
}

__all__ = [
    "Comparison",
    "InputError",
    "Masks",
    "Report",
    "Summary",
    "capture",
    "compare",
    "load_accelerator",
    "load_model",
    "map_ops",
    "preset_names",
    "read_topology",
    "run_sweep",
    "simulate",
    "sparsify",
    "sparsity_summary",
    "trace",
    "training_step",
]


def __getattr__(name: str) -> object:
    """Import a public name when it is first asked for."""
    if name in _LAZY:
        return getattr(import_module(_LAZY[name]), name)
    raise AttributeError(f"module 'codesign' has no attribute {name!r}")
