"""Chain: a network that is one layer after another, as plain arrays. MobileNet-v1 is one; a residual network is not."""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import dataclass
from typing import Any, TypeAlias

import numpy as np
from numpy.typing import NDArray

from kernels.arrays import KernelError

Floats: TypeAlias = NDArray[np.float32]
Module: TypeAlias = Any
"""A torch module, whose parameters and options have no static types."""
INFINITY = float("inf")

WIDTHS = ((64, 1), (128, 2), (128, 1), (256, 2), (256, 1), (512, 2), *((512, 1),) * 5, (1024, 2), (1024, 1))
"""Output channels and stride of MobileNet-v1's separable layers (Howard et al., arXiv:1704.04861, table 1)."""


@dataclass(frozen=True, slots=True, eq=False)
class Convolution:
    """A convolution with its bias and the bounds of its output.

    Attributes
    ----------
    weight
        float32 (M, C / groups, k, k).
    bias
        float32 (M,).
    stride, padding
        Of both axes.
    groups
        1, or the number of channels (depthwise).
    low, high
        Bounds of the output: (0, infinity) is a ReLU, (0, 6) a ReLU6.
    """

    weight: Floats
    bias: Floats
    stride: int = 1
    padding: int = 0
    groups: int = 1
    low: float = -INFINITY
    high: float = INFINITY


@dataclass(frozen=True, slots=True, eq=False)
class Linear:
    """The last layer: the mean of each channel, times a matrix (classes, channels), plus a bias (classes,)."""

    weight: Floats
    bias: Floats


Layer: TypeAlias = Convolution | Linear


def mobilenet_v1(seed: int = 0, classes: int = 1000) -> tuple[Layer, ...]:
    """Return MobileNet-v1 with random weights (He's scale) and its batch normalisations folded away."""
    rng = np.random.default_rng(seed)

    def drawn(*shape: int) -> Floats:
        scale = np.sqrt(2 / np.prod(shape[1:]))
        weight: Floats = (rng.standard_normal(shape) * scale).astype(np.float32)
        return weight

    def bias(channels: int) -> Floats:
        return (0.1 * rng.standard_normal(channels)).astype(np.float32)

    layers: list[Layer] = [Convolution(drawn(32, 3, 3, 3), bias(32), 2, 1, low=0)]
    channels = 32
    for outputs, stride in WIDTHS:
        layers.append(Convolution(drawn(channels, 1, 3, 3), bias(channels), stride, 1, channels, low=0))
        layers.append(Convolution(drawn(outputs, channels, 1, 1), bias(outputs), low=0))
        channels = outputs
    return *layers, Linear(drawn(classes, channels), bias(classes))


def from_torch(model: Module) -> tuple[Layer, ...]:
    """Return a torch model's convolutions and its last linear layer, batch normalisations (in eval mode) folded in.

    The modules must be a chain in the order in which they are registered: Conv2d, BatchNorm2d, ReLU, ReLU6, at the
    end average pooling over the whole image (a module, or done in ``forward``) and one Linear. Dropout and Flatten
    do nothing here.

    Raises
    ------
    KernelError
        If there is a module of another kind, or one of these where it does not belong.
    """
    layers: list[Layer] = []
    for module in _leaves(model):
        kind = type(module).__name__
        if layers and isinstance(layers[-1], Linear):
            raise KernelError(f"a chain must end with its Linear layer, not go on with {kind}")
        layers[-1:] = _extended(layers[-1] if layers else None, module, kind)
    if not layers or not isinstance(layers[-1], Linear):
        raise KernelError("a chain must be convolutions and end with one Linear layer; this model has none")
    return tuple(layers)


def _leaves(model: Module) -> Iterator[Module]:
    """Yield the modules that hold no others, in the order in which they are registered."""
    for module in model.modules():
        if not any(True for _ in module.children()):
            yield module


def _extended(last: Layer | None, module: Module, kind: str) -> list[Layer]:
    """Return the last layer and what the module adds to it, or a layer behind it."""
    before = [last] if last is not None else []
    match kind:
        case "Conv2d":
            return [*before, _convolution(module)]
        case "Linear":
            return [*before, Linear(_array(module.weight), _bias(module, module.out_features))]
        case "BatchNorm2d" if isinstance(last, Convolution) and last.low == -INFINITY:
            return [_folded(last, module)]
        case "ReLU" | "ReLU6" if isinstance(last, Convolution):
            high = 6.0 if kind == "ReLU6" else INFINITY
            rest = (last.stride, last.padding, last.groups)
            return [Convolution(last.weight, last.bias, *rest, low=0.0, high=high)]
        case "AdaptiveAvgPool2d" | "Flatten" | "Dropout" | "Identity":
            return before
    raise KernelError(f"a chain must be Conv2d, BatchNorm2d, ReLU, ReLU6 and one Linear layer, not have a {kind} there")


def _convolution(module: Module) -> Convolution:
    """Return a Conv2d; raise `KernelError` for a kind that no kernel computes."""
    sizes = (module.kernel_size, module.stride, module.padding, module.dilation)
    square = all(isinstance(size, tuple) and size[0] == size[1] for size in sizes)
    if not square or module.dilation != (1, 1) or module.groups not in (1, module.in_channels):
        raise KernelError(f"a convolution of a chain must be square, undilated, and dense or depthwise, not {module}")
    bias = _bias(module, module.out_channels)
    return Convolution(_array(module.weight), bias, module.stride[0], module.padding[0], module.groups)


def _folded(layer: Convolution, norm: Module) -> Convolution:
    """Return a convolution that does what its batch normalisation did: weights scaled, the bias scaled and moved."""
    scale = 1 / np.sqrt(_array(norm.running_var).astype(np.float64) + norm.eps)
    shift = -_array(norm.running_mean) * scale
    if norm.affine:
        scale, shift = scale * _array(norm.weight), shift * _array(norm.weight) + _array(norm.bias)
    weight = (layer.weight * scale[:, None, None, None]).astype(np.float32)
    bias = (layer.bias * scale + shift).astype(np.float32)
    return Convolution(weight, bias, layer.stride, layer.padding, layer.groups)


def _array(tensor: Module) -> Floats:
    array: Floats = tensor.detach().cpu().numpy().astype(np.float32)
    return array


def _bias(module: Module, size: int) -> Floats:
    return np.zeros(size, np.float32) if module.bias is None else _array(module.bias)
