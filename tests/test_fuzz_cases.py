"""What the fuzz campaign found, kept: each case once, at its smallest."""

from __future__ import annotations

import copy
import json
from dataclasses import replace
from typing import TYPE_CHECKING, Any

import numpy as np
import pytest

from tests.campaigns.fuzz.answers import ACCOUNT, ALIASES, DOWNLOAD, READER, VOCABULARY
from tests.campaigns.fuzz.mutations import packets
from tests.campaigns.fuzz.planner import Event, World, planner
from tests.campaigns.fuzz.sources import ALERTS, DETECTIONS
from yse_ingest.errors import UploadRefusedError, YsePzReplyError
from yse_ingest.ledger import TIME_MS_MAX, Ledger
from yse_ingest.photometry import StoredPhotometry, value_hash
from yse_ingest.schemas.alerce import DetectionSchema
from yse_ingest.schemas.mars import AlertSchema
from yse_ingest.sources.answers import read_rows
from yse_ingest.sources.failures import retry_after
from yse_ingest.ysepz import YsePz
from yse_ingest.ysepz.answers import retry_after_s
from yse_ingest.ysepz.http import Answer
from yse_ingest.ysepz.readback import ReadBack, parse_read_back

if TYPE_CHECKING:
    from collections.abc import Callable


def _waits(text: str) -> list[float | None]:
    """Return what both sides make of one Retry-After."""
    headers = {"Retry-After": text}
    return [
        retry_after(headers),
        retry_after_s(Answer("POST /add_transient_phot/", 503, headers, b"", 0.1), now=1.7e9),
    ]


@pytest.mark.parametrize(
    "text",
    ["9" * 30, "9" * 400, "Fri, 31 Dec 9999 23:59:59 GMT", "Fri, 31 Dec 9999 23:59:59 -2359"],
)
def test_nobody_is_left_alone_for_ever(text: str) -> None:
    """A Retry-After of ages, which once overflowed the next due time, counts as a day."""
    assert {86400.0, None} >= set(_waits(text))


@pytest.mark.parametrize(
    "text", ["Mon, 01 Jan 0001 00:00:00 +2359", "x, 99 Foo 0 -0000", "\u0661"]
)
def test_a_retry_after_that_is_no_date_is_none(text: str) -> None:
    """What neither counts nor tells a moment to come is no wait at all."""
    assert {0.0, None} >= set(_waits(text))


@pytest.mark.parametrize("mjd", [0, 0.0, 15019.0, 47891.9])
def test_a_date_of_zero_is_no_date(mjd: float) -> None:
    """MJD 0, a missing date of many tables, was once a detection of 1858."""
    detection = {**DETECTIONS[0]["row"], "mjd": mjd}
    alert = copy.deepcopy(ALERTS[0])
    alert["candidate"]["jd"] = mjd + 2400000.5

    of_alerce = read_rows(
        DetectionSchema(), [detection], id_key="candid", date_format="mjd", bands="gri",
        object_id="ZTF1",
    )  # fmt: skip
    of_mars = read_rows(AlertSchema(), [alert], id_key="candid", date_format="jd", bands="gri")

    assert (len(of_alerce.alerts), len(of_mars.alerts)) == (0, 0)
    assert "outside" in str(of_mars.refused[0])


def test_an_endless_score_wins_no_twin() -> None:
    """A real-bogus score of 400 digits is no score; as infinity it would win every twin."""
    alert = copy.deepcopy(ALERTS[0])
    alert["candidate"]["rb"] = 10**400

    reading = read_rows(AlertSchema(), [alert], id_key="candid", date_format="jd", bands="gri")

    assert np.isnan(reading.alerts.quality[0])


def _shown(**changes: Any) -> ReadBack:
    reply = copy.deepcopy(DOWNLOAD)
    point = reply["2019np"]["photometry"][0]["data"][1]
    for key, value in changes.items():
        (point if key == "pk" else point["fields"])[key] = value
    return parse_read_back(reply, account="ingest", vocabulary=VOCABULARY, size=1, seconds=0.1)


@pytest.mark.parametrize("pk", [10**20, 2**63, 2**32, -1, 0])
def test_a_primary_key_of_no_row_is_refused(pk: Any) -> None:
    """A key beyond the ledger's 32 bits named another row; left out, it would be sent again."""
    with pytest.raises(YsePzReplyError, match="cannot be read: pk is no primary key"):
        _shown(pk=pk)


def test_a_number_of_400_digits_is_refused() -> None:
    """An integer that no float holds once ended the whole read-back."""
    found = _shown(mag=10**400)

    assert (len(found.photometry), len(found.refused)) == (4, 1)
    assert np.isnan(found.photometry.mag[found.unread]).all()


def test_a_row_without_values_takes_none_of_another_of_its_key() -> None:
    """Two rows of one key, one of them unreadable: the other was taken for unreadable too."""
    found = _shown(pk=1, forced=-1)

    assert found.photometry.pk.tolist().count(1) == 2
    assert found.unread.sum() == 1
    assert np.isnan(found.photometry.mag[found.unread]).all()


def test_an_error_does_not_repeat_a_name_without_end() -> None:
    """The instrument's name stood in the message at full length, whatever that was."""
    reply = copy.deepcopy(DOWNLOAD)
    shelf = reply["2019np"]["photometry"][0]
    shelf["fields"]["instrument"] = "P48 - " + "9" * 5000
    shelf["data"][1]["fields"]["obs_date"] = 0.5

    with pytest.raises(YsePzReplyError, match=r"stored row .* cannot be read") as raised:
        parse_read_back(reply, account="ingest", vocabulary=VOCABULARY, size=1, seconds=0.1)
    assert len(str(raised.value)) < 600


@pytest.mark.parametrize(("field", "value"), [("flux_zero_point", -1e308), ("mag", 1e308)])
def test_absurd_stored_values_can_be_compared(field: str, value: float) -> None:
    """What others store overflows to infinity in silence, and matches nothing."""
    found = _shown(**{field: value, "flux": 1.0, "flux_err": 1.0})

    assert len(found.photometry.value_hash) == 4
    assert len(value_hash(*(np.array([1.797e304]) for _ in range(4)))) == 1


def _rows(stored: StoredPhotometry, **columns: Any) -> Ledger:
    return Ledger.from_stored(
        replace(stored, **columns), account="ingest", gaps={}, read_back_ms=1
    )


def test_a_row_of_the_year_9999_survives_in_the_ledger() -> None:
    """Six bytes end in the year 6429: a later row stands at the end, not in antiquity."""
    stored = _shown(obs_date="9999-12-31T23:59:59.999Z").photometry
    ledger = _rows(stored)

    again = Ledger.unpack(ledger.pack(), slots=ledger.slots, gaps={}, read_back_ms=1)

    assert again.time_ms.tolist() == ledger.time_ms.tolist()
    assert int(again.time_ms.max()) == TIME_MS_MAX


def test_more_shelves_than_a_byte_counts_are_named() -> None:
    """257 combinations of instrument, group and band are told, not crashed on."""
    one = _shown().photometry.take(np.zeros(257, dtype=np.int64))
    groups = np.array([f"group {number}" for number in range(257)])

    with pytest.raises(YsePzReplyError, match="257 combinations"):
        _rows(one, obs_group=groups)


def _client(reply: Callable[[str], str]) -> YsePz:
    client = YsePz("http://ysepz.invalid", ACCOUNT, vocabulary=VOCABULARY)

    def send(method: str, path: str, **_: Any) -> Answer:
        return Answer(f"{method} {path}", 200, {}, reply(path).encode(), 0.1)

    client._http.send = send  # type: ignore[method-assign]
    return client


@pytest.mark.parametrize(
    ("key", "value"),
    [("disc_date", ""), ("disc_date", "soon"), ("url", "http://x/" + "9" * 5000 + "/")],
)
def test_a_transient_that_cannot_be_read_is_named(key: str, value: str) -> None:
    """A discovery date that is none, or an endless number in a link, is a named error."""
    page = packets("api_transients.json")
    page["results"][0][key] = value

    with pytest.raises(YsePzReplyError, match="cannot be read"):
        _client(lambda _path: json.dumps(page)).transient_by_name("2019np")


def test_a_link_to_row_0_is_none() -> None:
    """No row has the key 0: a transient under it was once taken."""
    page = packets("api_transients.json")
    page["results"][0]["url"] = "http://x/api/transients/0/"

    with pytest.raises(YsePzReplyError, match="no row 0"):
        _client(lambda _path: json.dumps(page)).transient_by_name("2019np")


def test_a_list_that_repeats_itself_ends() -> None:
    """A server that shows one page for ever, and counts more, was once asked without end."""
    with pytest.raises(YsePzReplyError, match="repeats rows"):
        _client(lambda _path: json.dumps({**ALIASES, "count": 10**20})).aliases()


def test_a_field_of_5000_letters_is_shortened() -> None:
    """What YSE-PZ names as the field at fault stands in errors: it is cut like its reason."""
    body = b'{"' + b"9" * 5000 + b'": ["is wrong"]}'

    with pytest.raises(UploadRefusedError) as caught:
        READER.accept(Answer("POST /add_transient_phot/", 400, {}, body, 0.1), now=0.0)

    assert len(f"{caught.value} {caught.value.as_dict()}") < 1000


def test_a_row_that_was_moved_stands_for_one_exposure() -> None:
    """Rows moved by a clobbering cron, state lost, YSE-PZ away once: one row stood for two.

    The exposure that was owed was then taken for moved, and the others were forgotten.
    """
    visit = ("expose", 39_000, "g-ZTF", 14.0, False)
    shifted: list[Event] = [*[visit] * 6, ("upload", [], 0.158), ("cron", 0)]

    assert planner([*shifted, ("forget",), visit, ("upload", ["away"], 0.158)])


def test_three_points_refused_and_none_taken_stay_owed() -> None:
    """YSE-PZ is at fault then, not the points: the next upload sends them all."""
    visit = ("expose", 86_400_000, "g-ZTF", 14.0, False)
    world = World()
    for event in (visit, visit, visit, *(("poison", which) for which in range(3))):
        world.happen(event)
    world.happen(("upload", [], 10.0))
    assert (world.refused, world.server.rows) == (set(), [])

    world.server.poison_ms.clear()
    world.happen(("upload", [], 10.0))
    assert len(world.server.rows) == 3
