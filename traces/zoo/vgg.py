"""VGG-19 with batch norm: Simonyan & Zisserman, ICLR 2015, table 1, column E; batch norm as is usual since."""

from __future__ import annotations

from collections.abc import Sequence

import torch
from torch import Tensor, nn

from traces.zoo.blocks import conv_bn, he_init


class VGG(nn.Module):
    """Stages of 3x3 convolutions, each ended by a 2x2 max pooling, and three linear layers."""

    def __init__(
        self, stages: Sequence[tuple[int, int]], *, image: int = 224, hidden: int = 4096, classes: int = 1000
    ) -> None:
        super().__init__()
        layers: list[nn.Module] = []
        channels = 3
        for outputs, repeats in stages:
            for _ in range(repeats):
                layers += [*conv_bn(channels, outputs, 3, bias=True), nn.ReLU()]
                channels = outputs
            layers.append(nn.MaxPool2d(2))
        self.features = nn.Sequential(*layers)
        side = image >> len(stages)
        self.classifier = nn.Sequential(
            nn.Linear(channels * side * side, hidden),
            nn.ReLU(),
            nn.Linear(hidden, hidden),
            nn.ReLU(),
            nn.Linear(hidden, classes),
        )
        he_init(self)

    def forward(self, image: Tensor) -> Tensor:
        """Return logits (batch, classes) of images (batch, 3, image, image)."""
        logits: Tensor = self.classifier(self.features(image).flatten(1))
        return logits


def vgg19(*, reduced: bool = False) -> tuple[VGG, tuple[Tensor]]:
    """Return VGG-19 with batch norm and an image, or two small stages of it."""
    if reduced:
        return VGG([(8, 1), (16, 2)], image=32, hidden=32, classes=10), (torch.randn(1, 3, 32, 32),)
    stages = [(64, 2), (128, 2), (256, 4), (512, 4), (512, 4)]
    return VGG(stages), (torch.randn(1, 3, 224, 224),)
