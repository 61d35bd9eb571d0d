"""Store: everything a sweep knows, in one DuckDB file that a kill at any moment leaves whole.

| table       | one row a          | holds                                                                             |
|-------------|--------------------|-----------------------------------------------------------------------------------|
| `about`     | fact               | format, code_version, study (its YAML), folder, plan, optimizer, budget, inputs   |
| `evaluated` | configuration      | what it takes, by `key`; independent of the study, and never computed twice       |
| `points`    | point of the study | number, key, who chose it, status, reason, accuracy, and the values that make it  |
| `layers`    | list of names      | names of the ops that `layer_cycles` and `layer_energy_pj` are of, by a digest    |

The view `results` joins points with what was evaluated; the view `ops` tells the names by model and target.
``accuracy`` and the reason for pruning or for a broken constraint stand in `points`, as they are the study's. No time
of day is in it, so two runs can be compared row by row.
"""

from __future__ import annotations

import hashlib
import importlib.util
import json
import os
import signal
import threading
from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from pathlib import Path
from typing import TYPE_CHECKING, Any, NamedTuple

from codesign.sweep.evaluate import Outcome
from codesign.sweep.point import code_version
from codesign.sweep.space import Space
from codesign.sweep.study import StudyFile
from traces.errors import InputError

if TYPE_CHECKING:
    import duckdb

#: Version of the tables.
FORMAT = "1"
FILE = "results.duckdb"
GRAPHS = "graphs"
_SQL_TYPES = {bool: "BOOLEAN", int: "BIGINT", float: "DOUBLE", str: "VARCHAR"}
_EVALUATED = """
CREATE TABLE evaluated(key VARCHAR PRIMARY KEY, status VARCHAR, reason VARCHAR, cycles BIGINT, time_s DOUBLE,
    energy_pj DOUBLE, pes BIGINT, sram_bytes BIGINT, dram_bytes BIGINT, utilization DOUBLE, macs BIGINT,
    effectual_macs BIGINT, layer_cycles BIGINT[], layer_energy_pj DOUBLE[], layers VARCHAR);
CREATE TABLE layers(digest VARCHAR PRIMARY KEY, names VARCHAR[])
"""
_VIEWS = """
CREATE VIEW results AS SELECT points.* EXCLUDE (reason), coalesce(points.reason, evaluated.reason) AS reason, {measures}
    FROM points LEFT JOIN evaluated USING (key);
CREATE VIEW ops AS SELECT model, target, names
    FROM (SELECT DISTINCT model, target, layers AS digest FROM points JOIN evaluated USING (key))
    JOIN layers USING (digest) ORDER BY model, target
"""
_POINT = ("number", "key", "chosen_by", "status", "reason", "accuracy", "model", "weights", "target", "dataflow")


class Row(NamedTuple):
    """A row of `points`; ``values`` are those of the space's parameters, in their order."""

    number: int
    key: str
    chosen_by: str
    status: str
    reason: str | None
    accuracy: float | None
    model: str
    weights: str
    target: str
    dataflow: str | None
    values: tuple[Any, ...]


class Store:
    """The store of one sweep, open for its one writer."""

    def __init__(self, directory: Path, connection: duckdb.DuckDBPyConnection) -> None:
        self.directory, self._connection = directory, connection
        self._named: set[str] = set()

    @classmethod
    def open(
        cls, directory: Path, file: StudyFile, space: Space, optimizer: str, budget: int | None, *, resume: bool
    ) -> Store:
        """Open or make the store of a sweep.

        A store of the same study, optimizer and budget is gone on with. For another plan ``resume`` is needed: its
        points begin anew, and what was evaluated is kept. `check_inputs` comes next.

        Raises
        ------
        InputError
            If the directory cannot be used, another sweep runs in it, or its store is of another version or plan.
        """
        import duckdb

        fresh = _prepare(directory, resume)
        path = directory / FILE
        try:
            settings: dict[str, Any] = {"threads": 1, "memory_limit": "1GB"}
            connection = duckdb.connect(str(path), config=settings)
        except duckdb.IOException as error:
            if "lock" in str(error):
                raise InputError(
                    f"{directory} is in use by another sweep; wait for it to end, or name another directory with --out"
                ) from None
            raise InputError(f"{path} cannot be opened: {first_line(error)}") from None
        except duckdb.Error as error:
            raise InputError(
                f"{path} is not the store of a sweep: {first_line(error)}; name another directory"
            ) from None
        store = cls(directory, connection)
        try:
            with store._transaction():
                store._set_up(file, space, optimizer, budget, resume=resume, fresh=fresh)
        except BaseException:
            store.close()
            raise
        return store

    def close(self) -> None:
        """Give the file back to others."""
        self._connection.close()

    def check_inputs(self, inputs: str, *, resume: bool) -> None:
        """Go on with the points of an earlier run if its ``inputs``, a digest of machines and models, were these.

        Raises
        ------
        InputError
            If they were others, and not ``resume``; with it the points begin anew.
        """
        with self._transaction() as connection:
            before = connection.execute("SELECT value FROM about WHERE name = 'inputs'").fetchone()
            if before == (inputs,):
                return
            if not resume and self._begun():
                raise InputError(
                    f"{self.directory} holds a sweep of the same study, but a model, its input or a config has changed"
                    " since; give --resume to evaluate its points anew, or name another directory with --out"
                )
            connection.execute("DELETE FROM points")
            connection.execute("INSERT OR REPLACE INTO about VALUES ('inputs', ?)", [inputs])

    def _begun(self) -> bool:
        return self._connection.execute("SELECT 1 FROM points LIMIT 1").fetchone() is not None

    def known(self, keys: Sequence[str]) -> dict[str, Outcome]:
        """Return what was evaluated of these keys, without layers; failures are left out, to be tried again."""
        columns = ", ".join(Outcome._fields[:12])
        query = f"SELECT {columns} FROM evaluated WHERE list_contains(?, key) AND status != 'failed'"
        with _uninterrupted():
            return {row[0]: Outcome(*row) for row in self._connection.execute(query, [list(keys)]).fetchall()}

    def present(self, numbers: Sequence[int]) -> set[int]:
        """Return which points of these numbers are in the table; those that failed are left out, to be told anew."""
        query = "SELECT number FROM points WHERE list_contains(?, number) AND status != 'failed'"
        with _uninterrupted():
            return {row[0] for row in self._connection.execute(query, [list(numbers)]).fetchall()}

    def put(self, outcomes: Sequence[Outcome], rows: Sequence[Row]) -> None:
        """Commit outcomes and points, all or none; when this returns they survive a kill.

        Raises
        ------
        InputError
            If the file cannot be written; nothing that was committed before is lost.
        """
        named = {_digest(one.names): list(one.names) for one in outcomes if one.names}
        with self._transaction() as connection:
            found = [
                [*(list(v) if isinstance(v, tuple) else v for v in one[:14]), _digest(one.names) if one.names else None]
                for one in outcomes
            ]
            _insert(connection, "evaluated", found)
            _insert(connection, "points", [[*row[:-1], *row.values] for row in rows])
            _insert(connection, "layers", [[digest, named[digest]] for digest in named.keys() - self._named])
        self._named |= named.keys()

    @contextmanager
    def _transaction(self) -> Iterator[duckdb.DuckDBPyConnection]:
        import duckdb

        try:
            with _uninterrupted():
                self._connection.begin()
                yield self._connection
                self._connection.commit()
        except duckdb.Error as error:
            raise InputError(
                f"{self.directory / FILE} cannot be written: {first_line(error)}; free some space and give the same"
                " command again: all points that were finished are kept"
            ) from None

    def _set_up(
        self, file: StudyFile, space: Space, optimizer: str, budget: int | None, *, resume: bool, fresh: bool
    ) -> None:
        """Make the tables, or check that those that are there are of this version and plan."""
        connection = self._connection
        # An earlier run may have been killed before it made any.
        fresh = fresh or connection.execute("SELECT count(*) FROM duckdb_tables()").fetchone() == (0,)
        # From the store, so that both can be moved together.
        folder = os.path.relpath(file.folder, self.directory)
        plan = json.dumps([file.study.model_dump(), optimizer, budget], sort_keys=True)
        if not fresh:
            about = self._about()
            other = "study, optimizer or budget" if about.get("plan") != plan else "version of codesign"
            if (about.get("plan"), about.get("code_version")) == (plan, code_version()):
                connection.execute("INSERT OR REPLACE INTO about VALUES ('folder', ?)", [folder])
                return
            if not resume and self._begun():
                raise InputError(
                    f"{self.directory} holds a sweep of another {other}; give --resume to go on from what it has"
                    " evaluated, or name another directory with --out"
                )
            connection.execute("DROP VIEW ops; DROP VIEW results; DROP TABLE points; DROP TABLE about")
        else:
            connection.execute(_EVALUATED)
        connection.execute("CREATE TABLE about(name VARCHAR PRIMARY KEY, value VARCHAR)")
        facts = {
            "format": FORMAT,
            "code_version": code_version(),
            "study": file.text,
            "folder": folder,
            "plan": plan,
            "optimizer": optimizer,
            "budget": None if budget is None else str(budget),
        }
        connection.executemany("INSERT INTO about VALUES (?, ?)", [list(fact) for fact in facts.items()])
        columns = [
            f"{name} {'BIGINT PRIMARY KEY' if name == 'number' else 'DOUBLE' if name == 'accuracy' else 'VARCHAR'}"
            for name in _POINT
        ]
        columns += [f'"{name}" {_SQL_TYPES[kind]}' for name, kind in space.parameters.items()]
        connection.execute(f"CREATE TABLE points({', '.join(columns)})")
        measures = ", ".join(f"evaluated.{name}" for name in Outcome._fields[3:14])
        connection.execute(_VIEWS.format(measures=measures))

    def _about(self) -> dict[str, str]:
        import duckdb

        try:
            about = dict(self._connection.execute("SELECT name, value FROM about").fetchall())
        except duckdb.CatalogException:
            raise InputError(f"{self.directory / FILE} is not the store of a sweep; name another directory") from None
        if about.get("format") != FORMAT:
            raise InputError(
                f"{self.directory} is a sweep of format {about.get('format')}, and this version of codesign writes"
                f" format {FORMAT}; name another directory with --out"
            )
        return about


def _digest(names: Sequence[str]) -> str:
    return hashlib.sha256(json.dumps(names).encode()).hexdigest()[:16]


def _insert(connection: duckdb.DuckDBPyConnection, table: str, rows: Sequence[Sequence[Any]]) -> None:
    """Insert rows by one statement: one for each row would take five times as long."""
    if rows:
        marks = ", ".join([f"({', '.join('?' * len(rows[0]))})"] * len(rows))
        values = [value for row in rows for value in row]
        connection.execute(f"INSERT OR REPLACE INTO {table} VALUES {marks}", values)


@contextmanager
def _uninterrupted() -> Iterator[None]:
    """Hold Ctrl-C back until the end: DuckDB would make an error of it, and lose what is being committed."""
    if threading.current_thread() is not threading.main_thread():
        yield
        return
    held: list[int] = []
    before = signal.signal(signal.SIGINT, lambda number, _frame: held.append(number))
    try:
        yield
    finally:
        signal.signal(signal.SIGINT, before)
    if held:
        raise KeyboardInterrupt


def _prepare(directory: Path, resume: bool) -> bool:
    """Make the directory if need be, and return whether it has no store yet."""
    try:
        directory.mkdir(parents=True, exist_ok=True)
        found = sorted(entry.name for entry in directory.iterdir())
    except FileExistsError:
        raise InputError(f"{directory} must be a directory for the sweep, not a file; name another one") from None
    except OSError as error:
        raise InputError(f"{directory} cannot be used: {error.strerror}; name another directory") from None
    if FILE in found:
        return False
    if resume:
        raise InputError(f"{directory} holds no sweep to resume; leave out --resume, or name its directory with --out")
    others = [name for name in found if name not in (GRAPHS, f"{FILE}.wal", f"{FILE}.tmp")]
    if others:
        raise InputError(
            f"{directory} must be new, empty or an earlier sweep, but it holds {others[0]}; name another directory"
        )
    return True


def check_installed(module: str) -> None:
    """Refuse to go on without a package that only sweeps need."""
    if importlib.util.find_spec(module) is None:
        raise InputError(f"a sweep needs {module}; install it with pip install {module}")


def first_line(error: Exception) -> str:
    """Return the first line of a complaint of DuckDB's."""
    return str(error).partition("\n")[0].rstrip(".")
