"""Alerts and replies of MARS and ALeRCE, mutated: rows by themselves, and whole replies."""

from __future__ import annotations

import json
from typing import TYPE_CHECKING, Any

from hypothesis import strategies as st

from tests.campaigns.fuzz import oracle
from tests.campaigns.fuzz.mutations import (
    SPOILERS,
    Change,
    changed,
    changes,
    decoded,
    packets,
    paths_of,
    text_of,
)
from tests.campaigns.fuzz.tally import Family, WrongAcceptanceError, WrongRefusalError
from yse_ingest.errors import YseIngestError
from yse_ingest.schemas.alerce import DetectionSchema
from yse_ingest.schemas.mars import AlertSchema
from yse_ingest.sources import Answer, Ask, Status
from yse_ingest.sources.alerce import AlerceSource
from yse_ingest.sources.answers import Reading, read_rows
from yse_ingest.sources.failures import PassingError, retry_after
from yse_ingest.sources.http import PASSING_STATUSES, Body, HttpClient
from yse_ingest.sources.mars import MarsSource
from yse_ingest.sources.reply import HttpReply
from yse_ingest.targets import Rules, Target

if TYPE_CHECKING:
    from collections.abc import Callable, Mapping, Sequence

ALERTS: list[dict[str, Any]] = packets("mars_alerts.json")
DETECTIONS: list[dict[str, Any]] = packets("alerce_detections.json")
READ = ("jd", "filter", "magpsf", "sigmapsf", "isdiffpos", "ra", "dec", "rb")
ALERT_PATHS: list[tuple[str | int, ...]] = [
    ("candid",), ("objectId",), ("candidate",), *(("candidate", key) for key in READ),
    *(("candidate", key) for key in READ), ("lco_id",), ("candidate", "drb"),
]  # fmt: skip
ROW_PATHS: list[tuple[str | int, ...]] = [
    ("candid",), ("mjd",), ("fid",), ("magpsf",), ("sigmapsf",), ("isdiffpos",), ("ra",),
    ("dec",), ("rb",), ("magpsf_corr",),
]  # fmt: skip
MARS_SCHEMA, ALERCE_SCHEMA = AlertSchema(), DetectionSchema()
RETRY_AFTER = st.sampled_from(
    ["", "1", "0", "-1", "3600", "9" * 30, "9" * 400, "nan", "inf", "1.5", "\u0661",
     "Wed, 21 Oct 2015 07:28:00 GMT", "Mon, 01 Jan 0001 00:00:00 GMT",
     "Mon, 01 Jan 0001 00:00:00 +2359", "Fri, 31 Dec 9999 23:59:59 GMT",
     "Fri, 31 Dec 9999 23:59:59 -2359", "Wed, 21 Oct 2015 07:28:00", "x, 99 Foo 0 -0000",
     "Wed, 21 Oct 2015 25:61:61 GMT", "Mon, 01 Jan 1 00:00:00 -0000"]
) | st.text(max_size=12)  # fmt: skip


class Replies(HttpClient):
    """The product's HTTP client whose replies come from a function instead of a socket."""

    def __init__(
        self, reply: Callable[[str, str, Any], tuple[int, bytes, Mapping[str, str]]]
    ) -> None:
        super().__init__("http://source.invalid/", service="MARS", sleep=lambda _s: None)
        self._reply = reply

    def _send(
        self,
        method: str,
        url: str,
        *,
        params: Mapping[str, str | Sequence[str]] | None,
        body: Body | None,
        deadline: float,
    ) -> tuple[HttpReply, Mapping[str, str]]:
        asked = json.loads(body.content) if body else params or {}
        status, content, headers = self._reply(method, url, asked)
        return HttpReply(self.service, status, "application/json", content), headers


def _row_must_agree(reading: Reading, row: Any, *, valid: bool, key: str, shift: float) -> None:
    """Compare one row's fate with the oracle's verdict, and its values with what it said."""
    kept = len(reading.alerts)
    if kept and not valid:
        raise WrongAcceptanceError(f"accepted {row!r}"[:600])
    if valid and not kept:
        raise WrongRefusalError(f"refused {row!r}: {reading.refused}"[:900])
    if kept + len(reading.refused) != 1:
        raise WrongRefusalError(f"{kept} kept and {len(reading.refused)} refused of one row")
    if kept:
        inner = row["candidate"] if key == "jd" else row
        alerts = reading.alerts
        time_ms = (float(inner[key]) + shift - 2440587.5) * 86_400_000
        same = (
            alerts.native_id[0] == oracle.native_id(row["candid"])
            and alerts.mag[0] == float(inner["magpsf"])
            and alerts.mag_err[0] == float(inner["sigmapsf"])
            and bool(alerts.negative[0]) == oracle.sign(inner["isdiffpos"])
            and abs(alerts.time_ms[0] - time_ms) < 1.0
            and alerts.ra[0] == float(inner["ra"])
            and alerts.dec[0] == float(inner["dec"])
            and abs(alerts.quality[0]) != float("inf")
        )
        if not same:
            raise WrongAcceptanceError(f"read otherwise than {row!r}: {alerts}"[:900])


def mars_row(one: tuple[int, list[Change]]) -> None:
    """Accept an alert exactly when it is a detection, and take its values as they are."""
    which, made = one
    row = changed(ALERTS[which], made)
    reading = read_rows(MARS_SCHEMA, [row], id_key="candid", date_format="jd", bands="gri")
    _row_must_agree(reading, row, valid=oracle.mars_alert(row), key="jd", shift=0.0)


def alerce_row(one: tuple[int, list[Change]]) -> None:
    """Accept a detection of ALeRCE exactly when it is one."""
    which, made = one
    row = changed(DETECTIONS[which]["row"], made)
    reading = read_rows(
        ALERCE_SCHEMA, [row], id_key="candid", date_format="mjd", bands="gri", object_id="ZTF1"
    )
    valid = oracle.alerce_detection(row)
    _row_must_agree(reading, row, valid=valid, key="mjd", shift=2400000.5)


def _answer_must_hold(
    answer: Answer, rows: list[dict[str, Any]], *, complete: bool = True
) -> None:
    """Every row that was taken must be a valid one of the reply, with its values."""
    if answer.error is not None:
        if not isinstance(answer.error, YseIngestError):
            raise WrongAcceptanceError(f"an error without a name: {answer.error!r}")
        str(answer.error), answer.error.as_dict()
        wait = answer.error.retry_after
        if wait is not None and not 0 <= wait < 10 * 365 * 86400:
            raise WrongAcceptanceError(f"asks to wait {wait} s")
        if len(answer.alerts):
            raise WrongAcceptanceError("rows beside an error")
        return
    said: dict[str, list[float]] = {}
    for row in rows:
        said.setdefault(str(oracle.native_id(row["candid"])), []).append(
            float(row.get("candidate", row)["magpsf"])
        )
    for native_id, mag in zip(
        answer.alerts.native_id.tolist(), answer.alerts.mag.tolist(), strict=True
    ):
        if mag not in said.get(native_id, ()):
            raise WrongAcceptanceError(f"took {native_id} at {mag}, of which nothing was said")
    if len(answer.alerts) and answer.status is not Status.OK:
        raise WrongAcceptanceError(f"rows beside the status {answer.status}")
    taken = {*answer.alerts.native_id.tolist(), *(twin.native_id for twin in answer.twins)}
    if complete and answer.status is Status.OK and not answer.set_aside:
        lost = set(said) - taken
        if lost:
            raise WrongRefusalError(f"lost {sorted(lost)}; took {sorted(taken)}")


def _rows_in(content: Any, valid: Callable[[Any], bool]) -> list[dict[str, Any]]:
    """Return every valid row anywhere in a reply."""
    found: list[dict[str, Any]] = []
    stack = [content]
    while stack:
        part = stack.pop()
        if isinstance(part, dict):
            if valid(part):
                found.append(part)
                continue
            stack += part.values()
        elif isinstance(part, list):
            stack += part
    return found


PAGE = {"has_next": False, "has_prev": False, "results": []}


def mars_reply(one: Any) -> None:
    """Read any reply of MARS, to a GET or to a POST: an answer or a named error."""
    which, copies, made, page_made, spoil, status, wait, post = one
    base = ALERTS[which]
    rows = []
    for number, steps in enumerate([[], *made][:copies]):
        apart: list[Change] = [(("candid",), base["candid"] + number)]
        apart.append((("candidate", "jd"), base["candidate"]["jd"] + 0.3 * number))
        rows.append(changed(base, [*apart, *steps]))
    sent: list[Any] = []

    def reply(_method: str, _url: str, asked: Any) -> tuple[int, bytes, Mapping[str, str]]:
        if asked.get("page", "1") != "1":
            return 404, b"<html>", {}
        if "queries" in asked:
            entries = [
                {"num_alerts": len(rows), "query": query, "results": rows}
                for query in asked["queries"]
            ]
            page: dict[str, Any] = {"results": entries, "total": 0}
        else:
            page = {**PAGE, "results": rows}
        content = spoil(text_of(changed(page, page_made)))
        sent.append(decoded(content))
        headers = {"Retry-After": wait}
        if status in PASSING_STATUSES:
            raise PassingError(f"answered {status}", retry_after=retry_after(headers))
        return status, content, headers

    place = base["candidate"]
    target = Target("2019np", ra=place["ra"], dec=place["dec"])
    asks = [Ask(target, Rules())]
    if post:
        asks.append(Ask(Target("2020abc", object_id=base["objectId"]), Rules()))
    for answer in MarsSource(Replies(reply)).fetch(asks):
        _answer_must_hold(answer, _rows_in(sent, oracle.mars_alert), complete=not post)


def alerce_reply(one: Any) -> None:
    """Read any reply of ALeRCE, to a cone and to a light curve."""
    which, copies, made, cone_made, spoil, spoil_cone, status = one
    base = DETECTIONS[which]
    row = base["row"]
    rows = []
    for number, steps in enumerate([[], *made][:copies]):
        apart: list[Change] = [(("candid",), str(int(row["candid"]) + number))]
        apart.append((("mjd",), row["mjd"] + 0.3 * number))
        rows.append(changed(row, [*apart, *steps]))
    found = {
        "oid": base["oid"], "meanra": row["ra"], "meandec": row["dec"],
        "lastmjd": row["mjd"] + 9,
    }  # fmt: skip
    sent: list[Any] = []

    def reply(_method: str, url: str, asked: Any) -> tuple[int, bytes, Mapping[str, str]]:
        if url.endswith("lightcurve"):
            content = spoil(text_of({"detections": rows, "non_detections": []}))
            sent.append(decoded(content))
            return status, content, {}
        cone = {"items": [found] if asked.get("page") == "1" else [], "has_next": False}
        return 200, spoil_cone(text_of(changed(cone, cone_made))), {}

    target = Target("2019np", ra=row["ra"], dec=row["dec"])
    for answer in AlerceSource(Replies(reply), forced=Replies(reply)).fetch(
        [Ask(target, Rules())]
    ):
        _answer_must_hold(answer, _rows_in(sent, oracle.alerce_detection))


_STATUSES = st.sampled_from([200] * 12 + [201, 204, 302, 400, 403, 404, 413, 429, 500, 503])
_ALERT_CHANGES = changes(ALERT_PATHS, most=2)
_PAGE_PATHS: list[tuple[str | int, ...]] = [
    (), ("results",), ("has_next",), ("results", 0), ("results", 0, "results"),
    ("results", 0, "query"), ("results", 0, "query", "id"), ("results", 1),
]  # fmt: skip
_CONE_PATHS = paths_of(
    {"items": [{"oid": "", "meanra": 0, "meandec": 0, "lastmjd": 0}], "has_next": 0}
)

FAMILIES = (
    Family(
        "MARS alerts",
        0.22,
        st.tuples(st.integers(0, len(ALERTS) - 1), changes(ALERT_PATHS)),
        mars_row,
    ),
    Family(
        "ALeRCE detections",
        0.16,
        st.tuples(st.integers(0, len(DETECTIONS) - 1), changes(ROW_PATHS)),
        alerce_row,
    ),
    Family(
        "MARS replies",
        0.07,
        st.tuples(
            st.integers(0, len(ALERTS) - 1),
            st.integers(0, 4),
            st.lists(_ALERT_CHANGES, max_size=3),
            changes(_PAGE_PATHS, most=1),
            SPOILERS,
            _STATUSES,
            RETRY_AFTER,
            st.booleans(),
        ),
        mars_reply,
    ),
    Family(
        "ALeRCE replies",
        0.05,
        st.tuples(
            st.integers(0, len(DETECTIONS) - 1),
            st.integers(0, 4),
            st.lists(changes(ROW_PATHS, most=2), max_size=3),
            changes(_CONE_PATHS, most=1),
            SPOILERS,
            SPOILERS,
            _STATUSES,
        ),
        alerce_reply,
    ),
)
