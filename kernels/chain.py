"""Chain: a network that is one layer after another, as plain arrays. MobileNet-v1 is one; a residual network is not."""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from dataclasses import dataclass, replace
from typing import Any, TypeAlias

import numpy as np
from numpy.typing import NDArray

from kernels.arrays import KernelError, dense

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


def checked(layers: Sequence[Layer]) -> tuple[list[Convolution], Linear]:
    """Return the convolutions of a chain and its last layer, with arrays as compiled code takes them.

    Raises
    ------
    KernelError
        Unless there are convolutions and then one `Linear`, each convolution square and either dense or depthwise,
        all with float32 weights and biases of the sizes that belong together.
    """
    convolutions = [layer for layer in layers[:-1] if isinstance(layer, Convolution)]
    last = layers[-1] if convolutions else None
    if not isinstance(last, Linear) or len(convolutions) < len(layers) - 1:
        raise KernelError("a chain must be convolutions and end with one Linear layer; see kernels.chain")
    for place, layer in enumerate(convolutions):
        weight = dense(f"weight of layer {place}", layer.weight, (None, None, None, None))
        outputs, inputs, rows, columns = weight.shape
        if rows != columns or (layer.groups != 1 and (layer.groups, inputs) != (outputs, 1)):
            kind = f"{weight.shape} in {layer.groups} groups"
            raise KernelError(f"weight of layer {place} must be square, and dense or depthwise, not {kind}")
        bias = dense(f"bias of layer {place}", layer.bias, (outputs,))
        convolutions[place] = replace(layer, weight=weight, bias=bias)
    weight = dense("weight of the Linear layer", last.weight, (None, None))
    return convolutions, Linear(weight, dense("bias of the Linear layer", last.bias, (len(weight),)))


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
    pooled = False
    for module in _leaves(model):
        kind = type(module).__name__
        if layers and isinstance(layers[-1], Linear):
            raise KernelError(f"a chain must end with its Linear layer, not go on with {kind}")
        if pooled and kind in ("Conv2d", "BatchNorm2d", "ReLU", "ReLU6"):
            raise KernelError(f"a chain must go on with its Linear layer after pooling or Flatten, not with {kind}")
        if kind == "AdaptiveAvgPool2d" and module.output_size not in (1, (1, 1)):
            raise KernelError(f"pooling in a chain must be over the whole image, not to a size of {module.output_size}")
        pooled = pooled or kind in ("AdaptiveAvgPool2d", "Flatten")
        layers[-1:] = _extended(layers[-1] if layers else None, module, kind)
    if not layers or not isinstance(layers[-1], Linear):
        raise KernelError("a chain must be convolutions and end with one Linear layer; this model has none")
    return tuple(layers)


def _leaves(model: Module) -> Iterator[Module]:
    """Yield the modules that hold no others, in the order in which they are registered, one used twice twice."""
    for _, module in model.named_modules(remove_duplicate=False):
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
            return [replace(last, low=0.0, high=min(last.high, 6.0 if kind == "ReLU6" else INFINITY))]
        case "AdaptiveAvgPool2d" | "Flatten" | "Dropout" | "Identity":
            return before
    raise KernelError(f"a chain must be Conv2d, BatchNorm2d, ReLU, ReLU6 and one Linear layer, not have a {kind} there")


def _convolution(module: Module) -> Convolution:
    """Return a Conv2d; raise `KernelError` for a kind that no kernel computes."""
    sizes = (module.kernel_size, module.stride, module.padding, module.dilation)
    square = all(isinstance(size, tuple) and size[0] == size[1] for size in sizes)
    depthwise = module.groups == module.in_channels == module.out_channels
    if not square or module.dilation != (1, 1) or not (module.groups == 1 or depthwise):
        raise KernelError(f"a convolution of a chain must be square, undilated, and dense or depthwise, not {module}")
    if module.padding_mode != "zeros":
        raise KernelError(f"a convolution of a chain must be padded with zeros, not by {module.padding_mode!r}")
    bias = _bias(module, module.out_channels)
    return Convolution(_array(module.weight), bias, module.stride[0], module.padding[0], module.groups)


def _folded(layer: Convolution, norm: Module) -> Convolution:
    """Return a convolution that does what its batch normalisation did: weights scaled, the bias scaled and moved."""
    if norm.running_var is None:
        raise KernelError("a batch normalisation of a chain must have running statistics, not those of each batch")
    scale = 1 / np.sqrt(_array(norm.running_var).astype(np.float64) + norm.eps)
    shift = -_array(norm.running_mean) * scale
    if norm.affine:
        scale, shift = scale * _array(norm.weight), shift * _array(norm.weight) + _array(norm.bias)
    weight = (layer.weight * scale[:, None, None, None]).astype(np.float32)
    bias = (layer.bias * scale + shift).astype(np.float32)
    return replace(layer, weight=weight, bias=bias)


def _array(tensor: Module) -> Floats:
    array: Floats = tensor.detach().cpu().numpy().astype(np.float32)
    return array


def _bias(module: Module, size: int) -> Floats:
    return np.zeros(size, np.float32) if module.bias is None else _array(module.bias)
