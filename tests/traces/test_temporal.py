"""Folding the copies of a time loop."""

from collections.abc import Callable

import numpy as np
import pytest
import torch
from torch import Tensor, nn

import traces
from traces.errors import InputError
from traces.temporal import check_spikes, fold_time

STEPS = 5


class Spiking(nn.Module):
    """Convolution, pool and linear layer with integrate-and-fire neurons, as one writes it by hand."""

    def __init__(self) -> None:
        super().__init__()
        self.conv, self.fc = nn.Conv2d(2, 3, 3, padding=1), nn.Linear(3 * 4 * 4, 6)
        self.seen: dict[str, list[Tensor]] = {"conv": [], "fc": []}

    def forward(self, events: Tensor) -> Tensor:
        """Return the spikes of all steps, (batch, 6)."""
        membrane = torch.zeros(events.shape[1], 3, 8, 8)
        out = torch.zeros(events.shape[1], 6)
        total = torch.zeros(events.shape[1], 6)
        for step in range(STEPS):
            membrane = 0.9 * membrane + self.conv(events[step])
            spikes = (membrane > 0.3).float()
            membrane = membrane - 0.3 * spikes
            pooled = nn.functional.max_pool2d(spikes, 2).flatten(1)
            out = 0.5 * out + self.fc(pooled)
            fired = (out > 0.2).float()
            out = out - 0.2 * fired
            total = total + fired
            if not torch.compiler.is_compiling():
                self.seen["conv"].append(events[step])
                self.seen["fc"].append(pooled)
        return total


@pytest.fixture(scope="module")
def spiking() -> tuple[Spiking, Tensor, traces.OpGraph]:
    """Return the network, its events and its captured graph."""
    torch.manual_seed(0)
    model, events = Spiking(), (torch.rand(STEPS, 2, 2, 8, 8) < 0.3).float()
    graph = traces.capture(traces.trace(model, events))
    model(events)
    return model, events, graph


def test_each_layer_is_one_op_of_many_steps(spiking):
    """Layers, neurons and the pool are one op each, in the order of a step; no MAC and no lane operation is lost."""
    _, _, graph = spiking
    folded = fold_time(graph)
    found = [(op.name, op.kind, op.timesteps, op.encoding) for op in folded]
    assert found == [
        ("conv", "conv", STEPS, "spikes"),
        ("neuron", "neuron", 1, ""),
        ("max_pool", "max_pool", 1, ""),
        ("fc", "linear", STEPS, "spikes"),
        ("neuron_1", "neuron", 1, ""),
    ]
    assert folded.producers("fc") == ["max_pool"]
    assert folded.macs == graph.macs
    assert set(folded.weights) == {"conv.weight", "fc.weight"}
    lane_ops = [sum(op.vector.lane_ops for op in g if op.vector) for g in (graph, folded)]
    assert lane_ops[0] == lane_ops[1]


def test_neurons_read_currents_and_give_spikes(spiking):
    """What passes between the ops of a neuron, its state included, does not leave it."""
    folded = fold_time(spiking[2])
    assert folded["neuron"].vector.elements_in == folded["conv"].gemm.output_elements
    assert folded["neuron"].vector.elements_out == folded["conv"].gemm.output_elements


def test_bitmaps_are_stacked_time_major(spiking):
    """Operands of the folded ops are what torch's layers read, step after step."""
    model, _, graph = spiking
    folded = fold_time(graph)
    conv, fc = folded.operands["conv"][0], folded.operands["fc"][0]
    assert np.array_equal(conv.unpack(), torch.cat(model.seen["conv"]).numpy() != 0)
    assert np.array_equal(fc.unpack()[0], torch.cat(model.seen["fc"]).numpy() != 0)
    assert (conv.binary, fc.binary) == (True, True)
    for op in folded:
        if op.gemm is not None:
            assert op.gemm.batch % STEPS == 0
            assert traces.effectual_macs(op, None, folded.operands[op.name]) == sum(
                traces.effectual_macs(copy, None, graph.operands[copy.name])
                for copy in graph
                if copy.gemm is not None and copy.weight == op.weight
            )


def test_only_zeros_and_ones_are_spikes(spiking):
    """With an event of 2 the first layer reads plain values; the second one still reads spikes."""
    _, events, graph = spiking
    folded = fold_time(traces.capture(graph, 2 * events))
    assert (folded["conv"].encoding, folded["fc"].encoding) == ("", "spikes")
    check_spikes([events])
    with pytest.raises(InputError, match=r"input 0 must hold spikes \(0 or 1\), but \d+ of its 1280 values .* as 2;"):
        check_spikes([2 * events])


def test_uncaptured_graphs_are_captured(spiking):
    """A graph that was not run yet is run on its example inputs."""
    model, events, _ = spiking
    assert fold_time(traces.trace(model, events))["conv"].encoding == "spikes"


def test_networks_without_time_stay_as_they_are():
    """Nothing is merged where nothing is repeated."""
    model = nn.Sequential(nn.Conv2d(1, 2, 3), nn.ReLU(), nn.Flatten(), nn.Linear(2 * 36, 3))
    graph = traces.trace(model, torch.randn(1, 1, 8, 8))
    folded = fold_time(graph)
    assert [op.name for op in folded] == [op.name for op in graph]
    assert list(folded.dag.edges) == list(graph.dag.edges)
    assert {op.encoding for op in folded} == {""}


class Loop(nn.Module):
    """A layer that reads its own spikes of the step before, after one that does not."""

    def __init__(self) -> None:
        super().__init__()
        self.first, self.own, self.last = nn.Linear(4, 6), nn.Linear(6, 6), nn.Linear(6, 3)

    def forward(self, events: Tensor) -> Tensor:
        """Return currents, (steps, batch, 3)."""
        spikes, membrane, out = torch.zeros(2, 6), torch.zeros(2, 6), []
        for step in range(3):
            membrane = 0.8 * membrane + self.first(events[step]) + self.own(spikes)
            spikes = (membrane > 0.1).float()
            out.append(self.last(spikes))
        return torch.stack(out)


class Deep(nn.Module):
    """One layer used three times in a row."""

    def __init__(self) -> None:
        super().__init__()
        self.shared = nn.Linear(4, 4)

    def forward(self, x: Tensor) -> Tensor:
        """Return (batch, 4)."""
        for _ in range(3):
            x = self.shared(x).relu()
        return x


@pytest.mark.parametrize(
    ("model", "shape", "kept"),
    [(Loop, (3, 2, 4), {"first": 3, "own": 1, "last": 3}), (Deep, (2, 4), {"shared": 1})],
)
def test_copies_that_wait_for_each_other_stay_apart(model: Callable[[], nn.Module], shape, kept):
    """A recurrent connection and a layer shared across depth are no batch; layers around them are."""
    graph = traces.trace(model(), torch.rand(*shape))
    folded = fold_time(graph)
    assert folded.macs == graph.macs
    names = [op.name.partition("_")[0] for op in folded if op.gemm is not None]
    assert {op.name.partition("_")[0]: op.timesteps for op in folded if op.gemm is not None} == kept
    own = next(iter(kept)) if len(kept) == 1 else "own"
    assert names.count(own) == sum(op.gemm is not None and op.name.startswith(own) for op in graph) > 1


def make(snn, kind: str) -> nn.Module:
    """Return a small snnTorch network with that kind of neuron."""
    options = {
        "Leaky": {"beta": 0.9},
        "zero": {"beta": 0.9, "reset_mechanism": "zero"},
        "Synaptic": {"alpha": 0.8, "beta": 0.9},
        "Alpha": {"alpha": 0.8, "beta": 0.7},
        "Lapicque": {"beta": 0.9},
    }[kind]
    neuron = getattr(snn, "Leaky" if kind == "zero" else kind)

    class Net(nn.Module):
        def __init__(self) -> None:
            super().__init__()
            self.conv, self.lif1 = nn.Conv2d(1, 4, 3, padding=1), neuron(**options)
            self.fc, self.lif2 = nn.Linear(64, 10), neuron(**options)

        def forward(self, events: Tensor) -> Tensor:
            states = [lif.reset_mem() for lif in (self.lif1, self.lif2)]
            first, last = ([*state] if isinstance(state, tuple) else [state] for state in states)
            total = torch.zeros(1)
            for step in range(events.shape[0]):
                spikes, *first = self.lif1(nn.functional.max_pool2d(self.conv(events[step]), 2), *first)
                spikes, *last = self.lif2(self.fc(spikes.flatten(1)), *last)
                total = total + spikes
            return total

    return Net()


@pytest.mark.parametrize("kind", ["Leaky", "zero", "Synaptic", "Alpha", "Lapicque"])
def test_snntorch_networks_are_traced_as_they_are(kind):
    """Convolutional networks of snnTorch fold to conv, pool, neuron, linear, neuron, sum; results equal torch's."""
    snn = pytest.importorskip("snntorch", reason="snntorch is not installed (extra dev)")
    torch.manual_seed(0)
    model, events = make(snn, kind), (torch.rand(4, 2, 1, 8, 8) < 0.3).float()
    graph = traces.capture(traces.trace(model, events))
    torch.testing.assert_close(graph.program.run((events,), graph.weights), model.eval()(events))
    folded = fold_time(graph)
    assert [(op.name, op.kind, op.timesteps) for op in folded] == [
        ("conv", "conv", 4),
        ("max_pool", "max_pool", 1),
        ("lif1", "neuron", 1),
        ("fc", "linear", 4),
        ("lif2", "neuron", 1),
        ("scale", "scale", 1),
        ("add", "add", 1),
    ]
    assert [op.encoding for op in folded if op.gemm is not None] == ["spikes", "spikes"]
