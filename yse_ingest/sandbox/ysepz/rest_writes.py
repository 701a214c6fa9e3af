"""`POST` and `PATCH` below `/api/`: validated rows, one at a time, without any matching."""

# ruff: noqa: S608 - the names of tables and columns come from here, values are bound
from __future__ import annotations

import json
from collections.abc import Callable, Iterable, Mapping
from datetime import UTC
from typing import TYPE_CHECKING, Any, Final

from yse_ingest.sandbox.ysepz.columns import POINT_PLAIN, TRANSIENT_KEYS, TRANSIENT_PLAIN, Kind
from yse_ingest.sandbox.ysepz.resources import PATH_OF, Row, how_to_show, reply_of
from yse_ingest.sandbox.ysepz.values import iso, no_constant, read_moment

if TYPE_CHECKING:
    from yse_ingest.sandbox.server import Reply, Request
    from yse_ingest.sandbox.ysepz.session import Session

BAD_DATE: Final = (
    "Datetime has wrong format. Use one of these formats instead: "
    "YYYY-MM-DDThh:mm[:ss[.uuuuuu]][+HH:MM|-HH:MM|Z]."
)

CREATED: Final[Mapping[str, Iterable[str]]] = {
    "transientphotometry": ("transient", "instrument", "obs_group", "groups"),
    "transientphotdata": ("photometry", "band", "obs_date", "data_quality"),
    "transienttag": ("name",),
}
"""What can be created, and which fields that needs."""

CHANGED: Final = ("transient", "transientphotdata")


class _InvalidError(Exception):
    """A field that the serializer refuses, with its sentence."""


def write(session: Session, request: Request, table: str, row: Row | None) -> Reply:
    """Create a row (`row` None) or change one; 400 names every field that is wrong."""
    try:
        posted = json.loads(request.body, parse_constant=no_constant)
    except ValueError as error:
        return reply_of({"detail": f"JSON parse error - {error}"}, 400)
    if not isinstance(posted, Mapping):
        kind = type(posted).__name__
        message = f"Invalid data. Expected a dictionary, but got {kind}."
        return reply_of({"non_field_errors": [message]}, 400)
    readers = _readers(session, table)
    required = CREATED[table] if row is None else ()
    errors: dict[str, list[str]] = {
        name: ["This field is required."] for name in required if name not in posted
    }
    fields: dict[str, Any] = {}
    for name, read in readers.items():
        if name in posted:
            try:
                fields[name] = read(posted[name])
            except _InvalidError as error:
                errors[name] = [str(error)]
    if errors:
        return reply_of(errors, 400)
    return _store(session, table, row, fields)


def _store(session: Session, table: str, row: Row | None, fields: dict[str, Any]) -> Reply:
    db = session.db
    header = fields.get("photometry_id", fields.get("photometry"))
    if header is not None and not db.visible(header, session.user):
        message = "You do not have permission to perform this action."
        return reply_of({"detail": message}, 403)
    many = {
        name: fields.pop(name) for name in ("data_quality", "tags", "groups") if name in fields
    }
    columns = {_column(table, name): value for name, value in fields.items()}
    if row is None:
        row_id = db.insert(table, session.user.id, columns)
        status = 201
    else:
        row_id, status = int(row["id"]), 200
        db.update(
            table,
            [row_id],
            {**columns, "modified_by_id": session.user.id, "modified_date": db.now()},
        )
    if "data_quality" in many:
        db.set_flags(row_id, many["data_quality"])
    if "groups" in many:
        for group in many["groups"]:
            db.add_group(row_id, group)
    if "tags" in many:
        db.run("DELETE FROM YSE_App_transient_tags WHERE transient_id = ?", [row_id])
        for tag in many["tags"]:
            db.add_tag(row_id, tag)
    stored_row = db.one(f"SELECT * FROM YSE_App_{table} WHERE id = ?", [row_id])
    if stored_row is None:
        return reply_of({"detail": "Not found."}, 404)
    _hold(session, table, stored_row)
    return reply_of(how_to_show(table)(session, stored_row), status)


def _hold(session: Session, table: str, row: Row) -> None:
    queries = {
        "transient": "SELECT name FROM YSE_App_transient WHERE id = ?",
        "transientphotdata": (
            "SELECT t.name FROM YSE_App_transient t JOIN YSE_App_transientphotometry h "
            "ON h.transient_id = t.id JOIN YSE_App_transientphotdata p "
            "ON p.photometry_id = h.id WHERE p.id = ?"
        ),
    }
    if table in queries:
        found = session.db.one(queries[table], [row["id"]])
        if found is not None:
            session.hold(found["name"])


def _column(table: str, name: str) -> str:
    keys = {
        "transient": tuple(TRANSIENT_KEYS),
        "transientphotometry": ("transient", "instrument", "obs_group"),
        "transientphotdata": ("photometry", "band"),
    }
    return f"{name}_id" if name in keys.get(table, ()) else name


def _readers(session: Session, table: str) -> dict[str, Callable[[Any], Any]]:
    """Return how each writable field of a table is read."""

    def link(to: str, *, null: bool = False) -> Callable[[Any], int | None]:
        return lambda value: _link(session, to, value, null=null)

    def links(to: str) -> Callable[[Any], list[int]]:
        return lambda value: _links(session, to, value)

    match table:
        case "transientphotdata":
            return {
                "photometry": link("transientphotometry"),
                "band": link("photometricband"),
                "data_quality": links("dataquality"),
                **{
                    name: _reader(kind, 0, null=name != "obs_date")
                    for name, kind in POINT_PLAIN.items()
                },
            }
        case "transientphotometry":
            return {
                "transient": link("transient"),
                "instrument": link("instrument"),
                "obs_group": link("observationgroup"),
                "groups": links("group"),
            }
        case "transient":
            keys = {
                name: link(to, null=name not in ("status", "obs_group"))
                for name, to in TRANSIENT_KEYS.items()
                if to is not None
            }
            plain = {
                name: _reader(kind, longest, null=name not in ("name", "ra", "dec"))
                for name, (kind, longest) in TRANSIENT_PLAIN.items()
                if name != "slug"
            }
            return {**keys, "tags": links("transienttag"), **plain}
        case _:
            return {"name": _reader("text", 64, null=False)}


def _link(session: Session, table: str, value: Any, *, null: bool = False) -> int | None:
    if value is None and null:
        return None
    if value is None:
        raise _InvalidError("This field may not be null.")
    if not isinstance(value, str):
        kind = type(value).__name__
        raise _InvalidError(f"Incorrect type. Expected URL string, received {kind}.")
    _, found, rest = value.partition(f"/api/{PATH_OF[table]}/")
    if not found or not rest.strip("/").isdigit():
        raise _InvalidError("Invalid hyperlink - No URL match.")
    row = session.db.one(f"SELECT id FROM YSE_App_{table} WHERE id = ?", [int(rest.strip("/"))])
    if row is None:
        raise _InvalidError("Invalid hyperlink - Object does not exist.")
    return int(row["id"])


def _links(session: Session, table: str, value: Any) -> list[int]:
    if not isinstance(value, list):
        raise _InvalidError(f'Expected a list of items but got type "{type(value).__name__}".')
    return [found for one in value if (found := _link(session, table, one)) is not None]


def _reader(kind: Kind, longest: int, *, null: bool) -> Callable[[Any], Any]:
    def read(value: Any) -> Any:
        if value is None:
            if null:
                return None
            raise _InvalidError("This field may not be null.")
        return _READ[kind](value, longest)

    return read


def _read_number(value: Any, _: int) -> float:
    try:
        return float(value)
    except (TypeError, ValueError):
        raise _InvalidError("A valid number is required.") from None


def _read_truth(value: Any, _: int) -> bool:
    if value in (True, "true", "True", "t", "1"):
        return True
    if value in (False, "false", "False", "f", "0"):
        return False
    raise _InvalidError("Must be a valid boolean.")


def _read_time(value: Any, _: int) -> str:
    moment = read_moment(value) if isinstance(value, str) else None
    if moment is None:
        raise _InvalidError(BAD_DATE)
    return iso(moment.astimezone(UTC))


def _read_text(value: Any, longest: int) -> str:
    if not isinstance(value, str):
        raise _InvalidError("Not a valid string.")
    if len(value) > longest:
        raise _InvalidError(f"Ensure this field has no more than {longest} characters.")
    if not value.strip():
        raise _InvalidError("This field may not be blank.")
    return value


_READ: Final[Mapping[Kind, Callable[[Any, int], Any]]] = {
    "number": _read_number,
    "truth": _read_truth,
    "time": _read_time,
    "text": _read_text,
}
