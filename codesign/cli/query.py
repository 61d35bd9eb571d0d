"""``codesign query``: SQL over the results of a sweep."""

from __future__ import annotations

import csv
import io
import json
import math
import os
from decimal import Decimal
from pathlib import Path
from typing import Any

import click

_ROWS = 60
_SUFFIXES = (".parquet", ".csv", ".json")


@click.command(short_help="Ask the results of a sweep in SQL.")
@click.argument("directory", type=click.Path(path_type=Path), metavar="DIR")
@click.argument("sql")
@click.option("--json", "as_json", is_flag=True, help="Print a JSON list of objects and nothing else.")
@click.option("--csv", "as_csv", is_flag=True, help="Print CSV and nothing else.")
@click.option("--all-rows", is_flag=True, help=f"Print every row instead of the first {_ROWS}.")
@click.option(
    "--out", type=click.Path(path_type=Path), metavar="FILE", help="Write a .parquet, .csv or .json file instead."
)
def query(directory: Path, sql: str, as_json: bool, as_csv: bool, all_rows: bool, out: Path | None) -> None:
    """Run SQL on the sweep in DIR: the view `results`, or the tables `points`, `evaluated`, `ops` and `about`.

    Names with a dot need quotes: codesign query DIR 'select min(cycles) from results group by "array.rows"'.
    """
    if as_json and as_csv:
        raise click.UsageError("--csv must be left out with --json")
    if out is not None and out.suffix not in _SUFFIXES:
        raise click.UsageError(f"--out must end in one of {', '.join(_SUFFIXES)}, not {out.name!r}")
    from codesign.sweep.ask import ask, export

    if out is not None:
        click.echo(f"{export(directory, sql, out):,} rows written to {out}")
        return
    names, rows = ask(directory, sql)
    if as_json:
        said = [dict(zip(names, map(_plain, row), strict=True)) for row in rows]
        click.echo(json.dumps(said, default=str, allow_nan=False))
    elif as_csv:
        text = io.StringIO()
        csv.writer(text, lineterminator=os.linesep).writerows([names, *rows])
        click.echo(text.getvalue(), nl=False)
    else:
        _print(names, rows, len(rows) if all_rows else _ROWS)


def _plain(value: object) -> object:
    """Return a value that JSON can hold: numbers as numbers, and none for what is no finite one."""
    if isinstance(value, list):
        return [_plain(one) for one in value]
    if isinstance(value, dict):
        return {str(key): _plain(one) for key, one in value.items()}
    value = float(value) if isinstance(value, Decimal) else value
    return None if isinstance(value, float) and not math.isfinite(value) else value


def _print(names: list[str], rows: list[tuple[Any, ...]], most: int) -> None:
    """Print rows as aligned text, numbers on the right."""
    from codesign.report.words import printable, shortened

    cells = [[shortened(printable("" if v is None else str(v)), 60) for v in row] for row in rows[:most]]
    titles = [printable(name) for name in names]
    widths = [max(map(len, column)) for column in zip(titles, *cells, strict=True)]
    right = [all(isinstance(row[i], int | float) for row in rows[:most]) for i in range(len(names))]
    for line in [titles, *cells]:
        parts = (cell.rjust(w) if r else cell.ljust(w) for cell, w, r in zip(line, widths, right, strict=True))
        click.echo("  ".join(parts).rstrip())
    if len(rows) > most:
        click.echo(f"(the first {most} of {len(rows):,} rows; --all-rows prints every row)")
