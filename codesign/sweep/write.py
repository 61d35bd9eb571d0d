"""Write: the page and the pictures of a sweep as files, each whole or not at all."""

from __future__ import annotations

import io
import secrets
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

import matplotlib

from codesign.sweep.figures import FIGURES, drawable
from codesign.sweep.page import page
from codesign.sweep.rerun import timelines
from codesign.sweep.results import Results
from traces.errors import InputError

_FORMATS = ("png", "svg")


def check_page(path: Path, *, made: bool = False) -> Path:
    """Return the path of a file that a page can be written to; ``made`` if its folder is looked at elsewhere.

    Raises
    ------
    InputError
        If it is a directory, or there is none to hold it.
    """
    if path.is_dir():
        raise InputError(f"{path} must be the name of a file for the page, not a directory; add report.html to it")
    if not made and not path.parent.is_dir():
        raise InputError(f"{path.parent} must be a directory to hold the page; make it first")
    return path


def write_page(results: Results, path: Path, most_timelines: int) -> str:
    """Write the page of a sweep, with the timelines of the best points of the front; return why some have none.

    Raises
    ------
    InputError
        If the file cannot be written.
    """
    found, note = timelines(results, results.front[:most_timelines].tolist())
    with _whole(path):
        _replace(path, page(results, found, note).encode())
    return note


def write_figures(results: Results, directory: Path) -> list[Path]:
    """Write the front, the heat map and the parallel coordinates as PNG and SVG; return the files.

    Raises
    ------
    InputError
        If a file cannot be written.
    """
    written = []
    with _whole(directory):
        directory.mkdir(exist_ok=True)
        for name in drawable(results):
            fig, _ = FIGURES[name](results)
            for kind in _FORMATS:
                out = io.BytesIO()
                # Without a date and with names for its parts that are not random, the same sweep gives the same file.
                with matplotlib.rc_context({"svg.hashsalt": name}):
                    fig.savefig(out, format=kind, dpi=200, metadata={"Date": None} if kind == "svg" else None)
                written.append(_replace(directory / f"{name}.{kind}", out.getvalue()))
    return written


def _replace(path: Path, content: bytes) -> Path:
    """Write beside the path, then move there."""
    partial = path.with_name(f".{path.name}.{secrets.token_hex(4)}")
    try:
        partial.write_bytes(content)
        partial.replace(path)
    finally:
        partial.unlink(missing_ok=True)
    return path


@contextmanager
def _whole(path: Path) -> Iterator[None]:
    try:
        yield
    except OSError as error:
        raise InputError(f"{path} cannot be written: {error.strerror or error}; nothing was changed there") from None
