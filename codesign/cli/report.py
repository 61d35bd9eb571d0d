"""``codesign report``: a sweep as a page, as pictures, and its Pareto front as a table."""

from __future__ import annotations

import sys
from pathlib import Path
from typing import TYPE_CHECKING

import click

from codesign.cli.progress import step

if TYPE_CHECKING:
    from codesign.sweep.results import Results

_TIMELINES = 12
_ROWS = 30
_WIDE = 240


@click.command(short_help="A sweep as a page, and its Pareto front.")
@click.argument("directory", type=click.Path(path_type=Path))
@click.option(
    "--out",
    type=click.Path(path_type=Path),
    metavar="FILE",
    help="Where to write the page.  [default: DIR/report.html]",
)
@click.option("--open", "show", is_flag=True, help="Open the page in the browser.")
@click.option("--figures", is_flag=True, help="Also write PNG and SVG pictures into DIR/figures, for papers.")
@click.option(
    "--timelines",
    type=click.IntRange(0, 100),
    default=_TIMELINES,
    show_default=True,
    help="Points of the front to simulate again for their timelines; models in .py files are run for it.",
)
@click.option("--json", "as_json", is_flag=True, help="Print the front as one JSON object and nothing else.")
def report(directory: Path, out: Path | None, show: bool, figures: bool, timelines: int, as_json: bool) -> None:
    """Show the sweep in DIRECTORY: write one self-contained HTML page, and print the Pareto front."""
    from codesign.sweep.results import read_results
    from codesign.sweep.write import check_page, write_figures, write_page

    target = check_page(out or directory / "report.html", made=out is None)
    with step(f"reading {directory}"):
        results = read_results(directory)
    with step(f"simulating up to {timelines} points of the front again, for their timelines"):
        note = write_page(results, target, timelines)
    written = [target]
    if figures:
        with step("drawing"):
            written += write_figures(results, directory / "figures")
    _print(results, as_json)
    for path in written:
        click.echo(f"wrote {path}", err=as_json)
    if figures and len(written) == 1:
        click.echo("note: no point is done, so there is no picture", err=True)
    if note:
        click.echo(f"note: {note}", err=True)
    if show:
        import webbrowser

        webbrowser.open(target.resolve().as_uri())


def _print(results: Results, as_json: bool) -> None:
    import json

    from codesign.sweep.front import front_json, front_table

    if as_json:
        click.echo(json.dumps(front_json(results), indent=2, allow_nan=False))
        return
    from rich.console import Console

    # A file or a pipe has no width; there a row stays a line.
    Console(width=None if sys.stdout.isatty() else _WIDE).print(front_table(results, _ROWS))
