"""Models and files for the tests of the command line; the strings are models that users got wrong."""

MODELS = """
import time
from pathlib import Path

import torch
from torch import nn


class Fails(nn.Module):
    def forward(self, x):
        return x @ torch.ones(7, 7)


class Fft(nn.Module):
    def forward(self, x):
        return torch.fft.fft(x).abs()


def good():
    print("loading my weights")
    return nn.Sequential(nn.Linear(16, 12), nn.ReLU(), nn.Linear(12, 4)), torch.randn(8, 16)


def number():
    return 7


def nan_weights():
    model, inputs = good()
    with torch.no_grad():
        model[0].weight[3, 3] = float("nan")
    return model, inputs


def fails():
    return Fails(), torch.ones(2, 5)


def raises():
    raise RuntimeError("no checkpoint here")


def bare():
    return nn.Linear(4, 4)


def unknown():
    return Fft(), torch.ones(2, 8)


def slow():
    Path("started").touch()
    time.sleep(60)
"""

CONV = """Layer name, IFMAP height, IFMAP width, Filter height, Filter width, Channels, Num filter, Strides,
conv1, 34, 34, 3, 3, 3, 16, 1,
conv2, 34, 34, 3, 3, 16, 32, 1,
"""


def resnet50_csv() -> str:
    """Return the 54 layers of ResNet-50 v1.5 as a topology table, the padding they need counted into the inputs."""
    rows: list[str] = []

    def layer(name: str, out: int, kernel: int, channels: int, filters: int, stride: int = 1) -> None:
        side = (out - 1) * stride + kernel
        rows.append(f"{name},{side},{side},{kernel},{kernel},{channels},{filters},{stride},")

    layer("conv1", 112, 7, 3, 64, 2)
    channels, side = 64, 56
    for stage, (blocks, width) in enumerate(((3, 64), (4, 128), (6, 256), (3, 512)), 2):
        for block in range(blocks):
            stride = 2 if stage > 2 and block == 0 else 1
            layer(f"s{stage}b{block}a", side, 1, channels, width)
            side //= stride
            layer(f"s{stage}b{block}b", side, 3, width, width, stride)
            layer(f"s{stage}b{block}c", side, 1, width, 4 * width)
            if block == 0:
                layer(f"s{stage}skip", side, 1, channels, 4 * width, stride)
            channels = 4 * width
    layer("fc", 1, 1, 2048, 1000)
    return "\n".join([CONV.splitlines()[0], *rows]) + "\n"
