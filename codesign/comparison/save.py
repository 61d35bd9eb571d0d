"""Save: a comparison as a directory of files, written whole or not at all."""

from __future__ import annotations

import io
import json
import secrets
import shutil
from pathlib import Path
from typing import TYPE_CHECKING

from traces.errors import InputError

if TYPE_CHECKING:
    from codesign.comparison.result import Comparison

FILES = ("comparison.json", "layers.csv", "table.txt", "speedup.png")


def check_directory(directory: Path | str) -> Path:
    """Return the absolute path of a directory that a comparison can be saved as.

    Raises
    ------
    InputError
        If nothing can be written there, or what is there is not an earlier comparison and nothing else.
    """
    path = Path(directory).resolve()
    if not path.parent.is_dir():
        raise InputError(f"{path.parent} must be a directory to hold the comparison; make it first")
    if path.exists() and not path.is_dir():
        raise InputError(f"{path} must be a directory for the comparison, not a file; name another one")
    try:
        found = sorted(entry.name for entry in path.iterdir()) if path.exists() else []
        _partial(path).rmdir()
    except OSError as error:
        raise InputError(f"{path} cannot be written: {error.strerror}; name another directory") from None
    others = [name for name in found if name not in FILES]
    if others or (found and not _is_comparison(path / FILES[0])):
        held = (others or found)[0]
        raise InputError(
            f"{path} must be new, empty or an earlier comparison, but it holds {held}; name another directory"
        )
    return path


def save(comparison: Comparison, directory: Path | str) -> Path:
    """Write a comparison as JSON, CSV, text and picture; return the directory.

    The files are written beside the directory and moved there when all are complete; an earlier comparison is replaced.

    Raises
    ------
    InputError
        If the directory cannot be written, or holds anything but an earlier comparison.
    """
    path = check_directory(directory)
    partial = _partial(path)
    try:
        (partial / "comparison.json").write_text(comparison.to_json() + "\n", encoding="utf-8")
        (partial / "layers.csv").write_text(comparison.to_csv(), encoding="utf-8")
        (partial / "table.txt").write_text(comparison.table(layers=True) + "\n", encoding="utf-8")
        picture = io.BytesIO()
        comparison.plot()[0].savefig(picture, format="png", dpi=120)
        (partial / "speedup.png").write_bytes(picture.getvalue())
        if path.exists():
            shutil.rmtree(path)
        partial.rename(path)
    except OSError as error:
        raise InputError(f"{path} cannot be written: {error.strerror or error}") from error
    finally:
        shutil.rmtree(partial, ignore_errors=True)
    return path


def _partial(path: Path) -> Path:
    """Make a new hidden directory beside the path."""
    partial = path.with_name(f".{path.name}.{secrets.token_hex(4)}")
    partial.mkdir()
    return partial


def _is_comparison(file: Path) -> bool:
    try:
        values = json.loads(file.read_bytes())
    except (OSError, ValueError):
        return False
    return isinstance(values, dict) and {"schema_version", "weights", "cpus"} <= values.keys()
