"""The layers that are timed: shapes of whole networks, each distinct one once with how often it occurs."""

from __future__ import annotations

from dataclasses import dataclass

from kernels.baselines import Convolution, Linear, conv1x1, conv3x3, depthwise


@dataclass(frozen=True)
class Layer:
    """A shape and how often the network has it: a total counts it so often."""

    problem: Convolution | Linear
    count: int

    @property
    def name(self) -> str:
        """Outputs x inputs (a depthwise one: channels and window), and what it is applied to."""
        problem = self.problem
        if isinstance(problem, Linear):
            batch = f" batch {problem.batch}" if problem.batch > 1 else ""
            return f"{problem.outputs}x{problem.inputs}{batch}"
        size = f"@{problem.height}x{problem.width}"
        if problem.groups == 1:
            return f"{problem.outputs}x{problem.inputs}{size}"
        stride = f"/{problem.stride}" if problem.stride > 1 else ""
        return f"{problem.outputs} {problem.kernel}x{problem.kernel}{stride}{size}"


def _pointwise(*shapes: tuple[int, int, int, int]) -> tuple[Layer, ...]:
    """Return 1x1 convolutions of (outputs, inputs, side, count)."""
    return tuple(Layer(conv1x1(outputs, inputs, side, side), count) for outputs, inputs, side, count in shapes)


NETS = {
    "mobilenet_v1": _pointwise(
        (64, 32, 112, 1),
        (128, 64, 56, 1),
        (128, 128, 56, 1),
        (256, 128, 28, 1),
        (256, 256, 28, 1),
        (512, 256, 14, 1),
        (512, 512, 14, 5),
        (1024, 512, 7, 1),
        (1024, 1024, 7, 1),
    ),
    "resnet50": _pointwise(
        (64, 64, 56, 1),
        (256, 64, 56, 4),
        (64, 256, 56, 2),
        (128, 256, 56, 1),
        (512, 128, 28, 4),
        (512, 256, 28, 1),
        (128, 512, 28, 3),
        (256, 512, 28, 1),
        (1024, 256, 14, 6),
        (1024, 512, 14, 1),
        (256, 1024, 14, 5),
        (512, 1024, 14, 1),
        (2048, 512, 7, 3),
        (2048, 1024, 7, 1),
        (512, 2048, 7, 2),
    ),
}
"""All 1x1 convolutions of the networks on 224x224 pixels: 13 of MobileNet-v1 (Howard et al., 2017), 36 of ResNet-50
(He et al., 2015, its stride in the 3x3). A strided one is a plain one on the pixels that it keeps."""

DEPTHWISE = tuple(
    Layer(depthwise(channels, size, stride=stride), count)
    for channels, size, stride, count in (
        (32, 112, 1, 1),
        (64, 112, 2, 1),
        (128, 56, 1, 1),
        (128, 56, 2, 1),
        (256, 28, 1, 1),
        (256, 28, 2, 1),
        (512, 14, 1, 5),
        (512, 14, 2, 1),
        (1024, 7, 1, 1),
    )
)
"""The 13 depthwise convolutions of MobileNet-v1."""

CONV3X3 = tuple(
    Layer(conv3x3(channels, channels, size, size), count)
    for channels, size, count in ((64, 56, 3), (128, 28, 3), (256, 14, 5), (512, 7, 2))
)
"""The 3x3 convolutions of ResNet-50 that have no stride."""

GEMV = (Layer(Linear(4096, 4096), 1), Layer(Linear(11008, 4096), 1))
"""Two layers of a language model of 7 billion weights (Llama), one token at a time."""

LINEAR = (Layer(Linear(4096, 4096, 64), 1),)
"""The same for 64 tokens."""
