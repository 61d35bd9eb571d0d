"""How far simulated speedups are from measured ones on this machine, on shapes that the constants were not fitted on.

Run ``python benchmarks/compare.py`` on an idle machine. It measures every shape below, dense and with every pattern and
sparsity, on the host and in both WebAssembly engines; fits the constants of `codesign.comparison.calibration` on every
other shape of the list (those at even places); and prints the errors on the rest. ``--write`` keeps the constants with
the package. ``--save FILE`` keeps what was measured, ``--load FILE`` takes it instead of measuring.

A measurement is repeated (``--passes``), and of each kernel the fastest median counts: neighbours on a shared machine
only ever make a kernel slower.
"""

from __future__ import annotations

import json
import time
from collections.abc import Callable, Iterator, Sequence
from dataclasses import asdict
from pathlib import Path
from typing import Any

import click
import numpy as np
import yaml
from numpy.typing import NDArray

from codesign.comparison.calibration import PATH, Calibration, Counts, fitted
from codesign.comparison.figures import Errors, errors
from codesign.comparison.host import Host, host_core
from codesign.comparison.host_counts import blocked_counts, product_counts, sparse_counts
from codesign.comparison.job import Job, Variant
from codesign.comparison.vector import skipping_counts, vector_counts
from codesign.comparison.wasm import ENGINES, Wasm, layer_of
from codesign.comparison.wasm_counts import counts
from hw_models.cpus.layer import Core
from kernels import machine
from kernels.bench.prune import fixed_sparsity, prune
from kernels.loops.layer import DensePlan, SparsePlan
from kernels.packed import pack
from kernels.wasm import WasmPlan

#: (M, K, side) of 1x1 convolutions of MobileNets and ResNet-50, and (M, K, rows) of linear layers.
CONVOLUTIONS = (
    (64, 32, 112), (128, 64, 56), (128, 128, 56), (256, 128, 28), (256, 256, 28), (512, 256, 14), (512, 512, 14),
    (1024, 512, 7), (1024, 1024, 7), (64, 64, 56), (256, 64, 56), (64, 256, 56), (512, 128, 28), (128, 512, 28),
    (1024, 256, 14), (256, 1024, 14), (512, 2048, 7), (2048, 512, 7), (96, 16, 112), (24, 96, 56), (144, 24, 56),
    (24, 144, 56), (192, 32, 28), (64, 384, 14), (320, 960, 7), (1280, 320, 7), (160, 960, 7), (576, 96, 14),
)  # fmt: skip
VECTORS = ((4096, 4096), (2048, 2048), (1024, 4096), (4096, 1024))
LINEAR = (
    (768, 768, 128),
    (3072, 768, 128),
    (768, 3072, 197),
    (512, 512, 16),
    (768, 512, 8),
    (1000, 1280, 32),
    (2048, 2048, 64),
    (4096, 4096, 64),
    (4096, 3072, 48),
)
SPARSITIES = (0.3, 0.5, 0.7, 0.9, 0.95)
PATTERNS = ("unstructured", "group:4", "group:16", "block:8x2")
N_OF_M = ("1:2", "3:10", "1:5", "1:10", "1:20")
#: Inputs that changed or spiked, in products with one vector; so many vectors are taken in turn.
ZEROS, SEQUENCE = ("delta", "spikes"), 16
#: The engines are slower to measure: sparse weights on these shapes only, dense on all.
WASM_SHAPES = (*CONVOLUTIONS[:9], (64, 256, 56), (24, 144, 56), (576, 96, 14), (320, 960, 7), (192, 32, 28))
TARGETS = ("host", "wasm-wasmtime", "wasm-v8")
PARTS = ("fitted on", "held out")

#: Contenders of `kernels.baselines` that each dense model stands for.
LIBRARIES = {
    "dense_blocked": ("onnxruntime blocked",),
    "dense_product": ("onednn", "onednn linear", "onnxruntime", "onnxruntime linear"),
}

Shape = tuple[int, int, int, int]
"""Outputs, inputs, columns, and the side of the image or 0 for a linear layer."""

Record = dict[str, Any]
"""A measurement: ``shape``, ``name`` (``dense``, or pattern and sparsity), ``kernel`` (which one), ``seconds``."""


def shapes(target: str) -> list[Shape]:
    """Return the shapes measured on a target; those at even places are fitted on."""
    convolutions = CONVOLUTIONS if target == "host" else tuple(dict.fromkeys(WASM_SHAPES + CONVOLUTIONS))
    linear = (*LINEAR, *((m, k, 1) for m, k in VECTORS)) if target == "host" else ()
    return [(m, k, side * side, side) for m, k, side in convolutions] + [(m, k, rows, 0) for m, k, rows in linear]


def cases() -> list[tuple[str, float]]:
    """Return every pattern at every sparsity; N:M patterns have their own."""
    found = [(pattern, sparsity) for pattern in PATTERNS for sparsity in SPARSITIES]
    return found + [(pattern, fixed_sparsity(pattern) or 0.0) for pattern in N_OF_M]


def job(target: str, shape: Shape) -> Job:
    """Return the product of a shape with normally distributed weights; what is measured dense only has no variants."""
    m, k, columns, side = shape
    weight = np.random.default_rng(0).standard_normal((m, k), np.float32)
    tried = cases() if target == "host" or (m, k, side) in WASM_SHAPES else []
    variants = [Variant(f"{p} {s:g}", p, s, prune(weight, p, s)) for p, s in tried]
    if columns == 1:
        zeros = [(kind, sparsity) for kind in ZEROS for sparsity in SPARSITIES]
        variants += [Variant(f"{kind} {s:g}", kind, s, weight, inputs(k, s, n)) for n, (kind, s) in enumerate(zeros)]
    return Job(("layer",), (m, k, columns), (1, side, side) if side else None, weight, tuple(variants))


def inputs(width: int, sparsity: float, seed: int) -> NDArray[np.bool_]:
    """Return which inputs of a sequence are not zero: an exact number, at random places."""
    random = np.random.default_rng(seed)
    return np.array([random.permutation(width) >= round(sparsity * width) for _ in range(SEQUENCE)])


def measure_host(one: Job, target: Host) -> Iterator[Record]:
    """Yield what the libraries and our kernels took."""
    dense, sparse = target.timings(one)
    for name, timing in dense.items():
        if not name.startswith("eager"):
            yield {"name": "dense", "kernel": name, "seconds": timing.seconds}
    for variant, timing in zip(one.variants, sparse, strict=True):
        yield {"name": variant.pattern, "kernel": "ours", "seconds": timing.seconds}


def measure_wasm(one: Job, target: Wasm) -> Iterator[Record]:
    """Yield what the fastest plan of each kernel took."""
    names = ["dense", *(variant.pattern for variant in one.variants)]
    for name, found in zip(names, target.timings(one), strict=True):
        plan = {"fused": found.plan.fused, **asdict(found.plan.plan)}
        yield {"name": name, "kernel": plan, "seconds": found.timing.seconds}


def measure(target: str, passes: int, say: Callable[[str], object]) -> list[Record]:
    """Return all measurements of a target, of each the fastest of the passes."""
    best: dict[tuple[Shape, str, str], Record] = {}
    for turn in range(passes):
        running = Host() if target == "host" else Wasm(target, measures=True)
        for shape in shapes(target):
            say(f"{target}, pass {turn + 1} of {passes}: {shape}")
            one = job(target, shape)
            records = measure_host(one, running) if isinstance(running, Host) else measure_wasm(one, running)
            for record in records:
                record["shape"] = shape
                key = shape, record["name"], json.dumps(record["kernel"] if isinstance(running, Host) else "")
                if key not in best or record["seconds"] < best[key]["seconds"]:
                    best[key] = record
        running.close()
    return list(best.values())


Sample = tuple[str, Counts, float]
"""Which model, what it counts, and the cycles measured."""


def host_samples(one: Job, records: Sequence[Record]) -> Iterator[Sample]:
    """Yield what the host's models count for the records of one shape."""
    cpu, _ = host_core("host")
    seconds = {(record["name"], record["kernel"]): record["seconds"] for record in records}
    if one.shape[2] == 1:
        best = min(record["seconds"] for record in records if record["name"] == "dense")
        yield "vector", vector_counts(pack(one.weight, "dense"), cpu), best * cpu.clock_hz
        for variant in one.variants:
            cycles = seconds[variant.pattern, "ours"] * cpu.clock_hz
            if variant.inputs is None:
                yield "vector", vector_counts(pack(variant.weight, variant.form), cpu), cycles
            else:
                yield "skipping", skipping_counts(variant, cpu), cycles
        return
    for model, libraries in LIBRARIES.items():
        found = [seconds["dense", name] for name in libraries if ("dense", name) in seconds]
        counted: Counts | None = (
            blocked_counts(one.shape, cpu) if model == "dense_blocked" else product_counts(one.shape, cpu)
        )
        if found and counted:
            yield model, counted, min(found) * cpu.clock_hz
    if ("dense", "ours") in seconds:
        own = sparse_counts(pack(one.weight, "dense"), one.shape[2], cpu)
        yield "sparse", own, seconds["dense", "ours"] * cpu.clock_hz
    for variant in one.variants:
        own = sparse_counts(pack(variant.weight, variant.form), one.shape[2], cpu)
        yield "sparse", own, seconds[variant.pattern, "ours"] * cpu.clock_hz


def wasm_samples(target: str, one: Job, records: Sequence[Record]) -> Iterator[Sample]:
    """Yield what an engine's models count for the fastest plans of one shape."""
    cpu, _ = host_core(target)
    core = Core(cpu, f"{target}-x86")
    weights = {"dense": one.weight} | {variant.pattern: variant.weight for variant in one.variants}
    for record in records:
        values = dict(record["kernel"])
        fused = values.pop("fused")
        dense = record["name"] == "dense"
        plan = WasmPlan(DensePlan(**values) if dense else SparsePlan(**values), fused)
        program = layer_of(weights[record["name"]], one.shape[2]).program(plan.plan)
        cycles = record["seconds"] * cpu.clock_hz
        yield "dense" if dense else "sparse", counts(core, program, plan), cycles


def fit(target: str, records: Sequence[Record], say: Callable[[str], object]) -> dict[str, dict[str, float]]:
    """Return the constants of a target, from the shapes at even places."""
    samples: list[Sample] = []
    for shape in shapes(target)[::2]:
        say(f"{target}, fitting: {shape}")
        own = [record for record in records if tuple(record["shape"]) == shape]
        one = job(target, shape)
        samples += host_samples(one, own) if target == "host" else wasm_samples(target, one, own)
    models = sorted({model for model, _, _ in samples})
    chosen = {model: [sample for sample in samples if sample[0] == model] for model in models}
    return {model: fitted([s[1] for s in own], [s[2] for s in own]) for model, own in chosen.items()}


def predict(
    target: str,
    constants: dict[str, dict[str, float]],
    records: Sequence[Record],
    place: int,
    say: Callable[[str], object],
) -> list[Record]:
    """Return predicted and measured speedups: of each sparse case, for the shapes at even (0) or odd (1) places."""
    simulator = Host() if target == "host" else Wasm(target, measures=False)
    simulator.calibration = Calibration(constants)
    rows = []
    for shape in shapes(target)[place::2]:
        say(f"{target}, predicting: {shape}")
        own = [record for record in records if tuple(record["shape"]) == shape]
        one = job(target, shape)
        dense = simulator.dense(one)
        measured = min(record["seconds"] for record in own if record["name"] == "dense")
        sparse = {record["name"]: record["seconds"] for record in own if record["name"] != "dense"}
        for variant in one.variants:
            predicted = simulator.sparse(one, variant)
            rows.append({
                "shape": shape,
                "case": variant.pattern,
                "simulated": dense.cycles / predicted.cycles,
                "measured": measured / sparse[variant.pattern],
                "bound_by": predicted.bound_by,
            })  # fmt: skip
    return rows


def summary(target: str, rows: Sequence[Record]) -> Errors:
    """Return the errors of some rows."""
    found = errors([(row["simulated"], row["measured"]) for row in rows])
    assert found is not None, target
    return found


def by_pattern(rows: Sequence[Record]) -> Iterator[tuple[str, Errors]]:
    """Yield the errors of each pattern; those of products with one vector apart."""
    groups: dict[str, list[Record]] = {}
    for row in rows:
        pattern = row["case"].split()[0]
        name = "N:M" if pattern[0].isdigit() else pattern
        groups.setdefault(f"one vector, {name}" if row["shape"][2] == 1 else name, []).append(row)
    for name, own in groups.items():
        yield name, summary(name, own)


def mobilenet(rows: Sequence[Record]) -> list[Record]:
    """Return the rows of MobileNet-v1's nine shapes, of every pattern but N:M."""
    nine = [(m, k, side * side, side) for m, k, side in CONVOLUTIONS[:9]]
    return [row for row in rows if tuple(row["shape"]) in nine and not row["case"][0].isdigit()]


def described(found: Errors) -> str:
    """Return errors in words."""
    return (
        f"{found.count} cases: mean {found.mean:.1%}, worst {found.worst:.1%}, rank correlation"
        f" {found.rank_correlation or 0:.3f}, sparse or dense wrong in {found.wrong}"
    )


def provenance(results: dict[str, dict[str, Errors]]) -> dict[str, Any]:
    """Return where the constants are from."""
    found = machine.describe()
    versions = dict(found["versions"])  # type: ignore[call-overload]
    for target, engine in ENGINES.items():
        if target in results:
            running = Wasm(target, measures=True)
            versions[engine] = running.description
            running.close()
    return {
        "core": found["llvm_name"],
        "machine": found["model_name"] or found["architecture"],
        "date": time.strftime("%Y-%m-%d"),
        "versions": versions,
        "by": "python benchmarks/compare.py --write",
        "fitted_on": {target: [list(shape) for shape in shapes(target)[::2]] for target in results},
        "held_out": {
            target: {
                "cases": e["held out"].count,
                "mean": round(e["held out"].mean, 4),
                "worst": round(e["held out"].worst, 4),
            }
            for target, e in results.items()
        },
    }


@click.command(help=__doc__)
@click.option("--targets", default=",".join(TARGETS), show_default=True, help="Which of them, with commas.")
@click.option("--passes", default=3, show_default=True, help="Times everything is measured.")
@click.option("--save", type=click.Path(path_type=Path), help="Keep the measurements.")
@click.option("--load", type=click.Path(path_type=Path, exists=True), help="Take these measurements.")
@click.option("--write", is_flag=True, help="Keep the constants with the package.")
@click.option("--worst", default=10, show_default=True, help="Cases to list: those that are furthest off.")
def main(targets: str, passes: int, save: Path | None, load: Path | None, write: bool, worst: int) -> None:
    """Measure, fit, predict, report."""

    def say(text: str) -> None:
        click.echo(text, err=True)

    names = targets.split(",")
    measured: dict[str, list[Record]] = json.loads(load.read_text()) if load else {}
    for target in names:
        if target not in measured:
            measured[target] = measure(target, passes, say)
            if save:
                save.write_text(json.dumps(measured))
    results: dict[str, dict[str, Errors]] = {}
    constants = {}
    for target in names:
        constants[target] = fit(target, measured[target], say)
        parts = {name: predict(target, constants[target], measured[target], at, say) for at, name in enumerate(PARTS)}
        results[target] = {name: summary(target, rows) for name, rows in parts.items()}
        click.echo(f"{target}: {json.dumps(constants[target])}")
        for name, found in results[target].items():
            click.echo(f"  {name:<10}{described(found)}")
        click.echo(f"    {'MobileNet-v1, no N:M':<26}{described(summary(target, mobilenet(parts['held out'])))}")
        for pattern, found in by_pattern(parts["held out"]):
            click.echo(f"    {pattern:<26}{described(found)}")
        rows = sorted(parts["held out"], key=lambda row: -abs(row["simulated"] / row["measured"] - 1))
        for row in rows[:worst]:
            click.echo(
                f"    {row['shape']} {row['case']}: simulated {row['simulated']:.2f}, measured {row['measured']:.2f}"
            )
    if write:
        kept = yaml.safe_load(PATH.read_text()) if PATH.is_file() else {"targets": {}}
        contents = {"provenance": provenance(results), "targets": kept["targets"] | constants}
        PATH.write_text(yaml.safe_dump(contents, sort_keys=False, default_flow_style=None, width=118))


if __name__ == "__main__":
    main()
