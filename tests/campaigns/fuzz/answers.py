"""What YSE-PZ answers, mutated: read-backs, lists, and the answers to requests that write."""

from __future__ import annotations

import copy
import math
from typing import TYPE_CHECKING, Any

import numpy as np
from hypothesis import strategies as st

from tests.campaigns.fuzz import oracle
from tests.campaigns.fuzz.mutations import (
    SPOILERS,
    changed,
    changes,
    decoded,
    packets,
    paths_of,
    text_of,
)
from tests.campaigns.fuzz.sources import RETRY_AFTER
from tests.campaigns.fuzz.tally import (
    BrokenPromiseError,
    Family,
    WrongAcceptanceError,
    WrongRefusalError,
)
from yse_ingest.errors import (
    CredentialsError,
    OutcomeUnknownError,
    RequestTooLargeError,
    UploadRefusedError,
    YseIngestError,
    YsePzError,
    YsePzReplyError,
    YsePzUnavailableError,
)
from yse_ingest.ledger import Ledger
from yse_ingest.ysepz import Account, YsePz
from yse_ingest.ysepz.answers import AnswerReader
from yse_ingest.ysepz.http import Answer
from yse_ingest.ysepz.readback import ReadBack, parse_read_back
from yse_ingest.ysepz.vocabulary import LISTS, Vocabulary

if TYPE_CHECKING:
    from collections.abc import Mapping

ACCOUNT = Account(username="ingest", password="never-shown-9f3")
VOCABULARY = Vocabulary(
    names={
        **{kind: {1: "Unknown"} for kind in LISTS},
        "instrument": {1: "Unknown", 7: "ZTF-Cam", 8: "ACAM1"},
        "telescope": {3: "P48", 1: "Unknown"},
        "tag": {29: "YSE"},
        "obs_group": {1: "Unknown", 2: "ZTF", 3: "YSE"},
    },
    telescopes={7: 3, 8: 1, 1: 1},
    band_rows={1: ("g-ZTF", 7), 2: ("r-ZTF", 7), 3: ("Unknown", 1)},
    read_at=math.inf,
)
READER = AnswerReader(ACCOUNT, slow_s=8.0)
DOWNLOAD = packets("download_data.json")
PAGE = packets("api_transients.json")
ALIASES = {
    "count": 1,
    "results": [
        {
            "url": "http://x/api/alternatetransientnames/1/",
            "name": "ZTF19aacgslb",
            "transient": "http://x/api/transients/1/",
        }
    ],
}
_DEEP_PATHS = paths_of(DOWNLOAD)
_POINT = ("2019np", "photometry", 0, "data", 1)
_POINT_PATHS: list[tuple[str | int, ...]] = [
    path for path in _DEEP_PATHS if path[: len(_POINT)] == _POINT
]
_WANTED = {"band", "obs_date", "mag", "mag_err", "flux", "flux_err", "flux_zero_point", "pk"}
_POINT_PATHS += 3 * [path for path in _POINT_PATHS if path[-1] in _WANTED]


def _answer(
    request: str, status: int, body: bytes, wait: str = "", seconds: float = 0.1
) -> Answer:
    return Answer(request, status, {"Retry-After": wait}, body, seconds)


def read_back(one: Any) -> None:
    """Read any light curve that YSE-PZ might show; each row taken is as it is shown."""
    made, spoil, status = one
    reply = changed(DOWNLOAD, made)
    body = spoil(text_of(reply))
    try:
        content = READER.content(_answer("GET /download_data/2019np/", status, body), now=0.0)
        found = parse_read_back(
            content, account="ingest", vocabulary=VOCABULARY, size=len(body), seconds=0.1
        )
    except (YsePzError, YsePzUnavailableError) as error:
        _must_be_plain(error)
        if not made and body == text_of(reply).encode() and status == 200:
            raise WrongRefusalError(f"refused the unchanged reply: {error}") from error
        return
    _rows_must_agree(found, decoded(body))
    ledger = Ledger.from_stored(
        found.photometry, account="ingest", gaps={}, read_back_ms=1_600_000_000_000
    )
    again = Ledger.unpack(ledger.pack(), slots=ledger.slots, gaps={}, read_back_ms=0)
    for column in ("time_ms", "slot", "flags", "pk", "value_hash"):
        if not np.array_equal(getattr(ledger, column), getattr(again, column)):
            raise BrokenPromiseError(f"the ledger's {column} does not survive packing")
    if found.digest != found.digest:
        raise BrokenPromiseError("two digests of one read-back")


def _rows_must_agree(found: ReadBack, content: Any) -> None:
    (inner,) = content.values()
    shelves = inner["photometry"] or []
    shown: dict[int, list[Any]] = {}
    untouched = 0
    for shelf in shelves:
        for row in shelf.get("data", []):
            if oracle.stored_point(row):
                shown.setdefault(row["pk"], []).append(row["fields"])
            untouched += any(row == one for one in DOWNLOAD["2019np"]["photometry"][0]["data"])
    table, unread = found.photometry, found.unread
    for number, pk in enumerate(table.pk.tolist()):
        if unread[number]:
            if not np.isnan(table.mag[number]) or table.modified_by[number]:
                raise WrongAcceptanceError(f"row {pk} cannot be read, and has values")
            continue
        rows = [row for row in shown.get(pk, ()) if _same_values(table, number, row)]
        if not rows:
            raise WrongAcceptanceError(f"took row {pk}, which was not shown so")
    if len(table) != sum(len(shelf.get("data", [])) for shelf in shelves):
        raise WrongRefusalError("a row was left out: its exposure would be sent again")
    if untouched > len(table) - int(unread.sum()):
        raise WrongRefusalError(f"{untouched} rows are as recorded, fewer were taken")


def _same_values(table: Any, number: int, row: Mapping[str, Any]) -> bool:
    for key, column in (("mag", "mag"), ("flux", "flux"), ("flux_zero_point", "zero_point")):
        said = oracle.number(row.get(key))
        held = float(getattr(table, column)[number])
        if (said is None) != math.isnan(held) or (said is not None and said != held):
            return False
    return True


def _must_be_plain(error: YseIngestError) -> None:
    """An error is one line without secrets, and can be told as JSON."""
    told = f"{error} {error.as_dict()}"
    if "never-shown" in told or len(told) > 3000:
        raise BrokenPromiseError(f"an error shows too much: {told[:300]}")
    wait = error.retry_after
    if wait is not None and not 0 <= wait < 10 * 365 * 86400:
        raise WrongAcceptanceError(f"asks to wait {wait} s")


_BODIES = st.sampled_from(
    [{"message": "success"}, {"message": "success "}, {"message": "Success"}, {"message": ""},
     {"message": None}, {"message": ["success"]}, {"message": "success", "extra": 1},
     {"Message": "success"}, "success", ["success"], {}, None, True, 1,
     {"message": "status X is not in DB"}, {"message": "'rlap'"}, {"detail": "Not found."},
     {"mag": ["A valid number is required."]}, {"url": "http://x/api/transientphotdata/1/"}]
)  # fmt: skip
_PAGES = st.sampled_from(
    [b"KeyError at /add_transient_phot/\n'ra'\n\nRequest", b"KeyError at /x/\n'name'\n\n",
     b"<title>IntegrityError at /add_transient/</title>", b"<title>at /</title>",
     b'<title>ValueError at /x/</title><pre class="exception_value">bad &#x27;</pre>',
     b"<title>IntegrityError\n at /a/</title><pre class=\"exception_value\">(1062, 'x')</pre>",
     b"OperationalError at /a/\n(2013, 'Lost connection')\n\n", b"\xff\xfe\x00", b"&#xD800;"]
)  # fmt: skip


def write_answer(one: Any) -> None:
    """Accept exactly one answer to an upload; for any other, say what may have been written."""
    said, page, as_page, spoil, status, wait, seconds = one
    body = page if as_page else spoil(text_of(said))
    answer = _answer("POST /add_transient_phot/", status, body, wait, seconds)
    accepted = status == 200 and decoded(body) == {"message": "success"}
    try:
        READER.accept(answer, now=1.7e9)
    except YsePzError as error:
        _must_be_plain(error)
        if accepted:
            raise WrongRefusalError(f"did not accept {body[:80]!r}") from error
        _must_be_safe(error, answer)
    else:
        if not accepted:
            raise WrongAcceptanceError(f"accepted {status} {body[:80]!r}")
    try:
        row = READER.row(answer, now=1.7e9)
    except YsePzError as error:
        _must_be_plain(error)
    else:
        if status != 200 or "url" not in row:
            raise WrongAcceptanceError(f"took {body[:80]!r} for a row")


def _must_be_safe(error: YsePzError, answer: Answer) -> None:
    """No answer that leaves open what was written may look as if nothing was."""
    nothing_written = isinstance(
        error, (YsePzUnavailableError, CredentialsError, RequestTooLargeError)
    ) or (isinstance(error, UploadRefusedError) and not error.partial)
    slow = answer.status >= 500 and answer.seconds >= 8.0 and answer.status != 503
    gateway = answer.status in (500, 502, 504) and b" at /" not in answer.body
    if nothing_written and (slow or gateway):
        raise WrongAcceptanceError(f"{answer.status} after {answer.seconds} s: {error!r}")
    unread = answer.status == 200 and decoded(answer.body) is None
    if unread and not isinstance(error, OutcomeUnknownError):
        raise WrongAcceptanceError(f"{answer.body[:80]!r} proves nothing: {error!r}")


def lists(one: Any) -> None:
    """Look up transients and aliases in any list that might come back."""
    made, alias_made, spoil, spoil_alias, status = one
    client = YsePz("http://ysepz.invalid", ACCOUNT, vocabulary=copy.copy(VOCABULARY))
    page, aliases = changed(PAGE, made), changed(ALIASES, alias_made)
    asked: dict[str, int] = {}

    def send(method: str, path: str, **_: Any) -> Answer:
        asked[path] = asked.get(path, 0) + 1
        if asked[path] > 20:
            raise BrokenPromiseError(f"asks for {path} without end")
        if "alternate" in path:
            return _answer(f"{method} {path}", status, spoil_alias(text_of(aliases)))
        if path.count("/") == 4:
            found = page.get("results") if isinstance(page, dict) else None
            row = found[0] if isinstance(found, list) and found else page
            return _answer(f"{method} {path}", status, spoil(text_of(row)))
        return _answer(f"{method} {path}", status, spoil(text_of(page)))

    client._http.send = send  # type: ignore[method-assign]
    for ask in (
        lambda: client.transient_by_name("2019np"),
        lambda: client.transients_near(157.3415, 29.5106667, 3.0),
        client.aliases,
        lambda: client.transient_by_pk(1),
        client.ping,
    ):
        try:
            found = ask()
            _transients_must_hold(found)
        except YsePzReplyError as error:
            _must_be_plain(error)
        except YseIngestError as error:
            _must_be_plain(error)


def _transients_must_hold(found: Any) -> None:
    for each in found if isinstance(found, list) else [found]:
        transient = each[0] if isinstance(each, tuple) and each else each
        if not hasattr(transient, "ra"):
            continue
        numbers = (oracle.number(transient.ra), oracle.number(transient.dec))
        if (
            None in numbers
            or not isinstance(transient.slug, str)
            or not 0 < transient.pk < 2**63
        ):
            raise WrongAcceptanceError(f"took {transient!r} for a transient"[:300])
        if transient.discovery_ms is not None:
            int(transient.discovery_ms)


_STATUSES = st.sampled_from([200] * 8 + [201, 204, 302, 400, 401, 404, 413, 429, 500, 502, 503])
_LIST_PATHS: list[tuple[str | int, ...]] = [
    (), ("count",), ("results",), ("results", 0), ("results", 1),
    *(("results", 0, key) for key in ("url", "name", "slug", "ra", "dec", "disc_date")),
    ("results", 0, "status"),
    *(("results", 0, key) for key in ("obs_group", "tags", "ra", "dec", "disc_date")),
    ("results", 0, "tags", 0), ("results", 1, "url"), ("results", 1, "disc_date"),
]  # fmt: skip

FAMILIES = (
    Family(
        "YSE-PZ read-backs",
        0.10,
        st.tuples(
            changes(_POINT_PATHS) | changes(_DEEP_PATHS),
            SPOILERS,
            st.sampled_from([200] * 15 + [404, 500, 503]),
        ),
        read_back,
    ),
    Family(
        "YSE-PZ answers to uploads",
        0.08,
        st.tuples(
            _BODIES,
            _PAGES,
            st.booleans(),
            SPOILERS,
            st.sampled_from(
                [200] * 5 + [201, 400, 403, 404, 408, 413, 429, 500, 502, 503, 504]
            ),
            RETRY_AFTER,
            st.sampled_from([0.0, 0.1, 7.9, 8.0, 31.0]),
        ),
        write_answer,
    ),
    Family(
        "YSE-PZ lists",
        0.05,
        st.tuples(
            changes(_LIST_PATHS),
            changes(paths_of(ALIASES), most=2),
            SPOILERS,
            SPOILERS,
            _STATUSES,
        ),
        lists,
    ),
)
