"""``codesign simulate``: what a model takes on an accelerator."""

from __future__ import annotations

from pathlib import Path
from typing import TYPE_CHECKING, Any

import click

from codesign.cli import options
from codesign.cli.progress import step

if TYPE_CHECKING:
    from codesign.patterns import Pattern
    from codesign.report.report import Report
    from traces.graph import OpGraph

_ROWS = 60


@click.command(short_help="What a model takes on an accelerator.")
@click.argument("model")
@click.option(
    "--on",
    "accelerator",
    default="systolic-32x32",
    show_default=True,
    metavar="ACCELERATOR",
    help="A name from `codesign accelerators`, or the path of a .yaml config.",
)
@click.option(
    "--dataflow",
    type=click.Choice(["auto", "ws", "os", "is"]),
    default="auto",
    show_default=True,
    help="Dataflow of all ops; auto finds the best for each.",
)
@click.option(
    "--weights", metavar="PATTERN", help="Prune weights: 2:4, unstructured:0.9, group:4:0.7, block:4x4:0.5, dense."
)
@options.rule
@click.option(
    "--input",
    "input_path",
    type=click.Path(path_type=Path),
    metavar="FILE",
    help="A .npy or .npz file with the model's inputs.",
)
@click.option(
    "--activations",
    metavar="delta:THRESHOLD|spikes",
    help="delta: feed layers by what changes in a sequence; --input has frames (T, ...), or the sequence of a GRU or"
    " LSTM. spikes: insist that all inputs are 0 or 1.",
)
@click.option("--training", is_flag=True, help="Simulate a whole training step: forward, backward, update.")
@options.settings
@click.option(
    "--engine",
    type=click.Choice(["compiled", "simpy"]),
    default="compiled",
    show_default=True,
    help="simpy is the slow, readable reference.",
)
@click.option(
    "--unknown",
    type=click.Choice(["error", "vector"]),
    default="error",
    show_default=True,
    help="What to do about operators that are not known: stop, or cost them as vector work.",
)
@options.seed
@click.option("--verify", is_flag=True, help="Also run the mapped tiles on the real tensors and compare with torch.")
@click.option("--json", "as_json", is_flag=True, help="Print one JSON object and nothing else.")
@click.option("--explain", is_flag=True, help="Print the mapping of each op and what other dataflows would cost.")
@click.option("--all-ops", is_flag=True, help=f"Print every op instead of the {_ROWS} longest.")
@click.option(
    "--out",
    "out",
    type=click.Path(path_type=Path),
    metavar="DIR",
    help="Save JSON, CSV, timeline, pictures and a page into a new directory.",
)
def simulate(
    model: str,
    accelerator: str,
    dataflow: str,
    weights: str | None,
    rules: tuple[str, ...],
    input_path: Path | None,
    activations: str | None,
    training: bool,
    settings: tuple[str, ...],
    engine: Any,  # noqa: ANN401 (one of click's choices)
    unknown: str,
    seed: int,
    verify: bool,
    as_json: bool,
    explain: bool,
    all_ops: bool,
    out: Path | None,
) -> None:
    """Simulate MODEL: model.py:function, package.module:function, a .pt2, .nir or .csv file, or a zoo name."""
    if as_json and explain:
        raise click.UsageError("--explain must be left out with --json, which holds mappings and alternatives")
    # All that can be checked without the model is checked first: tracing a model takes a while.
    from codesign.report.save import FOLDER
    from codesign.simulation import simulate as run
    from hw_models.accelerators import load_accelerator

    if out is not None:
        FOLDER.check(out)
    config = load_accelerator(accelerator, settings)
    threshold = None
    if activations is not None and activations != "spikes":
        from traces.delta_rule import parse_activations

        if training:
            raise click.UsageError("--training must be left out with --activations: a step trains on plain values")
        threshold = parse_activations(activations)
    everywhere = None if weights is None else read_pattern(f"--weights {weights}", weights)
    by_selector = dict(map(parse_rule, rules))

    from traces.load import load_model

    with step(f"reading {model}"):
        graph = load_model(model, input_path=input_path, unknown=unknown, seed=seed, sequence=threshold is not None)
    if everywhere is not None or by_selector:
        from codesign.sparsification import sparsify

        with step(f"pruning {graph.name}"):
            graph = sparsify(graph, everywhere or "dense", rules=by_selector)
    if activations == "spikes":
        check_spikes(graph)
    graph = captured(graph) if threshold is None else deltas(graph, input_path, threshold)
    if training:
        from codesign.training import training_step

        graph = training_step(graph)
    with step(f"simulating {graph.name} on {config.name}"):
        report = run(graph, config, dataflow=dataflow, engine=engine, verify=verify)
    if out is not None:
        with step(f"saving {out}"):
            report.save(out)
    _print(report, as_json, explain, None if all_ops else _ROWS)


def parse_rule(text: str) -> tuple[str, Pattern]:
    """Read a --rule as a selector and a pattern."""
    from traces.errors import InputError

    selector, equals, pattern = text.rpartition("=")
    if not equals or not selector.strip() or not pattern.strip():
        raise InputError.must("--rule", "of the form SELECTOR=PATTERN, such as kind:linear=2:4", text)
    return selector.strip(), read_pattern(f"--rule {text}", pattern.strip())


def read_pattern(option: str, text: str) -> Pattern:
    """Read a pattern, or say in which option it is wrong."""
    from codesign.patterns import parse_pattern
    from traces.errors import InputError

    try:
        return parse_pattern(text)
    except InputError as error:
        raise InputError(f"{option}: {error}") from None


def captured(graph: OpGraph) -> OpGraph:
    """Run the model on its inputs, if it has any, to see the zeros of its activations."""
    if graph.program is None or graph.program.example_inputs is None:
        return graph
    from traces.capture import capture

    with step(f"running {graph.name} to see its zeros"):
        return capture(graph)


def check_spikes(graph: OpGraph) -> None:
    """Refuse inputs that are no spikes."""
    from traces.errors import InputError
    from traces.temporal import check_spikes

    if graph.program is None or graph.program.example_inputs is None:
        raise InputError(f"--activations spikes needs a model that can be run; {graph.name} has only shapes")
    check_spikes(graph.program.example_inputs)


def deltas(graph: OpGraph, input_path: Path | None, threshold: float) -> OpGraph:
    """Run the model on a sequence to see what changes in it."""
    from traces.delta import capture_delta
    from traces.input_file import read_inputs

    with step(f"running {graph.name} on a sequence to see what changes"):
        inputs = () if input_path is None else read_inputs(input_path)
        return capture_delta(graph, *inputs, threshold=threshold)


def _print(report: Report, as_json: bool, explain: bool, max_rows: int | None) -> None:
    if as_json:
        for note in report.notes:
            click.echo(f"note: {note}", err=True)
        click.echo(report.to_json())
        return
    if explain:
        click.echo(report.explain(max_rows=max_rows) + "\n")
    click.echo(report.table(max_rows=max_rows))
    if max_rows is not None and sum(op.fused_into is None for op in report.ops) > max_rows:
        click.echo("(--all-ops prints every op)")
