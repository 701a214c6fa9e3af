"""Lasair's API for ZTF over HTTP: `cone/`, `object/` and `query/` under `/api`.

True to the server source as read in 2026-02 and to cones recorded in 2026-07. Left out are the
routes that its authors call deprecated, Sherlock, streams and annotations, and of what
``lasair_added`` adds all but a few keys.
"""

from __future__ import annotations

from typing import TYPE_CHECKING, Any, ClassVar, Final

from yse_ingest.sandbox.lasair.door import text, truth
from yse_ingest.sandbox.lasair.service import LasairService, Row, broken
from yse_ingest.sandbox.server import Reply
from yse_ingest.sandbox.ztf import MJD_ZERO_JD, ZtfAlerts

if TYPE_CHECKING:
    from collections.abc import Mapping

NO_MATCH: Final = -999.0


class LasairStandIn(ZtfAlerts, LasairService):
    """A Lasair that holds whatever alerts of ZTF it was given.

    Parameters
    ----------
    settings
        As `LasairService` takes them.

    Attributes
    ----------
    loses_digits
        As the sample of its documentation: candids have gone through a float.
    """

    columns: ClassVar[tuple[str, ...]] = (
        *("objectId", "ramean", "decmean", "jdmin", "jdmax", "ncand"),
    )

    def __init__(self, **settings: Any) -> None:
        super().__init__(**settings)
        self.loses_digits = False
        self._candidates: dict[str, list[Row]] = {}
        self._forced: dict[str, list[Row]] = {}

    # What it holds --------------------------------------------------------------------------

    def keep_alert(self, alert: Row, extra: Row) -> None:
        """Keep a detection with the object that it names."""
        object_id = alert["objectId"]
        shown = {name: alert[name] for name in alert if name not in {"objectId", "pid"}}
        usual = {
            "nid": int(alert["jd"] - 2457754.5),
            "magnr": 19.9,
            "sigmagnr": 0.05,
            "magzpsci": 26.2,
            "ssdistnr": NO_MATCH,
            "ssnamenr": "null",
            "drb": 0.99,
        }
        self._add(self._candidates, object_id, shown | usual | extra)

    def add_limit(self, object_id: str, jd: float, fid: int, diffmaglim: float) -> None:
        """Add one non-detection [mag, 5 sigma]; it has no candid."""
        row = {"jd": jd, "fid": fid, "diffmaglim": diffmaglim}
        self._add(self._candidates, object_id, row)

    def add_forced(  # noqa: PLR0917  the order of ZTF's columns
        self,
        object_id: str,
        jd: float,
        fid: int,
        flux: float | None,
        flux_err: float | None,
        magzpsci: float = 26.2,
    ) -> None:
        """Add one forced measurement, its flux in counts of a zero point [mag]."""
        row = {
            "objectid": object_id,
            "jd": jd,
            "ranr": 150.1011,
            "decnr": 2.2002,
            "fid": fid,
            "forcediffimflux": flux,
            "forcediffimfluxunc": flux_err,
            "magzpsci": magzpsci,
        }
        self._add(self._forced, object_id, row)

    def _add(self, table: dict[str, list[Row]], object_id: str, row: Row) -> None:
        with self._table_lock:
            table.setdefault(object_id, []).append(row)

    # What it answers ------------------------------------------------------------------------

    def objects(self) -> list[tuple[Any, ...]]:
        """Return id, mean position, first and last detection and their number, per object."""
        with self._table_lock:
            curves = {name: list(rows) for name, rows in self._candidates.items()}
        found: list[tuple[Any, ...]] = []
        for name, rows in curves.items():
            seen = [row for row in rows if "candid" in row]
            if not seen:
                continue
            times = [row["jd"] for row in seen]
            ra, dec = (sum(row[key] for row in seen) / len(seen) for key in ("ra", "dec"))
            found.append((name, ra, dec, min(times), max(times), len(seen)))
        return found

    def cone_of(self, kind: str, found: list[Row]) -> object:
        """Return a list, or the nearest alone."""
        if kind == "all":
            return found
        return found[0] if found else {}

    def light_curve(self, question: Mapping[str, Any], *, form: bool) -> Reply:
        """Answer a question about one object."""
        name = text(question, "objectId")
        truth(question, "lite", form=form)
        added = truth(question, "lasair_added", form=form)
        with self._table_lock:
            rows = [dict(row) for row in self._candidates.get(name, [])]
            forced = [dict(row) for row in self._forced.get(name, [])]
        if added and not rows:
            return broken()
        rows.sort(key=lambda row: row["jd"], reverse=True)
        for row in rows:
            if self.loses_digits and "candid" in row:
                row["candid"] = int(float(row["candid"]))
            if added:
                row["mjd"] = row["jd"] - MJD_ZERO_JD
                # A non-detection gets its limit as its magnitude.
                row.setdefault("magpsf", row.get("diffmaglim"))
        content: dict[str, Any] = {"objectId": name, "candidates": rows, "forcedphot": forced}
        if added:
            content["objectData"] = {"ncand": sum("candid" in row for row in rows)}
            content |= {"TNS": {}, "sherlock": {}, "image_urls": {}}
        return Reply.json(content)
