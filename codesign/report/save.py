"""Save: a report as a directory of files, written whole or not at all."""

from __future__ import annotations

import io
import json
import secrets
import shutil
from pathlib import Path
from typing import TYPE_CHECKING

from codesign.report.layers import layers_csv
from codesign.report.timeline import timeline
from traces.errors import InputError

if TYPE_CHECKING:
    from matplotlib.figure import Figure

    from codesign.report.report import Report

PICTURES = ("cycles", "utilization", "energy", "roofline")
FILES = ("report.json", "layers.csv", "timeline.json", "index.html", *(f"{name}.png" for name in PICTURES))


def check_directory(directory: Path | str) -> Path:
    """Return the absolute path of a directory that a report can be saved as.

    Raises
    ------
    InputError
        If nothing can be written there, or what is there is not an earlier report and nothing else.
    """
    path = Path(directory).resolve()
    if not path.parent.is_dir():
        raise InputError(f"{path.parent} must be a directory to hold the report; make it first")
    if path.exists() and not path.is_dir():
        raise InputError(f"{path} must be a directory for the report, not a file; name another one")
    if path.is_mount():
        raise InputError(f"{path} is a mount point, which cannot be replaced; name a directory inside it")
    try:
        found = sorted(entry.name for entry in path.iterdir()) if path.exists() else []
        _partial(path).rmdir()
    except OSError as error:
        raise InputError(f"{path} cannot be written: {error.strerror}; name another directory") from None
    others = [name for name in found if name not in FILES]
    if found and (others or not _is_report(path / "report.json")):
        raise InputError(
            f"{path} must be new, empty or an earlier report, but it holds {(others or found)[0]};"
            " name another directory"
        )
    return path


def save(report: Report, directory: Path | str) -> Path:
    """Write a report as JSON, CSV, timeline, pictures and a page that shows them; return the directory.

    The files are written beside the directory and moved there when all are complete; an earlier report is replaced.

    Raises
    ------
    InputError
        If the directory cannot be written, or holds anything but an earlier report.
    """
    path = check_directory(directory)
    partial = _partial(path)
    try:
        _write(report, partial)
        _replace(path, partial)
    except OSError as error:
        raise InputError(f"{path} cannot be written: {error.strerror or error}; nothing was changed") from error
    finally:
        shutil.rmtree(partial, ignore_errors=True)
    return path


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


def _partial(path: Path) -> Path:
    """Make a new hidden directory beside the path."""
    partial = path.with_name(f".{path.name}.{secrets.token_hex(4)}")
    partial.mkdir()
    return partial


def _replace(path: Path, complete: Path) -> None:
    """Move the complete directory to the path; what was there goes last, and comes back if the move fails."""
    if not path.exists():
        complete.rename(path)
        return
    earlier = complete.with_name(f"{complete.name}.earlier")
    path.rename(earlier)
    try:
        complete.rename(path)
    except BaseException:
        earlier.rename(path)
        raise
    shutil.rmtree(earlier)


def _is_report(file: Path) -> bool:
    try:
        values = json.loads(file.read_bytes())
    except (OSError, ValueError):
        return False
    return isinstance(values, dict) and {"schema_version", "accelerator", "ops"} <= values.keys()
