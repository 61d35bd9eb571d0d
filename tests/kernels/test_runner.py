"""Whole chains of layers: equal to torch, from its modules or random weights, and clear about what does not fit."""

import dataclasses

import numpy as np
import pytest
import torch
from numba import config
from torch import nn

from kernels import KernelError
from kernels.baselines import whole
from kernels.bench.prune import prune
from kernels.chain import Convolution, Layer, Linear, from_torch, mobilenet_v1
from kernels.runner import Runner
from traces.zoo import build


def sparse(layers: tuple[Layer, ...], pattern: str, sparsity: float) -> list[Layer]:
    """Return a chain whose 1x1 convolutions are pruned."""

    def pruned(layer: Layer) -> Layer:
        if not (isinstance(layer, Convolution) and layer.weight.shape[2] == 1):
            return layer
        weight = prune(layer.weight[:, :, 0, 0], pattern, sparsity)
        return dataclasses.replace(layer, weight=weight[:, :, None, None])

    return [pruned(layer) for layer in layers]


@pytest.mark.parametrize(("pattern", "threads"), [("unstructured", 1), ("dense", 2)])
def test_mobilenet_equals_torch(pattern: str, threads: int) -> None:
    """MobileNet-v1 with sparse weights gives torch's outputs in float64, also on several images and threads."""
    layers = sparse(mobilenet_v1(seed=3, classes=10), "unstructured", 0.8)
    images = np.random.default_rng(1).standard_normal((2, 3, 64, 64)).astype(np.float32)
    with torch.no_grad():
        expected = whole.torch_module(layers).double()(torch.from_numpy(images).double()).numpy()
    runner = Runner(layers, (3, 64, 64), pattern, min(threads, config.NUMBA_NUM_THREADS))
    assert np.abs(runner(images) - expected).max() < 1e-5 * np.abs(expected).max()
    assert "29 layers" in repr(runner)


def test_a_torch_model_becomes_a_chain() -> None:
    """Batch normalisation is folded into the convolution before it; the zoo's MobileNet-v1 comes out the same."""
    model, (image,) = build("mobilenet_v1", seed=2, reduced=True)
    with torch.no_grad():
        for module in model.modules():
            if isinstance(module, nn.BatchNorm2d):
                module.running_mean.normal_()
                module.running_var.uniform_(0.5, 2)
        expected = model.eval()(image)[0].numpy()
    runner = Runner(from_torch(model), tuple(image.shape[1:]))
    assert np.abs(runner(image[0]) - expected).max() < 1e-4 * np.abs(expected).max()


def test_dense_libraries_agree() -> None:
    """The whole network is the same in onnxruntime, where it is installed, with every kind of bound."""
    pytest.importorskip("onnxruntime")
    layers = list(mobilenet_v1(seed=4, classes=5))
    layers[2] = dataclasses.replace(layers[2], high=6.0)
    image = np.random.default_rng(5).standard_normal((1, 3, 64, 64)).astype(np.float32)
    ours = Runner(layers, (3, 64, 64), "dense")(image)
    assert np.allclose(whole.onnxruntime(layers, image.shape)(image), ours, atol=1e-5)
    assert np.allclose(whole.eager(layers)(image), ours, atol=1e-5)


def test_what_is_no_chain_is_refused() -> None:
    """Modules of other kinds, layers that do not fit and images of another size each get one sentence."""
    for model, sentence in (
        (nn.Sequential(nn.Conv2d(3, 4, 3), nn.GELU(), nn.Linear(4, 2)), "not have a GELU there"),
        (nn.Sequential(nn.ReLU(), nn.Linear(4, 2)), "not have a ReLU there"),
        (nn.Sequential(nn.Conv2d(3, 4, 3)), "end with one Linear layer"),
        (nn.Sequential(nn.Conv2d(4, 4, 3, groups=2), nn.Linear(4, 2)), "dense or depthwise, not Conv2d"),
        (nn.Sequential(nn.Linear(4, 2), nn.Linear(2, 2)), "must end with its Linear layer, not go on with Linear"),
    ):
        with pytest.raises(KernelError, match=sentence):
            from_torch(model)
    first, head = Convolution(np.ones((4, 3, 3, 3), np.float32), np.zeros(4, np.float32)), np.ones((2, 5), np.float32)
    with pytest.raises(KernelError, match="end with one Linear"):
        Runner([first], (3, 8, 8))
    with pytest.raises(KernelError, match="layer 0 must have 1 input channels, not 3"):
        Runner([first, Linear(head[:, :4], np.zeros(2, np.float32))], (1, 8, 8))
    with pytest.raises(KernelError, match="Linear layer must have 4 inputs, not 5"):
        Runner([first, Linear(head, np.zeros(2, np.float32))], (3, 8, 8))
    ready = Runner([first, Linear(head[:, :4], np.zeros(2, np.float32))], (3, 8, 8))
    with pytest.raises(KernelError, match=r"image must be of shape \(3, 8, 8\), not \(3, 9, 9\)"):
        ready(np.zeros((3, 9, 9), np.float32))


def wrong_chains() -> dict[str, tuple[list[Layer], tuple[int, ...], str]]:
    """Return chains whose sizes do not belong together, each with what is said of it."""

    def ones(*shape: int) -> np.ndarray:
        return np.ones(shape, np.float32)

    last, shape = Linear(ones(5, 4), ones(5)), (3, 8, 8)
    first = Convolution(ones(4, 3, 3, 3), ones(4), padding=1)
    return {
        "nothing": ([], shape, "a chain must be convolutions"),
        "no convolution": ([last], shape, "a chain must be convolutions"),
        "no end": ([first], shape, "a chain must be convolutions"),
        "long bias": (
            [dataclasses.replace(first, bias=ones(9)), last],
            shape,
            r"bias of layer 0 must be of shape \(4\)",
        ),
        "float64": (
            [dataclasses.replace(first, weight=np.ones((4, 3, 3, 3))), last],
            shape,
            "weight of layer 0 must be of",
        ),
        "oblong": (
            [Convolution(ones(4, 3, 3, 5), ones(4), padding=1), last],
            shape,
            "must be square, and dense or depthw",
        ),
        "two of each": ([Convolution(ones(6, 1, 3, 3), ones(6), 1, 1, 3), last], shape, "must be square, and dense or"),
        "two groups": (
            [Convolution(ones(4, 2, 3, 3), ones(4), 1, 1, 2), last],
            (4, 8, 8),
            "must be square, and dense or",
        ),
        "short image": ([first, last], (3, 8), r"shape must be \(channels, height, width\)"),
        "no pixels": ([first, last], (3, 0, 8), "height of the shape must be a whole number from 1"),
        "classes": ([first, Linear(ones(5, 4), ones(6))], shape, r"bias of the Linear layer must be of shape \(5\)"),
    }


@pytest.mark.parametrize("name", wrong_chains())
def test_layers_that_do_not_fit_are_refused(name: str) -> None:
    """Compiled code would read beyond such arrays; they never reach it."""
    layers, shape, sentence = wrong_chains()[name]
    with pytest.raises(KernelError, match=sentence):
        Runner(layers, shape)


@pytest.mark.parametrize(
    ("modules", "sentence"),
    [
        ([nn.Conv2d(3, 6, 3, groups=3)], "dense or depthwise"),
        ([nn.Conv2d(3, 4, 3, padding=1, padding_mode="reflect")], "padded with zeros, not by 'reflect'"),
        (
            [nn.Conv2d(3, 4, 3), nn.AdaptiveAvgPool2d(1), nn.Conv2d(4, 4, 1)],
            "go on with its Linear layer after pooling",
        ),
        ([nn.Conv2d(3, 4, 3), nn.AdaptiveAvgPool2d(2)], "over the whole image, not to a size of 2"),
        ([nn.Conv2d(3, 4, 3), nn.BatchNorm2d(4, track_running_stats=False)], "must have running statistics"),
    ],
)
def test_a_torch_model_that_would_be_computed_wrongly_is_refused(modules: list[nn.Module], sentence: str) -> None:
    """What a chain cannot hold is not dropped."""
    with pytest.raises(KernelError, match=sentence):
        from_torch(nn.Sequential(*modules, nn.Flatten(), nn.Linear(4, 2)))


def test_a_module_used_twice_counts_twice() -> None:
    """One ReLU behind two convolutions bounds both, and a ReLU behind a ReLU6 lifts no bound."""
    relu, generator = nn.ReLU(), torch.Generator().manual_seed(0)
    model = nn.Sequential(nn.Conv2d(3, 4, 1), relu, nn.Conv2d(4, 4, 1), relu, nn.Conv2d(4, 4, 1), nn.ReLU6(), relu)
    model = nn.Sequential(*model, nn.AdaptiveAvgPool2d(1), nn.Flatten(), nn.Linear(4, 3))
    image = 9 * torch.randn(3, 6, 6, generator=generator)
    with torch.no_grad():
        expected = model(image[None])[0].numpy()
    result = Runner(from_torch(model), (3, 6, 6), "dense")(image)
    np.testing.assert_allclose(result, expected, atol=1e-4)
