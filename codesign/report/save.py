"""Save: a report as JSON, CSV, timeline, pictures and a page."""

from __future__ import annotations

import io
import json
from pathlib import Path
from typing import TYPE_CHECKING

from codesign.folder import Folder
from codesign.report.layers import layers_csv
from codesign.report.timeline import timeline

if TYPE_CHECKING:
    from matplotlib.figure import Figure

    from codesign.report.report import Report

PICTURES = ("cycles", "utilization", "energy", "roofline")
FOLDER = Folder(
    "report",
    ("report.json", "layers.csv", "timeline.json", "index.html", *(f"{name}.png" for name in PICTURES)),
    frozenset(("schema_version", "accelerator", "ops")),
)


def save(report: Report, directory: Path | str) -> Path:
    """Write a report as JSON, CSV, timeline, pictures and a page that shows them; return the directory.

    Raises
    ------
    InputError
        If the directory cannot be written, or holds anything but an earlier report.
    """
    return FOLDER.write(directory, lambda folder: _write(report, folder))


def _write(report: Report, directory: Path) -> None:
    from codesign.report import plots
    from codesign.report.page import page

    draw = {name: getattr(plots, f"plot_{name}") for name in PICTURES}
    pictures = {name: _png(plot(report)[0]) for name, plot in draw.items()}
    (directory / "report.json").write_text(report.to_json() + "\n", encoding="utf-8")
    (directory / "layers.csv").write_text(layers_csv(report), encoding="utf-8")
    (directory / "timeline.json").write_text(json.dumps(timeline(report)) + "\n", encoding="utf-8")
    (directory / "index.html").write_text(page(report, pictures), encoding="utf-8")
    for name, data in pictures.items():
        (directory / f"{name}.png").write_bytes(data)


def _png(fig: Figure) -> bytes:
    out = io.BytesIO()
    fig.savefig(out, format="png", dpi=120)
    return out.getvalue()
