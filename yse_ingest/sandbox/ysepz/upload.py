"""`/add_transient/`: transients in bulk, in four phases, without a transaction around them."""

# ruff: noqa: S608 - the names of tables and columns come from here, values are bound
from __future__ import annotations

import math
import sqlite3
from typing import TYPE_CHECKING, Any, Final

from yse_ingest.sandbox.ysepz import session as cost
from yse_ingest.sandbox.ysepz.columns import OWNERSHIP, STAMPS, TRANSIENT_KEYS, TRANSIENT_PLAIN
from yse_ingest.sandbox.ysepz.errors import ServerError
from yse_ingest.sandbox.ysepz.points import store_points
from yse_ingest.sandbox.ysepz.transients import as_stored, free_slug
from yse_ingest.sandbox.ysepz.values import comparable, read_moment, slugify, stored

if TYPE_CHECKING:
    from collections.abc import Iterator, Mapping

    from yse_ingest.sandbox.ysepz.session import Session

FLAGS: Final = ("noupdatestatus", "TNS")

NOT_FIELDS: Final = (
    "transientphotometry",
    "transientspectra",
    "host",
    "tags",
    "gw",
    "non_detect_instrument",
    "internal_names",
)

BOX_HALF_DEG: Final = 0.00021

DISC_DATE_DAYS: Final = 365


class AddTransient:
    """One upload.

    Parameters
    ----------
    session
        Who uploads, and where to.
    payload
        The posted object.
    """

    def __init__(self, session: Session, payload: Any) -> None:
        self._session = session
        self._db = session.db
        self._payload = payload

    def run(self) -> None:
        """Do all four phases; what is raised leaves whatever was written before it.

        Raises
        ------
        Exception
            Whatever the server raises on the payload.
        """
        new = [fields for one in self._transients() if (fields := self._row(one)) is not None]
        self._create(new)
        headers: list[Mapping[str, Any]] = []
        for one in self._transients():
            headers += self._missing_headers(one)
        for header in headers:
            self._db.insert("transientphotometry", self._session.user.id, header)
        for one in self._transients():
            self._points(one)

    def _transients(self) -> Iterator[Any]:
        for key in self._payload.keys():  # noqa: SIM118 - a list fails here
            if key not in FLAGS:
                yield self._payload[key]

    # A: rows --------------------------------------------------------------------------------

    def _row(self, transient: Any) -> dict[str, Any] | None:
        """Update an existing transient, or return the fields of a new one.

        An exception is swallowed, after an error mail, except in reading the name.
        """
        name = transient["name"]
        self._session.hold(str(name))
        self._session.charge(cost.TRANSIENT_S)
        try:
            return self._update_or_queue(transient, name)
        except sqlite3.Error:  # the stand-in's own trouble, not the server's
            raise
        except Exception:  # noqa: BLE001 - it swallows every one
            self._session.mail()
            return None

    def _update_or_queue(
        self, transient: Mapping[str, Any], name: Any
    ) -> dict[str, Any] | None:
        fields = self._fields(transient)
        found = [row["id"] for row in self._db.named("transient", name)]
        if len(found) > 1:
            for extra in found[1:]:
                self._db.run("DELETE FROM YSE_App_transient WHERE id = ?", [extra])
            found = found[:1]
        if found:
            self._keep(found[0], fields)
            self._update(found, fields)
            self._add_tags(found[0], transient, only_new=True)
            if "internal_names" in transient:
                self._internal_names(found[0], transient["internal_names"])
            return None
        box = self._box(transient)
        if not box:
            return fields
        self._merge(box, transient, fields)
        return None

    def _fields(self, transient: Mapping[str, Any]) -> dict[str, Any]:
        user = self._session.user.id
        fields: dict[str, Any] = {"created_by_id": user, "modified_by_id": user}
        for key, value in transient.items():
            if key in NOT_FIELDS:
                continue
            if key in TRANSIENT_KEYS:
                fields[f"{key}_id"] = self._key(transient, key)
            elif key in TRANSIENT_PLAIN or key == "id" or key in OWNERSHIP[2:]:
                if value is not None:
                    fields[key] = value
            else:
                message = f"Transient has no field named '{key}'"
                raise ServerError("FieldDoesNotExist", message)
        return fields

    def _key(self, transient: Mapping[str, Any], key: str) -> int:
        """Return the id of the row named; an unknown name is `Unknown`, and mailed."""
        table, value = TRANSIENT_KEYS[key], transient[key]
        if table is None:
            message = f"Cannot resolve keyword 'name' into field for {key}"
            raise ServerError("FieldError", message)
        if (
            key == "non_detect_band"
            and value is not None
            and "non_detect_instrument" in transient
        ):
            row = self._db.one(
                "SELECT b.id FROM YSE_App_photometricband b JOIN YSE_App_instrument i "
                "ON i.id = b.parent_id WHERE b.name = ? AND i.name = ?",
                [comparable(value), comparable(transient["non_detect_instrument"])],
            )
            if row is not None:
                return int(row["id"])
        rows = self._db.named(table, value)
        if not rows:
            rows = self._db.named(table, "Unknown")
            self._session.mail()
        return int(rows[0]["id"])

    def _keep(self, transient: int, fields: dict[str, Any]) -> None:
        """Put back what is not overwritten: the status, and postage stamps once set."""
        row = self._current(transient)
        releases = "noupdatestatus" in self._payload and not self._payload["noupdatestatus"]
        ignored = self._db.named("transientstatus", "Ignore")[0]["id"]
        if not (releases and row["status_id"] == ignored):
            fields["status_id"] = row["status_id"]
        if row["postage_stamp_file"]:
            fields.update({name: row[name] for name in STAMPS})

    def _current(self, transient: int) -> sqlite3.Row:
        row = self._db.one("SELECT * FROM YSE_App_transient WHERE id = ?", [transient])
        if row is None:
            raise IndexError("list index out of range")
        return row

    def _update(self, ids: list[int], fields: Mapping[str, Any]) -> None:
        self._db.update("transient", ids, as_stored(fields))

    def _box(self, transient: Mapping[str, Any]) -> list[int]:
        """Return the transients in the box around the posted position: no circle, no wrap."""
        ra, dec = transient["ra"], transient["dec"]
        low, high = dec - BOX_HALF_DEG, dec + BOX_HALF_DEG
        edges = (dec, max(low, -89.9), min(high, 89.9))
        ra_half = BOX_HALF_DEG * max(1.0 / math.cos(math.radians(edge)) for edge in edges)
        query = (
            "SELECT id FROM YSE_App_transient WHERE ra > ? AND ra < ? AND dec > ? AND dec < ?"
        )
        values = [ra - ra_half, ra + ra_half, low, high]
        if "disc_date" in transient:
            posted = transient["disc_date"]
            moment = read_moment(posted) if isinstance(posted, str) else None
            if moment is None:
                raise ServerError("ParserError", f"Unknown string format: {posted}")
            query += " AND abs(julianday(disc_date) - julianday(?)) <= ?"
            values += [moment.replace(tzinfo=None).isoformat(), DISC_DATE_DAYS]
        return [row["id"] for row in self._db.all(f"{query} ORDER BY id", values)]

    def _merge(
        self, box: list[int], transient: Mapping[str, Any], fields: dict[str, Any]
    ) -> None:
        """Take the posted one for an alias of the first in the box; update all in it."""
        first = self._current(box[0])
        group = self._db.get_named(
            "observationgroup", "ObservationGroup", transient["obs_group"]
        )
        name = transient["name"]
        unknown = not self._db.named("alternatetransientnames", name)
        if self._payload.get("TNS"):
            if unknown:
                self._alias(first["name"], box[0], group["id"])
            self._update([box[0]], {"name": name, "slug": name})
            self._db.update("transient", [box[0]], {"modified_date": self._db.now()})
        else:
            if unknown:
                self._alias(name, box[0], group["id"])
            fields["name"] = first["name"]
        self._keep(box[0], fields)
        if first["disc_date"] is not None and "TNS" not in self._payload:
            fields["disc_date"] = first["disc_date"]
        self._update(box, fields)
        self._add_tags(box[0], transient, only_new=False)

    def _alias(self, name: object, transient: int, obs_group: int) -> None:
        text = stored(name, "name", "text", 64)
        self._db.insert(
            "alternatetransientnames",
            self._session.user.id,
            {
                "name": text,
                "slug": slugify(text),
                "transient_id": transient,
                "obs_group_id": obs_group,
            },
        )

    def _add_tags(self, transient: int, posted: Mapping[str, Any], *, only_new: bool) -> None:
        if "tags" not in posted:
            return
        held = set(self._db.tags(transient))
        for name in posted["tags"]:
            if only_new and any(
                row["id"] in held for row in self._db.named("transienttag", name)
            ):
                continue
            tag = self._db.get_named("transienttag", "TransientTag", name)
            self._db.add_tag(transient, tag["id"])

    def _internal_names(self, transient: int, names: Any) -> None:
        for name in names.split(","):
            if self._db.named("alternatetransientnames", name):
                continue
            start = name.replace(" ", "")[:3]
            groups = self._db.all(
                "SELECT id FROM YSE_App_observationgroup WHERE substr(name, 1, ?) = ? "
                "COLLATE BINARY",
                [len(start), start],
            )
            if len(groups) != 1:
                groups = self._db.named("observationgroup", "Unknown")
            self._alias(name, transient, groups[0]["id"])

    # B: new transients ----------------------------------------------------------------------

    def _create(self, new: list[dict[str, Any]]) -> None:
        """Insert every new transient in one statement; then its tags and other names."""
        rows = []
        for fields in new:
            columns = {"name": "", **as_stored(fields)}
            if not columns.get("slug"):
                columns["slug"] = free_slug(self._db, columns["name"])
            rows.append(columns)
        now = self._db.now()
        default = {
            "created_date": now,
            "modified_date": now,
            "status_id": None,
            "obs_group_id": None,
        }
        names = sorted({name for row in rows for name in row} | set(default))
        self._db.run_many(
            f"INSERT INTO YSE_App_transient ({', '.join(names)}) "
            f"VALUES ({', '.join('?' * len(names))})",
            [[row.get(name, default.get(name)) for name in names] for row in rows],
        )
        for fields in new:
            name = fields.get("name", "")
            row = self._db.get_named("transient", "Transient", name)
            posted = self._payload[name]
            self._add_tags(row["id"], posted, only_new=False)
            if "internal_names" in posted:
                self._internal_names(row["id"], posted["internal_names"])

    # C: headers -----------------------------------------------------------------------------

    def _find(self, transient: Mapping[str, Any]) -> int:
        """Return the id of a posted transient, by its name or by an alias."""
        found = self._db.named("transient", transient["name"])
        if found:
            return int(found[0]["id"])
        return int(
            self._db.named("alternatetransientnames", transient["name"])[0]["transient_id"]
        )

    def _missing_headers(self, transient: Mapping[str, Any]) -> list[Mapping[str, Any]]:
        found = self._find(transient)
        missing: list[Mapping[str, Any]] = []
        for block in _blocks(transient):
            instrument, obs_group = self._header_of(block)
            if self._db.header(found, instrument, obs_group) is None:
                missing.append(
                    {
                        "transient_id": found,
                        "instrument_id": instrument,
                        "obs_group_id": obs_group,
                    }
                )
        return missing

    def _header_of(self, block: Mapping[str, Any]) -> tuple[int, int]:
        return (
            self._db.first_named("instrument", block["instrument"]),
            self._db.first_named("observationgroup", block["obs_group"]),
        )

    # D: points ------------------------------------------------------------------------------

    def _points(self, transient: Mapping[str, Any]) -> None:
        found = self._find(transient)
        for block in _blocks(transient):
            header = self._db.header(found, *self._header_of(block))
            if header is None:
                raise ValueError(
                    "save() prohibited to prevent data loss due to unsaved related object"
                )
            store_points(
                self._session,
                header,
                instrument=block["instrument"],
                settings=transient["transientphotometry"],
                points=block["photdata"],
            )


def _blocks(transient: Mapping[str, Any]) -> Iterator[Any]:
    if "transientphotometry" in transient:
        photometry = transient["transientphotometry"]
        for key in photometry.keys():  # noqa: SIM118 - null fails here
            if key not in ("clobber", "mjdmatchmin"):
                yield photometry[key]
