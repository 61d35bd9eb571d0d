"""Page: a sweep as one HTML file that needs no network: table, plots, and what each point's layers take.

The page's style and scripts are the files in ``assets``; its data are columns of numbers and of levels as JSON. Names
from studies and models are only ever set as text, and the page's own policy lets no other script run and loads nothing.
"""

from __future__ import annotations

import base64
import hashlib
import json
from collections.abc import Mapping
from html import escape
from importlib.resources import files
from typing import Any

import numpy as np

from codesign.report.words import printable
from codesign.sweep.rerun import commands, has_files
from codesign.sweep.results import MEASURES, MORE_IS_BETTER, Results, levels
from codesign.sweep.study import is_number

#: Cycles and energies of ops that a page holds at most, about 8 bytes each: those of the best points.
MOST_LAYERS = 1_000_000
_SCRIPTS = ("data", "state", "drawing", "scatter", "table", "parallel", "heat", "panel", "main")


def page(results: Results, timelines: Mapping[int, Mapping[str, Any]], timeline_note: str = "") -> str:
    """Return the page of a sweep.

    Parameters
    ----------
    results
        The sweep.
    timelines
        Of some points, by row; see `codesign.sweep.rerun.timelines`.
    timeline_note
        Why other points have none, if it is for another reason than the size of the page.
    """
    script = '(() => {\n"use strict";\n' + "\n".join(_asset(f"{name}.js") for name in _SCRIPTS) + "})();\n"
    data = {
        "study": _study(results),
        "count": len(results),
        "front": results.front.tolist(),
        "columns": _columns(results),
        "commands": commands(results),
        "timelines": {str(row): timeline for row, timeline in timelines.items()},
        "timelineNote": timeline_note,
    }
    parts = {
        "hash": base64.b64encode(hashlib.sha256(script.encode()).digest()).decode(),
        "title": escape(f"{printable(results.name)}: sweep"),
        "style": _asset("page.css"),
        "data": _json(data),
        "layers": _json(_layers(results)),
        "script": script,
    }
    text = _asset("page.html")
    for name in parts:  # each part stands once, and before all that is quoted from a study
        head, _, tail = text.partition(f"{{{{{name}}}}}")
        parts[name], text = head + parts[name], tail
    return "".join(parts.values()) + text


def _asset(name: str) -> str:
    return (files("codesign.sweep") / "assets" / name).read_text(encoding="utf-8")


def _json(value: object) -> str:
    """Return JSON that no parser of HTML can take for a tag or a comment."""
    text = json.dumps(value, separators=(",", ":"), allow_nan=False)
    return text.replace("<", "\\u003c").replace(">", "\\u003e").replace("&", "\\u0026")


def _study(results: Results) -> dict[str, Any]:
    counts = {status: results.count(status) for status in ("done", "pruned", "infeasible", "failed")}
    told = ", ".join(f"{count:,} {status}" for status, count in counts.items() if count)
    covered = results.hypervolume
    limits = [
        f"{name} {word} {value:,g}"
        for name, ends in results.study.constraints.items()
        for word, value in (("at least", ends.min), ("at most", ends.max))
        if value is not None
    ]
    figures = [
        ("Points", f"{len(results):,}", told),
        ("On the front", f"{len(results.front):,}"),
        ("Hypervolume", "none" if covered is None else f"{covered:.4f}", "of the box from best to worst"),
        (
            "Objectives",
            ", ".join(f"{name} {'↑' if name in MORE_IS_BETTER else '↓'}" for name in results.objectives),
            "",
        ),
        *([("Constraints", ", ".join(limits))] if limits else []),
        ("Optimiser", results.about.get("optimizer", "grid")),
    ]
    return {
        "name": printable(results.name),
        "description": printable(results.study.description),
        "objectives": list(results.objectives),
        "figures": figures,
        "made": f"Code version {results.about.get('code_version', '')}. Conditions of the filter take the"
        " columns' names and the units of codesign query: seconds, picojoules, bytes, shares."
        + (" Commands are for the folder in which this page was made." if has_files(results) else ""),
    }


def _columns(results: Results) -> list[dict[str, Any]]:
    """Return the columns, those first that differ from point to point."""
    rank = {int(row): place for place, row in enumerate(results.front, 1)}
    parameters = [_levels(results, name, "parameter") for name in results.parameters]
    varying = [column for column in parameters if len(column["levels"]) > 1]
    constant = [column for column in parameters if len(column["levels"]) <= 1]
    measured = [_numbers(name, results) for name in results.measures]
    texts = [_levels(results, name, "text") for name in ("status", "chosen_by", "reason")]
    return [
        {"name": "number", "role": "id", "values": results.columns["number"]},
        {"name": "front", "role": "id", "values": [rank.get(row) for row in range(len(results))]},
        *[column for column in measured if column["role"] == "objective"],
        *varying,
        *[column for column in measured if column["role"] == "measure"],
        *constant,
        *texts,
    ]


def _numbers(name: str, results: Results) -> dict[str, Any]:
    role = "objective" if name in results.objectives else "measure"
    values = [float(f"{v:.7g}") if isinstance(v, float) else v for v in results.columns[name]]
    return {"name": name, "role": role, "unit": MEASURES[name], "maximise": name in MORE_IS_BETTER, "values": values}


def _levels(results: Results, name: str, role: str) -> dict[str, Any]:
    found = levels(results, name)
    code = {level: at for at, level in enumerate(found)}
    shown = [level if is_number(level) else _text(level) for level in found]
    return {"name": name, "role": role, "levels": shown, "values": [code.get(v, -1) for v in results.columns[name]]}


def _text(value: object) -> str:
    return str(value).lower() if isinstance(value, bool) else printable(str(value))


def _layers(results: Results) -> dict[str, Any]:
    """Return cycles and energies of the ops of the points: all, or those nearest to the front if they are many."""
    most_ops = max((len(names) for names in results.ops.values()), default=1)
    counted = np.flatnonzero(np.isfinite(results.costs).all(axis=1))
    low, high = results.costs[counted].min(axis=0, initial=np.inf), results.costs[counted].max(axis=0, initial=-np.inf)
    far = ((results.costs[counted] - low) / np.where(high > low, high - low, 1)).sum(axis=1)
    best_first = dict.fromkeys([*results.front.tolist(), *counted[np.argsort(far, kind="stable")].tolist()])
    kept = sorted(list(best_first)[: max(len(results.front), MOST_LAYERS // (2 * max(most_ops, 1)))])
    found = results.layers(kept)
    pairs = list(results.ops)
    place = {pair: at for at, pair in enumerate(pairs)}
    of = [(results.columns["model"][row], results.columns["target"][row]) for row in found]
    return {
        "rows": list(found),
        "names": [place.get(pair, -1) for pair in of],
        "ops": [[printable(name) for name in results.ops[pair]] for pair in pairs],
        "cycles": [cycles for cycles, _ in found.values()],
        "energy": [[float(f"{value:.4g}") for value in energy] for _, energy in found.values()],
    }
