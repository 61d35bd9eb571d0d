"""What a model does: a torch model as a graph of ops, with its weights and the zeros of its activations.

>>> import torch, traces
>>> model = torch.nn.Sequential(torch.nn.Linear(8, 4), torch.nn.ReLU(), torch.nn.Linear(4, 2))
>>> graph = traces.trace(model, torch.ones(3, 8), name="mlp")
>>> [(op.name, op.kind, op.macs) for op in graph]
[('0', 'linear', 96), ('1', 'relu', 0), ('2', 'linear', 24)]
>>> traces.capture(graph).operands["0"]
(Bitmap(3x8, 100.0 % non-zero),)

``import traces`` does not import torch; the functions that need it do when they are first used.
"""

from __future__ import annotations

from importlib import import_module
from typing import TYPE_CHECKING

from traces.bitmap import Bitmap
from traces.capture import capture
from traces.effectual import effectual_macs
from traces.errors import InputError
from traces.gemm import Gemm
from traces.graph import OpGraph
from traces.op import Op
from traces.vector import VectorWork

if TYPE_CHECKING:
    from traces.frontend.export import trace
    from traces.load import load_model
    from traces.topology import read_topology

_LAZY = {
    "load_model": "traces.load",
    "read_topology": "traces.topology",
    "trace": "traces.frontend.export",
}

__all__ = [
    "Bitmap",
    "Gemm",
    "InputError",
    "Op",
    "OpGraph",
    "VectorWork",
    "capture",
    "effectual_macs",
    "load_model",
    "read_topology",
    "trace",
]


def __getattr__(name: str) -> object:
    """Import what needs torch (or reads files) when it is first asked for."""
    if name in _LAZY:
        return getattr(import_module(_LAZY[name]), name)
    raise AttributeError(f"module 'traces' has no attribute {name!r}")
