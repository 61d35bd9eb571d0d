"""NIR file: a spiking network in the Neuromorphic Intermediate Representation as a torch module with a time loop.

NIR describes neurons by differential equations, so a time step must be chosen; `traces.snn` states the discretisation.
A connection that closes a loop carries the value of the step before. Needs the package ``nir`` (extra ``snn``).
"""

from __future__ import annotations

from pathlib import Path
from typing import TYPE_CHECKING, Any

import networkx as nx
import numpy as np
import torch
from torch import Tensor, nn

from traces.errors import InputError
from traces.snn import CubaLif, If, Lif, Neuron, State

if TYPE_CHECKING:
    import nir

#: Step that snnTorch and others write their networks for, in seconds.
DT_S = 1e-4


class NirNetwork(nn.Module):
    """A NIR graph that runs over time.

    Parameters
    ----------
    graph
        From ``nir.read``: no graph inside a graph, one input and one output.
    dt_s
        Time step in seconds.

    Raises
    ------
    InputError
        For a node that is not supported or an edge that leads nowhere; the sentence names it.
    """

    def __init__(self, graph: nir.NIRGraph, dt_s: float = DT_S) -> None:
        super().__init__()
        if not 0 < dt_s < float("inf"):
            raise InputError.must("dt_s", "a positive number of seconds", dt_s)
        edges = {(source, target) for source, target in graph.edges}
        for end in {end for edge in edges for end in edge} - set(graph.nodes):
            raise InputError(f"the NIR graph must have a node for every edge, but {end!r} is no node of it")
        kinds = {name: type(node).__name__ for name, node in graph.nodes.items()}
        ends = [[name for name, kind in kinds.items() if kind == end] for end in ("Input", "Output")]
        if any(len(names) != 1 for names in ends):
            raise InputError.must("the NIR graph", "one of one input and one output", f"{ends[0]} and {ends[1]}")
        (self.entry,), (self.exit,) = ends
        self.order, self.sources = _order(list(graph.nodes), edges, self.entry)
        self.order.remove(self.entry)
        if self.exit not in self.order:
            raise InputError("the NIR graph must have a path from its input to its output; it has none")
        self.layers = nn.ModuleDict()
        self.keys: dict[str, str] = {}
        for name in self.order:
            if name != self.exit:
                key = name.replace(".", "_")  # torch allows no dots and no names of its own methods
                while hasattr(self.layers, key):
                    key += "_"
                self.keys[name] = key
                self.layers[key] = _layer(name, kinds[name], graph.nodes[name], dt_s)

    def forward(self, inputs: Tensor) -> Tensor:
        """Return the output of every timestep, (timesteps, batch, ...), for inputs of that shape."""
        states: dict[str, State] = {}
        before: dict[str, Tensor] = {}
        outputs = []
        for x in inputs:
            now: dict[str, Tensor] = {self.entry: x}
            for name in self.order:
                given = [now[s] if s in now else before[s] for s in self.sources[name] if s in now or s in before]
                if not given:
                    continue  # a loop in its first step
                value = sum(given[1:], start=given[0])
                if name == self.exit:
                    outputs.append(value)
                    continue
                layer = self.layers[self.keys[name]]
                if isinstance(layer, Neuron | _Integrator):
                    now[name], states[name] = layer(value, states.get(name) or layer.initial(value))
                else:
                    now[name] = layer(value)
            before = now
        return torch.stack(outputs)


def read_nir(path: Path | str, dt_s: float = DT_S) -> NirNetwork:
    """Return the network in a ``.nir`` file.

    Its input is (timesteps, batch, ...) with the shape that the file's input node states; trace it as any module.

    Raises
    ------
    InputError
        If ``nir`` is not installed, or the file is missing, damaged, or holds what is not supported.
    """
    try:
        import nir
    except ImportError:
        raise InputError(
            f"reading {path} needs the package nir; install it with pip install 'sparse-codesign[snn]'"
        ) from None
    path = Path(path)
    if not path.is_file():
        raise InputError(f"the NIR file {path} does not exist")
    try:
        graph = nir.read(path)
    except Exception as error:
        raise InputError(
            f"the NIR file {path} cannot be read: {(str(error) or type(error).__name__).splitlines()[0]}"
        ) from error
    return NirNetwork(graph, dt_s)


def _order(names: list[str], edges: set[tuple[str, str]], entry: str) -> tuple[list[str], dict[str, list[str]]]:
    """Return the nodes in the order of a step, and each node's sources; edges against the order close a loop."""
    whole: nx.DiGraph[str] = nx.DiGraph()
    whole.add_nodes_from(names)
    whole.add_edges_from(sorted(edges))
    dag: nx.DiGraph[str] = nx.DiGraph(whole.subgraph({entry, *nx.descendants(whole, entry)}))
    loops = []
    # Depth first from the input: an edge to a node that is still open closes a loop.
    closed: set[str] = set()
    open_: list[str] = []
    for source, target, kind in nx.dfs_labeled_edges(dag, source=entry):
        if kind == "forward":
            open_.append(target)
        elif kind == "reverse":
            closed.add(open_.pop())
        elif kind == "nontree" and target in open_:
            loops.append((source, target))
    dag.remove_edges_from(loops)
    order = list(nx.lexicographical_topological_sort(dag, key=names.index))
    return order, {name: [source for source, target in sorted(edges) if target == name] for name in order}


class _Integrator(nn.Module):
    """A neuron that does not fire: its output is its membrane."""

    def __init__(self, neuron: Neuron) -> None:
        super().__init__()
        self.neuron = neuron

    def initial(self, like: Tensor) -> State:
        return self.neuron.initial(like)

    def forward(self, x: Tensor, state: State) -> tuple[Tensor, State]:
        state = self.neuron.integrate(x, state)
        return state[-1], state


class _Elementwise(nn.Module):
    """``x * value``, or whether ``x > value``."""

    def __init__(self, value: Any, *, compare: bool) -> None:  # noqa: ANN401 (anything like an array)
        super().__init__()
        self.compare = compare
        self.register_buffer("value", _tensor(value))

    def forward(self, x: Tensor) -> Tensor:
        value = self.get_buffer("value")
        return (x > value).to(x.dtype) if self.compare else x * value


def _tensor(values: Any) -> Tensor:  # noqa: ANN401 (anything like an array)
    return torch.tensor(np.asarray(values), dtype=torch.float32)


def _pair(values: Any) -> tuple[int, int]:  # noqa: ANN401 (a number or two, as nir stores them)
    sizes = [int(value) for value in np.atleast_1d(np.asarray(values))]
    return sizes[0], sizes[-1]


def _layer(name: str, kind: str, node: Any, dt_s: float) -> nn.Module:  # noqa: ANN401 (a node of nir)
    """Return a node as a module that takes (batch, ...)."""
    if kind in ("IF", "LIF", "CubaLIF", "I", "LI", "CubaLI"):
        return _neuron(kind, node, dt_s)
    if kind in ("Affine", "Linear"):
        return _linear(node)
    if kind in ("Conv1d", "Conv2d"):
        return _conv(kind, node)
    if kind in ("AvgPool2d", "SumPool2d"):
        size, stride, pad = _pair(node.kernel_size), _pair(node.stride), _pair(node.padding)
        return nn.AvgPool2d(size, stride, pad, divisor_override=1 if kind == "SumPool2d" else None)
    if kind == "Flatten":  # dimensions of NIR leave out the batch
        start, end = (int(dim) + (dim >= 0) for dim in (node.start_dim, node.end_dim))
        return nn.Flatten(start, end)
    if kind in ("Scale", "Threshold"):
        return _Elementwise(node.scale if kind == "Scale" else node.threshold, compare=kind == "Threshold")
    raise InputError(
        f"node {name!r} of the NIR graph is a {kind}, which is not supported; there are Affine, Linear, Conv1d, Conv2d,"
        " pools, Flatten, Scale, Threshold, I, LI, CubaLI, IF, LIF and CubaLIF"
    )


def _neuron(kind: str, node: Any, dt_s: float) -> nn.Module:  # noqa: ANN401 (a node of nir)
    """Return a neuron; NIR fires above its threshold and resets to a voltage."""
    fires = kind in ("IF", "LIF", "CubaLIF")
    end: dict[str, Any] = {"reset": "zero", "strict": True}
    if fires:
        end |= {"threshold": _tensor(node.v_threshold), "v_reset": _tensor(node.v_reset)}
    neuron: Neuron
    if kind in ("IF", "I"):
        neuron = If(gain=dt_s * _tensor(node.r), **end)
    elif kind in ("LIF", "LI"):
        neuron = Lif(rate=dt_s / _tensor(node.tau), r=_tensor(node.r), v_leak=_tensor(node.v_leak), **end)
    else:
        neuron = CubaLif(
            rate_syn=dt_s / _tensor(node.tau_syn),
            rate=dt_s / _tensor(node.tau_mem),
            w_in=_tensor(node.w_in),
            r=_tensor(node.r),
            v_leak=_tensor(node.v_leak),
            **end,
        )
    return neuron if fires else _Integrator(neuron)


def _linear(node: Any) -> nn.Module:  # noqa: ANN401 (a node of nir)
    weight, bias = _tensor(node.weight), getattr(node, "bias", None)
    layer = nn.Linear(weight.shape[1], weight.shape[0], bias=bias is not None)
    return _loaded(layer, weight, bias)


def _conv(kind: str, node: Any) -> nn.Module:  # noqa: ANN401 (a node of nir)
    weight, groups = _tensor(node.weight), int(node.groups)
    filters, channels, *size = weight.shape
    rank = len(size)
    sizes = [size, _pair(node.stride)[:rank], _pair(node.dilation)[:rank]]
    padding = node.padding if isinstance(node.padding, str) else _pair(node.padding)[:rank]
    make: Any = nn.Conv2d if kind == "Conv2d" else nn.Conv1d
    kernel, stride, dilation = map(tuple, sizes)
    layer = make(channels * groups, filters, kernel, stride, padding, dilation, groups, bias=node.bias is not None)
    return _loaded(layer, weight, node.bias)


def _loaded(layer: nn.Linear | nn.Conv1d | nn.Conv2d, weight: Tensor, bias: Any) -> nn.Module:  # noqa: ANN401 (an array)
    with torch.no_grad():
        layer.weight.copy_(weight)
        if layer.bias is not None:
            layer.bias.copy_(_tensor(bias))
    return layer
