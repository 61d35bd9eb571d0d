"""``codesign map``: all ways to run one op on an array, the fastest first."""

from __future__ import annotations

import json
import re
from typing import TYPE_CHECKING

import click

from codesign.cli import options
from codesign.cli.progress import step

if TYPE_CHECKING:
    from traces.graph import OpGraph

_GEMM = re.compile(r"(\d+)x(\d+)x(\d+)")


@click.command("map", short_help="The best tilings, loop orders and dataflows of an op.")
@click.argument("what", metavar="MxNxK|MODEL")
@click.option("--op", "names", multiple=True, metavar="NAME", help="An op of MODEL; may be repeated. Default: all.")
@click.option(
    "--on",
    "accelerator",
    default="systolic-32x32",
    show_default=True,
    metavar="ACCELERATOR",
    help="A systolic array from `codesign accelerators`, or the path of a .yaml config.",
)
@click.option("--weights", metavar="PATTERN", help="Pattern of the weights: 2:4, unstructured:0.9, dense.")
@click.option(
    "--dataflow",
    type=click.Choice(["auto", "ws", "os", "is"]),
    default="auto",
    show_default=True,
    help="auto searches all that the array has.",
)
@click.option("--top", type=click.IntRange(1, 1000), default=10, show_default=True, help="How many mappings to rank.")
@options.settings
@options.seed
@click.option("--explain", is_flag=True, help="Say why the best is best, and why others are not feasible.")
@click.option("--json", "as_json", is_flag=True, help="Print one JSON list and nothing else.")
def map_(
    what: str,
    names: tuple[str, ...],
    accelerator: str,
    weights: str | None,
    dataflow: str,
    top: int,
    settings: tuple[str, ...],
    seed: int,
    explain: bool,
    as_json: bool,
) -> None:
    """Search the mappings of a matrix product, m x n outputs of k products each, or of the ops of MODEL.

    Without --op, MODEL gets one line for each op that differs from the others.
    """
    if as_json and explain:
        raise click.UsageError("--explain must be left out with --json, which holds all that it says")
    from codesign import mapper_text
    from codesign.mapper import map_ops
    from hw_models.accelerators import load_accelerator

    config = load_accelerator(accelerator, settings)
    graph = _graph(what, names, weights, seed)
    with step(f"mapping {graph.name} on {config.name}"):
        found = map_ops(graph, config, names=names or None, dataflow=dataflow, top=top)
    if as_json:
        click.echo(json.dumps([op.to_dict() for op in found], indent=2))
    elif len(graph) > 1 and not names and not explain:
        click.echo(mapper_text.summary(found))
    else:
        for op in found:
            click.echo(mapper_text.table(op) + ("\n" + mapper_text.explain(op) if explain else "") + "\n")
        click.echo(mapper_text.rate(found))


def _graph(what: str, names: tuple[str, ...], weights: str | None, seed: int) -> OpGraph:
    from codesign.cli.simulate import read_pattern

    pattern = None if weights is None else read_pattern(f"--weights {weights}", weights)
    if shape := _GEMM.fullmatch(what):
        from codesign.mapper import gemm_graph

        if names:
            raise click.UsageError(f"--op must be left out with {what}, which is one op")
        m, n, k = map(int, shape.groups())
        return gemm_graph(m, n, k, "dense" if pattern is None else str(pattern))
    from traces.load import load_model

    with step(f"reading {what}"):
        graph = load_model(what, seed=seed)
    if pattern is None:
        return graph
    from codesign.sparsification import sparsify

    with step(f"pruning {graph.name}"):
        return sparsify(graph, pattern)
