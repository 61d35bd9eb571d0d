"""Dense libraries to compare with, each at its best: weights packed once, inputs in its favourite layout, one thread.

Against default torch any sparse kernel looks twice as good as it is. So a baseline here is the fastest, for each
shape, of packed oneDNN, onnxruntime and our own dense kernel; eager torch is shown beside.

    problem = conv1x1(512, 512, 14, 14)
    dense = best(problem)
    dense.baseline, dense.baseline_s, dense.eager_s
"""

from kernels.baselines.choose import EAGER, LIBRARIES, TOLERANCE, Dense, best, prepare, torch_threads
from kernels.baselines.contender import Contender, LeftOutError
from kernels.baselines.problem import (
    Convolution,
    Linear,
    Operands,
    Problem,
    conv1x1,
    conv3x3,
    depthwise,
    draw,
    reference,
)

__all__ = [
    "EAGER",
    "LIBRARIES",
    "TOLERANCE",
    "Contender",
    "Convolution",
    "Dense",
    "LeftOutError",
    "Linear",
    "Operands",
    "Problem",
    "best",
    "conv1x1",
    "conv3x3",
    "depthwise",
    "draw",
    "prepare",
    "reference",
    "torch_threads",
]
