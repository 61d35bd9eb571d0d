"""Depthwise: the kernels beside 1x1 convolutions in MobileNets, against oneDNN and onnxruntime, one thread.

Run ``python benchmarks/depthwise.py`` (half a minute). A figure is how many times as long as ours a library takes,
above 1 where ours is faster; ``fastest`` takes the fastest library. All have their weights packed and their inputs in
the layout they like best; ours has planes from `kernels.empty`. Several calls in a row take two inputs by turns: like
the activations of a network these come from the L2 or L3 cache.
"""

from __future__ import annotations

from collections.abc import Callable
from math import inf

import numpy as np

from kernels import baselines
from kernels.arrays import empty, flat
from kernels.baselines import Convolution, Operands
from kernels.measure import interleave
from kernels.windows import convolution, depthwise
from kernels.windows.geometry import Geometry

LIBRARIES = ("onednn", "onnxruntime", "onnxruntime blocked")

# (channels, side, kernel, stride)
NETWORKS = {
    "MobileNet-v1": (
        *((32, 112, 3, 1), (64, 112, 3, 2), (128, 56, 3, 1), (128, 56, 3, 2), (256, 28, 3, 1), (256, 28, 3, 2)),
        *((512, 14, 3, 1), (512, 14, 3, 2), (1024, 7, 3, 1)),
    ),
    "MobileNet-v2": (
        *((96, 112, 3, 2), (144, 56, 3, 1), (144, 56, 3, 2), (192, 28, 3, 1), (192, 28, 3, 2)),
        *((384, 14, 3, 1), (576, 14, 3, 1), (576, 14, 3, 2), (960, 7, 3, 1)),
    ),
    "MobileNet-v3 and EfficientNet-B0": (
        *((72, 56, 5, 2), (144, 56, 5, 2), (120, 28, 5, 1), (240, 28, 5, 1), (480, 14, 5, 1), (672, 14, 5, 1)),
        *((672, 14, 5, 2), (960, 7, 5, 1), (1152, 7, 5, 1)),
    ),
}


def planes(image: np.ndarray) -> np.ndarray:
    """Return (1, channels, height, width) as (channels, pixels), every plane on a cache line."""
    matrix = empty(image.shape[1], image[0, 0].size)
    matrix[:] = image[0].reshape(len(matrix), -1)
    return matrix


def ours(problem: Convolution, operands: Operands) -> Callable[[int], None]:
    """Return our kernel as a runner would hold it: ready, on flat memory."""
    module = depthwise if problem.groups > 1 else convolution
    geometry = Geometry(problem.kernel, problem.stride, problem.padding, problem.height, problem.width)
    run = module.on_planes(operands.weight, operands.bias, geometry)
    xs = [flat(planes(x)) for x in operands.inputs]
    y = flat(empty(problem.outputs, geometry.rows * geometry.columns))
    low, high = np.float32(0 if operands.relu else -inf), np.float32(inf)
    return lambda number: run(*xs[number % len(xs)], low, high, *y)


def compare(name: str, problem: Convolution) -> float:
    """Print one row, and return how many times as long as ours the fastest library takes."""
    operands = baselines.draw(problem)
    contenders, _ = baselines.prepare(problem, operands, LIBRARIES)
    with baselines.torch_threads(1):
        runs = {one: contender.run for one, contender in contenders.items()} | {"ours": ours(problem, operands)}
        timings = interleave(runs, repeats=31, least_s=1e-3)
    own = timings.pop("ours").seconds
    ratios = {one: timing.seconds / own for one, timing in timings.items()}
    rate = problem.flops / own / 1e9
    cells = "".join(f"{ratios[one]:>22.2f}" if one in ratios else f"{'-':>22}" for one in LIBRARIES)
    print(f"{name:<22}{cells}{min(ratios.values()):>10.2f}{rate:>12.1f}", flush=True)
    return min(ratios.values())


def main() -> None:
    """Print all tables."""
    header = f"{'':<22}{''.join(f'{one:>22}' for one in LIBRARIES)}{'fastest':>10}{'ours GF/s':>12}"
    least = inf
    for network, shapes in NETWORKS.items():
        print(f"\n{network}\n{header}")
        for channels, side, kernel, stride in shapes:
            name = f"{channels} {kernel}x{kernel}/{stride} {side}x{side}"
            least = min(least, compare(name, baselines.depthwise(channels, side, kernel, stride)))
    print(f"\nFirst layer\n{header}")
    least = min(least, compare("3-32 3x3/2 224x224", baselines.conv3x3(32, 3, 224, 224, 2)))
    print(f"\nLeast: {least:.2f}")


if __name__ == "__main__":
    main()
