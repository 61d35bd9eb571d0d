"""Dense libraries: each computes what float64 NumPy and torch do, in whatever layout it likes."""

import builtins
import struct
import sys
from collections.abc import Mapping, Sequence
from types import ModuleType

import numpy as np
import pytest
import torch
from hypothesis import given
from hypothesis import strategies as st

from kernels.baselines import (
    LIBRARIES,
    Convolution,
    Linear,
    Problem,
    best,
    conv1x1,
    conv3x3,
    depthwise,
    draw,
    onnx_file,
    prepare,
    reference,
    torch_threads,
)

PROBLEMS: list[Problem] = [
    conv1x1(48, 32, 5, 7),
    conv1x1(33, 17, 7, 7, batch=2),
    conv3x3(16, 32, 9, 8),
    conv3x3(16, 16, 9, 9, stride=2),
    depthwise(32, 9),
    depthwise(16, 10, stride=2),
    depthwise(24, 11, kernel=5),
    Linear(40, 24),
    Linear(40, 24, batch=6),
]


@pytest.mark.parametrize("problem", PROBLEMS, ids=str)
@pytest.mark.parametrize("relu", [True, False])
def test_every_contender_agrees_with_float64(problem: Problem, relu: bool) -> None:
    """Every input and copy of the weight gives the float64 result, within float32 rounding of the sum of magnitudes."""
    operands = draw(problem, seed=3, inputs=2, relu=relu, copies=2)
    contenders, left_out = prepare(problem, operands)
    assert contenders.keys() | left_out.keys() == set(LIBRARIES)
    assert "eager" in contenders
    for name, contender in contenders.items():
        for number in range(4):
            wanted, bound = reference(problem, operands, number)
            found = contender.output(number)
            assert found.shape == problem.y_shape, name
            assert np.all(np.abs(found - wanted) <= 1e-5 * bound), name


def test_who_can_compute_what() -> None:
    """On full blocks of channels all libraries run a 1x1 convolution; a GEMV is told to be no convolution."""
    pytest.importorskip("onnxruntime")
    operands = draw(PROBLEMS[0])
    assert prepare(PROBLEMS[0], operands)[1] == {}
    left_out = prepare(Linear(40, 24), draw(Linear(40, 24)))[1]
    assert left_out["onednn"] == "it is no convolution"


@st.composite
def convolutions(draw_: st.DrawFn) -> Convolution:
    """Draw small convolutions of any stride, window and groups."""
    size = st.integers(1, 4)
    groups = draw_(size)
    kernel = draw_(st.sampled_from((1, 3, 5)))
    outputs, inputs = groups * draw_(size), groups * draw_(size)
    sides = draw_(st.tuples(st.integers(1, 9), st.integers(1, 9)))
    return Convolution(outputs, inputs, *sides, kernel, draw_(st.integers(1, 3)), groups, draw_(st.integers(1, 2)))


@given(convolutions())
def test_reference_is_torch_in_float64(problem: Convolution) -> None:
    """Our float64 convolution is torch's, to float64 rounding."""
    operands = draw(problem, relu=False)
    x, weight, bias = (torch.from_numpy(a).double() for a in (operands.inputs[0], operands.weight, operands.bias))
    wanted = torch.nn.functional.conv2d(x, weight, bias, problem.stride, problem.padding, 1, problem.groups)
    found, bound = reference(problem, operands, 0)
    assert found.shape == problem.y_shape
    assert np.all(np.abs(found - wanted.numpy()) <= 1e-13 * bound)


def test_flops_by_hand() -> None:
    """A 1x1 convolution of 2 pixels, and a depthwise one whose padding is counted."""
    assert conv1x1(3, 5, 1, 2).flops == 2 * 3 * 5 * 2
    assert depthwise(4, 7, stride=2).flops == 2 * 4 * 16 * 9
    assert Linear(3, 5, batch=2).flops == 60


def test_torch_threads_are_given_back() -> None:
    """The number of torch's threads is as before after the context, also when an error ends it."""
    before = torch.get_num_threads()

    def fail() -> None:
        with torch_threads(1):
            assert torch.get_num_threads() == 1
            raise KeyError

    with pytest.raises(KeyError):
        fail()
    assert torch.get_num_threads() == before


def test_missing_libraries_are_left_out(monkeypatch: pytest.MonkeyPatch) -> None:
    """Without onnxruntime, or without torch's private operators, the others run and the reason says what is missing."""

    def without(name: str, *rest: object) -> ModuleType:
        if name == "onnxruntime":
            raise ImportError(name)
        return real(name, *rest)

    real = builtins.__import__
    monkeypatch.setattr(builtins, "__import__", without)
    monkeypatch.delitem(sys.modules, "onnxruntime", raising=False)

    class Empty:
        pass

    monkeypatch.setattr(torch.ops, "mkldnn", Empty())
    contenders, left_out = prepare(PROBLEMS[0], draw(PROBLEMS[0]))
    assert contenders.keys() == {"ours", "eager", "eager channels_last"}
    assert "pip install" in left_out["onnxruntime"]
    assert "has no operator" in left_out["onednn"]


def test_wrong_results_are_left_out(monkeypatch: pytest.MonkeyPatch) -> None:
    """A library whose result is off is no baseline, and the reason says by how much."""
    kept = LIBRARIES["eager"]

    def wrong(*arguments: object) -> object:
        contender = kept(*arguments)
        return type(contender)(contender.run, lambda y: contender.standard(y) + 1)

    monkeypatch.setitem(LIBRARIES, "eager", wrong)
    contenders, left_out = prepare(PROBLEMS[0], draw(PROBLEMS[0]), ("eager",))
    assert not contenders
    assert "its result is off by" in left_out["eager"]


def test_best_is_the_fastest() -> None:
    """The baseline is the smallest median of all; eager is beside it; each has the rounds that were asked for."""
    dense = best(PROBLEMS[0], repeats=3, names=("onednn", "onnxruntime", "eager"))
    assert dense.baseline_s == min(timing.seconds for timing in dense.timings.values())
    assert dense.eager_s == dense.timings["eager"].seconds
    assert all(len(timing.samples) == 3 for timing in dense.timings.values())
    with pytest.raises(RuntimeError, match="no dense library"):
        best(Linear(4, 4), names=("onednn",))


def fields(message: bytes) -> dict[int, list[bytes | int]]:
    """Decode one protocol-buffer message, as https://protobuf.dev/programming-guides/encoding/ has it."""
    found: dict[int, list[bytes | int]] = {}
    at = 0

    def varint() -> int:
        nonlocal at
        value = shift = 0
        while True:
            byte = message[at]
            at += 1
            value |= (byte & 127) << shift
            shift += 7
            if byte < 128:
                return value

    while at < len(message):
        key = varint()
        value: bytes | int = varint()
        if key & 7 == 2:
            at, value = at + value, message[at : at + value]
        found.setdefault(key >> 3, []).append(value)
    return found


@given(st.lists(st.integers(0, 2**40), max_size=5), st.text(min_size=1, max_size=200))
def test_onnx_node_decodes(window: Sequence[int], name: str) -> None:
    """What the encoder writes, an independent decoder reads back: names, operator, domain and attributes."""
    attributes: Mapping[str, onnx_file.Attribute] = {"window": window, "group": 3, "activation": "Relu"}
    node = fields(onnx_file.node("Conv", ["x", name], "y", attributes, "own"))
    assert node[1] == [b"x", name.encode()]
    assert (node[2], node[4], node[7]) == ([b"y"], [b"Conv"], [b"own"])
    values = [fields(part) for part in node[5]]
    assert [value[1][0] for value in values] == [b"window", b"group", b"activation"]
    assert values[0].get(8, []) == window
    assert values[1][3] == [3]
    assert values[2][4] == [b"Relu"]


def test_onnx_model_holds_the_weights() -> None:
    """The file holds each constant's dimensions and little-endian floats, and the shapes of input and output."""
    weight = np.arange(6, dtype=np.float32).reshape(2, 3)
    graph = fields(fields(onnx_file.model([], {"w": weight}, (1, 3), (1, 200)))[7][0])
    tensor = fields(graph[5][0])
    assert (tensor[1], tensor[2], tensor[8]) == ([2, 3], [1], [b"w"])
    assert struct.unpack("<6f", tensor[9][0]) == tuple(range(6))
    shape = fields(fields(fields(fields(graph[12][0])[2][0])[1][0])[2][0])
    assert [fields(dim)[1] for dim in shape[1]] == [[1], [200]]
