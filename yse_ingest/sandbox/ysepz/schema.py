"""The tables, under the names of the original, so that saved SQL runs on both."""

from __future__ import annotations

from typing import TYPE_CHECKING, Final

from yse_ingest.sandbox.ysepz import vocabulary
from yse_ingest.sandbox.ysepz.columns import POINT_PLAIN, TRANSIENT_KEYS, TRANSIENT_PLAIN, Kind

if TYPE_CHECKING:
    from collections.abc import Iterable, Mapping

SQL_TYPES: Final[Mapping[Kind, str]] = {
    "number": "REAL",
    "truth": "INTEGER",
    "time": "TEXT",
    "text": "TEXT COLLATE swedish",
}

OWNED: Final = (
    "created_by_id INTEGER NOT NULL, modified_by_id INTEGER NOT NULL, "
    "created_date TEXT NOT NULL, modified_date TEXT NOT NULL"
)


def schema() -> Iterable[str]:
    """Return the statements that create the tables where they are missing."""
    for table in vocabulary.TABLES:
        yield (
            f"CREATE TABLE IF NOT EXISTS YSE_App_{table} (id INTEGER PRIMARY KEY, "
            f"name TEXT COLLATE swedish NOT NULL, parent_id INTEGER, {OWNED})"
        )
    keys = ", ".join(
        f"{name}_id INTEGER{' NOT NULL' if name in {'status', 'obs_group'} else ''}"
        for name in TRANSIENT_KEYS
    )
    plain = ", ".join(
        f"{name} {SQL_TYPES[kind]}{' NOT NULL' if name in {'name', 'ra', 'dec'} else ''}"
        f"{' UNIQUE' if name == 'slug' else ''}"
        for name, (kind, _) in TRANSIENT_PLAIN.items()
    )
    yield (
        "CREATE TABLE IF NOT EXISTS YSE_App_transient (id INTEGER PRIMARY KEY AUTOINCREMENT, "
        f"{OWNED}, {keys}, {plain})"
    )
    belongs = "INTEGER NOT NULL REFERENCES YSE_App_transient (id) ON DELETE CASCADE"
    yield (
        "CREATE TABLE IF NOT EXISTS YSE_App_transient_tags (id INTEGER PRIMARY KEY, "
        f"transient_id {belongs}, transienttag_id INTEGER NOT NULL, "
        "UNIQUE (transient_id, transienttag_id))"
    )
    yield (
        "CREATE TABLE IF NOT EXISTS YSE_App_alternatetransientnames ("
        f"id INTEGER PRIMARY KEY AUTOINCREMENT, {OWNED}, transient_id {belongs}, "
        "obs_group_id INTEGER NOT NULL, name TEXT COLLATE swedish NOT NULL, slug TEXT)"
    )
    yield (
        "CREATE TABLE IF NOT EXISTS YSE_App_transientphotometry ("
        f"id INTEGER PRIMARY KEY AUTOINCREMENT, {OWNED}, transient_id {belongs}, "
        "instrument_id INTEGER NOT NULL, obs_group_id INTEGER NOT NULL)"
    )
    header = "INTEGER NOT NULL REFERENCES YSE_App_transientphotometry (id) ON DELETE CASCADE"
    yield (
        "CREATE TABLE IF NOT EXISTS YSE_App_transientphotometry_groups ("
        f"id INTEGER PRIMARY KEY, transientphotometry_id {header}, group_id INTEGER NOT NULL, "
        "UNIQUE (transientphotometry_id, group_id))"
    )
    values = ", ".join(f"{name} {SQL_TYPES[kind]}" for name, kind in POINT_PLAIN.items())
    yield (
        "CREATE TABLE IF NOT EXISTS YSE_App_transientphotdata ("
        f"id INTEGER PRIMARY KEY AUTOINCREMENT, {OWNED}, photometry_id {header}, "
        f"band_id INTEGER NOT NULL, {values})"
    )
    yield (
        "CREATE TABLE IF NOT EXISTS YSE_App_transientphotdata_data_quality ("
        "id INTEGER PRIMARY KEY, transientphotdata_id INTEGER NOT NULL "
        "REFERENCES YSE_App_transientphotdata (id) ON DELETE CASCADE, "
        "dataquality_id INTEGER NOT NULL, UNIQUE (transientphotdata_id, dataquality_id))"
    )
    for table, column in (
        ("transient", "name"),
        ("alternatetransientnames", "name"),
        ("transientphotometry", "transient_id"),
        ("transientphotdata", "photometry_id"),
    ):
        yield f"CREATE INDEX IF NOT EXISTS {table}_{column} ON YSE_App_{table} ({column})"
