"""ANTARES's API over HTTP: `loci`, one locus and its alerts under `/v2`.

Made from the source of its client, 2.0.2: no reply of version 2 was ever recorded. What its
client does not show (other queries, other surveys, gravitational waves, catalogues) is left
out; so is version 1, which was retired.
"""

from __future__ import annotations

from dataclasses import dataclass, field
from typing import TYPE_CHECKING, Any, ClassVar, Final
from urllib.parse import urlencode

from yse_ingest.sandbox.antares.query import RefusedError, condition_of
from yse_ingest.sandbox.broker import BrokerStandIn
from yse_ingest.sandbox.server import Reply, Request
from yse_ingest.sandbox.ztf import BANDS, MJD_ZERO_JD, ZtfAlerts, candid_of
from yse_ingest.targets import separation_arcsec

if TYPE_CHECKING:
    from collections.abc import Mapping
    from typing import Unpack

    from yse_ingest.sandbox.server import ServerOptions

BASE_PATH: Final = "/v2"
JOINED_ARCSEC: Final = 1.0
"""Alerts this close to a locus are its own."""
PASSBANDS: Final = {"g": "g", "r": "R", "i": "i"}
CSV_COLUMNS: Final = (
    *("time", "alert_id", "ant_mjd", "ant_survey", "ant_ra", "ant_dec", "ant_passband"),
    *("ant_mag", "ant_magerr", "ant_maglim", "ant_mag_corrected", "ant_magerr_corrected"),
)


@dataclass
class Locus:
    """One place, and what was seen there."""

    locus_id: str
    ra: float
    dec: float
    object_ids: list[str] = field(default_factory=list)
    alerts: list[dict[str, Any]] = field(default_factory=list)

    @property
    def newest(self) -> dict[str, Any]:
        """Return the newest alert."""
        return max(self.alerts, key=lambda alert: float(alert["mjd"]))


class AntaresStandIn(ZtfAlerts, BrokerStandIn):
    """An ANTARES that holds whatever alerts it was given.

    Parameters
    ----------
    server
        As `BrokerStandIn`.

    Attributes
    ----------
    old_loci
        Loci name one object of ZTF only, as they did before several surveys were joined.
    alerts_per_page
        How many alerts one page holds; 0: all, and no links. Set it while it runs.
    """

    name: ClassVar[str] = "antares"
    base_path: ClassVar[str] = BASE_PATH

    def __init__(self, **server: Unpack[ServerOptions]) -> None:
        super().__init__(**server)
        self.old_loci = False
        self.alerts_per_page = 0
        self._loci: list[Locus] = []

    # What it holds --------------------------------------------------------------------------

    def keep_alert(self, alert: dict[str, Any], extra: dict[str, Any]) -> None:
        """Keep a detection twice over: in ZTF's words, and in ANTARES's own."""
        quality = {"diffmaglim": 20.5, "rb": 0.9, "drb": 0.99}
        quality |= {name: extra.pop(name) for name in quality if name in extra}
        object_id, ra, dec = alert["objectId"], alert["ra"], alert["dec"]
        named = {"ztf_object_id": object_id, "ztf_ssdistnr": -999.0}
        in_ztf = {
            f"ztf_{name}": value
            for name, value in (alert | quality).items()
            if name not in {"objectId", "ra", "dec"}
        }
        own = {
            "ant_mjd": alert["jd"] - MJD_ZERO_JD,
            "ant_survey": 1,
            "ant_passband": PASSBANDS[BANDS[alert["fid"] - 1]],
            "ant_mag": alert["magpsf"],
            "ant_magerr": alert["sigmapsf"],
            "ant_maglim": quality["diffmaglim"],
            "ant_ra": ra,
            "ant_dec": dec,
        }
        properties = named | in_ztf | own | extra
        self.add(f"ztf_candidate:{alert['candid']}", object_id, properties, ra=ra, dec=dec)

    def add_limit(self, object_id: str, jd: float, fid: int, diffmaglim: float) -> None:
        """Add one upper limit [mag, 5 sigma] of an object that has detections."""
        pid = candid_of(jd) // 1_000_000
        properties = {
            "ztf_jd": jd,
            "ztf_fid": fid,
            "ztf_pid": pid,
            "ztf_diffmaglim": diffmaglim,
            "ztf_object_id": object_id,
            "ant_mjd": jd - MJD_ZERO_JD,
            "ant_survey": 2,
            "ant_maglim": diffmaglim,
            "ant_passband": PASSBANDS[BANDS[fid - 1]],
        }
        self.add(f"ztf_upper_limit:{object_id}-{pid}", object_id, properties)

    def add(
        self,
        alert_id: str,
        object_id: str,
        properties: Mapping[str, Any],
        *,
        ra: float | None = None,
        dec: float | None = None,
    ) -> None:
        """Add any alert to the locus of its object, or to the one at its place."""
        alert = {
            "id": alert_id,
            "mjd": properties["ant_mjd"],
            "created_at": "2026-11-20T08:40:00",
            "properties": dict(properties),
            "survey": alert_id.partition("_")[0],
            "grav_wave_events": [],
        }
        with self._table_lock:
            locus = self._locus_of(object_id, ra, dec)
            if object_id not in locus.object_ids:
                locus.object_ids.append(object_id)
            locus.alerts.append(alert)

    def _locus_of(self, object_id: str, ra: float | None, dec: float | None) -> Locus:
        for locus in self._loci:
            if object_id in locus.object_ids:
                return locus
        if ra is None or dec is None:
            message = f"{object_id} has no alert yet"
            raise ValueError(message)
        for locus in self._loci:
            if separation_arcsec(ra, dec, locus.ra, locus.dec) <= JOINED_ARCSEC:
                return locus
        self._loci.append(Locus(f"ANT2026{len(self._loci):010x}", float(ra), float(dec)))
        return self._loci[-1]

    # What it answers ------------------------------------------------------------------------

    def handle(self, request: Request) -> Reply:
        """Answer a GET under `/v2`."""
        if request.method != "GET":
            return _error(405, "Method Not Allowed")
        try:
            match request.path.split("/"):
                case ["", "v2", "loci"]:
                    return self._search(request)
                case ["", "v2", "loci", locus_id]:
                    return self._one(locus_id)
                case ["", "v2", "loci", locus_id, "alerts"]:
                    return self._alerts(locus_id, request)
                case _:
                    return _error(404, "Not Found")
        except RefusedError as error:
            return _error(400, str(error))

    def server_error(self, request: Request) -> Reply:  # noqa: ARG002
        """Return the service's own 500."""
        return _error(500, "Internal Server Error")

    def _search(self, request: Request) -> Reply:
        kind, value = condition_of(request.param("elasticsearch_query"))
        with self._table_lock:
            loci = list(self._loci)
        if kind == "term":
            # The first name alone: it is no list there.
            loci = [locus for locus in loci if locus.object_ids[0] == value]
        else:
            ra, dec, radius = value
            loci = [
                locus
                for locus in loci
                if separation_arcsec(ra, dec, locus.ra, locus.dec) <= 3600 * radius
            ]
        # By the newest alert, not by distance.
        loci.sort(key=lambda locus: float(locus.newest["mjd"]), reverse=True)
        shown = [{"locus": self._shown(locus)} for locus in loci]
        return self._page(request, shown, int(request.param("limit") or 100))

    def _shown(self, locus: Locus) -> dict[str, Any]:
        newest = locus.newest
        properties: dict[str, Any] = {
            "num_alerts": len(locus.alerts),
            "newest_alert_id": newest["id"],
            "newest_alert_observation_time": newest["mjd"],
            "newest_alert_magnitude": newest["properties"].get("ant_mag"),
            "ztf_object_id": locus.object_ids[0],
        }
        if not self.old_loci:
            lsst: dict[str, list[int]] = {"dia_object_id": [], "ss_object_id": []}
            properties["survey"] = {"ztf": {"id": list(locus.object_ids)}, "lsst": lsst}
        return {
            "locus_id": locus.locus_id,
            "ra": locus.ra,
            "dec": locus.dec,
            "htm16": 67983272436,
            "properties": properties,
            "tags": [],
            "grav_wave_events": [],
            "catalogs": [],
        }

    def _found(self, locus_id: str) -> Locus | None:
        with self._table_lock:
            return next((one for one in self._loci if one.locus_id == locus_id), None)

    def _one(self, locus_id: str) -> Reply:
        locus = self._found(locus_id)
        if locus is None:
            return _error(404, "Not Found")
        shown = {"id": locus_id, "ra": locus.ra, "dec": locus.dec, "htm16": 67983272436}
        names = {"ztf_object_id": locus.object_ids[0], "num_alerts": len(locus.alerts)}
        empty: dict[str, Any] = {"grav_wave_events": [], "tags": [], "catalogs": []}
        content = shown | empty | {"internal_properties": names, "user_properties": {}}
        return Reply.json({"data": content | {"lightcurve": _csv(locus)}})

    def _alerts(self, locus_id: str, request: Request) -> Reply:
        locus = self._found(locus_id)
        if locus is None:
            return _error(404, "Not Found")
        alerts = sorted(locus.alerts, key=lambda alert: float(alert["mjd"]), reverse=True)
        if self.alerts_per_page:
            return self._page(request, alerts, self.alerts_per_page)
        return Reply.json({"data": alerts, "links": None, "meta": {"count": len(alerts)}})

    def _page(self, request: Request, items: list[Any], size: int) -> Reply:
        """Return one page; the link to the next holds all parameters."""
        start = int(request.param("offset") or 0)
        following = None
        if start + size < len(items):
            query = {**dict(request.query), "offset": str(start + size)}
            following = f"{self.url}{request.path}?{urlencode(query)}"
        links = {"self": f"{self.url}{request.path}?...", "next": following}
        page = items[start : start + size]
        return Reply.json({"data": page, "meta": {"count": len(items)}, "links": links})


def _csv(locus: Locus) -> str:
    """Return the light curve as text: what is missing is empty, and no column holds a sign."""
    lines = [",".join(CSV_COLUMNS)]
    for alert in sorted(locus.alerts, key=lambda alert: float(alert["mjd"])):
        values = {"time": "", "alert_id": alert["id"], **alert["properties"]}
        lines.append(",".join(str(values.get(column, "")) for column in CSV_COLUMNS))
    return "\n".join(lines) + "\n"


def _error(status: int, title: str) -> Reply:
    return Reply.json({"errors": [{"status": str(status), "title": title}]}, status)
