"""ANTARES's API, version 2: nobody here has seen a reply of it.

Its contract is known from the source of its client (2.0.2, 2026-10) alone, so it is asked only
where somebody says so by name, in ``YSE_INGEST_UNRECORDED``. Version 1 was retired on
2026-11-04. What decides how it is asked: loci are searched by a query in JSON, and sorted by
their newest alert, not by distance; the light curve of a locus is CSV text that holds no sign,
in which a negative subtraction looks like a detection, so its alerts are read instead; pages
are followed by ``links.next``; of many objects nothing can be asked in one request for certain.
"""

from __future__ import annotations

import json
from collections import Counter
from dataclasses import replace
from typing import TYPE_CHECKING, Any, ClassVar
from urllib.parse import quote, urlsplit

from yse_ingest.errors import (
    SettingsError,
    SourceRefusedError,
    SourceReplyError,
)
from yse_ingest.photometry import Alerts
from yse_ingest.schemas._load import load_rows
from yse_ingest.schemas.antares import (
    CANDIDATE,
    ID_KEY,
    UPPER_LIMIT,
    DetectionSchema,
    LimitSchema,
    LocusSchema,
)
from yse_ingest.sources.answers import (
    Reading,
    answer,
    check_listed,
    inside_cone,
    look_radius,
    read_limits,
    read_rows,
)
from yse_ingest.sources.base import Answer, Ask, Capabilities, Kind
from yse_ingest.sources.batches import known_objects
from yse_ingest.sources.broker import HttpSource, of_ztf
from yse_ingest.sources.naming import of_survey
from yse_ingest.sources.setup import Option
from yse_ingest.times import MJD_ZERO_JD, jd_of_time_ms

if TYPE_CHECKING:
    from collections.abc import Callable, Iterator, Sequence
    from typing import Self

    from marshmallow import Schema

    from yse_ingest.sources.http import HttpClient
    from yse_ingest.sources.reply import HttpReply
    from yse_ingest.sources.setup import Setup

URL = Option(
    "ANTARES_URL",
    "Address of ANTARES's API, version 2. See also YSE_INGEST_UNRECORDED.",
)
UNRECORDED = Option(
    "YSE_INGEST_UNRECORDED",
    "Sources that may be asked although nobody has recorded a reply of them: antares.",
)
BATCH_SIZE = 10
PAGE_SIZE = 100
PAGES_MAX = 20
MJD_MARGIN = 1e-5
"""More than the rounding of an MJD [d]."""
_RETIRED = "Version 1 was retired on 2026-11-04: set ANTARES_URL to the address of version 2."


class AntaresSource(HttpSource):
    """Asks ANTARES's API, version 2.

    Parameters
    ----------
    http
        Client of its base URL.
    """

    name: ClassVar[str] = "antares"
    title: ClassVar[str] = "ANTARES"
    capabilities: ClassVar[Capabilities] = of_ztf(
        batch_size=BATCH_SIZE,
        kinds=frozenset({Kind.DETECTION, Kind.LIMIT}),
    )
    options: ClassVar[tuple[Option, ...]] = (URL, UNRECORDED)
    contract: ClassVar[tuple[type[Schema], ...]] = (DetectionSchema, LimitSchema)

    def __init__(self, http: HttpClient) -> None:
        super().__init__(http)
        self._detection = DetectionSchema()
        self._limit = LimitSchema()
        self._locus = LocusSchema()

    @classmethod
    def from_setup(cls, setup: Setup) -> Self:
        """Return one, ready to be asked from any number of threads.

        Raises
        ------
        SettingsError
            When ``ANTARES_URL`` is missing, no address or that of version 1, or
            ``YSE_INGEST_UNRECORDED`` does not name this source.
        """
        url = setup.value(URL)
        if url is None:
            raise _not_configured(
                "ANTARES has no address", URL, "Set it, if you mean to ask it."
            )
        if "v1" in urlsplit(url).path.split("/"):
            raise _not_configured("the address of ANTARES is that of version 1", URL, _RETIRED)
        allowed = {one.strip() for one in (setup.value(UNRECORDED) or "").split(",")}
        if cls.name not in allowed:
            raise _not_configured(
                "ANTARES is known from the source of its client alone",
                UNRECORDED,
                f"Set it to {cls.name} to ask it nevertheless, and look at what comes: "
                "`yse-ingest fetch NAME --source antares`.",
            )
        return cls(setup.http(url, service=cls.title))

    def fetch(self, asks: Sequence[Ask]) -> Iterator[Answer]:
        """Return one answer per question, in their order."""
        deadline = self.http.deadline()
        for ask in asks:
            question = of_survey(ask, self.capabilities.survey)
            if not known_objects(question):
                question = replace(question, since_ms=None)
            yield answer(question, self._reader(question, deadline), service=self.title)

    def _reader(self, ask: Ask, deadline: float) -> Callable[[bool], Reading]:
        def read(full: bool) -> Reading:
            since_mjd = 0.0 if full else _since_mjd(ask)
            return Reading.merged(
                self._alerts(ask, locus, deadline)
                for locus in self._loci(ask, deadline)
                if locus["newest_mjd"] is None or locus["newest_mjd"] >= since_mjd
            )

        return read

    # Which loci -----------------------------------------------------------------------------

    def _loci(self, ask: Ask, deadline: float) -> list[dict[str, Any]]:
        """Return the loci near a target, and that of the object that it names."""
        target = ask.target
        found: list[dict[str, Any]] = []
        if target.ra is not None and target.dec is not None:
            radius = look_radius(ask)
            # Text, with its unit; and a place in hours.
            cone = {
                "radius": f"{radius / 3600:.9f} degree",
                "location": place_text(target.ra, target.dec),
            }
            found = inside_cone(
                self._search({"sky_distance": cone}, deadline),
                ra=target.ra,
                dec=target.dec,
                radius=radius,
                service=self.title,
            )
        named = target.object_id
        if named is not None and not any(named in locus["object_ids"] for locus in found):
            seen = {locus["locus_id"] for locus in found}
            others = self._search({"term": {"properties.ztf_object_id": named}}, deadline)
            found += [locus for locus in others if locus["locus_id"] not in seen]
        return found

    def _search(self, condition: dict[str, Any], deadline: float) -> list[dict[str, Any]]:
        query = {"query": {"bool": {"filter": condition}}}
        params = {
            "limit": str(PAGE_SIZE),
            "sort": "-properties.newest_alert_observation_time",
            "elasticsearch_query": json.dumps(query),
        }
        rows = []
        for item in self._pages("loci", params, deadline):
            locus = item.get("locus") if isinstance(item, dict) else None
            if isinstance(item, dict) and "attributes" in item:
                raise SourceReplyError(
                    "answered in the form of version 1", service=self.title, remedy=_RETIRED
                )
            rows.append(_flat(locus, "locus_id"))
        found, refused = load_rows(self._locus, rows, id_key="locus_id")
        check_listed(found, refused, service=self.title)
        return [
            {**locus, "object_ids": _object_ids(row)}
            for locus, row in zip(found, rows, strict=True)
        ]

    # Light curves ---------------------------------------------------------------------------

    def _alerts(self, ask: Ask, locus: dict[str, Any], deadline: float) -> Reading:
        """Return the alerts of one locus, told apart by their ids."""
        detections: list[Any] = []
        limits: list[Any] = []
        dropped: Counter[tuple[str, str]] = Counter()
        path = f"loci/{quote(locus['locus_id'], safe='')}/alerts"
        for alert in self._pages(path, {}, deadline):
            row = _flat(alert, ID_KEY)
            native_id = row.get(ID_KEY) if isinstance(row, dict) else None
            kind = native_id.partition(":")[0] if isinstance(native_id, str) else CANDIDATE
            if kind == CANDIDATE:
                detections.append(row)
            elif kind == UPPER_LIMIT:
                limits.append(row)
            else:
                for object_id in locus["object_ids"][:1]:
                    dropped[object_id, f"is no alert of ZTF ({kind[:20]})"] += 1
        bands = ask.rules.band_map
        parts = [
            read_rows(
                self._detection,
                detections,
                id_key=ID_KEY,
                date_format="mjd",
                bands=bands,
                rules=ask.rules,
            ),
            Reading(Alerts.empty(), dropped=dropped),
        ]
        if Kind.LIMIT in ask.kinds:
            parts.append(read_limits(self._limit, limits, date_format="mjd", bands=bands))
        return Reading.merged(parts)

    # Requests -------------------------------------------------------------------------------

    def _pages(self, path: str, params: dict[str, str], deadline: float) -> Iterator[Any]:
        """Iterate over what all pages hold.

        Raises
        ------
        SourceError
            When one is a refusal, or has another shape, or leads elsewhere.
        """
        for _ in range(PAGES_MAX):
            content = self._content(self.http.get(path, params, deadline=deadline))
            yield from content["data"]
            links = content.get("links")
            following = links.get("next") if isinstance(links, dict) else None
            if not following:
                return
            if not isinstance(following, str) or not following.startswith(self.url):
                raise SourceRefusedError(
                    f"has its next page at another address ({str(following)[:60]!r})",
                    service=self.title,
                    remedy="Set ANTARES_URL to the address under which its pages are.",
                )
            path, params = following, {}
        raise SourceReplyError(
            f"has more than {PAGES_MAX} pages",
            service=self.title,
            remedy="Make the cone smaller.",
        )

    def _content(self, reply: HttpReply) -> dict[str, Any]:
        if reply.status != 200:
            gone = reply.status in {404, 410}
            raise SourceRefusedError(
                f"answered {reply.describe()}",
                service=self.title,
                remedy=f"Check ANTARES_URL. {_RETIRED}" if gone else "Check ANTARES_URL.",
            )
        remedy = "Its contract is known from its client alone: it may be another."
        data = reply.rows("data", remedy=remedy)
        return {**reply.json(), "data": data}


def _since_mjd(ask: Ask) -> float:
    """Return after which alert a locus has something new for a question [MJD, UTC]."""
    if ask.newest_ms is not None:
        return jd_of_time_ms(ask.newest_ms) - MJD_ZERO_JD + MJD_MARGIN
    return jd_of_time_ms(ask.since_ms or 0) - MJD_ZERO_JD - MJD_MARGIN


def place_text(ra: float, dec: float) -> str:
    """Return a position in degrees as ``10h00m24.00000s +02d12m00.0000s``."""
    seconds, rest = divmod(round(ra * 240e5), 10**5)
    minutes, second = divmod(seconds, 60)
    hour, minute = divmod(minutes, 60)
    arcsec, below = divmod(round(abs(dec) * 3600e4), 10**4)
    arcmin, arcsecond = divmod(arcsec, 60)
    degree, arcminute = divmod(arcmin, 60)
    east = f"{hour % 24:02d}h{minute:02d}m{second:02d}.{rest:05d}s"
    sign = "-" if dec < 0 else "+"
    return f"{east} {sign}{degree:02d}d{arcminute:02d}m{arcsecond:02d}.{below:04d}s"


def _flat(item: Any, id_key: str) -> Any:
    """Return an alert or a locus with its properties beside its id and its place."""
    if not isinstance(item, dict) or not isinstance(item.get("properties"), dict):
        return item
    own = {key: item[key] for key in (id_key, "ra", "dec") if key in item}
    return {**item["properties"], **own}


def _object_ids(locus: Any) -> list[str]:
    """Return ZTF's names of a locus; old ones have but one."""
    named = [locus.get("ztf_object_id")]
    survey = locus.get("survey")
    ztf = survey.get("ztf") if isinstance(survey, dict) else None
    further = ztf.get("id") if isinstance(ztf, dict) else None
    named += further if isinstance(further, list) else []
    return list(dict.fromkeys(one for one in named if isinstance(one, str)))


def _not_configured(fact: str, option: Option, remedy: str) -> SettingsError:
    return SettingsError(fact, service="settings", field=option.variable, remedy=remedy)
