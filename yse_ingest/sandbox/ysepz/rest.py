"""`/api/...`: the REST endpoints of the tables that photometry touches."""

# ruff: noqa: S608 - the names of tables and columns come from here, values are bound
from __future__ import annotations

from typing import TYPE_CHECKING, Any, Final
from urllib.parse import urlencode

from yse_ingest.sandbox.ysepz import session as cost
from yse_ingest.sandbox.ysepz.resources import PATHS, how_to_show, reply_of
from yse_ingest.sandbox.ysepz.rest_writes import CHANGED, CREATED, write
from yse_ingest.sandbox.ysepz.values import comparable, iso, read_moment

if TYPE_CHECKING:
    import sqlite3

    from yse_ingest.sandbox.server import Reply, Request
    from yse_ingest.sandbox.ysepz.session import Session

PAGE: Final = 100

_JOINS: Final = {
    "status_in": " JOIN YSE_App_transientstatus status_in ON status_in.id = t.status_id",
    "tag_in": (
        " JOIN YSE_App_transient_tags m ON m.transient_id = t.id"
        " JOIN YSE_App_transienttag tag_in ON tag_in.id = m.transienttag_id"
    ),
}


def api(session: Session, request: Request) -> Reply:  # noqa: PLR0911 - one per kind
    """Answer a request below `/api/` by an authenticated user.

    Raises
    ------
    ValueError
        A filter that is no number, which the server does not catch either.
    """
    session.charge(cost.API_LOGIN_S)
    parts = [part for part in request.path.removeprefix("/api/").split("/") if part]
    if not parts:
        return reply_of({path: f"{session.base_url}/api/{path}/" for path in PATHS})
    table = PATHS.get(parts[0])
    if parts[0] == "users":
        message = (
            'Could not resolve URL for hyperlinked relationship using view name "user-detail"'
        )
        raise ValueError(message)
    if table is None or len(parts) > 2:
        return _not_found()
    if len(parts) == 1:
        match request.method:
            case "GET" | "HEAD":
                return _list(session, request, table)
            case "POST" if table in CREATED:
                return write(session, request, table, None)
        return _not_allowed(request)
    if not parts[1].isdigit():
        return _not_found()
    row = session.db.one(f"SELECT * FROM YSE_App_{table} WHERE id = ?", [int(parts[1])])
    if row is None or not _visible(session, table, row):
        return _not_found()
    match request.method:
        case "GET" | "HEAD":
            return reply_of(how_to_show(table)(session, row))
        case "PATCH" if table in CHANGED:
            return write(session, request, table, row)
    return _not_allowed(request)


def _not_found() -> Reply:
    return reply_of({"detail": "Not found."}, 404)


def _not_allowed(request: Request) -> Reply:
    return reply_of({"detail": f'Method "{request.method}" not allowed.'}, 405)


def _visible(session: Session, table: str, row: sqlite3.Row) -> bool:
    match table:
        case "transientphotometry":
            return session.db.visible(row["id"], session.user)
        case "transientphotdata":
            return session.db.visible(row["photometry_id"], session.user)
        case _:
            return True


def _list(session: Session, request: Request, table: str) -> Reply:
    where, values = _filter(request, table)
    if where is None:
        return reply_of(values, 400)
    order = "name" if table == "group" else "id"
    rows = session.db.all(
        f"SELECT t.* FROM YSE_App_{table} t {where} ORDER BY t.{order}", list(values.values())
    )
    if table in ("transientphotometry", "transientphotdata"):
        shown_headers: dict[int, bool] = {}
        column = "id" if table == "transientphotometry" else "photometry_id"
        for row in rows:
            if row[column] not in shown_headers:
                shown_headers[row[column]] = session.db.visible(row[column], session.user)
        rows = [row for row in rows if shown_headers[row[column]]]
    limit = _whole(request.param("limit")) or PAGE
    offset = _whole(request.param("offset"))
    page = rows[offset : offset + limit]
    if table == "transientphotdata":
        session.charge(cost.LISTED_POINT_S * len(page))
    show = how_to_show(table)
    previous = None
    if offset > 0:
        back = offset - limit
        previous = _address(session, request, limit, back if back > 0 else None)
    further = offset + limit < len(rows)
    return reply_of(
        {
            "count": len(rows),
            "next": _address(session, request, limit, offset + limit) if further else None,
            "previous": previous,
            "results": [show(session, row) for row in page],
        }
    )


def _whole(text: str | None) -> int:
    """Return a positive number, or 0 for anything else."""
    try:
        return max(0, int(text or 0))
    except ValueError:
        return 0


def _address(session: Session, request: Request, limit: int, offset: int | None) -> str:
    query = dict(request.query) | {"limit": str(limit)}
    query.pop("offset", None)
    if offset is not None:
        query["offset"] = str(offset)
    return f"{session.base_url}{request.path}?{urlencode(sorted(query.items()))}"


def _filter(request: Request, table: str) -> tuple[str | None, dict[str, Any]]:
    """Return the joins and conditions of a list and their values; unknown filters are ignored.

    Without conditions the second value is the body of a 400.
    """
    if table not in ("transient", "instrument", "observationgroup"):
        return "", {}
    joins, conditions, values = "", [], dict[str, Any]()
    for name, text in dict(request.query).items():
        if not text:
            continue
        if name == "name":
            conditions.append("t.name = ?")
            values[name] = comparable(text)
        elif table != "transient":
            continue
        elif name in ("ra_gte", "ra_lte", "dec_gte", "dec_lte"):
            column, sign = name[:-4], ">=" if name.endswith("_gte") else "<="
            conditions.append(f"t.{column} {sign} ?")
            values[name] = float(text)
        elif name in ("created_date_gte", "modified_date_gte"):
            moment = read_moment(text)
            if moment is None:
                return None, {name: ["Enter a valid date/time."]}
            conditions.append(f"t.{name[:-4]} >= ?")
            values[name] = iso(moment)
        elif name in ("status_in", "tag_in"):
            joins += _JOINS[name]
            names = [comparable(one) for one in text.split(",")]
            conditions.append(f"{name}.name IN ({', '.join('?' * len(names))})")
            values |= {f"{name}{number}": one for number, one in enumerate(names)}
    return f"{joins}{' WHERE ' if conditions else ''}{' AND '.join(conditions)}", values
