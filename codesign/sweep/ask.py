"""Ask: SQL on a sweep's store, which it cannot change; it sees nothing but the store."""

from __future__ import annotations

from pathlib import Path
from typing import Any

from codesign.sweep.reader import open_to_read
from codesign.sweep.store import first_line
from traces.errors import InputError

_COPY = {".parquet": "FORMAT parquet", ".csv": "FORMAT csv, HEADER", ".json": "FORMAT json, ARRAY true"}


def ask(directory: Path, sql: str) -> tuple[list[str], list[tuple[Any, ...]]]:
    """Return names of columns and rows.

    Raises
    ------
    InputError
        If there is no sweep, one runs there, or the SQL is wrong.
    """
    connection = open_to_read(directory)
    import duckdb

    try:
        connection.execute("SET enable_external_access = false")
        found = connection.execute(sql)
        if found is None:
            raise InputError("SQL must be a statement, such as 'select * from results', not empty")
        return [column[0] for column in found.description or ()], found.fetchall()
    except duckdb.Error as error:
        raise _wrong(error) from None
    finally:
        connection.close()


def export(directory: Path, sql: str, path: Path) -> int:
    """Write what a query gives to a .parquet, .csv or .json file and return the number of rows.

    Raises
    ------
    InputError
        As `ask`, and if the file cannot be written.
    """
    if not path.parent.is_dir():
        raise InputError(f"--out {path}: there is no directory {path.parent}; make it first")
    connection = open_to_read(directory)
    import duckdb

    try:
        target = path.resolve()
        # A file that is there is replaced by one of this name when that is whole.
        allowed = [str(one).replace("'", "''") for one in (target, target.with_name(f"tmp_{target.name}"))]
        connection.execute(f"SET allowed_paths = ['{allowed[0]}', '{allowed[1]}']")
        connection.execute("SET enable_external_access = false")
        connection.execute(f"SELECT * FROM ({_single(sql)}) LIMIT 0")  # what is wrong with it, before a file is made
        found = connection.execute(f"COPY ({_single(sql)}) TO '{allowed[0]}' ({_COPY[path.suffix]})").fetchone()
        return int(found[0]) if found else 0
    except duckdb.IOException as error:
        raise InputError(f"--out {path} cannot be written: {first_line(error)}") from None
    except duckdb.Error as error:
        raise _wrong(error) from None
    finally:
        connection.close()


def _single(sql: str) -> str:
    """Return a statement as it can stand in parentheses: it may end in a comment."""
    return sql.strip().rstrip(";") + "\n"


def _wrong(error: Exception) -> InputError:
    """Return DuckDB's complaint as a sentence, without the drawing of where it is."""
    said = str(error).partition("\n\nLINE")[0].partition("\nLINE")[0]
    return InputError(f"SQL: {' '.join(said.split())}")
