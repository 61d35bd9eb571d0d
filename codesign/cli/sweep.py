"""``codesign sweep``: evaluate a design space, and say which points are best."""

from __future__ import annotations

import sys
import time
from collections.abc import Callable, Iterator
from contextlib import contextmanager, redirect_stdout
from pathlib import Path
from typing import TYPE_CHECKING

import click

if TYPE_CHECKING:
    from codesign.sweep.run import Progress

_ROWS = 20


@click.command(short_help="Which array, buffers, dataflow and sparsity are best.")
@click.argument("study")
@click.option(
    "--out",
    type=click.Path(path_type=Path),
    metavar="DIR",
    help="Directory of the results; by default the study's name with -sweep. An earlier one is gone on with.",
)
@click.option("--workers", type=click.IntRange(min=1), help="Processes; by default one a core.")
@click.option("--resume", is_flag=True, help="Go on in a DIR of another study, optimizer, budget or version too.")
@click.option("--budget", type=click.IntRange(min=1), metavar="N", help="Most points to evaluate.")
@click.option(
    "--optimizer",
    type=click.Choice(["grid", "random", "nsga2", "tpe"]),
    help="What chooses points; by default the study's, or grid. nsga2 and tpe take a tenth of the grid without a"
    " budget, and random search is given as many to compare with.",
)
@click.option("--cluster", metavar="ADDRESS", help="Use the workers of a Dask scheduler, such as tcp://host:8786.")
@click.option("--json", "as_json", is_flag=True, help="Print one JSON object and nothing else.")
@click.option("--all-points", is_flag=True, help=f"Print the whole Pareto front instead of {_ROWS} of its points.")
def sweep(
    study: str,
    out: Path | None,
    workers: int | None,
    resume: bool,
    budget: int | None,
    optimizer: str | None,
    cluster: str | None,
    as_json: bool,
    all_points: bool,
) -> None:
    """Evaluate the design space of STUDY, a .yaml file or the name of one that ships with codesign.

    Every finished point is on disk at once: after a kill or Ctrl-C the same command goes on where it stopped.
    """
    if workers is not None and cluster is not None:
        raise click.UsageError("--workers must be left out with --cluster, whose workers are used")
    from codesign.sweep.run import run_sweep
    from codesign.sweep.study import study_names

    if out is None:
        out = Path(f"{study if study in study_names() else Path(study).stem}-sweep")
    try:
        with _shown() as (say, progress):
            summary = run_sweep(
                study,
                out=out,
                workers=workers,
                resume=resume,
                optimizer=optimizer,
                budget=budget,
                cluster=cluster,
                say=say,
                progress=progress,
            )
    except KeyboardInterrupt:
        click.echo("codesign: interrupted; all finished points are kept: the same command goes on from there", err=True)
        click.get_current_context().exit(130)
    if as_json:
        click.echo(summary.to_json())
        return
    click.echo(summary.table(max_rows=None if all_points else _ROWS))
    click.echo(f"results     {out}; `codesign report {out}` makes a page of them, `codesign query {out} SQL` asks them")


@contextmanager
def _shown() -> Iterator[tuple[Callable[[str], object], Callable[[Progress], object]]]:
    """Show what goes on, with rate and time left, on stderr and only if that is a terminal."""
    with redirect_stdout(sys.stderr):  # a user's own model may print; stdout is for results
        if not sys.stderr.isatty():
            yield (lambda _text: None), (lambda _progress: None)
            return
        from rich.console import Console

        with Console(stderr=True).status("reading the study") as status:
            clock = Clock()
            yield status.update, lambda progress: status.update(clock.told(progress))


class Clock:
    """Tells how fast a sweep is and how long it still takes, from what this run itself evaluated."""

    def __init__(self, now: Callable[[], float] = time.monotonic) -> None:
        self._now = now
        self._begin: float | None = None

    def told(self, progress: Progress) -> str:
        """Return the progress in words."""
        if self._begin is None:
            self._begin = self._now()
        seconds, own = self._now() - self._begin, progress.done - progress.known
        text = f"{progress.done:,} of {progress.total:,} points"
        if own < 1 or seconds <= 0:
            return text
        left = (progress.total - progress.done) * seconds / own
        return f"{text}, {own / seconds:,.1f} a second, {_span(left)} left"


def _span(seconds: float) -> str:
    """Return a time in words of a length that suits it.

    >>> _span(42), _span(150), _span(9000)
    ('42 s', '2 min 30 s', '2 h 30 min')
    """
    if seconds < 60:
        return f"{seconds:.0f} s"
    if seconds < 3600:
        return f"{seconds // 60:.0f} min {seconds % 60:.0f} s"
    return f"{seconds // 3600:.0f} h {seconds % 3600 // 60:.0f} min"
