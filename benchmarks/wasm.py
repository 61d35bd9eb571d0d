"""The 1x1 convolutions of MobileNet-v1 in WebAssembly: sparse kernels against the dense kernel tuned for the engine.

Run ``python benchmarks/wasm.py [--engines wasmtime,v8] [--layers] [--json FILE]``. Dense is, for each shape, the
fastest of the engine's dense tiles. Every figure is a ratio of CPU times that were taken in turns, in the engine, on
one core; every result is compared with float64 first. With several Nodes on the machine, V8 is measured in each.
"""

from __future__ import annotations

import argparse
import json
from collections.abc import Iterator, Sequence
from pathlib import Path

import numpy as np
from numpy.typing import NDArray

from kernels.bench.nets import NETS
from kernels.bench.prune import prune
from kernels.loops.layer import Layer
from kernels.wasm import Engine, MissingEngineError, measure, start
from kernels.wasm.v8 import V8, find_nodes

CASES = (
    ("dense", 0.0),
    ("unstructured", 0.5),
    ("unstructured", 0.7),
    ("unstructured", 0.8),
    ("unstructured", 0.9),
    ("unstructured", 0.95),
    ("group:4", 0.5),
    ("group:4", 0.7),
    ("group:4", 0.9),
    ("2:4", 0.5),
)


def engines(names: Sequence[str]) -> Iterator[Engine]:
    """Yield the engines of this machine, and say which are missing."""
    for name in names:
        try:
            if name == "v8" and len(nodes := find_nodes()) > 1:
                yield from map(V8, nodes)
            else:
                yield start(name)
        except MissingEngineError as error:
            print(f"left out: {error}")


def layers(outputs: int, inputs: int, columns: int, seed: int) -> dict[str, tuple[str, Layer]]:
    """Return one layer with every kind of weights; they are as large as those of a trained network."""
    rng = np.random.default_rng(seed)
    weight = (rng.standard_normal((outputs, inputs)) / np.sqrt(inputs)).astype(np.float32)
    bias = rng.standard_normal(outputs).astype(np.float32)
    x = np.maximum(rng.standard_normal((inputs, columns)), 0).astype(np.float32)

    def pruned(pattern: str, sparsity: float) -> NDArray[np.float32]:
        return weight if pattern == "dense" else prune(weight, pattern, sparsity)

    return {f"{p} {s:.0%}": (p, Layer(pruned(p, s), bias, x, low=0, high=6)) for p, s in CASES}


Total = dict[str, float]


def sums(engine: Engine, seed: int, rounds: int) -> tuple[list[dict[str, object]], Total, Total]:
    """Return a row for each layer, and the seconds of every case over all layers: of medians, and of the fastest."""
    rows: list[dict[str, object]] = []
    total = {f"{pattern} {sparsity:.0%}": 0.0 for pattern, sparsity in CASES}
    least = total.copy()
    for layer in NETS["mobilenet_v1"]:
        outputs, inputs = layer.problem.outputs, layer.problem.inputs
        columns = layer.problem.y_shape[-1] * layer.problem.y_shape[-2]
        times = measure(engine, layers(outputs, inputs, columns, seed), rounds)
        for name, one in times.items():
            total[name] += layer.count * one.timing.seconds
            least[name] += layer.count * min(one.timing.samples)
            rows.append({
                "layer": f"{inputs}->{outputs}, {columns} pixels",
                "count": layer.count,
                "case": name,
                "plan": str(one.plan.plan),
                "fused": one.plan.fused,
                "seconds": one.timing.seconds,
                "speedup": times["dense 0%"].timing.seconds / one.timing.seconds,
            })  # fmt: skip
    return rows, total, least


def main() -> None:
    """Measure and print."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--engines", default="wasmtime,v8", help="which engines, with commas")
    parser.add_argument("--rounds", type=int, default=9, help="samples of each kernel")
    parser.add_argument("--seed", type=int, default=0, help="of weights and inputs")
    parser.add_argument("--layers", action="store_true", help="print every layer")
    parser.add_argument("--json", type=Path, help="write all of it to a file")
    options = parser.parse_args()
    found = {}
    for engine in engines(options.engines.split(",")):
        rows, total, least = sums(engine, options.seed, options.rounds)
        print(f"{engine.version}, relaxed SIMD: {'yes' if engine.fused else 'no'}; {engine.clock}")
        if options.layers:
            for row in rows:
                print(
                    f"  {row['layer']:<24}{row['case']:<18}{row['speedup']:>6.2f}  {row['plan']}, fused={row['fused']}"
                )
        for name, seconds in total.items():
            undisturbed = least["dense 0%"] / least[name]
            print(
                f"  {name:<18}{1e3 * seconds:>8.2f} ms{total['dense 0%'] / seconds:>8.2f} x dense"
                f" ({undisturbed:.2f} by the fastest samples)"
            )
        found[engine.version] = {"layers": rows, "seconds": total, "least_s": least}
        engine.close()
    if options.json:
        options.json.write_text(json.dumps(found, indent=1))


if __name__ == "__main__":
    main()
