"""Lasair for LSST: another token, other shapes, and places from a query."""

from __future__ import annotations

import json
from typing import TYPE_CHECKING, Any

import numpy as np
import pytest

from tests.sources.asking import answered, check_alerts, check_forced, golden, one
from tests.sources.lsst import DEC, MJD, OID, OTHER, RA, WITH_FORCED, by_id, question
from yse_ingest.errors import SettingsError, SourceRefusedError, SourceReplyError
from yse_ingest.sandbox.faults import Fault
from yse_ingest.sandbox.lasair import TOKEN, LasairLsstStandIn
from yse_ingest.sandbox.server import Reply, StandIn
from yse_ingest.sources import LSST, SOURCES, Ask, Status, build_source
from yse_ingest.times import to_time_ms

if TYPE_CHECKING:
    from collections.abc import Iterator

    from tests.sources.asking import Served
    from yse_ingest.sandbox.server import LoggedRequest, Request
    from yse_ingest.sources import Answer, Source

SEEN = {"diaObjectId": OID, "lastDiaSourceMjdTai": 61231.3, "ra": RA, "decl": DEC}


@pytest.fixture
def lasair() -> Iterator[LasairLsstStandIn]:
    with LasairLsstStandIn() as stand_in:
        yield stand_in


@pytest.fixture
def ask_lasair(lasair: LasairLsstStandIn) -> Iterator[Source]:
    source = source_at(lasair.api_url)
    yield source
    source.close()


def source_at(url: str) -> Source:
    return build_source("lasair-lsst", {"LASAIR_LSST_URL": url, "LASAIR_LSST_TOKEN": TOKEN})


def add(stand_in: LasairLsstStandIn, object_id: int = OID, count: int = 3, **more: Any) -> None:
    fields = {"ra": RA, "dec": DEC, "start": 0.0} | more
    start = fields.pop("start")
    for night in range(count):
        moment = MJD + start + night
        stand_in.add_source(object_id, moment, "gr"[night % 2], 2400.0, 380.0, **fields)


def routes(entries: list[LoggedRequest]) -> list[str]:
    return [entry.path.removeprefix("/api/") for entry in entries]


def time_ms(mjd_tai: float) -> int:
    return int(to_time_ms(np.array([mjd_tai]), date_format="mjd", scale="tai")[0])


def recorded(body: bytes, ask: Ask, *, seen: object = (SEEN,), status: int = 200) -> Answer:
    """Return what becomes of one recorded reply to `object/`."""

    def reply(request: Request) -> Reply:
        return Reply.json(seen) if request.path == "/query/" else Reply(status, body)

    return answered("lasair-lsst", ask, reply, "LASAIR_LSST_URL", LASAIR_LSST_TOKEN=TOKEN)


def test_the_golden_reply_reads_as_it_always_did() -> None:
    """A reply in the documented shape gives these columns, refusals and counts."""
    expected = json.loads(golden("lasair_lsst_expected.json"))

    answer = recorded(golden("lasair_lsst_object.json"), by_id(kinds=WITH_FORCED))

    check_alerts(answer, expected, mag_abs=5e-4, err_abs=5e-4)
    check_forced(answer, expected, flux_abs=5e-4)
    assert answer.dropped == expected["dropped"]


def test_a_target_is_found_by_its_position(
    lasair: LasairLsstStandIn, ask_lasair: Source, served: Served
) -> None:
    """A cone, one query for the places of all in it, and a light curve each."""
    add(lasair)
    add(lasair, OTHER, dec=DEC + 4 / 3600)

    answer = one(ask_lasair, question())

    assert (len(answer.alerts), answer.accepted_objects) == (3, (str(OID),))
    assert answer.set_aside == {str(OTHER): 3}
    entries = served(lasair, 4)
    assert routes(entries) == ["cone/", "query/", "object/", "object/"]
    assert json.loads(entries[2].body) == {
        "objectId": str(OID),
        "lite": True,
        "lasair_added": False,
    }
    add(lasair, OTHER + 1, dec=DEC + 2 / 3600)
    assert one(ask_lasair, question()).status is Status.AMBIGUOUS


def test_what_is_new_is_one_query_and_a_call_for_each_that_changed(
    lasair: LasairLsstStandIn, ask_lasair: Source, served: Served
) -> None:
    """Times of the query are TAI: a source is new once, not for 37 s longer."""
    asks = []
    for number in range(5):
        add(lasair, OID + number, count=9 if number < 2 else 3, ra=number * 10.0)
        asks.append(
            question(
                name=f"t{number}",
                ra=number * 10.0,
                since_ms=time_ms(MJD + 1),
                newest_ms=time_ms(MJD + 2),
                known_objects=(str(OID + number),),
            )
        )

    answers = list(ask_lasair.fetch(asks))

    assert [len(answer.alerts) for answer in answers] == [7, 7, 0, 0, 0]
    assert not any(answer.full for answer in answers)
    assert routes(served(lasair, 3)) == ["query/", "object/", "object/"]


def test_forced_photometry_only_where_wanted(
    lasair: LasairLsstStandIn, ask_lasair: Source
) -> None:
    """It comes in the same reply, signed."""
    add(lasair)
    lasair.add_forced(OID, MJD - 1, "r", -55.0, 370.0)

    assert one(ask_lasair, by_id(kinds=WITH_FORCED)).forced.flux == pytest.approx(
        [-1.515], abs=5e-4
    )
    assert len(one(ask_lasair, by_id()).forced) == 0


def test_the_id_of_another_survey_stands_in_no_query(
    lasair: LasairLsstStandIn, ask_lasair: Source, served: Served
) -> None:
    """A target named by ZTF is found by its position; without one nothing is asked."""
    add(lasair)

    assert one(ask_lasair, question(object_id="ZTF25aaaaaaa")).status is Status.OK
    lost = one(ask_lasair, question(object_id="ZTF25aaaaaaa", ra=None, dec=None))
    assert lost.status is Status.UNKNOWN
    served(lasair, 3)


def test_empty_unknown_and_error_are_told_apart(
    lasair: LasairLsstStandIn, ask_lasair: Source
) -> None:
    """An object that is not listed is unknown; a refusal is an error that names the setting."""
    assert one(ask_lasair, question()).status is Status.EMPTY
    assert one(ask_lasair, by_id()).status is Status.UNKNOWN
    lasair.faults.add(Fault("status", status=400, body='{"error": "no"}'))
    refused = one(ask_lasair, by_id())
    assert isinstance(refused.error, SourceRefusedError)
    assert "LASAIR_LSST_URL" in str(refused.error)


def test_an_object_that_is_gone_is_not_a_wrong_address() -> None:
    """A 404 in JSON is an unknown object, a 404 that is a page an error."""
    gone = recorded(b'{"detail": "Not found."}', by_id(), status=404)
    page = recorded(b"<h1>Not Found</h1>", by_id(), status=404)

    assert gone.status is Status.UNKNOWN
    assert isinstance(page.error, SourceRefusedError)


@pytest.mark.parametrize(
    ("body", "seen", "fact"),
    [
        ("<html>Welcome</html>", (SEEN,), "not JSON"),
        ("[]", (SEEN,), "answered no list of diaSourcesList"),
        (
            '{"diaSourcesList": []}',
            (SEEN,),
            "format changed: field diaForcedSourcesList missing",
        ),
        ('{"diaObjectId": "17"}', (SEEN,), "answered 17 to a question about"),
        ("{}", {}, "no list of objects"),
        ("{}", ({"diaObjectId": OID},), "lists an object that cannot be read"),
    ],
    ids=["page", "list", "half", "another object", "query", "no place"],
)
def test_another_shape_is_an_error(body: str, seen: object, fact: str) -> None:
    """A reply of another shape is named, and not taken for an empty one."""
    answer = recorded(body.encode(), by_id(), seen=seen)

    assert isinstance(answer.error, SourceReplyError)
    assert fact in answer.reason


def test_a_cone_in_the_old_shape_is_an_error() -> None:
    """The list that its documentation shows is not taken for an empty cone."""

    class Old(StandIn):
        def handle(self, request: Request) -> Reply:
            return Reply.json([{"object": OID, "separation": 0.2}])

    with Old() as server:
        source = source_at(server.url)
        answer = one(source, question())
        source.close()

    assert answer.reason.startswith("answered no list of objects")


def test_it_has_a_token_of_its_own(lasair: LasairLsstStandIn) -> None:
    """That of the other server does not open it: the setting is named, and no token shown."""
    with pytest.raises(SettingsError) as caught:
        build_source("lasair-lsst", {"LASAIR_TOKEN": TOKEN})
    assert caught.value.field == "LASAIR_LSST_TOKEN"

    wrong = "deadbeef" * 5
    source = build_source(
        "lasair-lsst", {"LASAIR_LSST_URL": lasair.api_url, "LASAIR_LSST_TOKEN": wrong}
    )
    answer = one(source, question())
    source.close()
    assert "LASAIR_LSST_TOKEN" in str(answer.error)
    assert wrong not in f"{answer.error!r} {answer.error}"


def test_it_declares_what_it_can() -> None:
    """Forced photometry, no limits, a token, a quota, and how its times are to be read."""
    can = SOURCES["lasair-lsst"].capabilities

    assert can.survey is LSST
    assert can.kinds == WITH_FORCED
    assert (can.time_scale, can.time_of) == ("tai", "middle")
    assert can.needs_token
    assert can.requests_per_hour == 100
