"""Page: a report as HTML, for notebooks and for a browser."""

from __future__ import annotations

import base64
from collections.abc import Mapping
from html import escape
from typing import TYPE_CHECKING

from codesign.report.table import COLUMNS, biggest, fold_line, fused_onto
from codesign.report.totals import total_rows

if TYPE_CHECKING:
    from codesign.report.report import Report

_STYLE = (
    "body{font:15px/1.5 system-ui,sans-serif;max-width:72rem;margin:2rem auto;padding:0 1rem}"
    "table{border-collapse:collapse;font-size:13px}th,td{padding:2px 8px;border-bottom:1px solid #ddd;text-align:left}"
    ".number{text-align:right;font-variant-numeric:tabular-nums}img{max-width:100%}"
)


def html_table(report: Report, *, max_rows: int | None = None) -> str:
    """Return the totals, the ops and the notes as HTML tables; names are escaped."""
    shown, folded = biggest(report, max_rows)
    fused = fused_onto(report)
    totals = "".join(f"<tr><th>{label}</th><td>{escape(text)}</td></tr>" for label, text in total_rows(report))
    head = _row("th", "op", [title for title, _ in COLUMNS], "fused")
    rows = "".join(
        _row("td", op.name, [cell(op) for _, cell in COLUMNS], ", ".join(fused.get(op.name, ()))) for op in shown
    )
    more = f"<p>{escape(fold_line(report, folded))}</p>" if folded else ""
    notes = "".join(f"<p>Note: {escape(note)}</p>" for note in report.notes)
    return f"<table>{totals}</table><table><thead>{head}</thead><tbody>{rows}</tbody></table>{more}{notes}"


def page(report: Report, pictures: Mapping[str, bytes]) -> str:
    """Return one self-contained page: tables, and PNG pictures by title."""
    title = escape(f"{report.model} on {report.config.name}")
    images = "".join(
        f'<h2>{escape(name)}</h2><img alt="{escape(name)}" src="data:image/png;base64,'
        f'{base64.b64encode(data).decode()}">'
        for name, data in pictures.items()
    )
    return (
        f'<!DOCTYPE html><html lang="en"><head><meta charset="utf-8"><title>{title}</title><style>{_STYLE}</style>'
        f"</head><body><h1>{title}</h1><p>{escape(report.config.description)}</p>{html_table(report)}{images}"
        "</body></html>\n"
    )


def _row(tag: str, name: str, cells: list[str], also: str) -> str:
    columns = "".join(
        f'<{tag} class="number">{escape(text)}</{tag}>' if title[0] == " " else f"<{tag}>{escape(text)}</{tag}>"
        for (title, _), text in zip(COLUMNS, cells, strict=True)
    )
    return f"<tr><{tag}>{escape(name)}</{tag}>{columns}<{tag}>{escape(also)}</{tag}></tr>"
