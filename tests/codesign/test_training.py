"""A training step has torch's gradients as its products, BDWP's two masks, and an order that can be run."""

from collections.abc import Callable

import networkx as nx
import numpy as np
import pytest
import torch
from hypothesis import assume, given, settings
from hypothesis import strategies as st
from networks import graphs
from torch import nn
from torch.nn import functional

from codesign.patterns import parse_pattern
from codesign.simulation import simulate
from codesign.sparsification import sparsify
from codesign.training import training_step, with_batch
from codesign.training.products import input_gradient, phase_weights, transposed, weight_gradient
from traces import zoo
from traces.errors import InputError
from traces.frontend.export import trace
from traces.frontend.layout import Layout
from traces.gemm import Gemm
from traces.graph import OpGraph
from traces.op import Op
from traces.vector import VectorWork


def shapes(name: str) -> OpGraph:
    """Return a full-size network of the zoo without values."""
    with torch.device("meta"):
        model, inputs = zoo.build(name)
    return trace(model, *inputs, name=name)


@st.composite
def convolutions(draw: Callable) -> Op:
    """Draw a convolution with any stride, dilation, padding and groups."""
    sizes = {}
    for axis in "hw":
        kernel, stride = draw(st.integers(1, 4)), draw(st.integers(1, 3))
        dilation, pad = draw(st.integers(1, 3)), draw(st.integers(0, 2))
        size = draw(st.integers(1, 12))
        reach = (kernel - 1) * dilation + 1
        assume(size + 2 * pad >= reach and pad < reach)
        values = {"kernel": kernel, "stride": stride, "dilation": dilation, "pad": pad, "in": size}
        sizes |= {f"{key}_{axis}": value for key, value in values.items()}
        sizes[f"out_{axis}"] = (size + 2 * pad - reach) // stride + 1
    counts = {key: draw(st.integers(1, 3)) for key in ("channels", "filters", "batch", "groups")}
    return Op(name="conv", kind="conv", gemm=Gemm(**sizes, **counts), weight="w")


def torch_gradients(gemm: Gemm) -> tuple[torch.Tensor, torch.Tensor, torch.Tensor, torch.Tensor, torch.Tensor]:
    """Return I, W, dO and torch's dI and dW of a convolution, in small whole numbers."""
    generator = torch.Generator().manual_seed(gemm.macs)

    def draw(*shape: int) -> torch.Tensor:
        return torch.randint(-3, 4, shape, generator=generator, dtype=torch.float64)

    image = draw(gemm.batch, gemm.groups * gemm.channels, gemm.in_h, gemm.in_w).requires_grad_()
    weight = draw(gemm.groups * gemm.filters, gemm.channels, gemm.kernel_h, gemm.kernel_w).requires_grad_()
    out = functional.conv2d(
        image, weight, None, (gemm.stride_h, gemm.stride_w), (gemm.pad_h, gemm.pad_w),
        (gemm.dilation_h, gemm.dilation_w), gemm.groups,
    )  # fmt: skip
    gradient = draw(*out.shape)
    of_image, of_weight = torch.autograd.grad(out, (image, weight), gradient)
    return image.detach(), weight.detach(), gradient, of_image, of_weight


@given(convolutions())
@settings(deadline=None, max_examples=80)
def test_input_gradient_is_torchs(op: Op) -> None:
    """The phases, each with its part of the transposed weights, add up to torch's dI; none of them overlap."""
    gemm = op.gemm
    _, weight, gradient, wanted, _ = torch_gradients(gemm)
    matrix = Layout.conv(tuple(weight.shape), gemm.groups).to_gemm(weight.float().numpy())
    backward = transposed(matrix, gemm)
    dense_out = gradient.numpy().reshape(gemm.batch, gemm.groups, gemm.filters, gemm.out_h, gemm.out_w)
    found = np.zeros((gemm.batch, gemm.groups, gemm.channels, gemm.in_h, gemm.in_w))
    for phase in input_gradient(gemm):
        part = phase_weights(backward, phase)
        assert part.shape == (gemm.groups, phase.gemm.n, phase.gemm.k)
        patches = phase.gemm.filters != gemm.channels
        taps = [(y, x) for y in phase.rows for x in phase.cols]
        for at, (y, x) in enumerate(taps):
            if patches:
                tap = part.reshape(gemm.groups, len(taps), gemm.channels, gemm.filters)[:, at]
            else:
                tap = part.reshape(gemm.groups, gemm.channels, len(taps), gemm.filters)[:, :, at]
            for row in range(gemm.out_h):
                for col in range(gemm.out_w):
                    to_row = row * gemm.stride_h + y * gemm.dilation_h - gemm.pad_h
                    to_col = col * gemm.stride_w + x * gemm.dilation_w - gemm.pad_w
                    if 0 <= to_row < gemm.in_h and 0 <= to_col < gemm.in_w:
                        found[..., to_row, to_col] += np.einsum("gcn,bgn->bgc", tap, dense_out[..., row, col])
    np.testing.assert_array_equal(found.reshape(wanted.shape), wanted.numpy())


@given(convolutions())
@settings(deadline=None, max_examples=100)
def test_phases_cover_every_pixel_that_has_a_gradient(op: Op) -> None:
    """Phases have as many output positions as input pixels whose remainder meets a tap, and reach no farther."""
    gemm = op.gemm
    phases = input_gradient(gemm)
    if not phases:  # all taps lie in the padding
        return
    if phases[0].gemm.filters != gemm.channels or gemm.kernel_h == gemm.kernel_w == 1:
        assert sum(phase.gemm.macs for phase in phases) == gemm.macs
        return

    def met(size: int, axis: str) -> int:
        kernel, stride, dilation, pad = (
            getattr(gemm, f"{key}_{axis}") for key in ("kernel", "stride", "dilation", "pad")
        )
        return sum(any((y + pad - tap * dilation) % stride == 0 for tap in range(kernel)) for y in range(size))

    positions = sum(phase.gemm.out_h * phase.gemm.out_w for phase in phases)
    assert positions == met(gemm.in_h, "h") * met(gemm.in_w, "w")


@given(convolutions())
@settings(deadline=None, max_examples=60)
def test_weight_gradient_is_torchs(op: Op) -> None:
    """A convolution with the sizes of the weight gradient's nest, channels and samples swapped, gives torch's dW."""
    gemm, nest = op.gemm, weight_gradient(op)
    image, _, gradient, _, wanted = torch_gradients(gemm)
    found = []
    for group in range(gemm.groups):
        channels = slice(group * gemm.channels, (group + 1) * gemm.channels)
        filters = slice(group * gemm.filters, (group + 1) * gemm.filters)
        swapped = functional.conv2d(
            image[:, channels].transpose(0, 1), gradient[:, filters].transpose(0, 1), None,
            (nest.stride_h, nest.stride_w), (nest.pad_h, nest.pad_w), (nest.dilation_h, nest.dilation_w),
        )  # fmt: skip
        found.append(swapped[:, :, : nest.out_h, : nest.out_w].transpose(0, 1))
    torch.testing.assert_close(torch.cat(found), wanted)
    assert (nest.m, nest.n, nest.k) == (gemm.k, gemm.n, gemm.m)
    assert (nest.input_elements, nest.weight_elements) == (gemm.input_elements, gemm.output_elements)


@pytest.mark.parametrize("name", ["resnet18", "vgg19", "vit_b16", "mobilenet_v2", "gru"])
def test_a_step_is_three_times_the_forward_macs(name: str) -> None:
    """Forward, input and weight gradient have the same MACs, and the first layer has no input gradient."""
    graph = shapes(name)
    step = training_step(graph)
    first = next(op for op in graph if op.gemm)
    assert step.macs == 3 * graph.macs - first.macs
    assert f"{first.name}.dgrad" not in step.dag
    assert f"{first.name}.wgrad" in step.dag
    updates = sum(op.vector.elements_out // 2 for op in step if op.kind == "update")
    assert updates == sum(op.gemm.weight_elements for op in graph if op.weight)


@given(graphs())
@settings(deadline=None, max_examples=60)
def test_a_step_can_be_run_in_its_order(graph: OpGraph) -> None:
    """Every operand is made by an earlier op, every array op keeps its forward twin, and weights are updated once."""
    assume(any(op.weight for op in graph))
    step = training_step(graph)
    place = {op.name: i for i, op in enumerate(step)}
    assert all(place[producer] < place[consumer] for producer, consumer in step.dag.edges)
    assert nx.is_directed_acyclic_graph(step.dag)
    for op in graph:
        assert step[f"{op.name}.fwd"].gemm == op.gemm
        assert (f"{op.name}.wgrad" in step.dag) == (f"{op.name}.update" in step.dag)


class Attention(nn.Module):
    """Two products of activations behind two linear layers."""

    def __init__(self) -> None:
        super().__init__()
        self.query, self.key = nn.Linear(16, 16), nn.Linear(16, 16)

    def forward(self, x: torch.Tensor) -> torch.Tensor:
        """Return query times key transposed."""
        return self.query(x) @ self.key(x).transpose(-1, -2)


def test_a_product_of_activations_has_two_gradients() -> None:
    """Both operands of an attention product get a gradient of as many MACs, and none an update."""
    step = training_step(trace(Attention(), torch.ones(1, 8, 16)))
    (product,) = (op for op in step if op.kind == "matmul" and op.name.endswith(".fwd"))
    name = product.name.removesuffix(".fwd")
    parts = {suffix: step[f"{name}.dgrad.{suffix}"].gemm for suffix in "iw"}
    assert [gemm.macs for gemm in parts.values()] == [product.gemm.macs] * 2
    assert (parts["i"].m, parts["i"].n, parts["i"].k) == (8, 16, 8)
    assert step.producers("query.wgrad")[-1] == f"{name}.dgrad.i"
    assert step.producers("key.wgrad")[-1] == f"{name}.dgrad.w"
    assert f"{name}.update" not in step.dag


def test_batch_norms_with_batch_statistics_take_part() -> None:
    """They are not folded; forward and backward pass over their operands twice, and ReLU still rides on the way out."""
    model = nn.Sequential(
        nn.Conv2d(3, 4, 1), nn.BatchNorm2d(4, track_running_stats=False), nn.ReLU(), nn.Conv2d(4, 2, 1)
    )
    step = training_step(trace(model, torch.ones(2, 3, 5, 5)))
    elements = 2 * 4 * 5 * 5
    forward = VectorWork(elements_in=2 * elements, elements_out=elements, lane_ops=5 * elements)
    backward = VectorWork(elements_in=4 * elements, elements_out=elements, lane_ops=9 * elements)
    assert (step["1.fwd"].vector, step["1.dgrad"].vector) == (forward, backward)
    assert step.producers("1.dgrad") == ["0.fwd", "2.dgrad"]
    fused = {op.name: op.fused_into for op in simulate(step, "sat").ops if op.fused_into}
    assert fused == {"2.fwd": "1.fwd", "2.dgrad": "3.dgrad"}


def test_shared_weights_are_updated_once() -> None:
    """Two uses of one layer have two weight gradients and one update, after both."""
    layer = nn.Linear(8, 8)
    step = training_step(trace(nn.Sequential(layer, nn.ReLU(), layer), torch.ones(2, 8)))
    (update,) = (op.name for op in step if op.kind == "update")
    assert len(step.producers(update)) == 2


def test_gradients_that_meet_are_added() -> None:
    """The gradient of a residual branch point is a sum over its consumers."""
    step = training_step(shapes("resnet18"))
    assert step["stem.3.sum"].vector == VectorWork(elements_in=2 * 200704, elements_out=200704, lane_ops=200704)


def masked(weights: np.ndarray, n: int, m: int) -> np.ndarray:
    """Return rows with all but the n largest of each m set to zero, one group after the other."""
    out = np.zeros_like(weights)
    for row in range(len(weights)):
        for start in range(0, weights.shape[1], m):
            group = np.abs(weights[row, start : start + m])
            for at in sorted(range(len(group)), key=lambda i: (-group[i], i))[:n]:
                out[row, start + at] = weights[row, start + at]
    return out


@pytest.mark.parametrize("pattern", ["2:4", "2:8", "1:3"])
def test_bdwp_masks_one_tensor_twice(pattern: str) -> None:
    """``fwd`` is pruned along input channels, ``dgrad`` along output channels, both from the dense weights."""
    torch.manual_seed(0)
    model = nn.Sequential(nn.Conv2d(3, 8, 1), nn.Conv2d(8, 10, 3, padding=1), nn.Conv2d(10, 6, 3, stride=2, padding=1))
    graph = trace(model, torch.ones(1, 3, 8, 8))
    n, m = map(int, pattern.split(":"))
    sparse = sparsify(graph, pattern)
    for step in (training_step(sparse), training_step(graph, pattern), training_step(sparse, batch=3)):
        weight = model[1].weight.detach().numpy()  # (filters, channels, kernel_h, kernel_w)
        forward = masked(weight.transpose(0, 2, 3, 1).reshape(-1, 8), n, m)
        np.testing.assert_array_equal(step.weights["1.weight"].reshape(-1, 8), forward)
        backward = masked(weight.transpose(1, 2, 3, 0).reshape(-1, 10), n, m).reshape(8, 3, 3, 10)
        np.testing.assert_array_equal(step.weights["1.dgrad"].reshape(8, 3, 3, 10), backward[:, ::-1, ::-1])
        # The strided layer's four phases hold its nine taps, each once.
        weight = model[2].weight.detach().numpy()
        kept = np.count_nonzero(masked(weight.transpose(1, 2, 3, 0).reshape(-1, 6), n, m))
        phases = [step.weights[f"2.dgrad.{phase}"] for phase in ("00", "01", "10", "11")]
        assert sum(map(np.count_nonzero, phases)) == kept
        assert {step.patterns[f"2.dgrad.{phase}"] for phase in ("00", "01", "10", "11")} == {pattern}
        assert "1.wgrad" not in step.patterns
        assert all(parse_pattern(pattern).satisfied_by(part, 6) for part in phases)


def test_other_patterns_are_one_mask() -> None:
    """Unstructured zeros are the same weights in both passes."""
    graph = sparsify(
        trace(nn.Sequential(nn.Conv2d(3, 4, 1), nn.Linear(8, 8), nn.Linear(8, 8)), torch.ones(1, 3, 2, 8)),
        "unstructured:0.5",
    )
    step = training_step(graph)
    np.testing.assert_array_equal(step.weights["1.dgrad"][0], graph.weights["1.weight"][0].T)
    assert step.patterns["1.dgrad"] == "unstructured:0.5"


def test_without_values_patterns_are_declared() -> None:
    """Shapes alone give a step whose patterns both passes declare."""
    step = training_step(sparsify(shapes("resnet18"), "2:8"))
    name = "stages.0.1.body.0"
    assert [step.patterns.get(f"{name}.{part}") for part in ("fwd", "dgrad", "wgrad")] == ["2:8", "2:8", None]
    assert not step.weights


@pytest.mark.parametrize("accelerator", ["systolic-32x32-nm", "systolic-32x32", "sat"])
def test_any_accelerator_runs_a_step(accelerator: str) -> None:
    """A step of a small convolutional, a transformer and a recurrent network runs, and MACs are conserved."""
    for name in ("resnet18", "mobilenet_v2", "bert_base", "lstm")[:: 1 if accelerator == "sat" else 3]:
        model, inputs = zoo.build(name, reduced=True)
        step = training_step(sparsify(trace(model, *inputs, name=name), "2:4", rules={"*": "2:4"}))
        report = simulate(step, accelerator)
        assert sum(op.dense_macs for op in report.ops) == step.macs
        assert all(op.effectual_macs + op.skipped_macs + op.gated_macs == op.dense_macs for op in report.ops)


@given(st.integers(1, 5))
@settings(deadline=None, max_examples=5)
def test_batch_multiplies_the_work(batch: int) -> None:
    """Shapes of a batch are those that tracing a batch gives."""
    model = nn.Sequential(nn.Conv2d(3, 8, 3), nn.ReLU(), nn.MaxPool2d(2), nn.Flatten(), nn.Linear(72, 5))
    one, many = (trace(model, torch.ones(count, 3, 8, 8)) for count in (1, batch))
    repeated = with_batch(one, batch)
    assert repeated.macs == many.macs == batch * one.macs
    for op in repeated:
        assert op.vector == many[op.name].vector
        if op.gemm:
            assert (op.gemm.m, op.gemm.n, op.gemm.k) == tuple(getattr(many[op.name].gemm, key) for key in "mnk")


def test_bad_input_is_told() -> None:
    """A model without parameters and a wrong batch get a clear sentence."""
    with pytest.raises(InputError, match="ReLU has no parameters to train; a training step needs a model with weights"):
        training_step(trace(nn.ReLU(), torch.ones(4)))
    with pytest.raises(InputError, match="batch must be a whole number of at least 1, not 0"):
        with_batch(shapes("gru"), 0)
