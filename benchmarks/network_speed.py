"""Whole MobileNet-v1 in our kernels, sparse and dense, against whole networks in onnxruntime and torch.

``python benchmarks/network_speed.py`` prints a Markdown table; `kernel_speed.py` puts it into docs/kernels.md.
All are given the same weights and image, all results are compared first, and calls are interleaved. One thread is
timed in thread CPU time, two in wall time.
"""

from __future__ import annotations

import dataclasses
from collections.abc import Mapping, Sequence

import click
import numpy as np
from numpy.typing import NDArray

from kernels.baselines import torch_threads, whole
from kernels.baselines.contender import LeftOutError
from kernels.bench.prune import prune
from kernels.chain import Convolution, Layer, mobilenet_v1
from kernels.measure import Call, Timing, interleave
from kernels.runner import Runner

IMAGE = (1, 3, 224, 224)
VARIANTS = (
    ("dense", 0.0),
    *(("unstructured", sparsity) for sparsity in (0.5, 0.7, 0.8, 0.9, 0.95)),
    *(("group:4", sparsity) for sparsity in (0.3, 0.5, 0.9)),
    ("group:16", 0.3),
)
Floats = NDArray[np.float32]


def pruned(layers: Sequence[Layer], pattern: str, sparsity: float) -> list[Layer]:
    """Return the chain with its 1x1 convolutions pruned by magnitude."""

    def one(layer: Layer) -> Layer:
        if pattern == "dense" or not isinstance(layer, Convolution) or layer.weight.shape[2] > 1:
            return layer
        return dataclasses.replace(layer, weight=prune(layer.weight[:, :, 0, 0], pattern, sparsity)[:, :, None, None])

    return [one(layer) for layer in layers]


def dense_libraries(layers: Sequence[Layer], threads: int) -> dict[str, whole.Run]:
    """Return the whole network in every library that can run it here."""
    found: dict[str, whole.Run] = {"eager torch": whole.eager(layers)}
    for name, make in (
        ("torch.compile", lambda: whole.compiled(layers, IMAGE)),
        ("onnxruntime", lambda: whole.onnxruntime(layers, IMAGE, threads)),
    ):
        try:
            found[name] = make()
        except LeftOutError as reason:
            click.echo(f"{name} is left out: {reason}", err=True)
    return found


def check(name: str, result: Floats, expected: Floats) -> None:
    """Stop if a result is wrong."""
    error = float(np.abs(result - expected).max() / np.abs(expected).max())
    if error > 1e-4:
        raise SystemExit(f"{name} is off by {error:.1e}")


def times(threads: int, rounds: int) -> Mapping[str, Timing]:
    """Return what every library and every sparse variant takes for one image."""
    layers = mobilenet_v1()
    image = np.random.default_rng(0).standard_normal(IMAGE).astype(np.float32)
    with torch_threads(threads):
        libraries = dense_libraries(layers, threads)
        expected = libraries["eager torch"](image)
        calls: dict[str, Call] = {}
        for name, run in libraries.items():
            check(name, run(image), expected)
            calls[name] = lambda _number, run=run: run(image)
        for pattern, sparsity in VARIANTS:
            chain = pruned(layers, pattern, sparsity)
            runner = Runner(chain, IMAGE[1:], pattern, threads)
            name = f"{pattern} {sparsity:.0%}"
            check(name, runner(image), whole.eager(chain)(image))
            calls[name] = lambda _number, runner=runner: runner(image)
        return interleave(calls, rounds, threads=threads)


def report(rounds: int) -> str:
    """Return the table: milliseconds with one and two threads, and the ratio to the fastest library."""
    one, two = times(1, rounds), times(2, rounds)
    libraries = [name for name in one if " " not in name or name == "eager torch"]
    fastest = min(libraries, key=lambda name: one[name].seconds)
    lines = [
        f"| MobileNet-v1, 224x224, batch 1 | ms | over {fastest} | 2 threads, ms | over 1 thread |",
        "| --- | --: | --: | --: | --: |",
    ]
    for name, timing in one.items():
        title = name if name in libraries else f"ours, {name.replace('%', ' %')}"
        ratio = one[fastest].seconds / timing.seconds
        both = two[name].seconds
        lines.append(
            f"| {title} | {1e3 * timing.seconds:.2f} | {ratio:.2f} | {1e3 * both:.2f} | {timing.seconds / both:.2f} |"
        )
    return "\n".join(lines)


@click.command(help=__doc__)
@click.option("--rounds", default=21, show_default=True, help="Samples of each figure.")
def main(rounds: int) -> None:
    """Print the table."""
    click.echo(report(rounds))


if __name__ == "__main__":
    main()
