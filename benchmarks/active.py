"""Convolutions of sparse activations, dense weights: and the share of zeros at which they pass the best dense one.

    python benchmarks/active.py [--repeats 15] [--layers 64x64x3x3@56 ...]

Every contender gets the whole call, bias and ReLU included, on inputs in its best layout: by pixels (channels_last)
for oneDNN and for ours. Zeros lie at random, and inputs rotate so that no branch predictor learns them. A speedup is
the median thread CPU time of the fastest dense library over ours, all interleaved. "By channels" takes inputs as numpy
and torch make them, and still writes by pixels; "changes" and "spikes" update a state, where dense computes the layer
anew.
"""

from __future__ import annotations

import argparse
from collections.abc import Callable, Sequence

import numpy as np
from numpy.typing import NDArray

from kernels.active import by_pixels, conv_active, delta_conv_update, pack_active, spike_conv
from kernels.active.packed import ActiveWeight
from kernels.baselines import EAGER, LIBRARIES, Convolution, Operands, best, draw, prepare, torch_threads
from kernels.measure import Call, interleave

ZEROS = (0.1, 0.2, 0.3, 0.4, 0.5, 0.6, 0.7, 0.8, 0.9, 0.95)
"""Shares of zeros."""

INPUT_VALUES = 2**18
"""At least so many values rotate for each share, in two inputs or more: the branch predictor learns fewer."""

SAMPLE_S = 5e-3
"""Seconds that a sample lasts at least, so that inputs are as warm as those that another layer has just written."""

LAYERS = (
    *(Convolution(c, c, size, size, 3) for c, size in ((64, 56), (128, 28), (256, 14), (512, 7), (512, 14))),
    Convolution(128, 128, 56, 56, 3, 2),
    *(Convolution(m, c, size, size) for m, c, size in ((256, 64, 56), (64, 256, 56), (512, 128, 28))),
    *(
        Convolution(m, c, size, size)
        for m, c, size in ((1024, 256, 14), (256, 1024, 14), (2048, 512, 7), (512, 2048, 7))
    ),
)
"""Of ResNet-50 and VGG-16."""

Kind = Callable[[ActiveWeight, Operands, list[NDArray[np.float32]]], Call]


def activations(packed: ActiveWeight, operands: Operands, xs: list[NDArray[np.float32]]) -> Call:
    """Return the convolution of inputs that lie by pixels."""
    ready = [by_pixels(x) for x in xs]
    return lambda number: conv_active(packed, ready[number % len(ready)], operands.bias, 0.0)


def by_channels(packed: ActiveWeight, operands: Operands, xs: list[NDArray[np.float32]]) -> Call:
    """Return the convolution of inputs that lie by channels."""
    return lambda number: conv_active(packed, xs[number % len(xs)], operands.bias, 0.0)


def changes(packed: ActiveWeight, operands: Operands, xs: list[NDArray[np.float32]]) -> Call:
    """Return the update of a state by changes that lie by pixels."""
    ready = [by_pixels(x) for x in xs]
    state = conv_active(packed, ready[0], operands.bias)
    return lambda number: delta_conv_update(packed, ready[number % len(ready)], state)


def spikes(packed: ActiveWeight, operands: Operands, xs: list[NDArray[np.float32]]) -> Call:
    """Return the update of potentials by spikes that lie by pixels."""
    ready = [by_pixels(x) != 0 for x in xs]
    potential = conv_active(packed, xs[0], operands.bias)
    return lambda number: spike_conv(packed, ready[number % len(ready)], potential)


KINDS: dict[str, Kind] = {"activations": activations, "by channels": by_channels, "changes": changes, "spikes": spikes}
"""What is timed."""


def name(layer: Convolution) -> str:
    """Return a layer's sizes: outputs x inputs x kernel @ input size, / stride."""
    text = f"{layer.outputs}x{layer.inputs}x{layer.kernel}x{layer.kernel}@{layer.width}"
    return text + (f"/{layer.stride}" if layer.stride > 1 else "")


def thinned(layer: Convolution, zeros: float, random: np.random.Generator) -> list[NDArray[np.float32]]:
    """Return inputs of which a share is zero, at random places."""
    inputs = max(2, -(-INPUT_VALUES // int(np.prod(layer.x_shape))))
    kept = [random.random(layer.x_shape, np.float32) >= zeros for _ in range(inputs)]
    return [random.standard_normal(layer.x_shape, np.float32) * keep for keep in kept]


def crossover(speedups: Sequence[float]) -> str:
    """Return the share of zeros at which the speedup passes 1, between the measured shares."""
    if speedups[0] >= 1:
        return f"<{ZEROS[0]:.0%}"
    for i in range(1, len(ZEROS)):
        if speedups[i] >= 1:
            slower, faster = 1 / speedups[i - 1], 1 / speedups[i]
            return f"{ZEROS[i - 1] + (ZEROS[i] - ZEROS[i - 1]) * (slower - 1) / (slower - faster):.0%}"
    return f">{ZEROS[-1]:.0%}"


def compare(layer: Convolution, repeats: int) -> None:
    """Print a layer's lines."""
    operands = draw(layer)
    libraries = tuple(library for library in LIBRARIES if library not in EAGER)
    fastest = best(layer, operands, names=libraries).baseline
    dense = prepare(layer, operands, (fastest,))[0][fastest]
    packed = pack_active(operands.weight, layer.stride, layer.padding)
    random = np.random.default_rng(0)
    for kind, make in KINDS.items():
        calls = {f"{zeros:.0%}": make(packed, operands, thinned(layer, zeros, random)) for zeros in ZEROS}
        with torch_threads(1):
            timings = interleave({"dense": dense.run, **calls}, repeats, SAMPLE_S)
        speedups = [timings["dense"].seconds / timings[label].seconds for label in calls]
        gflops = layer.flops / timings["dense"].seconds / 1e9
        cells = "".join(f"{speedup:6.2f}" for speedup in speedups)
        print(f"{name(layer):18} {kind:12} {fastest:19} {gflops:4.0f} {cells} {crossover(speedups):>6}", flush=True)


def main() -> None:
    """Print the speedups of every layer and kind, and the share of zeros where they pass 1."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--repeats", type=int, default=15, help="rounds (15)")
    parser.add_argument("--layers", nargs="+", metavar="LAYER", help="only these, as the first column names them")
    options = parser.parse_args()
    known = {name(layer): layer for layer in LAYERS}
    if unknown := [text for text in options.layers or [] if text not in known]:
        parser.error(f"a layer must be one of {', '.join(known)}, not {unknown[0]}")
    print(
        f"{'layer':18} {'kind':12} {'dense':19} {'GF/s':>4} "
        + "".join(f"{zeros:6.0%}" for zeros in ZEROS)
        + "  passes 1 at"
    )
    for text in options.layers or known:
        compare(known[text], options.repeats)


if __name__ == "__main__":
    main()
