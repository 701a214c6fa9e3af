"""The row of a transient as it is stored."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

from yse_ingest.sandbox.ysepz.columns import OWNERSHIP, TRANSIENT_PLAIN
from yse_ingest.sandbox.ysepz.values import slugify, stored

if TYPE_CHECKING:
    from collections.abc import Mapping

    from yse_ingest.sandbox.ysepz.session import Session
    from yse_ingest.sandbox.ysepz.store import Database


def as_stored(fields: Mapping[str, Any]) -> dict[str, Any]:
    """Return fields as the database stores them."""
    columns = {}
    for name, value in fields.items():
        if name in TRANSIENT_PLAIN:
            kind, longest = TRANSIENT_PLAIN[name]
            columns[name] = stored(value, name, kind, longest)
        elif name in OWNERSHIP:
            columns[name] = stored(value, name, "time")
        else:
            columns[name] = value
    return columns


def new_transient(session: Session, fields: Mapping[str, Any]) -> int:
    """Insert one transient as a `save` does; return its id."""
    columns = as_stored(fields)
    columns["slug"] = free_slug(session.db, columns["name"])
    return session.db.insert("transient", session.user.id, columns)


def free_slug(db: Database, name: str) -> str:
    """Return the slug of a name, with a number where it is taken."""
    slug = slugify(name)
    number = 1
    candidate = slug
    while db.one("SELECT id FROM YSE_App_transient WHERE slug = ?", [candidate]) is not None:
        number += 1
        suffix = f"-{number}"
        candidate = slug[: 50 - len(suffix)] + suffix
    return candidate
