"""Reader: a sweep's store, opened to be read."""

from __future__ import annotations

from pathlib import Path
from typing import TYPE_CHECKING

from codesign.sweep.store import FILE, check_installed, first_line
from traces.errors import InputError

if TYPE_CHECKING:
    import duckdb


def open_to_read(directory: Path) -> duckdb.DuckDBPyConnection:
    """Return a connection to the store in a directory, which can change nothing in it.

    Raises
    ------
    InputError
        If there is no store, a sweep is at work on it, or it cannot be read.
    """
    check_installed("duckdb")
    import duckdb

    if not directory.is_dir():
        raise InputError(f"{directory} must be the folder of a sweep, and there is no such folder")
    if not (directory / FILE).is_file():
        raise InputError(f"{directory} must be the folder of a sweep, but it holds no {FILE}; see codesign sweep")
    try:
        return duckdb.connect(str(directory / FILE), read_only=True)
    except duckdb.IOException as error:
        if "lock" in str(error):
            raise InputError(
                f"{directory} is in use by a sweep that runs; wait for it, or end it with Ctrl-C"
            ) from None
        raise InputError(f"{directory / FILE} cannot be read as a store: {first_line(error)}") from None
    except duckdb.Error as error:
        raise InputError(f"{directory / FILE} is not the store of a sweep: {first_line(error)}") from None
