"""EfficientNet-B0 and B1: Tan & Le, arXiv:1905.11946, table 1 and its compound scaling.

B1 repeats the blocks of B0 1.1 times, on images of 240. Dropout and stochastic depth do nothing outside of
training and are left out.
"""

from __future__ import annotations

from math import ceil

from torch import Tensor, nn

from traces.zoo.blocks import conv_bn
from traces.zoo.inverted import Classifier, InvertedResidual, SqueezeExcite, scaled, square

# Expansion, depthwise kernel, stride of the first repeat, output channels and repeats of each stage of B0.
_STAGES = (
    *((1, 3, 1, 16, 1), (6, 3, 2, 24, 2), (6, 5, 2, 40, 2), (6, 3, 2, 80, 3)),
    *((6, 5, 1, 112, 3), (6, 5, 2, 192, 4), (6, 3, 1, 320, 1)),
)


def b0(*, image: int = 224, reduced: bool = False) -> tuple[Classifier, tuple[Tensor]]:
    """Return EfficientNet-B0 and an image."""
    return _network(1.0, reduced), square(image, reduced=reduced)


def b1(*, image: int = 240, reduced: bool = False) -> tuple[Classifier, tuple[Tensor]]:
    """Return EfficientNet-B1 and an image."""
    return _network(1.1, reduced), square(image, reduced=reduced)


def _network(depth: float, reduced: bool) -> Classifier:
    """Return the network whose stages have so many times the repeats of B0, rounded up.

    Reduced, its first and third stage at a quarter of the width.
    """
    width, classes = (0.25, 10) if reduced else (1.0, 1000)
    channels = scaled(32, width)
    features: list[nn.Module] = [*conv_bn(3, channels, 3, 2), nn.SiLU()]
    for expansion, kernel, first_stride, base, repeats in _STAGES[0:3:2] if reduced else _STAGES:
        outputs = scaled(base, width)
        for repeat in range(ceil(depth * repeats)):
            hidden, stride = expansion * channels, 1 if repeat else first_stride
            # Of the block's input, not of what it is expanded to, as in MobileNet v3.
            squeeze = SqueezeExcite(hidden, channels // 4, nn.SiLU)
            features.append(
                InvertedResidual(channels, hidden, outputs, stride, kernel=kernel, activation=nn.SiLU, squeeze=squeeze)
            )
            channels = outputs
    last = scaled(1280, width)
    features += [*conv_bn(channels, last, 1), nn.SiLU()]
    return Classifier(features, nn.Linear(last, classes))
