"""Which kernels can be timed, and the loop over them."""

from __future__ import annotations

from collections.abc import Callable, Iterator
from dataclasses import dataclass

from kernels.bench import active, channels, pointwise, vectors
from kernels.bench.against import Setting
from kernels.bench.nets import CONV3X3, DEPTHWISE, GEMV, LINEAR, NETS, Layer
from kernels.bench.pointwise import variants
from kernels.bench.row import Row


@dataclass(frozen=True)
class Options:
    """What to time: the layers of a network, patterns, sparsities."""

    net: str
    patterns: tuple[str, ...]
    sparsities: tuple[float, ...]


def conv1x1_layers(options: Options) -> tuple[Layer, ...]:
    """Return the network's 1x1 convolutions."""
    return NETS[options.net]


def time_conv1x1(layer: Layer, options: Options, setting: Setting) -> Iterator[Row]:
    """Time sparse weights of a 1x1 convolution."""
    return pointwise.time_layer(layer, "conv1x1", variants(options.patterns, options.sparsities), setting)


def time_linear(layer: Layer, options: Options, setting: Setting) -> Iterator[Row]:
    """Time sparse weights of a linear layer of a batch."""
    return pointwise.time_layer(layer, "linear", variants(options.patterns, options.sparsities), setting)


def time_gemv(layer: Layer, options: Options, setting: Setting) -> Iterator[Row]:
    """Time sparse weights times one vector."""
    return vectors.time_weights(layer, variants(options.patterns, options.sparsities), setting)


def time_gemv_active(layer: Layer, options: Options, setting: Setting) -> Iterator[Row]:
    """Time dense weights times one sparse vector."""
    return vectors.time_vectors(layer, options.sparsities, setting)


def time_depthwise(layer: Layer, _options: Options, setting: Setting) -> Iterator[Row]:
    """Time our dense depthwise convolution."""
    return channels.time_layer(layer, setting)


def time_active(layer: Layer, options: Options, setting: Setting) -> Iterator[Row]:
    """Time sparse inputs of a convolution."""
    return active.time_layer(layer, options.sparsities, setting)


KERNELS = {
    "conv1x1": (conv1x1_layers, time_conv1x1),
    "depthwise": (lambda _options: DEPTHWISE, time_depthwise),
    "gemv": (lambda _options: GEMV, time_gemv),
    "gemv_active": (lambda _options: GEMV, time_gemv_active),
    "linear": (lambda _options: LINEAR, time_linear),
    "active": (lambda _options: CONV3X3, time_active),
}
"""By name: what gives the layers that a kernel is timed on, and what times one of them."""


def run(kernels: tuple[str, ...], options: Options, setting: Setting, say: Callable[[str], object]) -> Iterator[Row]:
    """Yield the rows of every kernel and layer; ``say`` is told what is timed next."""
    for kernel in kernels:
        layers, step = KERNELS[kernel]
        chosen = layers(options)
        for i, layer in enumerate(chosen):
            say(f"{kernel} {layer.name} ({i + 1} of {len(chosen)})")
            yield from step(layer, options, setting)
