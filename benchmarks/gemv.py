"""Matrix times vector, cold: what each kind of sparsity gains over the best dense product of this machine.

Run ``python benchmarks/gemv.py [--json FILE]``. Weights rotate through copies many times the size of the last cache,
and masks through many, so that neither the caches nor the branch predictor can learn them. Every figure is a ratio of
times that were taken in turns (`kernels.measure.interleave`), on one core.
"""

from __future__ import annotations

import argparse
import dataclasses
import json
from collections.abc import Callable, Iterator, Sequence
from pathlib import Path
from typing import Any

import numpy as np
import torch
from numpy.typing import NDArray

from kernels import Packed, empty, machine, pack
from kernels.matvec import delta_update, gemv, gemv_columns, gemv_rows, nm, sliced, spike_update
from kernels.matvec.memory import stream
from kernels.measure import Call, interleave

SHAPES = ((4096, 4096), (11008, 4096))
POOL = 768 << 20
"""Bytes through which the weights of one contender rotate."""
MASKS = 61
REPEATS = 11
LEAST_S = 4e-3
"""Seconds of a sample: several calls, for the interpreter to be in the caches, from which weights drive it too."""
SKIPPED = (0.5, 0.7, 0.9)
PATTERNS = {
    "2:4": (0.5,),
    "1:4": (0.75,),
    "1:8": (0.875,),
    "unstructured": (0.5, 0.7, 0.9, 0.95),
    "group:2": (0.9,),
    "group:4": (0.9,),
    "group:8": (0.9,),
    "group:16": (0.9,),
    "block:4x4": (0.9,),
}
Floats = NDArray[np.float32]


def kept(shape: tuple[int, int], pattern: str, sparsity: float, rng: np.random.Generator) -> NDArray[np.bool_]:
    """Draw which weights are not zero."""
    rows, columns = shape
    head, _, size = pattern.partition(":")
    if head.isdecimal():
        draws = rng.random((rows, columns // int(size), int(size)), np.float32)
        return (draws.argsort(axis=2).argsort(axis=2) < int(head)).reshape(shape)
    tall, wide = map(int, (f"{size or 1}x1" if head != "block" else size).split("x"))
    draws = rng.random((-(-rows // tall), -(-columns // wide)), np.float32) >= sparsity
    return draws.repeat(tall, 0).repeat(wide, 1)[:rows, :columns]


def again(layout: Any) -> Any:  # noqa: ANN401  # any of the dataclasses of flat arrays
    """Return a copy of a layout, or of several, in memory of its own."""
    if isinstance(layout, list):
        return [again(part) for part in layout]
    copies = {}
    for field in dataclasses.fields(layout):
        value = getattr(layout, field.name)
        if isinstance(value, np.ndarray):
            copies[field.name] = stream(value.size, value.dtype.type)
            copies[field.name][:] = value
    return dataclasses.replace(layout, **copies)


def rotating(packed: Packed, x: Floats) -> tuple[Call, int]:
    """Return the product with copies of a packed matrix in turns, and the bytes that one reads."""
    streamed = nm.fits(packed.store)
    layout = nm.layout_of(packed) if streamed else sliced.layouts(packed)
    size = sum(part.bytes for part in (layout if isinstance(layout, list) else [layout]))
    copies = [Packed(packed.pattern, packed.store) for _ in range(-(-POOL // size))]
    for copy in copies:
        copy.layout(nm.LAYOUT if streamed else sliced.LAYOUT, lambda _store: again(layout))
    return lambda number: gemv(copies[number % len(copies)], x), size


def dense(weights: Sequence[Floats], x: Floats) -> dict[str, Call]:
    """Return the dense contenders: ours with the matrix as it is and packed, and what torch and oneDNN have."""
    tensors = [torch.from_numpy(weight) for weight in weights]
    vector, count = torch.from_numpy(x), len(weights)
    packed = [pack(weight, "dense") for weight in weights]
    calls: dict[str, Call] = {
        "plain": lambda number: gemv(weights[number % count], x),
        "packed": lambda number: gemv(packed[number % count], x),
        "torch mv": lambda number: torch.mv(tensors[number % count], vector),
        "torch linear": lambda number: torch.nn.functional.linear(vector[None], tensors[number % count]),
    }
    if torch.backends.mkldnn.is_available():
        ordered = [torch.ops.mkldnn._reorder_linear_weight(tensor, 1) for tensor in tensors]
        linear = torch.ops.mkldnn._linear_pointwise
        calls["oneDNN"] = lambda number: linear(vector[None], ordered[number % count], None, "none", [], "")
    return calls


def skipping(pool: Floats, shape: tuple[int, int], zeros: float, rng: np.random.Generator) -> dict[str, Call]:
    """Return what skips inputs or outputs, this share of them."""
    outputs, inputs = shape
    masks = [rng.random(inputs) >= zeros for _ in range(MASKS)]
    gates = [rng.random(outputs) >= zeros for _ in range(MASKS)]
    values = [(rng.standard_normal(inputs) * mask).astype(np.float32) for mask in masks]
    full = rng.standard_normal(inputs).astype(np.float32)
    columns, rows = views(pool, inputs, outputs), views(pool, outputs, inputs)
    state = empty(1, outputs)[0]

    def turns(first: int, call: Callable[..., object], weights: Sequence[Floats], *lists: Sequence[Any]) -> Call:
        """Return calls that start at another mask than others do: these may have left their columns in the cache."""
        return lambda i: call(weights[i % len(weights)], *(each[(i + first) % len(each)] for each in lists))

    return {
        "columns": turns(0, gemv_columns, columns, values),
        "delta": turns(15, delta_update, columns, values, [state]),
        "spikes": turns(30, spike_update, columns, masks, [state]),
        "rows": turns(45, gemv_rows, rows, [full], gates),
    }


def views(pool: Floats, rows: int, columns: int) -> list[Floats]:
    """Return matrices that share out one memory, their rows an odd number of cache lines apart."""
    stride = 16 * (-(-columns // 16) | 1)
    size = rows * stride
    return [pool[at : at + size].reshape(rows, stride)[:, :columns] for at in range(0, pool.size - size + 1, size)]


def ratios(references: dict[str, Call], contenders: dict[str, Call], bounds: dict[str, float]) -> list[dict[str, Any]]:
    """Measure: for each contender its speedup over the best reference, and what its bytes allow."""
    times = interleave(references | contenders, REPEATS, LEAST_S)
    best = min(references, key=lambda name: times[name].seconds)
    rows = []
    for name in contenders:
        speedup, bound = times[best].seconds / times[name].seconds, bounds[name]
        rows.append({"name": name, "speedup": speedup, "byte_bound": bound, "share": speedup / bound, "dense": best})
    return rows


def figures(shape: tuple[int, int], seed: int) -> Iterator[dict[str, Any]]:
    """Measure everything for one shape."""
    rng = np.random.default_rng(seed)
    pool = stream(POOL // 4, np.float32)
    pool[:] = np.resize(rng.standard_normal(1 << 20, np.float32), pool.size)
    x = rng.standard_normal(shape[1], np.float32)
    size = shape[0] * shape[1]
    references = dense([pool[at : at + size].reshape(shape) for at in range(0, pool.size - size + 1, size)], x)
    about = {"shape": f"{shape[0]}x{shape[1]}", "zeros": 0.0}
    measured = ratios(references, references, dict.fromkeys(references, 1.0))
    yield from (about | row for row in measured)
    fastest = sorted(measured, key=lambda row: -row["speedup"])[:2]
    references = {row["name"]: references[row["name"]] for row in fastest}
    for zeros in SKIPPED:
        calls = skipping(pool, shape, zeros, rng)
        bounds = dict.fromkeys(calls, 1 / (1 - zeros))
        yield from (about | {"zeros": zeros} | row for row in ratios(references, calls, bounds))
    for pattern, sparsities in PATTERNS.items():
        for sparsity in sparsities:
            weight = rng.standard_normal(shape, np.float32) * kept(shape, pattern, sparsity, rng)
            call, bytes_read = rotating(pack(weight, pattern), x)
            rows = ratios(references, {pattern: call}, {pattern: 4 * size / bytes_read})
            yield from (about | {"zeros": sparsity} | row for row in rows)


def main() -> None:
    """Print the table, and write it as JSON if asked to."""
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--json", type=Path, help="file to write the figures to")
    parser.add_argument("--seed", type=int, default=0)
    options = parser.parse_args()
    torch.set_num_threads(1)
    print(f"{'shape':>11} {'':<13} zeros speedup  bound  share  best dense")
    rows = []
    for row in (row for shape in SHAPES for row in figures(shape, options.seed)):
        rows.append(row)
        head = f"{row['shape']:>11} {row['name']:<13} {row['zeros']:5.3f}"
        print(f"{head} {row['speedup']:7.2f} {row['byte_bound']:6.2f} {row['share']:6.2f}  {row['dense']}", flush=True)
    if options.json:
        options.json.write_text(json.dumps({"machine": machine.describe(), "figures": rows}, indent=1))


if __name__ == "__main__":
    main()
