"""ALeRCE's multisurvey API, for LSST: the light curves of many objects in one request.

What decides how it is asked (read in the server's source, 2026-04): the list of objects calls
its parameter ``survey``, light curves call it ``survey_id``; a repeated ``oid`` is a batch of
light curves; here ``has_next`` is true where there is another page, and a cone at RA 0 or Dec 0
is a cone. Its second cone search takes degrees, and is not used. There are no upper limits:
forced photometry says what was there when nothing was found.

A null flux is printed as 0.0 with an error of 0.0; such rows, those that the survey withdrew,
those that it flags, and those whose sign contradicts itself are left out and counted.
"""

from __future__ import annotations

from collections import Counter
from dataclasses import dataclass, replace
from functools import partial
from typing import TYPE_CHECKING, Any, ClassVar

from yse_ingest.errors import SourceReplyError, YseIngestError
from yse_ingest.photometry import Alerts
from yse_ingest.schemas._load import load_rows
from yse_ingest.schemas.alerce_lsst import (
    ID_KEY,
    OBJECT_KEY,
    DetectionSchema,
    ForcedSchema,
    ObjectSchema,
)
from yse_ingest.schemas.alert_fields import NATIVE_ID_MAX
from yse_ingest.sources.answers import (
    Reading,
    check_listed,
    inside_cone,
    look_radius,
    read_forced,
    read_rows,
)
from yse_ingest.sources.base import LSST, Answer, Ask, Capabilities, Kind
from yse_ingest.sources.batches import TOO_LONG, batched, in_parts, rows_of
from yse_ingest.sources.broker import HttpSource, of_lsst
from yse_ingest.sources.naming import of_survey
from yse_ingest.sources.setup import Option
from yse_ingest.sources.significance import without_faint

if TYPE_CHECKING:
    from collections.abc import Callable, Iterable, Iterator, Mapping, Sequence

    from yse_ingest.sources.http import HttpClient

PUBLIC_URL = "https://api-lsst.alerce.online"
URL = Option(
    "ALERCE_LSST_URL", "Address of ALeRCE's multisurvey API, for LSST.", default=PUBLIC_URL
)
BATCH_SIZE = 50
"""Targets of one request."""
PAGE_SIZE = 100
PAGES_MAX = 5
"""Five hundred objects within seconds of arc are no cone."""
_DETECTIONS, _FORCED = "detections", "forced-photometry"


@dataclass(frozen=True)
class _Curve:
    """What there is of one object."""

    object_id: str
    detections: list[Any]
    forced: list[Any] | YseIngestError


class AlerceLsstSource(HttpSource):
    """Asks ALeRCE's multisurvey API for LSST.

    Parameters
    ----------
    http
        Client of its base URL.
    """

    name: ClassVar[str] = "alerce-lsst"
    title: ClassVar[str] = "ALeRCE (LSST)"
    capabilities: ClassVar[Capabilities] = of_lsst(
        batch_size=BATCH_SIZE,
        kinds=frozenset({Kind.DETECTION, Kind.FORCED}),
    )
    options: ClassVar[tuple[Option, ...]] = (URL,)

    def __init__(self, http: HttpClient) -> None:
        super().__init__(http)
        self._detection = DetectionSchema()
        self._forced = ForcedSchema()
        self._object = ObjectSchema()

    def fetch(self, asks: Sequence[Ask]) -> Iterator[Answer]:
        """Return one answer per question, in their order."""
        deadline = self.http.deadline()
        return batched(
            [of_survey(ask, LSST) for ask in asks],
            size=BATCH_SIZE,
            find=partial(self._near, deadline),
            read=partial(self._curves, deadline),
            reading=self._reading,
            service=self.title,
        )

    # Which objects --------------------------------------------------------------------------

    def _near(self, deadline: float, ask: Ask) -> list[str]:
        """Return every object that may be the target: the one it names, and those near it."""
        target = ask.target
        named = target.object_id
        # Another name would fail the whole batch; nobody knows it here.
        wanted = [named] if named is not None and _is_number(named) else []
        if target.ra is not None and target.dec is not None:
            wanted += self._cone(ask, target.ra, target.dec, deadline)
        return wanted

    def _cone(self, ask: Ask, ra: float, dec: float, deadline: float) -> list[str]:
        """Return the ids of the objects within the cone."""
        radius = look_radius(ask)
        query = {
            "survey": "lsst",
            "ra": f"{ra:.10g}",
            "dec": f"{dec:.10g}",
            "radius": f"{radius:.7g}",
            "page_size": str(PAGE_SIZE),
        }
        inside: list[str] = []
        for number in range(1, PAGES_MAX + 1):
            page = {**query, "page": str(number)}
            reply = self.http.get("object_api/list_objects", page, deadline=deadline)
            found, refused = load_rows(
                self._object, rows_of(reply, option=URL, key="items"), id_key=OBJECT_KEY
            )
            check_listed(found, refused, service=self.title)
            near = inside_cone(found, ra=ra, dec=dec, radius=radius, service=self.title)
            inside += [str(one["object_id"]) for one in near]
            if not reply.json().get("has_next"):
                return inside
        raise SourceReplyError(
            f"has more than {PAGES_MAX * PAGE_SIZE} objects in one cone",
            service=self.title,
            remedy="Make the cone smaller.",
        )

    # Light curves ---------------------------------------------------------------------------

    def _curves(
        self, deadline: float, object_ids: Sequence[str], kinds: frozenset[Kind]
    ) -> Mapping[str, _Curve | YseIngestError]:
        """Return the rows of each object, none where it is not known, or what went wrong."""
        forced: Mapping[str, list[Any] | YseIngestError] = {}
        detections = in_parts(object_ids, partial(self._rows, _DETECTIONS, deadline))
        if Kind.FORCED in kinds:
            forced = in_parts(object_ids, partial(self._rows, _FORCED, deadline))
        return {
            object_id: found
            if isinstance(found, YseIngestError)
            else _Curve(object_id, found, forced.get(object_id, []))
            for object_id, found in detections.items()
        }

    def _rows(
        self, table: str, deadline: float, object_ids: Sequence[str]
    ) -> dict[str, list[Any]] | None:
        """Return the rows of each object; None where the list is too long."""
        query = {"survey_id": "lsst", "oid": object_ids}
        final = TOO_LONG if len(object_ids) > 1 else frozenset[int]()
        reply = self.http.get(f"lightcurve_api/{table}", query, deadline=deadline, final=final)
        if reply.status in final:
            return None
        rows: dict[str, list[Any]] = {object_id: [] for object_id in object_ids}
        for row in rows_of(reply, option=URL):
            object_id = row.get(OBJECT_KEY) if isinstance(row, dict) else None
            if str(object_id) not in rows:
                raise SourceReplyError(
                    f"answered without the filter: a row is of {str(object_id)[:40]}, which "
                    "nobody asked for",
                    service=self.title,
                    remedy="Nothing of it is used; check that its URL is the right one.",
                )
            rows[str(object_id)].append(row)
        return rows

    def _reading(self, ask: Ask, curves: Sequence[_Curve]) -> Reading:
        bands = ask.rules.band_map
        parts = []
        for curve in curves:
            kept, dropped = _sound(curve.object_id, curve.detections, _flaw)
            reading = read_rows(
                self._detection,
                kept,
                id_key=ID_KEY,
                date_format="mjd",
                bands=bands,
                time_scale="tai",
                rules=ask.rules,
                score="reliability",
            )
            reading = without_faint(reading)
            parts.append(replace(reading, dropped=reading.dropped + dropped))
            if Kind.FORCED not in ask.kinds:
                continue
            if isinstance(curve.forced, YseIngestError):
                lacking = f"its forced photometry could not be read: {curve.forced.fact}"
                parts.append(Reading(Alerts.empty(), lacking=lacking))
                continue
            kept, dropped = _sound(curve.object_id, curve.forced, _unmeasured)
            reading = read_forced(
                self._forced,
                kept,
                id_key=ID_KEY,
                date_format="mjd",
                bands=bands,
                time_scale="tai",
                rules=ask.rules,
            )
            parts.append(replace(reading, dropped=reading.dropped + dropped))
        return Reading.merged(parts)


def _is_number(object_id: str) -> bool:
    """Tell whether this can be the id of an object of LSST."""
    is_number = object_id.isascii() and object_id.isdecimal() and len(object_id) < 20
    return is_number and int(object_id) <= NATIVE_ID_MAX


def _sound(
    object_id: str, rows: Iterable[Any], flaw: Callable[[Mapping[str, Any]], str | None]
) -> tuple[list[Any], Counter[tuple[str, str]]]:
    """Return the rows without a flaw, and the number of the others by object and reason."""
    kept = []
    dropped: Counter[tuple[str, str]] = Counter()
    for row in rows:
        reason = flaw(row)
        if reason is None:
            kept.append(row)
        else:
            dropped[object_id, reason] += 1
    return kept, dropped


def _unmeasured(row: Mapping[str, Any]) -> str | None:
    """Return why there is no flux in a row, or None."""
    return "has no flux (psfFluxErr is 0)" if row.get("psfFluxErr") == 0 else None


def _flaw(row: Mapping[str, Any]) -> str | None:
    """Return why a row is no detection by the survey's own words, or None."""
    withdrawn, flux = row.get("timeWithdrawnMjdTai"), row.get("psfFlux")
    if isinstance(withdrawn, int | float) and withdrawn > 0:
        return "was withdrawn by the survey"
    if (reason := _unmeasured(row)) is not None:
        return reason
    if row.get("psfFlux_flag") == 1:
        return "has psfFlux_flag"
    # The other way round is no contradiction: a null of isNegative is printed as false.
    if row.get("isNegative") is True and isinstance(flux, int | float) and flux > 0:
        return "is negative with a positive flux"
    return None
