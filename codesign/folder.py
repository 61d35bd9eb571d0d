"""Folder: results as a directory of files, written whole or not at all, which only replaces one of its own kind."""

from __future__ import annotations

import json
import secrets
import shutil
from collections.abc import Callable
from dataclasses import dataclass
from pathlib import Path

from traces.errors import InputError


@dataclass(frozen=True, slots=True)
class Folder:
    """A kind of directory.

    Attributes
    ----------
    what
        What it holds, as messages call it.
    files
        Names of all its files; the first is one JSON object.
    keys
        Keys by which that object is known.
    """

    what: str
    files: tuple[str, ...]
    keys: frozenset[str]

    def check(self, directory: Path | str) -> Path:
        """Return the absolute path of a directory that results of this kind can be saved as.

        Raises
        ------
        InputError
            If nothing can be written there, or what is there is not of this kind and nothing else.
        """
        path = Path(directory).resolve()
        if not path.parent.is_dir():
            raise InputError(f"{path.parent} must be a directory to hold the {self.what}; make it first")
        if path.exists() and not path.is_dir():
            raise InputError(f"{path} must be a directory for the {self.what}, not a file; name another one")
        if path.is_mount():
            raise InputError(f"{path} is a mount point, which cannot be replaced; name a directory inside it")
        try:
            found = sorted(entry.name for entry in path.iterdir()) if path.exists() else []
            _partial(path).rmdir()
        except OSError as error:
            raise InputError(f"{path} cannot be written: {error.strerror}; name another directory") from None
        others = [name for name in found if name not in self.files]
        if found and (others or not self._is_own(path / self.files[0])):
            raise InputError(
                f"{path} must be new, empty or an earlier {self.what}, but it holds {(others or found)[0]};"
                " name another directory"
            )
        return path

    def write(self, directory: Path | str, fill: Callable[[Path], object]) -> Path:
        """Let ``fill`` write the files beside the directory, move them there when all are complete, and return it.

        Raises
        ------
        InputError
            As `check`, and if the directory cannot be written; nothing is changed then.
        """
        path = self.check(directory)
        partial = _partial(path)
        try:
            fill(partial)
            _replace(path, partial)
        except OSError as error:
            raise InputError(f"{path} cannot be written: {error.strerror or error}; nothing was changed") from error
        finally:
            shutil.rmtree(partial, ignore_errors=True)
        return path

    def _is_own(self, file: Path) -> bool:
        try:
            values = json.loads(file.read_bytes())
        except (OSError, ValueError):
            return False
        return isinstance(values, dict) and self.keys <= values.keys()


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
