"""Lasair's API for LSST over HTTP: `cone/`, `object/` and `query/` under `/api`.

True to the server source as read in 2026-07. Left out are Sherlock, annotations, and of a light
curve that is not ``lite`` all but its object.
"""

from __future__ import annotations

from typing import TYPE_CHECKING, Any, ClassVar

from yse_ingest.sandbox.lasair.door import text, truth
from yse_ingest.sandbox.lasair.service import LasairService, Row
from yse_ingest.sandbox.lsst import LsstSources
from yse_ingest.sandbox.server import Reply

if TYPE_CHECKING:
    from collections.abc import Mapping


class LasairLsstStandIn(LsstSources, LasairService):
    """A Lasair that holds whatever of LSST it was given.

    Parameters
    ----------
    settings
        As `LasairService` takes them.
    """

    name: ClassVar[str] = "lasair-lsst"
    columns: ClassVar[tuple[str, ...]] = (
        *("diaObjectId", "ra", "decl"),
        *("firstDiaSourceMjdTai", "lastDiaSourceMjdTai", "nDiaSources"),
    )

    def __init__(self, **settings: Any) -> None:
        super().__init__(**settings)
        self._places: dict[int, tuple[float, float]] = {}
        self._sources: dict[int, list[Row]] = {}
        self._forced: dict[int, list[Row]] = {}

    # What it holds --------------------------------------------------------------------------

    def keep_source(self, source: Row, extra: Row) -> None:
        """Keep a diaSource; the first of an object says where that is."""
        row = dict(source)
        object_id, place = row.pop("diaObjectId"), (row.pop("ra"), row.pop("dec"))
        with self._table_lock:
            self._places.setdefault(object_id, place)
            self._sources.setdefault(object_id, []).append(row | extra)

    def keep_forced(self, row: Row) -> None:
        """Keep a forced measurement with its object."""
        object_id = row["diaObjectId"]
        shown = {name: row[name] for name in row if name != "diaObjectId"}
        with self._table_lock:
            self._forced.setdefault(object_id, []).append(shown)

    # What it answers ------------------------------------------------------------------------

    def objects(self) -> list[tuple[Any, ...]]:
        """Return id, position, first and last source and their number, per object."""
        with self._table_lock:
            found = []
            for name, rows in self._sources.items():
                times = [row["midpointMjdTai"] for row in rows]
                found.append((name, *self._places[name], min(times), max(times), len(rows)))
            return found

    def cone_of(self, kind: str, found: list[Row]) -> object:
        """Return a mapping, as its documentation does not say."""
        nearest = found[0] if found else {}
        if kind == "nearest":
            return {"nearest": nearest} if found else {}
        return {"objects": found, "count": len(found), "nearest": nearest}

    def light_curve(self, question: Mapping[str, Any], *, form: bool) -> Reply:
        """Answer a question about one object; both truth values have defaults here."""
        name = text(question, "objectId")
        lite = truth({"lite": False, **question}, "lite", form=form)
        added = truth({"lasair_added": True, **question}, "lasair_added", form=form)
        least = float(question.get("reliabilityThreshold", 0.0))
        object_id = int(name) if name.isdecimal() else -1
        with self._table_lock:
            rows = [dict(row) for row in self._sources.get(object_id, [])]
            forced = [dict(row) for row in self._forced.get(object_id, [])]
            place = self._places.get(object_id)
        if added and place is None:
            return Reply.json({"detail": "Not found."}, 404)
        rows = [row for row in rows if (row["reliability"] or 0.0) >= least]
        content: dict[str, Any] = {"diaObjectId": name}
        if not lite and place is not None:
            content["diaObject"] = {"ra": place[0], "decl": place[1]}
        content |= {"diaSourcesList": rows, "diaForcedSourcesList": forced}
        return Reply.json(content | ({"lasairData": {}} if added else {}))
