"""MobileNet v3: Howard et al., "Searching for MobileNetV3", ICCV 2019, tables 1 (large) and 2 (small)."""

from __future__ import annotations

from collections.abc import Sequence
from typing import NamedTuple

from torch import Tensor, nn

from traces.zoo.blocks import conv_bn
from traces.zoo.inverted import Classifier, InvertedResidual, SqueezeExcite, scaled, square

_RE, _HS = nn.ReLU, nn.Hardswish


class _Row(NamedTuple):
    """One block: depthwise kernel, expanded channels, output channels, squeeze-and-excite, activation, stride."""

    kernel: int
    expanded: int
    outputs: int
    squeeze: bool
    activation: type[nn.Module]
    stride: int


_LARGE = (
    _Row(3, 16, 16, False, _RE, 1),
    _Row(3, 64, 24, False, _RE, 2),
    _Row(3, 72, 24, False, _RE, 1),
    _Row(5, 72, 40, True, _RE, 2),
    _Row(5, 120, 40, True, _RE, 1),
    _Row(5, 120, 40, True, _RE, 1),
    _Row(3, 240, 80, False, _HS, 2),
    _Row(3, 200, 80, False, _HS, 1),
    _Row(3, 184, 80, False, _HS, 1),
    _Row(3, 184, 80, False, _HS, 1),
    _Row(3, 480, 112, True, _HS, 1),
    _Row(3, 672, 112, True, _HS, 1),
    _Row(5, 672, 160, True, _HS, 2),
    _Row(5, 960, 160, True, _HS, 1),
    _Row(5, 960, 160, True, _HS, 1),
)
_SMALL = (
    _Row(3, 16, 16, True, _RE, 2),
    _Row(3, 72, 24, False, _RE, 2),
    _Row(3, 88, 24, False, _RE, 1),
    _Row(5, 96, 40, True, _HS, 2),
    _Row(5, 240, 40, True, _HS, 1),
    _Row(5, 240, 40, True, _HS, 1),
    _Row(5, 120, 48, True, _HS, 1),
    _Row(5, 144, 48, True, _HS, 1),
    _Row(5, 288, 96, True, _HS, 2),
    _Row(5, 576, 96, True, _HS, 1),
    _Row(5, 576, 96, True, _HS, 1),
)


def large(*, image: int = 224, reduced: bool = False) -> tuple[Classifier, tuple[Tensor]]:
    """Return MobileNet v3 large and an image."""
    return _network(_LARGE, 1280, reduced), square(image, reduced=reduced)


def small(*, image: int = 224, reduced: bool = False) -> tuple[Classifier, tuple[Tensor]]:
    """Return MobileNet v3 small and an image."""
    return _network(_SMALL, 1024, reduced), square(image, reduced=reduced)


def _network(rows: Sequence[_Row], hidden: int, reduced: bool) -> Classifier:
    """Return the network of a table; reduced, its first four blocks at a quarter of the width."""
    width, classes = (0.25, 10) if reduced else (1.0, 1000)
    channels = scaled(16, width)
    features: list[nn.Module] = [*conv_bn(3, channels, 3, 2), _HS()]
    for row in rows[:4] if reduced else rows:
        expanded, outputs = scaled(row.expanded, width), scaled(row.outputs, width)
        squeeze = SqueezeExcite(expanded, scaled(expanded, 0.25), nn.ReLU, nn.Hardsigmoid) if row.squeeze else None
        features.append(
            InvertedResidual(
                channels,
                expanded,
                outputs,
                row.stride,
                kernel=row.kernel,
                activation=row.activation,
                squeeze=squeeze,
            )
        )
        channels = outputs
    last, hidden = 6 * channels, scaled(hidden, width)
    features += [*conv_bn(channels, last, 1), _HS()]
    return Classifier(features, nn.Sequential(nn.Linear(last, hidden), _HS(), nn.Linear(hidden, classes)))
