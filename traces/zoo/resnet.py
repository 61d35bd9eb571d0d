"""ResNet-18 and ResNet-50: He et al., "Deep residual learning for image recognition", CVPR 2016, table 1.

ResNet-50 is the common "v1.5": the stride of a downsampling block stands in its 3x3 convolution, not in the
1x1 before it (4.089 GMACs instead of 3.858).
"""

from __future__ import annotations

from collections.abc import Sequence

import torch
from torch import Tensor, nn
from torch.nn import functional

from traces.zoo.blocks import conv_bn, he_init


class Residual(nn.Module):
    """A body and a shortcut, added and rectified; the shortcut is a 1x1 convolution where shapes differ."""

    def __init__(self, body: nn.Module, inputs: int, outputs: int, stride: int) -> None:
        super().__init__()
        self.body = body
        same = inputs == outputs and stride == 1
        self.shortcut = nn.Identity() if same else nn.Sequential(*conv_bn(inputs, outputs, 1, stride))

    def forward(self, x: Tensor) -> Tensor:
        """Return (batch, outputs, height / stride, width / stride)."""
        return functional.relu(self.body(x) + self.shortcut(x))


def basic_block(inputs: int, width: int, stride: int) -> Residual:
    """Two 3x3 convolutions of that width."""
    body = nn.Sequential(*conv_bn(inputs, width, 3, stride), nn.ReLU(), *conv_bn(width, width, 3))
    return Residual(body, inputs, width, stride)


def bottleneck(inputs: int, width: int, stride: int) -> Residual:
    """1x1 down to the width, 3x3, 1x1 up to four times the width."""
    body = nn.Sequential(
        *conv_bn(inputs, width, 1),
        nn.ReLU(),
        *conv_bn(width, width, 3, stride),
        nn.ReLU(),
        *conv_bn(width, 4 * width, 1),
    )
    return Residual(body, inputs, 4 * width, stride)


class ResNet(nn.Module):
    """Stem, stages of residual blocks whose width doubles as the image halves, average, classifier."""

    def __init__(self, *, deep: bool, blocks: Sequence[int], width: int = 64, classes: int = 1000) -> None:
        super().__init__()
        block, expansion = (bottleneck, 4) if deep else (basic_block, 1)
        self.stem = nn.Sequential(*conv_bn(3, width, 7, 2), nn.ReLU(), nn.MaxPool2d(3, 2, 1))
        stages, inputs = [], width
        for stage, count in enumerate(blocks):
            layers = []
            for index in range(count):
                layers.append(block(inputs, width << stage, 2 if stage and not index else 1))
                inputs = expansion * (width << stage)
            stages.append(nn.Sequential(*layers))
        self.stages = nn.Sequential(*stages)
        self.pool = nn.AdaptiveAvgPool2d(1)
        self.classifier = nn.Linear(inputs, classes)
        he_init(self)

    def forward(self, image: Tensor) -> Tensor:
        """Return logits (batch, classes) of images (batch, 3, height, width)."""
        logits: Tensor = self.classifier(self.pool(self.stages(self.stem(image))).flatten(1))
        return logits


def resnet18(*, reduced: bool = False) -> tuple[ResNet, tuple[Tensor]]:
    """Return ResNet-18 and an image, or both kinds of block on a small image."""
    if reduced:
        return ResNet(deep=False, blocks=(1, 1), width=16, classes=10), (torch.randn(1, 3, 32, 32),)
    return ResNet(deep=False, blocks=(2, 2, 2, 2)), (torch.randn(1, 3, 224, 224),)


def resnet50(*, reduced: bool = False) -> tuple[ResNet, tuple[Tensor]]:
    """Return ResNet-50 v1.5 and an image, or its three kinds of block on a small image."""
    if reduced:
        return ResNet(deep=True, blocks=(2, 1), width=16, classes=10), (torch.randn(1, 3, 32, 32),)
    return ResNet(deep=True, blocks=(3, 4, 6, 3)), (torch.randn(1, 3, 224, 224),)
