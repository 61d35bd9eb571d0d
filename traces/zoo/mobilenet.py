"""MobileNet v1 (Howard et al., arXiv:1704.04861, table 1) and v2 (Sandler et al., CVPR 2018, table 2)."""

from __future__ import annotations

from collections.abc import Sequence

import torch
from torch import Tensor, nn

from traces.zoo.blocks import conv_bn, he_init

# Output channels and stride of each depthwise separable layer of v1.
_V1 = (
    *((64, 1), (128, 2), (128, 1), (256, 2), (256, 1), (512, 2)),
    *((512, 1),) * 5,
    *((1024, 2), (1024, 1)),
)
# Expansion, output channels, repeats and stride of the first repeat of each bottleneck of v2.
_V2 = (
    *((1, 16, 1, 1), (6, 24, 2, 2), (6, 32, 3, 2), (6, 64, 4, 2)),
    *((6, 96, 3, 1), (6, 160, 3, 2), (6, 320, 1, 1)),
)


def scaled(channels: int, width: float) -> int:
    """Return the channels times the width multiplier, to the nearest 8 but never 10 % fewer (v2's rule)."""
    rounded = max(8, int(channels * width + 4) // 8 * 8)
    return rounded if rounded >= 0.9 * channels * width else rounded + 8


class Classifier(nn.Module):
    """Features, average over the image, linear classifier."""

    def __init__(self, features: Sequence[nn.Module], channels: int, classes: int) -> None:
        super().__init__()
        self.features = nn.Sequential(*features)
        self.pool = nn.AdaptiveAvgPool2d(1)
        self.classifier = nn.Linear(channels, classes)
        he_init(self)

    def forward(self, image: Tensor) -> Tensor:
        """Return logits (batch, classes) of images (batch, 3, height, width)."""
        logits: Tensor = self.classifier(self.pool(self.features(image)).flatten(1))
        return logits


class InvertedResidual(nn.Module):
    """Expand 1x1, convolve depthwise 3x3, project 1x1 without a rectifier; add the input where it fits."""

    def __init__(self, inputs: int, outputs: int, expansion: int, stride: int) -> None:
        super().__init__()
        hidden = inputs * expansion
        expand = [*conv_bn(inputs, hidden, 1), nn.ReLU6()] if expansion > 1 else []
        depthwise = [*conv_bn(hidden, hidden, 3, stride, hidden), nn.ReLU6()]
        self.body = nn.Sequential(*expand, *depthwise, *conv_bn(hidden, outputs, 1))
        self.residual = inputs == outputs and stride == 1

    def forward(self, x: Tensor) -> Tensor:
        """Return (batch, outputs, height / stride, width / stride)."""
        y: Tensor = self.body(x)
        return x + y if self.residual else y


def mobilenet_v1(*, width: float = 1.0, reduced: bool = False) -> tuple[Classifier, tuple[Tensor]]:
    """Return MobileNet v1 and an image; ``width`` multiplies every layer's channels, rounded down."""
    if reduced:
        width = 0.25
    channels = int(32 * width)
    features: list[nn.Module] = [*conv_bn(3, channels, 3, 2), nn.ReLU()]
    for base, stride in _V1[:3] if reduced else _V1:
        outputs = int(base * width)
        features += [*conv_bn(channels, channels, 3, stride, channels), nn.ReLU()]
        features += [*conv_bn(channels, outputs, 1), nn.ReLU()]
        channels = outputs
    return Classifier(features, channels, 10 if reduced else 1000), (_image(reduced),)


def mobilenet_v2(*, width: float = 1.0, reduced: bool = False) -> tuple[Classifier, tuple[Tensor]]:
    """Return MobileNet v2 and an image; ``width`` multiplies the channels (the last layer's only above 1)."""
    if reduced:
        width = 0.25
    channels = scaled(32, width)
    features: list[nn.Module] = [*conv_bn(3, channels, 3, 2), nn.ReLU6()]
    for expansion, base, repeats, first_stride in _V2[:2] if reduced else _V2:
        outputs = scaled(base, width)
        for repeat in range(repeats):
            features.append(InvertedResidual(channels, outputs, expansion, 1 if repeat else first_stride))
            channels = outputs
    last = scaled(64 if reduced else 1280, max(1.0, width))
    features += [*conv_bn(channels, last, 1), nn.ReLU6()]
    return Classifier(features, last, 10 if reduced else 1000), (_image(reduced),)


def _image(reduced: bool) -> Tensor:
    size = 32 if reduced else 224
    return torch.randn(1, 3, size, size)
