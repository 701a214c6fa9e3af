"""What the stand-in YSE-PZ holds: SQLite under the table names of the original.

Every statement commits by itself, as with the original, whose uploads run in autocommit.
"""

# ruff: noqa: S608 - the names of tables and columns come from here, values are bound
from __future__ import annotations

import shutil
import sqlite3
import tempfile
from dataclasses import dataclass
from datetime import UTC, datetime
from pathlib import Path
from typing import TYPE_CHECKING, Any, Final, Self

from yse_ingest.sandbox.ysepz import vocabulary
from yse_ingest.sandbox.ysepz.errors import ServerError, integrity_error
from yse_ingest.sandbox.ysepz.schema import schema
from yse_ingest.sandbox.ysepz.values import comparable, fold, iso

if TYPE_CHECKING:
    from collections.abc import Callable, Iterable, Mapping, Sequence

FIRST_USER_ID: Final = 189


@dataclass(frozen=True, slots=True)
class User:
    """An account."""

    id: int
    name: str
    group_ids: frozenset[int]


class Store:
    """The file, from which every request opens a connection of its own.

    Parameters
    ----------
    path
        A SQLite file, or ``:memory:`` for a temporary one that `close` removes.
    clock
        Returns the present moment.
    """

    def __init__(
        self, path: str | Path = ":memory:", *, clock: Callable[[], datetime] | None = None
    ) -> None:
        self._temporary = tempfile.mkdtemp(prefix="ysepz-") if str(path) == ":memory:" else None
        self.path = Path(self._temporary, "ysepz.sqlite") if self._temporary else Path(path)
        self.clock = clock or (lambda: datetime.now(UTC))
        with self.connect() as database:
            database.run("PRAGMA journal_mode = WAL")
            for statement in schema():
                database.run(statement)
            for table in vocabulary.TABLES:
                database.run_many(
                    f"INSERT OR IGNORE INTO YSE_App_{table} VALUES (?, ?, ?, 7, 7, ?, ?)",
                    [
                        (*row, vocabulary.SEEDED, vocabulary.SEEDED)
                        for row in vocabulary.rows(table)
                    ],
                )

    def connect(self) -> Database:
        """Open a connection, to be used by one thread."""
        return Database(self.path, self.clock)

    def close(self) -> None:
        """Remove the file if it was a temporary one."""
        if self._temporary:
            shutil.rmtree(self._temporary, ignore_errors=True)


class Database:
    """One connection; each statement commits by itself."""

    def __init__(self, path: Path, clock: Callable[[], datetime]) -> None:
        self._connection = sqlite3.connect(path, timeout=30.0, isolation_level=None)
        self._connection.row_factory = sqlite3.Row
        self._connection.create_collation("swedish", _compare)
        self._connection.execute("PRAGMA foreign_keys = ON")
        self._connection.execute("PRAGMA synchronous = NORMAL")
        self._clock = clock

    def __enter__(self) -> Self:
        """Return the connection itself."""
        return self

    def __exit__(self, *_: object) -> None:
        """Close it."""
        self._connection.close()

    def now(self) -> str:
        """Return the present moment as stored."""
        return iso(self._clock())

    # Statements -----------------------------------------------------------------------------

    def run(self, statement: str, values: Sequence[Any] = ()) -> int:
        """Execute one statement; return the id of the inserted row.

        Raises
        ------
        ServerError
            A constraint of the database refused it.
        """
        try:
            return self._connection.execute(statement, values).lastrowid or 0
        except sqlite3.IntegrityError as error:
            raise _translated(error) from error

    def run_many(self, statement: str, rows: Sequence[Sequence[Any]]) -> None:
        """Execute one statement for several rows, all or none of them."""
        self._connection.execute("BEGIN IMMEDIATE")
        try:
            self._connection.executemany(statement, rows)
        except sqlite3.IntegrityError as error:
            self._connection.execute("ROLLBACK")
            raise _translated(error) from error
        self._connection.execute("COMMIT")

    def all(self, query: str, values: Sequence[Any] = ()) -> list[sqlite3.Row]:
        """Return the rows of a query."""
        return self._connection.execute(query, values).fetchall()

    def one(self, query: str, values: Sequence[Any] = ()) -> sqlite3.Row | None:
        """Return the first row of a query, or None."""
        row: sqlite3.Row | None = self._connection.execute(query, values).fetchone()
        return row

    # Names ----------------------------------------------------------------------------------

    def named(self, table: str, name: object) -> list[sqlite3.Row]:
        """Return the rows of a table with this name, as the database compares names."""
        if name is None:
            return []
        return self.all(
            f"SELECT * FROM YSE_App_{table} WHERE name = ? ORDER BY id", [comparable(name)]
        )

    def first_named(self, table: str, name: object, *, otherwise: str = "Unknown") -> int:
        """Return the id of the first row of this name, else of the row `otherwise`."""
        rows = self.named(table, name) or self.named(table, otherwise)
        return int(rows[0]["id"])

    def get_named(self, table: str, model: str, name: object) -> sqlite3.Row:
        """Return the one row of this name.

        Raises
        ------
        ServerError
            There is none, or more than one.
        """
        rows = self.named(table, name)
        if not rows:
            raise ServerError("DoesNotExist", f"{model} matching query does not exist.")
        if len(rows) > 1:
            message = f"get() returned more than one {model} -- it returned {len(rows)}!"
            raise ServerError("MultipleObjectsReturned", message)
        return rows[0]

    def band(self, name: object, instrument: object) -> int:
        """Return the id of a band by its and its instrument's name, or of `Unknown`."""
        if name is not None and instrument is not None:
            row = self.one(
                "SELECT b.id FROM YSE_App_photometricband b JOIN YSE_App_instrument i "
                "ON i.id = b.parent_id WHERE b.name = ? AND i.name = ? ORDER BY b.id",
                [comparable(name), comparable(instrument)],
            )
            if row is not None:
                return int(row["id"])
        return int(self.named("photometricband", "Unknown")[0]["id"])

    # Rows -----------------------------------------------------------------------------------

    def insert(self, table: str, user: int, fields: Mapping[str, Any]) -> int:
        """Insert a row owned by a user; return its id."""
        now = self.now()
        row = {
            "created_by_id": user,
            "modified_by_id": user,
            "created_date": now,
            "modified_date": now,
            **fields,
        }
        marks = ", ".join("?" * len(row))
        return self.run(
            f"INSERT INTO YSE_App_{table} ({', '.join(row)}) VALUES ({marks})",
            list(row.values()),
        )

    def update(self, table: str, ids: Sequence[int], fields: Mapping[str, Any]) -> None:
        """Set columns of some rows in one statement."""
        if not ids or not fields:
            return
        columns = ", ".join(f"{name} = ?" for name in fields)
        marks = ", ".join("?" * len(ids))
        self.run(
            f"UPDATE YSE_App_{table} SET {columns} WHERE id IN ({marks})",
            [*fields.values(), *ids],
        )

    def header(self, transient: int, instrument: int, obs_group: int) -> int | None:
        """Return the id of the first header of a transient, instrument and group, or None."""
        row = self.one(
            "SELECT id FROM YSE_App_transientphotometry WHERE transient_id = ? "
            "AND instrument_id = ? AND obs_group_id = ? ORDER BY id",
            [transient, instrument, obs_group],
        )
        return None if row is None else int(row["id"])

    def flags(self, point: int) -> list[sqlite3.Row]:
        """Return the data-quality rows of a point."""
        return self.all(
            "SELECT q.* FROM YSE_App_dataquality q "
            "JOIN YSE_App_transientphotdata_data_quality m ON m.dataquality_id = q.id "
            "WHERE m.transientphotdata_id = ? ORDER BY q.id",
            [point],
        )

    def set_flags(self, point: int, flags: Iterable[int]) -> None:
        """Replace the flags of a point."""
        self.run(
            "DELETE FROM YSE_App_transientphotdata_data_quality WHERE transientphotdata_id = ?",
            [point],
        )
        for flag in flags:
            self.run(
                "INSERT OR IGNORE INTO YSE_App_transientphotdata_data_quality "
                "(transientphotdata_id, dataquality_id) VALUES (?, ?)",
                [point, flag],
            )

    def tags(self, transient: int) -> list[int]:
        """Return the ids of a transient's tags."""
        rows = self.all(
            "SELECT transienttag_id FROM YSE_App_transient_tags WHERE transient_id = ? "
            "ORDER BY transienttag_id",
            [transient],
        )
        return [row["transienttag_id"] for row in rows]

    def add_tag(self, transient: int, tag: int) -> None:
        """Add a tag and move the transient's modified_date, as a save does."""
        self.run(
            "INSERT OR IGNORE INTO YSE_App_transient_tags (transient_id, transienttag_id) "
            "VALUES (?, ?)",
            [transient, tag],
        )
        self.update("transient", [transient], {"modified_date": self.now()})

    def groups(self, header: int) -> list[int]:
        """Return the ids of a header's groups."""
        rows = self.all(
            "SELECT group_id FROM YSE_App_transientphotometry_groups "
            "WHERE transientphotometry_id = ? ORDER BY group_id",
            [header],
        )
        return [row["group_id"] for row in rows]

    def add_group(self, header: int, group: int) -> None:
        """Attach a group to a header."""
        self.run(
            "INSERT OR IGNORE INTO YSE_App_transientphotometry_groups "
            "(transientphotometry_id, group_id) VALUES (?, ?)",
            [header, group],
        )

    def visible(self, header: int, user: User) -> bool:
        """Say whether a user is shown a header: it has no groups, or one of the user's."""
        groups = self.groups(header)
        return not groups or not user.group_ids.isdisjoint(groups)


def _compare(left: str, right: str) -> int:
    one, other = fold(left), fold(right)
    return (one > other) - (one < other)


def _translated(error: sqlite3.IntegrityError) -> ServerError:
    """Return SQLite's complaint in MySQL's words."""
    kind, _, where = str(error).partition(": ")
    column = where.rpartition(".")[2]
    if kind.startswith("NOT NULL"):
        return integrity_error(1048, f"Column '{column}' cannot be null")
    if kind.startswith("UNIQUE"):
        return integrity_error(1062, f"Duplicate entry for key '{column}'")
    return integrity_error(
        1451, "Cannot delete or update a parent row: a foreign key constraint"
    )
