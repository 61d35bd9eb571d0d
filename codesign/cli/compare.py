"""``codesign compare``: whether the sparsity of a model buys speed on CPUs, simulated against measured."""

from __future__ import annotations

from pathlib import Path
from typing import TYPE_CHECKING

import click

from codesign.cli import options
from codesign.cli.progress import step

if TYPE_CHECKING:
    from traces.graph import OpGraph


@click.command(short_help="What sparse weights buy on CPUs, simulated and measured.")
@click.argument("model")
@click.option("--weights", metavar="PATTERN", help="unstructured:0.9, group:4:0.7, block:4x4:0.5 or 2:4.")
@click.option(
    "--activations",
    metavar="delta:THRESHOLD|spikes",
    help="Instead of --weights: linear and recurrent layers that skip inputs which did not change, or did not spike;"
    " --input has the sequence.",
)
@click.option(
    "--cpu",
    "names",
    default="host",
    show_default=True,
    metavar="NAME,...",
    help="host (this machine), wasm-wasmtime, wasm-v8 (engines on it), and cores from `codesign cpus`.",
)
@click.option(
    "--sparsities", metavar="S,...", help="Compare at each of these shares of zeros, such as 0,0.5,0.7,0.8,0.9."
)
@options.rule
@click.option(
    "--input",
    "input_path",
    type=click.Path(path_type=Path),
    metavar="FILE",
    help="A .npy or .npz file with the model's inputs; their shapes count.",
)
@click.option("--no-measure", is_flag=True, help="Simulate only.")
@click.option("--threads", type=click.IntRange(min=1), default=1, show_default=True, help="Cores of the host.")
@click.option("--batch", type=click.IntRange(min=1), default=1, show_default=True, help="Times the model's own batch.")
@options.seed
@click.option("--layers", is_flag=True, help="Print every layer too.")
@click.option("--json", "as_json", is_flag=True, help="Print one JSON object and nothing else.")
@click.option("--csv", "as_csv", is_flag=True, help="Print the layers as CSV and nothing else.")
@click.option(
    "--out",
    type=click.Path(path_type=Path),
    metavar="DIR",
    help="Save JSON, CSV, table and a plot of speedup over sparsity into a new directory.",
)
def compare(
    model: str,
    weights: str | None,
    activations: str | None,
    names: str,
    sparsities: str | None,
    rules: tuple[str, ...],
    input_path: Path | None,
    no_measure: bool,
    threads: int,
    batch: int,
    seed: int,
    layers: bool,
    as_json: bool,
    as_csv: bool,
    out: Path | None,
) -> None:
    """Compare MODEL sparse and dense: model.py:function, package.module:function, a .pt2 or .csv file, or a zoo name.

    Compared are 1x1 convolutions and linear layers, which have sparse kernels, with the fastest dense way there is on
    each CPU; everything else counts dense on both sides. What is measured is measured on this machine.
    """
    if as_json and as_csv:
        raise click.UsageError("--csv must be left out with --json, which holds the layers")
    if (weights is None) == (activations is None):
        raise click.UsageError("give one of --weights and --activations: what is zero")
    # All that can be checked without the model is checked first: tracing a model takes a while.
    from codesign.cli.simulate import parse_rule
    from codesign.comparison import compare as run
    from codesign.comparison.save import FOLDER
    from codesign.comparison.targets import check_names

    cpus = [name.strip() for name in names.split(",") if name.strip()]
    check_names(cpus)
    if out is not None:
        FOLDER.check(out)
    shares = None if sparsities is None else _numbers(sparsities)
    by_selector = dict(map(parse_rule, rules))

    graph = _load(model, input_path, activations, seed)
    result = run(
        graph,
        weights=weights,
        cpus=cpus,
        sparsities=shares,
        rules=by_selector,
        measure=not no_measure,
        threads=threads,
        batch=batch,
        seed=seed,
        say=lambda text: click.echo(text, err=True),
    )
    if out is not None:
        result.save(out)
    if as_json:
        click.echo(result.to_json())
    elif as_csv:
        click.echo(result.to_csv(), nl=False)
    else:
        click.echo(result.table(layers=layers))


def _load(model: str, input_path: Path | None, activations: str | None, seed: int) -> OpGraph:
    """Load a model; with activations, see which are zero in a sequence."""
    from codesign.cli.simulate import captured, check_spikes, deltas
    from traces.delta_rule import parse_activations
    from traces.load import load_model

    threshold = None if activations in (None, "spikes") else parse_activations(str(activations))
    with step(f"reading {model}"):
        graph = load_model(model, input_path=input_path, seed=seed, sequence=threshold is not None)
    if threshold is not None:
        return deltas(graph, input_path, threshold)
    if activations is None:
        return graph
    from traces.temporal import fold_time

    check_spikes(graph)
    return fold_time(captured(graph))


def _numbers(text: str) -> list[float]:
    """Read sparsities."""
    from traces.errors import InputError

    found = []
    for word in text.split(","):
        try:
            found.append(float(word))
        except ValueError:
            raise InputError.must("--sparsities", "numbers with commas, such as 0,0.5,0.9", text) from None
    return found
