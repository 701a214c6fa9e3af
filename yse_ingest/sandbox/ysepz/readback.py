"""What is read back: `/download_data/`, `/get_transient/`, `/query_api/`."""

# ruff: noqa: S608 - the names of tables and columns come from here, values are bound
from __future__ import annotations

import re
from typing import TYPE_CHECKING, Any, Final

from yse_ingest.sandbox.server import Reply
from yse_ingest.sandbox.ysepz import session as cost
from yse_ingest.sandbox.ysepz.columns import POINT_PLAIN, TRANSIENT_KEYS, TRANSIENT_PLAIN
from yse_ingest.sandbox.ysepz.errors import ServerError
from yse_ingest.sandbox.ysepz.resources import show_transient
from yse_ingest.sandbox.ysepz.values import comparable, shown_ms

if TYPE_CHECKING:
    import sqlite3
    from collections.abc import Mapping

    from yse_ingest.sandbox.ysepz.session import Session

SAVED_QUERIES: Final = {
    "YSE_Transients": (
        "SELECT t.name, t.ra AS transient_RA, t.dec AS transient_Dec, t.disc_date "
        "FROM YSE_App_transient t JOIN YSE_App_transient_tags m ON m.transient_id = t.id "
        "JOIN YSE_App_transienttag g ON g.id = m.transienttag_id WHERE g.name = 'YSE'"
    ),
}
"""The saved queries that are there from the start."""


def _transient_by_slug(session: Session, slug: str) -> sqlite3.Row | None:
    return session.db.one("SELECT * FROM YSE_App_transient WHERE slug = ?", [comparable(slug)])


def get_transient(session: Session, slug: str) -> Reply:
    """Return the row of a transient, or an empty text in its place."""
    session.charge(cost.API_LOGIN_S)
    row = _transient_by_slug(session, slug)
    return Reply.json({"transient": "" if row is None else show_transient(session, row)})


def download_data(session: Session, slug: str) -> Reply:
    """Return a transient and all the photometry that the user is shown, times cut to ms.

    Raises
    ------
    IndexError
        There is no such slug.
    """
    session.charge(cost.API_LOGIN_S)
    row = _transient_by_slug(session, slug)
    if row is None:
        raise IndexError("list index out of range")
    headers = session.db.all(
        "SELECT h.*, i.name AS instrument, s.name AS telescope, g.name AS obs_group "
        "FROM YSE_App_transientphotometry h "
        "JOIN YSE_App_instrument i ON i.id = h.instrument_id "
        "LEFT JOIN YSE_App_telescope s ON s.id = i.parent_id "
        "JOIN YSE_App_observationgroup g ON g.id = h.obs_group_id "
        "WHERE h.transient_id = ? ORDER BY h.id",
        [row["id"]],
    )
    photometry = [
        _header(session, header, row["name"])
        for header in headers
        if session.db.visible(header["id"], session.user)
    ]
    return Reply.json(
        {
            row["name"]: {
                "transient": [_transient(session, row)],
                "host": {},
                "photometry": photometry or {},
                "spectra": {},
            }
        }
    )


def _owned(session: Session, row: sqlite3.Row) -> dict[str, Any]:
    return {
        "created_by": [user_name(session.user_names, row["created_by_id"])],
        "created_date": shown_ms(row["created_date"]),
        "modified_by": [user_name(session.user_names, row["modified_by_id"])],
        "modified_date": shown_ms(row["modified_date"]),
    }


def user_name(names: Mapping[int, str], user: int) -> str:
    """Return the name of an account."""
    return names.get(user, f"user{user}")


def _transient(session: Session, row: sqlite3.Row) -> dict[str, Any]:
    keys: dict[str, Any] = {}
    for name, table in TRANSIENT_KEYS.items():
        found = None
        if table is not None and row[f"{name}_id"] is not None:
            found = session.db.one(
                f"SELECT * FROM YSE_App_{table} WHERE id = ?", [row[f"{name}_id"]]
            )
        keys[name] = None if found is None else _name_of(session, table, found)
    plain = {}
    for name, (kind, _) in TRANSIENT_PLAIN.items():
        plain[name] = _plain(row[name], kind)
    return {
        "model": "YSE_App.transient",
        "pk": row["id"],
        "fields": {
            **_owned(session, row),
            **keys,
            **plain,
            "tags": session.db.tags(row["id"]),
        },
    }


def _name_of(session: Session, table: str | None, row: sqlite3.Row) -> str:
    if table != "photometricband":
        return str(row["name"])
    instrument = session.db.one(
        "SELECT name FROM YSE_App_instrument WHERE id = ?", [row["parent_id"]]
    )
    return f"{instrument['name'] if instrument else None} - {row['name']}"


def _plain(value: Any, kind: str) -> Any:
    if value is not None and kind == "time":
        return shown_ms(value)
    if value is not None and kind == "truth":
        return bool(value)
    return value


def _header(session: Session, header: sqlite3.Row, transient: str) -> dict[str, Any]:
    points = session.db.all(
        "SELECT p.*, b.name AS band, i.name AS band_instrument "
        "FROM YSE_App_transientphotdata p JOIN YSE_App_photometricband b ON b.id = p.band_id "
        "LEFT JOIN YSE_App_instrument i ON i.id = b.parent_id "
        "WHERE p.photometry_id = ? ORDER BY p.id",
        [header["id"]],
    )
    session.charge(cost.READ_BACK_POINT_S * len(points))
    group_names = [
        [session.db.all("SELECT name FROM YSE_App_group WHERE id = ?", [group])[0]["name"]]
        for group in session.db.groups(header["id"])
    ]
    return {
        "model": "YSE_App.transientphotometry",
        "pk": header["id"],
        "fields": {
            **_owned(session, header),
            "instrument": f"{header['telescope']} - {header['instrument']}",
            "obs_group": header["obs_group"],
            "reference": None,
            "transient": transient,
            "host": None,
            "followup": None,
            "groups": group_names,
        },
        "data": [_point(session, header, point) for point in points],
    }


def _point(session: Session, header: sqlite3.Row, point: sqlite3.Row) -> dict[str, Any]:
    values = {name: _plain(point[name], kind) for name, kind in POINT_PLAIN.items()}
    discovery = values.pop("discovery_point")
    return {
        "model": "YSE_App.transientphotdata",
        "pk": point["id"],
        "fields": {
            **_owned(session, point),
            "band": f"{point['band_instrument']} - {point['band']}",
            "unit": None,
            "mag_sys": None,
            "zp_off": None,
            **values,
            "photometry": f"{header['obs_group']} - {header['telescope']}",
            "discovery_point": discovery,
            "data_quality": [flag["name"] for flag in session.db.flags(point["id"])],
        },
    }


def query_api(session: Session, queries: Mapping[str, str], title: str) -> Reply:
    """Run a saved query; it ignores group restrictions.

    Raises
    ------
    ServerError
        There is no query of this title, or it does not select from the transients.
    """
    session.charge(cost.SAVED_QUERY_S)
    query = queries.get(title)
    if query is None:
        raise ServerError("DoesNotExist", "Query matching query does not exist.")
    if not re.match(r"\s*select\b.*name.*yse_app_transient", query, re.IGNORECASE | re.DOTALL):
        raise ServerError("RuntimeError", "the query must select names from YSE_App_transient")
    rows = [dict(row) for row in session.db.all(query)]
    return Reply.json({"transients": rows})
