"""Inverted residuals: the block of mobile networks, from MobileNet v2 to EfficientNet, and what goes around it."""

from __future__ import annotations

from collections.abc import Sequence

import torch
from torch import Tensor, nn

from traces.zoo.blocks import conv_bn, he_init


def scaled(channels: int, width: float) -> int:
    """Return the channels times the width multiplier, to the nearest 8 but never 10 % fewer (v2's rule)."""
    rounded = max(8, int(channels * width + 4) // 8 * 8)
    return rounded if rounded >= 0.9 * channels * width else rounded + 8


def square(image: int, *, reduced: bool) -> tuple[Tensor]:
    """Return a standard normal image of that height and width, or of 32 for a reduced network."""
    size = 32 if reduced else image
    return (torch.randn(1, 3, size, size),)


class SqueezeExcite(nn.Module):
    """A factor on each channel, made of the averages of all channels: Hu et al., arXiv:1709.01507, section 3."""

    def __init__(
        self, channels: int, squeezed: int, activation: type[nn.Module] = nn.ReLU, gate: type[nn.Module] = nn.Sigmoid
    ) -> None:
        super().__init__()
        self.factor = nn.Sequential(
            nn.AdaptiveAvgPool2d(1),
            nn.Conv2d(channels, squeezed, 1),
            activation(),
            nn.Conv2d(squeezed, channels, 1),
            gate(),
        )

    def forward(self, x: Tensor) -> Tensor:
        """Return a tensor of x's shape (batch, channels, height, width)."""
        y: Tensor = x * self.factor(x)
        return y


class InvertedResidual(nn.Module):
    """Expand 1x1, convolve depthwise, project 1x1 without an activation; add the input where it fits.

    Where nothing is to be expanded there is no first convolution. A `SqueezeExcite` stands before the last.
    """

    def __init__(
        self,
        inputs: int,
        hidden: int,
        outputs: int,
        stride: int,
        *,
        kernel: int = 3,
        activation: type[nn.Module] = nn.ReLU6,
        squeeze: SqueezeExcite | None = None,
    ) -> None:
        super().__init__()
        expand = [*conv_bn(inputs, hidden, 1), activation()] if hidden > inputs else []
        depthwise = [*conv_bn(hidden, hidden, kernel, stride, hidden), activation()]
        excite = [squeeze] if squeeze else []
        self.body = nn.Sequential(*expand, *depthwise, *excite, *conv_bn(hidden, outputs, 1))
        self.residual = inputs == outputs and stride == 1

    def forward(self, x: Tensor) -> Tensor:
        """Return (batch, outputs, height / stride, width / stride)."""
        y: Tensor = self.body(x)
        return x + y if self.residual else y


class Classifier(nn.Module):
    """Features, average over the image, and what makes logits of the averages."""

    def __init__(self, features: Sequence[nn.Module], head: nn.Module) -> None:
        super().__init__()
        self.features = nn.Sequential(*features)
        self.pool = nn.AdaptiveAvgPool2d(1)
        self.classifier = head
        he_init(self)

    def forward(self, image: Tensor) -> Tensor:
        """Return logits (batch, classes) of images (batch, 3, height, width)."""
        logits: Tensor = self.classifier(self.pool(self.features(image)).flatten(1))
        return logits
