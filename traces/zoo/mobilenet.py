"""MobileNet v1 (Howard et al., arXiv:1704.04861, table 1) and v2 (Sandler et al., CVPR 2018, table 2)."""

from __future__ import annotations

from torch import Tensor, nn

from traces.zoo.blocks import conv_bn
from traces.zoo.inverted import Classifier, InvertedResidual, scaled, square

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


def mobilenet_v1(*, width: float = 1.0, image: int = 224, reduced: bool = False) -> tuple[Classifier, tuple[Tensor]]:
    """Return MobileNet v1 and an image; ``width`` multiplies every layer's channels, to the nearest 8.

    The paper's widths (1, 0.75, 0.5, 0.25) are multiples of 8 as they are.
    """
    if reduced:
        width /= 4
    channels = _nearest_eight(32 * width)
    features: list[nn.Module] = [*conv_bn(3, channels, 3, 2), nn.ReLU()]
    for base, stride in _V1[:3] if reduced else _V1:
        outputs = _nearest_eight(base * width)
        features += [*conv_bn(channels, channels, 3, stride, channels), nn.ReLU()]
        features += [*conv_bn(channels, outputs, 1), nn.ReLU()]
        channels = outputs
    model = Classifier(features, nn.Linear(channels, 10 if reduced else 1000))
    return model, square(image, reduced=reduced)


def mobilenet_v2(*, width: float = 1.0, image: int = 224, reduced: bool = False) -> tuple[Classifier, tuple[Tensor]]:
    """Return MobileNet v2 and an image; ``width`` multiplies the channels (the last layer's only above 1)."""
    last = scaled(64 if reduced else 1280, max(1.0, width))
    if reduced:
        width /= 4
    channels = scaled(32, width)
    features: list[nn.Module] = [*conv_bn(3, channels, 3, 2), nn.ReLU6()]
    for expansion, base, repeats, first_stride in _V2[:2] if reduced else _V2:
        outputs = scaled(base, width)
        for repeat in range(repeats):
            stride = 1 if repeat else first_stride
            features.append(InvertedResidual(channels, expansion * channels, outputs, stride))
            channels = outputs
    features += [*conv_bn(channels, last, 1), nn.ReLU6()]
    model = Classifier(features, nn.Linear(last, 10 if reduced else 1000))
    return model, square(image, reduced=reduced)


def _nearest_eight(channels: float) -> int:
    return max(8, int(channels + 4) // 8 * 8)
