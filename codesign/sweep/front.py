"""Front: the Pareto front of a sweep, as a table and as plain data."""

from __future__ import annotations

from typing import Any

from rich.table import Table
from rich.text import Text

from codesign.report.words import printable, small
from codesign.sweep.rerun import command
from codesign.sweep.results import MEASURES, Results, levels

_BASE = {"s": 1.0, "pJ": 1e-12}


def front_table(results: Results, max_rows: int) -> Table:
    """Return the points of the front, best first: their objectives, and the parameters that vary in the sweep."""
    varying = [name for name in results.parameters if len(levels(results, name)) > 1]
    covered = results.hypervolume
    told = [f"{results.count('done'):,} of {len(results):,} points done", f"{len(results.front):,} on the front"]
    if covered is not None:
        told.append(f"hypervolume {covered:.4f} of the box from best to worst")
    if len(results.front) > max_rows:
        told.append(f"the first {max_rows} are shown")
    title = Text(printable(results.name), style="bold")
    table = Table(title=title, caption="; ".join(told), box=None, title_justify="left", caption_justify="left")
    for name in ("point", *results.objectives, *varying):
        # The unit stands with each measure, and of a dotted name the end tells most.
        header = name.removesuffix("_pj").removesuffix("_s") if name in MEASURES else name.rpartition(".")[2]
        table.add_column(header, justify="left" if _is_text(results, name) else "right", overflow="fold")
    for row in results.front[:max_rows]:
        point = results.row(int(row))
        cells = [str(point["number"]), *(_measure(name, point[name]) for name in results.objectives)]
        cells += [_setting(point[name]) for name in varying]
        table.add_row(*map(Text, cells))
    return table


def front_json(results: Results) -> dict[str, Any]:
    """Return the study's name, its counts, and the points of the front, best first, with their commands."""
    names = ["number", *results.measures, *results.parameters]
    return {
        "study": results.name,
        "objectives": list(results.objectives),
        "points": {"all": len(results)} | {status: results.count(status) for status in levels(results, "status")},
        "hypervolume": results.hypervolume,
        "front": [
            {name: results.columns[name][row] for name in names} | {"command": command(results, row)}
            for row in results.front.tolist()
        ],
    }


def _is_text(results: Results, name: str) -> bool:
    return name in results.parameters and any(isinstance(level, str) for level in levels(results, name))


def _measure(name: str, value: float) -> str:
    unit = MEASURES[name]
    if unit in _BASE:
        return small(value * _BASE[unit], "s" if unit == "s" else "J")
    return f"{value:.2%}" if unit == "%" else f"{value:,}"


def _setting(value: object) -> str:
    return "" if value is None else f"{value:g}" if isinstance(value, float) else printable(str(value))
