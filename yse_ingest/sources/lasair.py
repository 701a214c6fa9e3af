"""Lasair's API for ZTF: with a token, and with a quota that decides how it is asked.

What else decides (read in the server's source, 2026-02): paths end in a slash; one light curve
is one request; a query over its table of objects tells which of many were detected since a
time, in one; ``lasair_added`` would copy the limiting magnitude of a non-detection into
``magpsf``, so it is sent as false, and a detection is told by its ``candid`` alone; an empty
cone is an empty list, in older versions a 400; an unknown object is one without rows.
"""

from __future__ import annotations

import re
from collections import Counter
from dataclasses import replace
from typing import TYPE_CHECKING, Any, ClassVar

from yse_ingest.errors import (
    SettingsError,
    SourceRefusedError,
    SourceReplyError,
    YseIngestError,
)
from yse_ingest.photometry import Alerts
from yse_ingest.schemas._load import load_rows
from yse_ingest.schemas.lasair import (
    ID_KEY,
    OBJECT_KEY,
    DetectionSchema,
    ForcedSchema,
    LatestSchema,
    LimitSchema,
    NearSchema,
    TimedDetectionSchema,
)
from yse_ingest.sources.answers import (
    CONE_MARGIN_ARCSEC,
    Reading,
    answer,
    look_radius,
    read_forced,
    read_limits,
    read_rows,
)
from yse_ingest.sources.base import Answer, Ask, Capabilities, Kind
from yse_ingest.sources.batches import known_objects
from yse_ingest.sources.naming import of_survey
from yse_ingest.sources.setup import Option
from yse_ingest.times import jd_of_time_ms

if TYPE_CHECKING:
    from collections.abc import Callable, Iterator, Mapping, Sequence
    from typing import Self

    from marshmallow import Schema

    from yse_ingest.sources.http import HttpClient
    from yse_ingest.sources.reply import HttpReply
    from yse_ingest.sources.setup import Setup

    Latest = Mapping[str, float] | YseIngestError
    """Object id to its last detection [JD, UTC], or what kept the list away."""

PUBLIC_URL = "https://lasair-ztf.lsst.ac.uk/api"
URL = Option("LASAIR_URL", "Address of Lasair's ZTF API.", default=PUBLIC_URL)
TOKEN = Option("LASAIR_TOKEN", "Token of an account of Lasair for ZTF.")
REQUESTS_PER_HOUR = 100.0
"""Of an ordinary account."""
BATCH_SIZE = 25
QUERY_OBJECTS = 200
"""Objects of one query: its conditions may be 4096 characters long."""
JD_MARGIN = 1e-5
"""More than the rounding of a Julian Date [d]."""
NO_FLUX = -99998.0
"""ZTF writes -99999 where the measurement failed."""
_NAME = re.compile(r"\w{1,64}", re.ASCII)
_FAILED = "forced measurement failed"


class LasairSource:
    """Asks Lasair's API for ZTF.

    Parameters
    ----------
    http
        Client of its base URL, which sends the token.
    """

    name: ClassVar[str] = "lasair"
    title: ClassVar[str] = "Lasair"
    capabilities: ClassVar[Capabilities] = Capabilities(
        batch_size=BATCH_SIZE,
        by_id=True,
        by_position=True,
        since="client",
        exposure_tolerance_s=16.0,
        bands=("g", "r", "i"),
        kinds=frozenset({Kind.DETECTION, Kind.FORCED, Kind.LIMIT}),
        needs_token=True,
        requests_per_hour=REQUESTS_PER_HOUR,
    )
    options: ClassVar[tuple[Option, ...]] = (URL, TOKEN)

    def __init__(self, http: HttpClient) -> None:
        self._http = http
        self._detection = DetectionSchema()
        self._timed = TimedDetectionSchema()
        self._limit = LimitSchema()
        self._forced = ForcedSchema()
        self._near = NearSchema()
        self._latest = LatestSchema()

    @classmethod
    def from_setup(cls, setup: Setup) -> Self:
        """Return one, ready to be asked from any number of threads.

        Raises
        ------
        SettingsError
            When ``LASAIR_TOKEN`` is missing or no token, or ``LASAIR_URL`` no address.
        """
        http = setup.http(setup.value(URL) or PUBLIC_URL, service=cls.title)
        http.authorization = f"Token {_token(setup)}"
        return cls(http)

    @property
    def url(self) -> str:
        """Return where it lives."""
        return self._http.base_url

    def close(self) -> None:
        """Give its connections back."""
        self._http.close()

    def fetch(self, asks: Sequence[Ask]) -> Iterator[Answer]:
        """Return one answer per question, in their order."""
        deadline = self._http.deadline()
        for start in range(0, len(asks), BATCH_SIZE):
            batch = [
                of_survey(ask, self.capabilities.survey) for ask in asks[start:][:BATCH_SIZE]
            ]
            latest = self._detected_since(batch, deadline)
            for ask in batch:
                # Where nothing is known, what is recent cannot tell: everything is read, once.
                question = ask if _known(ask) else replace(ask, since_ms=None)
                yield answer(
                    question, self._reader(question, latest, deadline), service=self.title
                )

    def _reader(self, ask: Ask, latest: Latest, deadline: float) -> Callable[[bool], Reading]:
        def read(full: bool) -> Reading:
            if full:
                object_ids = self._object_ids(ask, deadline)
            elif isinstance(latest, YseIngestError):
                raise latest
            else:
                since_jd = _since_jd(ask)
                object_ids = [one for one in _known(ask) if latest.get(one, 0.0) >= since_jd]
            return Reading.merged(self._light_curve(ask, one, deadline) for one in object_ids)

        return read

    # Which objects --------------------------------------------------------------------------

    def _detected_since(self, asks: Sequence[Ask], deadline: float) -> Latest:
        """Return when the known objects of these questions were last seen, if they were."""
        wanted = [ask for ask in asks if _known(ask)]
        known = list(dict.fromkeys(one for ask in wanted for one in _known(ask)))
        latest: dict[str, float] = {}
        try:
            for start in range(0, len(known), QUERY_OBJECTS):
                names = ", ".join(f"'{one}'" for one in known[start : start + QUERY_OBJECTS])
                since_jd = min(_since_jd(ask) for ask in wanted)
                query = {
                    "selected": "objectId, jdmax",
                    "tables": "objects",
                    "conditions": f"objectId IN ({names}) AND jdmax > {since_jd:.6f}",
                    "limit": QUERY_OBJECTS,
                    "offset": 0,
                }
                rows = self._list(self._post("query/", query, deadline))
                for row in self._all(self._latest, rows):
                    latest[row["object_id"]] = row["last_jd"]
        except YseIngestError as error:
            return error
        return latest

    def _object_ids(self, ask: Ask, deadline: float) -> list[str]:
        """Return every object that may be the target: the one it names, and those near it."""
        target = ask.target
        wanted = [] if target.object_id is None else [target.object_id]
        if target.ra is not None and target.dec is not None:
            wanted += self._cone(ask, target.ra, target.dec, deadline)
        return list(dict.fromkeys(wanted))

    def _cone(self, ask: Ask, ra: float, dec: float, deadline: float) -> list[str]:
        radius = look_radius(ask)
        cone = {"ra": ra, "dec": dec, "radius": round(radius, 6), "requestType": "all"}
        reply = self._post("cone/", cone, deadline)
        if reply.status == 400 and b"No object found" in reply.body:
            return []
        found = self._all(self._near, self._list(reply))
        inside = [one for one in found if one["separation"] <= radius + CONE_MARGIN_ARCSEC]
        if 2 * len(inside) < len(found):
            raise SourceReplyError(
                f"answered without the filter: {len(found) - len(inside)} of {len(found)} "
                "objects lie outside the cone",
                service=self.title,
                remedy="Nothing of it is used; check that its URL is the right one.",
            )
        return [one["object_id"] for one in inside]

    # Light curves ---------------------------------------------------------------------------

    def _light_curve(self, ask: Ask, object_id: str, deadline: float) -> Reading:
        """Return the rows of one object; none where it is not known."""
        question = {OBJECT_KEY: object_id, "lite": False, "lasair_added": False}
        content = self._content(self._post("object/", question, deadline), object_id)
        candidates = [
            {**row, OBJECT_KEY: object_id} if isinstance(row, dict) else row
            for row in content["candidates"]
        ]
        # Only this tells them apart: a non-detection may have a magnitude, which is its limit.
        found = [row for row in candidates if not isinstance(row, dict) or ID_KEY in row]
        limits = [row for row in candidates if isinstance(row, dict) and ID_KEY not in row]
        bands = ask.rules.band_map
        parts = [
            read_rows(
                self._timed if _lost_digits(found) else self._detection,
                found,
                id_key=ID_KEY,
                date_format="jd",
                bands=bands,
                rules=ask.rules,
            )
        ]
        if Kind.LIMIT in ask.kinds:
            parts.append(read_limits(self._limit, limits, date_format="jd", bands=bands))
        if Kind.FORCED in ask.kinds:
            parts.append(self._forced_photometry(ask, object_id, content["forcedphot"]))
        return Reading.merged(parts)

    def _forced_photometry(self, ask: Ask, object_id: str, rows: list[Any]) -> Reading:
        measured = [
            {**row, OBJECT_KEY: object_id} if isinstance(row, dict) else row
            for row in rows
            if not _has_failed(row)
        ]
        reading = read_forced(
            self._forced,
            measured,
            date_format="jd",
            bands=ask.rules.band_map,
            rules=ask.rules,
        )
        failed = Counter({(object_id, _FAILED): len(rows) - len(measured)})
        return Reading.merged([reading, Reading(Alerts.empty(), dropped=+failed)])

    def _content(self, reply: HttpReply, object_id: str) -> dict[str, list[Any]]:
        content = self._json(reply)
        named = content.get(OBJECT_KEY) if isinstance(content, dict) else None
        if named is not None and named != object_id:
            raise SourceReplyError(
                f"answered {named} to a question about {object_id}",
                service=self.title,
                remedy="Nothing of it is used; check that its URL is the right one.",
            )
        lists = {
            key: content[key]
            for key in ("candidates", "forcedphot")
            if isinstance(content, dict) and isinstance(content.get(key), list)
        }
        if len(lists) < 2:
            raise self._other_shape(reply, "lists of candidates and forcedphot")
        return lists

    # Requests -------------------------------------------------------------------------------

    def _post(self, path: str, content: dict[str, Any], deadline: float) -> HttpReply:
        return self._http.post_json(path, content, deadline=deadline)

    def _json(self, reply: HttpReply) -> Any:
        """Return what a reply holds.

        Raises
        ------
        SourceError
            When it is a refusal, or no JSON.
        """
        if reply.status in {401, 403}:
            raise SourceRefusedError(
                f"refused the token ({reply.status})",
                service=self.title,
                field=TOKEN.variable,
                remedy=f"Set {TOKEN.variable} to a token of this server: those of ZTF and LSST "
                "differ.",
            )
        if reply.status != 200:
            raise SourceRefusedError(
                f"answered {reply.describe()}",
                service=self.title,
                remedy="Check LASAIR_URL and the target.",
            )
        return reply.json()

    def _list(self, reply: HttpReply) -> list[Any]:
        rows = self._json(reply)
        if not isinstance(rows, list):
            raise self._other_shape(reply, "list")
        return rows

    def _all(self, schema: Schema, rows: list[Any]) -> list[dict[str, Any]]:
        found, refused = load_rows(schema, rows)
        if refused:
            raise SourceReplyError(
                f"lists an object that cannot be read: {refused[0]}", service=self.title
            )
        return found

    def _other_shape(self, reply: HttpReply, wanted: str) -> SourceReplyError:
        return SourceReplyError(
            f"answered no {wanted} ({reply.describe()})",
            service=self.title,
            remedy="Check that LASAIR_URL is the address of Lasair's ZTF API.",
        )


def _token(setup: Setup) -> str:
    token = setup.value(TOKEN)
    if token is None or not (token.isascii() and token.isalnum()):
        raise SettingsError(
            "Lasair has no token" if token is None else "the token of Lasair is no token",
            service="settings",
            field=TOKEN.variable,
            remedy="Set it to the token on the profile page of your account at Lasair.",
        )
    return token


def _known(ask: Ask) -> tuple[str, ...]:
    """Return the objects that tell what is new; they will stand in a query, between quotes."""
    known = known_objects(ask)
    return known if all(_NAME.fullmatch(one) for one in known) else ()


def _since_jd(ask: Ask) -> float:
    """Return after which detection an object has something new for a question [JD, UTC]."""
    if ask.newest_ms is not None:
        return jd_of_time_ms(ask.newest_ms) + JD_MARGIN
    return jd_of_time_ms(ask.since_ms or 0) - JD_MARGIN


def _lost_digits(detections: list[Any]) -> bool:
    """Tell whether the candids of a light curve went through a float.

    They have 18 digits or more, of which a float holds 15: then every one of them is such that
    a float holds it, or ends in three zeros. A single honest one is like that one time in 200,
    and loses nothing by being told by its time.
    """
    candids = [row[ID_KEY] for row in detections if isinstance(row, dict)]
    whole = [one for one in candids if isinstance(one, int) and not isinstance(one, bool)]
    if any(isinstance(one, float) for one in candids):
        return True
    large = [one for one in whole if one > 2**53]
    return bool(large) and all(int(float(one)) == one or one % 1000 == 0 for one in large)


def _has_failed(row: Any) -> bool:
    flux = row.get("forcediffimflux", 0.0) if isinstance(row, dict) else 0.0
    return flux is None or (isinstance(flux, int | float) and flux < NO_FLUX)
