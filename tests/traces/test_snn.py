"""Spiking neurons, and networks from NIR files."""

import sys
from itertools import pairwise

import numpy as np
import pytest
import torch
from hypothesis import given, settings
from hypothesis import strategies as st

import traces
from traces.errors import InputError
from traces.snn import CubaLif, If, Lif, Neuron
from traces.temporal import fold_time


def over_time(neuron: Neuron, inputs: np.ndarray) -> np.ndarray:
    """Return the spikes of a neuron for inputs (timesteps, units)."""
    x = torch.tensor(inputs)
    state, spikes = neuron.initial(x[0]), []
    for step in x:
        fired, state = neuron(step, state)
        spikes.append(fired)
    return torch.stack(spikes).numpy()


def one_by_one(inputs: np.ndarray, rates: dict[str, float], reset: str, *, strict: bool) -> np.ndarray:
    """Return the spikes by the equations, unit by unit and step by step, in double precision."""
    out = np.zeros_like(inputs)
    for unit in range(inputs.shape[1]):
        i = v = 0.0
        for step in range(inputs.shape[0]):
            drive = float(inputs[step, unit])
            if "syn" in rates:
                i += rates["syn"] * (rates["w_in"] * drive - i)
                drive = i
            if "rate" in rates:
                v += rates["rate"] * (rates["leak"] - v + rates["r"] * drive)
            else:
                v += rates["gain"] * drive
            if v > 1.0 or (v == 1.0 and not strict):
                out[step, unit] = 1
                v = 0.25 if reset == "zero" else v - 1.0
    return out


@settings(max_examples=50, deadline=None)
@given(
    seed=st.integers(0, 10**6),
    kind=st.sampled_from(["if", "lif", "cuba"]),
    reset=st.sampled_from(["zero", "subtract"]),
    strict=st.booleans(),
)
def test_neurons_follow_their_equations(seed, kind, reset, strict):
    """Spikes equal a plain loop; inputs and rates are dyadic, so that ties at the threshold are exact."""
    inputs = (np.random.default_rng(seed).integers(-2, 9, (9, 6)) / 8).astype(np.float32)
    rates = {"if": {"gain": 0.5}, "lif": {"rate": 0.5, "leak": 0.25, "r": 2.0}}.get(
        kind, {"syn": 0.5, "w_in": 2.0, "rate": 0.5, "leak": 0.25, "r": 2.0}
    )
    end = {"reset": reset, "strict": strict, "v_reset": 0.25}
    neuron: Neuron
    if kind == "if":
        neuron = If(gain=0.5, **end)
    elif kind == "lif":
        neuron = Lif(rate=0.5, v_leak=0.25, r=2.0, **end)
    else:
        neuron = CubaLif(rate_syn=0.5, w_in=2.0, rate=0.5, v_leak=0.25, r=2.0, **end)
    assert np.array_equal(over_time(neuron, inputs), one_by_one(inputs, rates, reset, strict=strict))


def test_the_threshold_itself():
    """A neuron at its threshold fires unless it is strict."""
    at = np.ones((1, 1), np.float32)
    assert over_time(If(), at).sum() == 1
    assert over_time(If(strict=True), at).sum() == 0


@pytest.mark.parametrize("beta", [0.5, 0.9])
def test_leaky_of_snntorch_is_a_lif(beta):
    """SnnTorch's Leaky without its delay of the reset is a strict LIF with rate 1 - beta and r = 1/(1 - beta)."""
    snn = pytest.importorskip("snntorch", reason="snntorch is not installed (extra dev)")
    inputs = np.random.default_rng(0).random((30, 20), np.float32)
    theirs, membrane, spikes = snn.Leaky(beta=beta, reset_delay=False), torch.zeros(20), []
    for x in torch.tensor(inputs):
        fired, membrane = theirs(x, membrane)
        spikes.append(fired)
    ours = over_time(Lif(rate=1 - beta, r=1 / (1 - beta), strict=True), inputs)
    assert ours.sum() > 50
    assert np.array_equal(ours, torch.stack(spikes).detach().numpy())


def test_unknown_resets_are_told():
    """The sentence names the two there are."""
    with pytest.raises(InputError, match="reset must be subtract or zero, not 'half'"):
        If(reset="half")


def network(nir, **more):
    """Return a NIR graph of a convolution, a pool, a linear layer and a loop; ``more`` takes the place of its nodes."""
    rng = np.random.default_rng(0)
    ones = np.ones(10)
    nodes = {
        "input": nir.Input({"input": np.array([2, 8, 8])}),
        "conv": nir.Conv2d((8, 8), rng.normal(size=(4, 2, 3, 3)), 1, 1, 1, 1, np.zeros(4)),
        "lif.1": nir.LIF(
            tau=np.full((4, 8, 8), 1e-3),
            r=np.full((4, 8, 8), 10.0),
            v_leak=np.zeros((4, 8, 8)),
            v_threshold=np.full((4, 8, 8), 0.3),
        ),
        "pool": nir.AvgPool2d(np.array([2, 2]), np.array([2, 2]), np.array([0, 0])),
        "flat": nir.Flatten({"input": np.array([4, 4, 4])}, 0, -1),
        "fc": nir.Affine(rng.normal(size=(10, 64)), rng.normal(size=10)),
        "cuba": nir.CubaLIF(
            tau_syn=1e-3 * ones, tau_mem=2e-3 * ones, r=10 * ones, v_leak=0 * ones, v_threshold=0.1 * ones, w_in=ones
        ),
        "own": nir.Linear(rng.normal(size=(10, 10))),
        "output": nir.Output({"output": np.array([10])}),
    }
    path = ["input", "conv", "lif.1", "pool", "flat", "fc", "cuba", "output"]
    edges = [*pairwise(path), ("cuba", "own"), ("own", "cuba")]
    return nir.NIRGraph({**nodes, **more}, edges, type_check=False)


def test_nir_files_run_as_their_equations_say(tmp_path):
    """A file with a convolution, two kinds of neurons and a loop gives what a plain loop over its equations gives."""
    nir = pytest.importorskip("nir", reason="nir is not installed (extra snn)")
    from traces.nir_file import read_nir

    graph = network(nir)
    nir.write(tmp_path / "net.nir", graph)
    events = (np.random.default_rng(1).random((6, 2, 2, 8, 8)) < 0.3).astype(np.float32)
    found = read_nir(tmp_path / "net.nir")(torch.tensor(events)).numpy()
    node, v, i, u, back = graph.nodes, 0.0, 0.0, 0.0, np.zeros((2, 10))
    kernel = torch.tensor(node["conv"].weight)
    for step, x in enumerate(events.astype(np.float64)):
        current = torch.nn.functional.conv2d(torch.tensor(x), kernel, padding=1).numpy()
        v = v + 0.1 * (10 * current - v)
        first = (v > 0.3).astype(float)
        v = np.where(first > 0, 0, v)
        flat = first.reshape(2, 4, 4, 2, 4, 2).mean((3, 5)).reshape(2, 64)
        i = i + 0.1 * (flat @ node["fc"].weight.T + node["fc"].bias + back @ node["own"].weight.T - i)
        u = u + 0.05 * (10 * i - u)
        last = (u > 0.1).astype(float)
        u = np.where(last > 0, 0, u)
        back = last
        assert np.array_equal(found[step], last)
    assert 0 < found.mean() < 1


def test_nir_networks_are_traced_as_any(tmp_path):
    """Time is folded; spikes are averaged by the pool, so the linear layer reads plain values."""
    nir = pytest.importorskip("nir", reason="nir is not installed (extra snn)")
    from traces.nir_file import read_nir

    nir.write(tmp_path / "net.nir", network(nir))
    events = (torch.rand(4, 1, 2, 8, 8, generator=torch.Generator().manual_seed(0)) < 0.3).float()
    folded = fold_time(traces.trace(read_nir(tmp_path / "net.nir"), events))
    steps = {op.name: (op.timesteps, op.encoding) for op in folded if op.gemm is not None}
    assert steps["layers.conv"] == (4, "spikes")
    assert steps["layers.fc"] == (4, "")
    assert steps["layers.own"] == (1, "spikes")
    assert folded["layers.lif_1"].kind == "neuron"


def test_bad_nir_files_are_told(tmp_path, monkeypatch):
    """A missing package, file, node or path is told in a sentence."""
    nir = pytest.importorskip("nir", reason="nir is not installed (extra snn)")
    from traces.nir_file import NirNetwork, read_nir

    with pytest.raises(InputError, match=r"the NIR file .*none.nir does not exist"):
        read_nir(tmp_path / "none.nir")
    (tmp_path / "bad.nir").write_bytes(b"no HDF5")
    with pytest.raises(InputError, match=r"bad.nir cannot be read"):
        read_nir(tmp_path / "bad.nir")
    with pytest.raises(InputError, match="node 'pool' of the NIR graph is a Delay, which is not supported"):
        NirNetwork(network(nir, pool=nir.Delay(np.ones(1))))
    with pytest.raises(InputError, match="dt_s must be a positive number of seconds, not 0"):
        NirNetwork(network(nir), 0)
    graph = network(nir)
    graph.edges = [edge for edge in graph.edges if edge != ("fc", "cuba")]
    with pytest.raises(InputError, match="must have a path from its input to its output"):
        NirNetwork(graph)
    monkeypatch.setitem(sys.modules, "nir", None)
    with pytest.raises(InputError, match=r"needs the package nir; .* pip install 'sparse-codesign\[snn\]'"):
        read_nir(tmp_path / "bad.nir")
