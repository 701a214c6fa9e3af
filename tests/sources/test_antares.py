"""ANTARES: asked only by name, by its alerts and never by its light curves."""

from __future__ import annotations

import json
from typing import TYPE_CHECKING, Any

import numpy as np
import pytest

from tests.sources.asking import (
    FIRST_JD,
    answered,
    check_alerts,
    check_limits,
    golden,
    one,
    time_ms,
)
from yse_ingest.errors import SettingsError, SourceRefusedError, SourceReplyError
from yse_ingest.photometry import light_curve
from yse_ingest.sandbox.faults import Fault
from yse_ingest.sandbox.server import Reply, StandIn
from yse_ingest.sources import SOURCES, ZTF, Ask, Kind, Status, build_source
from yse_ingest.sources.antares import place_text
from yse_ingest.targets import Rules, Target

if TYPE_CHECKING:
    from tests.sources.asking import Question, Served, Shower
    from yse_ingest.sandbox.antares import AntaresStandIn
    from yse_ingest.sandbox.server import LoggedRequest, Request
    from yse_ingest.sources import Answer, Source


OID = "ZTF25aaaaaaa"
WITH_LIMITS = frozenset({Kind.DETECTION, Kind.LIMIT})


def kinds_of(entries: list[LoggedRequest]) -> list[str]:
    return [entry.path.rpartition("/")[2] for entry in entries]


def condition(entry: LoggedRequest) -> dict[str, Any]:
    query = json.loads(dict(entry.query)["elasticsearch_query"])
    found = query["query"]["bool"]["filter"]
    assert isinstance(found, dict)
    return found


def by_id(object_id: str = OID, **fields: Any) -> Ask:
    return Ask(Target("2025abc", object_id=object_id), Rules(), **fields)


def recorded(ask: Ask, loci: bytes, alerts: bytes = b"{}") -> Answer:
    """Return what becomes of recorded replies to a search and about one locus."""

    def reply(request: Request) -> Reply:
        return Reply(200, alerts if request.path.endswith("/alerts") else loci)

    return answered("antares", ask, reply, "ANTARES_URL", YSE_INGEST_UNRECORDED="antares")


def locus(**fields: Any) -> Answer:
    return recorded(by_id(**fields), golden("antares_loci.json"), golden("antares_alerts.json"))


# Whether it is asked --------------------------------------------------------------------------


@pytest.mark.parametrize(
    ("environment", "variable"),
    [
        ({}, "ANTARES_URL"),
        ({"YSE_INGEST_UNRECORDED": "antares"}, "ANTARES_URL"),
        ({"ANTARES_URL": "https://example.org/v2"}, "YSE_INGEST_UNRECORDED"),
        (
            {"ANTARES_URL": "https://example.org/v2", "YSE_INGEST_UNRECORDED": "others"},
            "YSE_INGEST_UNRECORDED",
        ),
        (
            {"ANTARES_URL": "https://example.org/v1/", "YSE_INGEST_UNRECORDED": "antares"},
            "ANTARES_URL",
        ),
    ],
    ids=["nothing", "no address", "no flag", "another flag", "version 1"],
)
def test_it_is_asked_only_where_somebody_says_so(
    environment: dict[str, str], variable: str
) -> None:
    """Both the address and the flag are needed; the address of version 1 is none."""
    with pytest.raises(SettingsError) as caught:
        build_source("antares", environment)

    assert caught.value.field == variable


def test_the_flag_may_name_several() -> None:
    """It is a list."""
    environment = {
        "ANTARES_URL": "http://127.0.0.1:9/v2",
        "YSE_INGEST_UNRECORDED": "x, antares",
    }
    source = build_source("antares", environment)
    source.close()
    assert source.url == "http://127.0.0.1:9/v2/"


# What its alerts mean -------------------------------------------------------------------------


def test_the_golden_reply_reads_as_it_always_did() -> None:
    """Replies in the shape that its client expects give these columns, limits and counts."""
    expected = json.loads(golden("antares_expected.json"))

    answer = locus(kinds=WITH_LIMITS)

    check_alerts(answer, expected)
    check_limits(answer, expected)
    assert answer.dropped == expected["dropped"]


def test_the_worked_numbers() -> None:
    """19.42 +- 0.12 is 1706.082 +- 188.569, negative without a magnitude; 20.37 is 142.243."""
    answer = locus(kinds=WITH_LIMITS)
    curve, negative = light_curve(answer.alerts, **ZTF.rules, keep_negatives=True)

    assert (curve.flux[0], curve.flux_err[0]) == pytest.approx((1706.082, 188.569), abs=5e-4)
    assert negative == 1
    assert curve.band.tolist() == ["g-ZTF", "r-ZTF", "i-ZTF"]
    assert np.isnan(curve.mag[curve.flux < 0]).all()
    assert answer.limits.flux_err == pytest.approx([142.243], abs=5e-4)


def test_limits_are_left_out_unless_wanted() -> None:
    """A limit never becomes a detection, and none is given unasked."""
    answer = locus()

    assert len(answer.limits) == 0
    assert len(answer.alerts) == 3


def test_the_light_curve_text_is_never_read(
    antares: AntaresStandIn,
    ask_antares: Source,
    question: Question,
    shower: Shower,
    served: Served,
) -> None:
    """It holds no sign: the alerts are asked for, and a negative one stays negative."""
    shower(antares, count=3, isdiffpos="f")

    answer = one(ask_antares, question())

    assert answer.alerts.negative.all()
    assert kinds_of(served(antares, 2)) == ["loci", "alerts"]


@pytest.mark.parametrize("sign", [None, "nan", ""])
def test_an_unknown_sign_is_no_detection(
    antares: AntaresStandIn,
    ask_antares: Source,
    question: Question,
    shower: Shower,
    sign: object,
) -> None:
    """An alert that does not say its sign is quarantined; the others go on."""
    shower(antares, count=2)
    shower(antares, count=1, start=5, isdiffpos=sign)

    answer = one(ask_antares, question())

    assert len(answer.alerts) == 2
    assert "ztf_isdiffpos" in str(answer.refused[0])


def test_candids_keep_their_last_digits(
    antares: AntaresStandIn, ask_antares: Source, question: Question, shower: Shower
) -> None:
    """They stand in the text of an id; one that is none is refused."""
    shower(antares, count=1, first_candid=3100310000015010001)
    place = {"ztf_object_id": "ZTF19aacgslb", "ant_mjd": 58495.0}
    antares.add("ztf_candidate:3.1e18", "ZTF19aacgslb", place)

    answer = one(ask_antares, question())

    assert answer.alerts.native_id.tolist() == ["3100310000015010001"]
    assert "which is no candidate of ZTF" in str(answer.refused[0])


# Objects and loci -----------------------------------------------------------------------------


def test_a_locus_of_several_objects_keeps_them_apart(
    antares: AntaresStandIn, ask_antares: Source, question: Question, shower: Shower
) -> None:
    """Each alert says of which object it is; names at one place are one target."""
    shower(antares, count=3)
    shower(antares, "ZTF19renamed", count=2, start=10, east=0.3)

    answer = one(ask_antares, question())

    assert len(answer.alerts) == 5
    assert set(answer.accepted_objects) == {"ZTF19aacgslb", "ZTF19renamed"}


def test_the_nearest_is_not_the_newest(
    antares: AntaresStandIn, ask_antares: Source, question: Question, shower: Shower
) -> None:
    """Loci come by their newest alert: what does not belong is counted, never taken first."""
    shower(antares, count=3)
    shower(antares, "ZTF18nucleus", count=4, start=20, north=4.0)

    answer = one(ask_antares, question())

    assert len(answer.alerts) == 3
    assert answer.set_aside == {"ZTF18nucleus": 4}
    shower(antares, "ZTF18neighbour", count=2, north=2.0)
    assert one(ask_antares, question()).status is Status.AMBIGUOUS


def test_an_object_is_found_by_name(
    antares: AntaresStandIn, ask_antares: Source, shower: Shower, served: Served
) -> None:
    """Without a position the query is a term; an unknown name has no locus."""
    shower(antares, OID, count=3)

    assert len(one(ask_antares, by_id()).alerts) == 3
    assert one(ask_antares, by_id("ZTF25nowhere")).status is Status.UNKNOWN
    search, _, _ = served(antares, 3)
    assert condition(search) == {"term": {"properties.ztf_object_id": OID}}


@pytest.mark.parametrize("old", [False, True], ids=["several names", "one name"])
def test_a_second_name_is_found_by_position(
    antares: AntaresStandIn,
    ask_antares: Source,
    question: Question,
    shower: Shower,
    *,
    old: bool,
) -> None:
    """A locus is searched by its first name alone; the cone finds the other."""
    antares.old_loci = old
    shower(antares, count=3)
    shower(antares, "ZTF19renamed", count=2, start=10)

    answer = one(ask_antares, question(object_id="ZTF19renamed"))

    assert (answer.status, len(answer.alerts)) == (Status.OK, 5)


@pytest.mark.parametrize(
    ("ra", "dec", "text"),
    [
        (150.1, 2.2, "10h00m24.00000s +02d12m00.0000s"),
        (0.0, -0.5, "00h00m00.00000s -00d30m00.0000s"),
        (359.9999999999, 89.9999999999, "00h00m00.00000s +90d00m00.0000s"),
        (12.3456789, -42.987654321, "00h49m22.96294s -42d59m15.5556s"),
    ],
)
def test_a_place_is_text_in_hours(ra: float, dec: float, text: str) -> None:
    """It is rounded before it is cut into hours, minutes and seconds."""
    assert place_text(ra, dec) == text


@pytest.mark.parametrize(("ra", "dec"), [(0.0, 29.5), (359.9999, -0.0001), (157.0, -42.5)])
def test_a_cone_finds_what_is_there(
    antares: AntaresStandIn,
    ask_antares: Source,
    question: Question,
    *,
    shower: Shower,
    ra: float,
    dec: float,
) -> None:
    """Around RA 0 and below the equator as anywhere else."""
    shower(antares, count=3, ra=ra, dec=dec, east=0.3)

    assert len(one(ask_antares, question(ra=ra, dec=dec)).alerts) == 3


# How it is asked ------------------------------------------------------------------------------


def test_pages_are_followed(
    antares: AntaresStandIn,
    ask_antares: Source,
    question: Question,
    shower: Shower,
    served: Served,
) -> None:
    """Every page is read, by the link that the one before gives."""
    antares.alerts_per_page = 3
    shower(antares, count=8)

    assert len(one(ask_antares, question()).alerts) == 8
    assert len(served(antares, 4)) == 4


def test_a_page_elsewhere_is_not_followed() -> None:
    """A link to another address is refused, and named."""
    content = json.loads(golden("antares_loci.json"))
    content["links"]["next"] = "http://elsewhere.invalid/v2/loci"

    answer = recorded(by_id(), json.dumps(content).encode())

    assert isinstance(answer.error, SourceRefusedError)
    assert "elsewhere.invalid" in str(answer.error)


def test_pages_without_end_are_an_error(antares: AntaresStandIn, question: Question) -> None:
    """A page that leads to itself does not keep us for ever."""

    class Endless(StandIn):
        def handle(self, request: Request) -> Reply:
            links = {"next": f"{self.url}/loci?page=again"}
            return Reply.json({"data": [], "links": links})

    with Endless() as server:
        environment = {"ANTARES_URL": server.url, "YSE_INGEST_UNRECORDED": "antares"}
        source = build_source("antares", environment)
        answer = one(source, question())
        source.close()

    assert isinstance(answer.error, SourceReplyError)
    assert "has more than 20 pages" in answer.reason


def test_a_locus_without_news_is_not_read(
    antares: AntaresStandIn,
    ask_antares: Source,
    question: Question,
    shower: Shower,
    served: Served,
) -> None:
    """A search tells when a locus was last seen: its alerts are asked for only after that."""
    shower(antares, count=4)
    known = ("ZTF19aacgslb",)

    quiet = one(ask_antares, question(since_ms=time_ms(FIRST_JD + 9), known_objects=known))
    news = one(ask_antares, question(since_ms=time_ms(FIRST_JD + 1.5), known_objects=known))

    assert (quiet.status, quiet.full) == (Status.EMPTY, False)
    assert (len(news.alerts), news.full) == (2, False)
    assert kinds_of(served(antares, 3)) == ["loci", "loci", "alerts"]


def test_a_target_that_had_nothing_is_read_once(
    antares: AntaresStandIn,
    ask_antares: Source,
    question: Question,
    shower: Shower,
    served: Served,
) -> None:
    """Without known objects an incremental question reads everything, and not twice."""
    shower(antares, count=4)

    answer = one(ask_antares, question(since_ms=time_ms(FIRST_JD + 1.5)))

    assert (len(answer.alerts), answer.full) == (4, True)
    assert len(served(antares, 2)) == 2


# Silence, refusals and garbage ----------------------------------------------------------------


def test_empty_is_an_answer(ask_antares: Source, question: Question) -> None:
    """No locus in the cone is nothing there."""
    assert one(ask_antares, question()).status is Status.EMPTY


def test_version_1_is_named(antares: AntaresStandIn, ask_antares: Source) -> None:
    """What is gone, and what answers in the old form, say that version 1 was retired."""
    antares.faults.add(Fault("status", status=410, body='{"errors": []}', times=1))
    gone = one(ask_antares, by_id())
    old = recorded(by_id(), b'{"data": [{"type": "locus", "id": "ANT1", "attributes": {}}]}')

    assert isinstance(gone.error, SourceRefusedError)
    assert isinstance(old.error, SourceReplyError)
    for answer in (gone, old):
        assert answer.error is not None
        assert "retired on 2026-11-04" in str(answer.error)


@pytest.mark.parametrize(
    ("loci", "alerts", "fact"),
    [
        ("<html>Welcome</html>", "{}", "not JSON"),
        ("[]", "{}", "no list of data"),
        ('{"loci": []}', "{}", "format changed: field data missing"),
        ('{"data": [{"locus": {"ra": 1.0}}]}', "{}", "lists an object that cannot be read"),
        ('{"data": [3]}', "{}", "lists an object that cannot be read"),
        ("", '{"data": {}}', "format changed: field data is no list"),
        ("", '{"data": [{"id": 17}]}', "sent 1 rows and none can be read"),
        ("", '{"data": [3]}', "sent 1 rows and none can be read"),
    ],
)
def test_another_shape_is_an_error(loci: str, alerts: str, fact: str) -> None:
    """A reply of another shape is named, and not taken for an empty one."""
    body = loci.encode() or golden("antares_loci.json")

    answer = recorded(by_id(), body, alerts.encode())

    assert isinstance(answer.error, SourceReplyError)
    assert fact in answer.reason


def test_it_declares_what_it_can() -> None:
    """Detections and limits, by id and by position; no forced photometry, no token."""
    can = SOURCES["antares"].capabilities

    assert (can.by_id, can.by_position, can.since) == (True, True, "client")
    assert can.kinds == WITH_LIMITS
    assert not can.needs_token
