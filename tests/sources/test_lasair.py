"""Lasair: a token, a quota, limits that look like detections, forced photometry in counts."""

from __future__ import annotations

import json
from typing import TYPE_CHECKING, Any

import numpy as np
import pytest

from tests.sources.asking import (
    FIRST_JD,
    answered,
    asked,
    check_alerts,
    check_forced,
    check_limits,
    golden,
    one,
    time_ms,
)
from yse_ingest.errors import (
    SettingsError,
    SourceRefusedError,
    SourceReplyError,
    SourceUnavailableError,
)
from yse_ingest.photometry import light_curve
from yse_ingest.sandbox.faults import Fault
from yse_ingest.sandbox.lasair import TOKEN
from yse_ingest.sandbox.server import Reply, StandIn
from yse_ingest.sources import SOURCES, ZTF, Ask, Kind, Status, build_source
from yse_ingest.targets import Rules, Target

if TYPE_CHECKING:
    from tests.sources.asking import Question, Served, Shower
    from yse_ingest.sandbox.lasair import LasairStandIn
    from yse_ingest.sandbox.server import LoggedRequest, Request
    from yse_ingest.sources import Answer, Source


OID = "ZTF25aaaaaaa"
EVERYTHING = frozenset(Kind)


def routes(entries: list[LoggedRequest]) -> list[str]:
    return [entry.path.removeprefix("/api/") for entry in entries]


def by_id(object_id: str = OID, **fields: Any) -> Ask:
    return Ask(Target("2025abc", object_id=object_id), Rules(), **fields)


def recorded(body: bytes, ask: Ask) -> Answer:
    """Return what becomes of one recorded reply to `object/`."""

    def reply(request: Request) -> Reply:
        assert request.path == "/object/"
        return Reply(200, body)

    return answered("lasair", ask, reply, "LASAIR_URL", LASAIR_TOKEN=TOKEN)


def light_curve_of(**fields: Any) -> Answer:
    return recorded(golden("lasair_object.json"), by_id(**fields))


# What its rows mean ---------------------------------------------------------------------------


def test_the_golden_reply_reads_as_it_always_did() -> None:
    """A reply in the documented shape gives these columns, limits, refusals and counts."""
    expected = json.loads(golden("lasair_object_expected.json"))

    answer = light_curve_of(kinds=EVERYTHING)

    check_alerts(answer, expected)
    check_limits(answer, expected)
    check_forced(answer, expected, flux_abs=5e-3)
    assert answer.dropped == expected["dropped"]


def test_the_worked_numbers() -> None:
    """19.42 +- 0.12 is 1706.082 +- 188.569; 20.37 is 142.243; 812.5 counts are 2690.4."""
    answer = light_curve_of(kinds=EVERYTHING)
    curve, negative = light_curve(answer.alerts, **ZTF.rules, keep_negatives=True)

    assert (curve.flux[0], curve.flux_err[0]) == pytest.approx((1706.082, 188.569), abs=5e-4)
    assert negative == 1
    assert np.isnan(curve.mag[curve.flux < 0]).all()
    assert answer.limits.flux_err == pytest.approx([142.243], abs=5e-4)
    forced = answer.forced.flux[0], answer.forced.flux_err[0]
    assert forced == pytest.approx((2690.4, 149.3), abs=0.05)


def test_only_what_is_wanted_is_given() -> None:
    """Limits and forced photometry stay out unless they are asked for."""
    answer = light_curve_of()

    assert len(answer.alerts) == 3
    assert len(answer.limits) == len(answer.forced) == 0
    assert not answer.dropped


def test_a_limit_with_a_magnitude_is_no_detection() -> None:
    """Also where the server copies the limit into magpsf: only a candid makes a detection."""
    content = json.loads(golden("lasair_object.json"))
    limit = content["candidates"][-1]
    limit |= {"magpsf": limit["diffmaglim"], "sigmapsf": 0.1, "isdiffpos": "t"}
    limit |= {"ra": 150.10001, "dec": 2.20003}

    answer = recorded(json.dumps(content).encode(), by_id(kinds=EVERYTHING))

    assert len(answer.alerts) == 3
    assert answer.limits.mag_limit.tolist() == [20.37]


def test_what_lasair_adds_is_never_asked_for(
    lasair: LasairStandIn,
    ask_lasair: Source,
    question: Question,
    shower: Shower,
    served: Served,
) -> None:
    """Both truth values are said, as false; paths end in a slash; the question is JSON."""
    shower(lasair, count=2)

    one(ask_lasair, question())

    cone, curve = served(lasair, 2)
    assert routes([cone, curve]) == ["cone/", "object/"]
    assert asked(cone)["requestType"] == "all"
    assert asked(curve) == {"objectId": "ZTF19aacgslb", "lite": False, "lasair_added": False}


@pytest.mark.parametrize("sign", ["f", "0"])
def test_a_negative_difference_is_never_a_detection(
    lasair: LasairStandIn, ask_lasair: Source, question: Question, shower: Shower, sign: str
) -> None:
    """It keeps its sign, in any spelling."""
    shower(lasair, count=2, isdiffpos=sign)

    assert one(ask_lasair, question()).alerts.negative.all()


def test_a_score_can_be_asked_for(
    lasair: LasairStandIn, ask_lasair: Source, question: Question, shower: Shower
) -> None:
    """It serves drb: what lies below the rule is dropped and counted."""
    shower(lasair, count=2)
    shower(lasair, count=1, start=5, drb=0.2)

    answer = one(ask_lasair, question(rules=Rules(min_drb=0.5)))

    assert len(answer.alerts) == 2
    assert answer.dropped == {"drb is below 0.5": 1}


# Candids --------------------------------------------------------------------------------------


def test_candids_keep_their_last_digits(
    lasair: LasairStandIn, ask_lasair: Source, question: Question, shower: Shower
) -> None:
    """A candid beyond 2^53 comes through whole."""
    shower(lasair, count=2, first_candid=3100310000015010001)

    answer = one(ask_lasair, question())

    assert answer.alerts.native_id.tolist() == ["3100310000015010001", "3100310000015010002"]


def test_candids_that_lost_digits_are_told_by_time(
    lasair: LasairStandIn, ask_lasair: Source, question: Question, shower: Shower
) -> None:
    """What went through a float is no candid: nothing can be compared with it by mistake."""
    shower(lasair, count=3, first_candid=3100310000015010001)
    lasair.loses_digits = True

    answer = one(ask_lasair, question())

    assert answer.alerts.native_id.tolist() == [
        f"ZTF19aacgslb@{FIRST_JD + night:.5f}" for night in range(3)
    ]
    assert not answer.refused


@pytest.mark.parametrize("candid", [3.10031e18, 3100310000015010000], ids=["float", "zeros"])
def test_other_marks_of_lost_digits(
    lasair: LasairStandIn,
    ask_lasair: Source,
    question: Question,
    shower: Shower,
    candid: object,
) -> None:
    """A candid written as a float, or one that ends in zeros, is none either."""
    shower(lasair, count=1, candid=candid)

    answer = one(ask_lasair, question())

    assert answer.alerts.native_id.tolist() == [f"ZTF19aacgslb@{FIRST_JD:.5f}"]


# How it is asked ------------------------------------------------------------------------------


def test_what_is_new_of_many_targets_is_one_call_and_one_for_each_that_changed(
    lasair: LasairStandIn,
    ask_lasair: Source,
    question: Question,
    shower: Shower,
    served: Served,
) -> None:
    """A query tells which objects were detected since; only their light curves are read."""
    asks = []
    for number in range(20):
        last = 9 if number < 2 else 3
        shower(lasair, f"ZTF{number}", count=last, ra=10.0 * number)
        asks.append(
            question(
                name=f"t{number}",
                ra=10.0 * number,
                since_ms=time_ms(FIRST_JD + 5),
                known_objects=(f"ZTF{number}",),
            )
        )

    answers = list(ask_lasair.fetch(asks))

    assert [len(answer.alerts) for answer in answers] == [3, 3] + [0] * 18
    assert [answer.status for answer in answers] == [Status.OK] * 2 + [Status.EMPTY] * 18
    assert not any(answer.full for answer in answers)
    query, *curves = served(lasair, 3)
    assert routes([query, *curves]) == ["query/", "object/", "object/"]
    assert asked(query)["tables"] == "objects"


def test_a_query_that_fails_is_told_to_who_needed_it(
    lasair: LasairStandIn, ask_lasair: Source, question: Question, shower: Shower
) -> None:
    """Who asks for everything does not hear of it."""
    shower(lasair, count=3)
    lasair.faults.add(Fault("status", path="query", status=400, body='{"error": "no"}'))
    since = question(name="a", since_ms=time_ms(FIRST_JD), known_objects=("ZTF19aacgslb",))

    recent, full = ask_lasair.fetch([since, question(name="b")])

    assert isinstance(recent.error, SourceRefusedError)
    assert full.status is Status.OK


def test_a_name_never_becomes_part_of_a_query(
    lasair: LasairStandIn,
    ask_lasair: Source,
    question: Question,
    shower: Shower,
    served: Served,
) -> None:
    """What is no object id stands in no query; everything is read instead."""
    shower(lasair, count=3)
    odd = "ZTF1')--"

    answer = one(ask_lasair, question(since_ms=time_ms(FIRST_JD), known_objects=(odd,)))

    assert answer.full
    assert "query/" not in routes(served(lasair, 2))


def test_an_id_that_was_not_accepted_before_leads_to_a_full_read(
    lasair: LasairStandIn, ask_lasair: Source, question: Question, shower: Shower
) -> None:
    """The query is about what is known; a new id of the target is not."""
    shower(lasair, count=5)
    ask = question(
        object_id="ZTF19aacgslb", since_ms=time_ms(FIRST_JD), known_objects=("ZTF19old",)
    )

    answer = one(ask_lasair, ask)

    assert (answer.full, len(answer.alerts)) == (True, 5)


def test_an_object_is_found_by_position(
    lasair: LasairStandIn, ask_lasair: Source, question: Question, shower: Shower
) -> None:
    """What does not belong is counted; a neighbour within 3 arcsec makes it ambiguous."""
    shower(lasair, count=5)
    shower(lasair, "ZTF18nucleus", count=2, north=4.0)

    answer = one(ask_lasair, question())

    assert len(answer.alerts) == 5
    assert answer.set_aside == {"ZTF18nucleus": 2}
    shower(lasair, "ZTF18neighbour", count=2, north=2.0)
    assert one(ask_lasair, question()).status is Status.AMBIGUOUS


def test_a_new_id_of_the_same_object_is_joined(
    lasair: LasairStandIn, ask_lasair: Source, question: Question, shower: Shower
) -> None:
    """A detection under two ids is one point; both ids make up the target."""
    shower(lasair, count=5)
    shower(lasair, "ZTF19renamed", count=7)

    answer = one(ask_lasair, question())

    assert len(answer.alerts) == 7
    assert set(answer.accepted_objects) == {"ZTF19aacgslb", "ZTF19renamed"}


@pytest.mark.parametrize("empty_is_error", [False, True], ids=["list", "error"])
def test_an_empty_cone_is_empty_in_both_versions(
    lasair: LasairStandIn, ask_lasair: Source, question: Question, *, empty_is_error: bool
) -> None:
    """An empty list and the older 400 both say that nothing is there."""
    lasair.empty_is_error = empty_is_error

    assert one(ask_lasair, question()).status is Status.EMPTY


def test_a_cone_that_is_ignored_is_noticed(question: Question) -> None:
    """Objects far away are never taken for those of a cone, nor even read."""

    class Deaf(StandIn):
        def handle(self, request: Request) -> Reply:
            assert request.path == "/cone/"
            return Reply.json([{"object": f"ZTF{n}", "separation": 900.0} for n in range(5)])

    with Deaf() as server:
        source = build_source("lasair", {"LASAIR_URL": server.url, "LASAIR_TOKEN": TOKEN})
        answer = one(source, question())
        source.close()

    assert answer.reason == "answered without the filter: 5 of 5 objects lie outside the cone"


# Token and quota ------------------------------------------------------------------------------


@pytest.mark.parametrize("token", [None, "", "two words", "line\nfeed"])
def test_without_a_token_it_is_not_configured(token: str | None) -> None:
    """The setting is named, and its value is not repeated."""
    environment = {} if token is None else {"LASAIR_TOKEN": token}

    with pytest.raises(SettingsError) as caught:
        build_source("lasair", environment)

    assert caught.value.field == "LASAIR_TOKEN"
    assert token is None or len(token) < 5 or token not in str(caught.value)


def test_a_token_that_is_refused_is_named_and_not_shown(
    lasair: LasairStandIn, question: Question
) -> None:
    """A 401 names LASAIR_TOKEN; the token stands in no message and in no address."""
    wrong = "deadbeef" * 5
    source = build_source("lasair", {"LASAIR_URL": lasair.api_url, "LASAIR_TOKEN": wrong})
    answer = one(source, question())
    source.close()

    assert isinstance(answer.error, SourceRefusedError)
    assert answer.error.field == "LASAIR_TOKEN"
    assert "LASAIR_TOKEN" in str(answer.error)
    assert wrong not in f"{answer.error!r} {answer.error} {source!r} {vars(source)}"
    assert not any("token" in name for entry in lasair.log for name, _ in entry.query)


def test_a_token_goes_to_no_other_host(question: Question) -> None:
    """A redirect to another address is refused: the token stays here."""
    heard: list[str | None] = []

    class Elsewhere(StandIn):
        def handle(self, request: Request) -> Reply:
            heard.append(request.headers.get("Authorization"))
            return Reply.json([])

    with Elsewhere() as other:
        there = other.url.replace("127.0.0.1", "localhost")

        class Redirecting(StandIn):
            def handle(self, request: Request) -> Reply:
                return Reply(307, headers={"Location": f"{there}{request.path}"})

        with Redirecting() as server:
            environment = {"LASAIR_URL": server.url, "LASAIR_TOKEN": TOKEN}
            source = build_source("lasair", environment)
            answer = one(source, question())
            source.close()

    assert isinstance(answer.error, SourceRefusedError)
    assert heard == []


@pytest.mark.parametrize("says_when", [True, False], ids=["header", "text alone"])
def test_a_quota_that_is_used_up_is_obeyed(
    lasair: LasairStandIn,
    ask_lasair: Source,
    question: Question,
    waits: list[float],
    *,
    says_when: bool,
) -> None:
    """A 429 is not tried again within minutes; by its header or its text it says when."""
    lasair.quota.per_hour = 0
    lasair.quota.says_when = says_when

    answer = one(ask_lasair, question())

    assert isinstance(answer.error, SourceUnavailableError)
    assert answer.error.retry_after == pytest.approx(3600, abs=5)
    assert waits == []
    assert len(lasair.log) == 1


# Silence, refusals and garbage ----------------------------------------------------------------


def test_empty_and_unknown_are_told_apart(ask_lasair: Source, question: Question) -> None:
    """Both are 200 without rows; only a named object can be unknown."""
    assert one(ask_lasair, question()).status is Status.EMPTY
    unknown = one(ask_lasair, question(object_id="ZTF19aaaaaaa", ra=None, dec=None))
    assert unknown.status is Status.UNKNOWN


@pytest.mark.parametrize(
    ("body", "fact"),
    [
        ("<html>Welcome</html>", "not JSON"),
        ("[]", "answered no list of candidates"),
        ('{"candidates": []}', "format changed: field forcedphot missing"),
        ('{"candidates": {}, "forcedphot": []}', "format changed: field candidates is no list"),
        ('{"objectId": "ZTFb", "candidates": [], "forcedphot": []}', "answered ZTFb"),
        ('{"candidates": [{"candid": 1}], "forcedphot": []}', "none can be read"),
        ('{"candidates": [3], "forcedphot": []}', "none can be read"),
    ],
)
def test_another_shape_is_an_error(body: str, fact: str) -> None:
    """A reply of another shape is named, and not taken for an empty one."""
    answer = recorded(body.encode(), by_id())

    assert isinstance(answer.error, SourceReplyError)
    assert fact in answer.reason


def test_one_light_curve_that_fails_stops_only_its_target(
    lasair: LasairStandIn, ask_lasair: Source, question: Question, shower: Shower
) -> None:
    """A 500 for one object leaves the next target alone."""
    shower(lasair, "ZTFb", count=3)
    lasair.faults.add(Fault("error_before", path="object", times=1))
    place = {"ra": None, "dec": None}

    bad, good = ask_lasair.fetch(
        [
            question(name="a", object_id="ZTFa", **place),
            question(name="b", object_id="ZTFb", **place),
        ]
    )

    assert isinstance(bad.error, SourceRefusedError)
    assert good.status is Status.OK


def test_it_declares_what_it_can() -> None:
    """All three kinds, a token, and a quota of 100 an hour."""
    can = SOURCES["lasair"].capabilities

    assert (can.by_id, can.by_position, can.since) == (True, True, "client")
    assert can.kinds == frozenset(Kind)
    assert can.needs_token
    assert can.requests_per_hour == 100
