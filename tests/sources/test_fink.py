"""Fink: the light curves of many objects in one request, and everything it says as text."""

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
    check_limits,
    golden,
    one,
    time_ms,
)
from yse_ingest.errors import (
    SourceRefusedError,
    SourceReplyError,
    SourceUnavailableError,
    TargetError,
)
from yse_ingest.photometry import light_curve
from yse_ingest.sandbox.faults import Fault
from yse_ingest.sandbox.fink import FinkStandIn
from yse_ingest.sandbox.server import Reply
from yse_ingest.sources import SOURCES, ZTF, Ask, Kind, Status, build_source
from yse_ingest.targets import Rules, Target

if TYPE_CHECKING:
    from collections.abc import Mapping

    from tests.sources.asking import Question, Served, Shower
    from yse_ingest.sandbox.server import LoggedRequest, Request
    from yse_ingest.sources import Answer, Source


WITH_LIMITS = frozenset({Kind.DETECTION, Kind.LIMIT})


def paths(entries: list[LoggedRequest]) -> list[str]:
    return [entry.path.removeprefix("/api/v1/") for entry in entries]


def recorded(body: bytes, ask: Ask) -> Answer:
    """Return what becomes of one recorded reply."""

    def reply(request: Request) -> Reply:
        assert request.path == "/objects"
        return Reply(200, body)

    return answered("fink", ask, reply, "FINK_URL")


def by_id(object_id: str, **fields: Any) -> Ask:
    return Ask(Target("2025abc", object_id=object_id), Rules(), **fields)


# What its rows mean ---------------------------------------------------------------------------


def test_the_golden_reply_reads_as_it_always_did() -> None:
    """A reply in the documented shape gives these columns, limits, refusals and counts."""
    expected = json.loads(golden("fink_objects_expected.json"))

    answer = recorded(golden("fink_objects.json"), by_id("ZTF25aaaaaaa", kinds=WITH_LIMITS))

    check_alerts(answer, expected)
    check_limits(answer, expected)
    assert answer.dropped == expected["dropped"]


def test_the_worked_numbers() -> None:
    """19.42 +- 0.12 is 1706.082 +- 188.569, negative without a magnitude; 20.37 is 142.243."""
    answer = recorded(golden("fink_objects.json"), by_id("ZTF25aaaaaaa", kinds=WITH_LIMITS))
    curve, negative = light_curve(answer.alerts, **ZTF.rules, keep_negatives=True)

    assert (curve.flux[0], curve.flux_err[0]) == pytest.approx((1706.082, 188.569), abs=5e-4)
    assert negative == 2
    assert np.isnan(curve.mag[curve.flux < 0]).all()
    assert np.count_nonzero(curve.flux < 0) == 2
    assert answer.limits.flux_err == pytest.approx([142.243], abs=5e-4)


def test_limits_are_left_out_unless_wanted(
    fink: FinkStandIn, ask_fink: Source, question: Question, shower: Shower, served: Served
) -> None:
    """Limits are asked for by a JSON true, which alone is heard; by default they are not."""
    shower(fink, count=2)
    fink.add_limit("ZTF19aacgslb", FIRST_JD - 3, 1, 20.37)

    without = one(ask_fink, question(object_id="ZTF19aacgslb", ra=None, dec=None))
    limits = one(
        ask_fink, question(object_id="ZTF19aacgslb", ra=None, dec=None, kinds=WITH_LIMITS)
    )

    assert len(without.limits) == 0
    assert limits.limits.mag_limit.tolist() == [20.37]
    assert len(limits.alerts) == len(without.alerts) == 2
    first, second = served(fink, 2)
    assert "withupperlim" not in asked(first)
    assert asked(second)["withupperlim"] is True


def test_one_of_a_batch_that_wants_limits_gives_none_to_the_others(
    fink: FinkStandIn, ask_fink: Source, question: Question, shower: Shower
) -> None:
    """One request serves both; a limit never becomes a point of who did not want any."""
    for object_id in ("ZTFa", "ZTFb"):
        shower(fink, object_id, count=2)
        fink.add_limit(object_id, FIRST_JD - 3, 1, 20.37)
    place = {"ra": None, "dec": None}

    wants, others = ask_fink.fetch(
        [
            question(name="a", object_id="ZTFa", kinds=WITH_LIMITS, **place),
            question(name="b", object_id="ZTFb", **place),
        ]
    )

    assert (len(wants.limits), len(wants.alerts)) == (1, 2)
    assert (len(others.limits), len(others.alerts)) == (0, 2)
    assert not others.refused


def test_limits_are_of_the_accepted_objects_and_new(
    fink: FinkStandIn, ask_fink: Source, question: Question, shower: Shower
) -> None:
    """A neighbour's limits stay out; an incremental question gets those after its date."""
    shower(fink, count=4)
    shower(fink, "ZTF18nucleus", count=2, north=4.0)
    for object_id, later in (("ZTF19aacgslb", 0.0), ("ZTF18nucleus", 0.1)):
        fink.add_bad_quality(object_id, FIRST_JD + 2, 1, 19.9)
        for night in (-3.0, 2.5):
            fink.add_limit(object_id, FIRST_JD + night + later, 1, 20.0)

    full = one(ask_fink, question(kinds=WITH_LIMITS))
    since = question(
        kinds=WITH_LIMITS,
        since_ms=time_ms(FIRST_JD),
        known_objects=("ZTF19aacgslb",),
    )
    recent = one(ask_fink, since)

    assert full.limits.object_id.tolist() == ["ZTF19aacgslb"] * 2
    assert full.dropped == {"fails Fink's cuts (badquality)": 1}
    assert recent.limits.time_ms.tolist() == [time_ms(FIRST_JD + 2.5)]


def test_candids_keep_their_last_digits(
    fink: FinkStandIn, ask_fink: Source, question: Question, shower: Shower
) -> None:
    """A candid beyond 2^53 comes through whole; one that was a float is refused."""
    shower(fink, count=1, first_candid=3100310000015010001)
    fink.add_alert("ZTF19aacgslb", FIRST_JD + 1, "g", 18.0, 0.1, 157.3415, 29.5106667)
    fink._alerts[-1]["i:candid"] = 3.1e18

    answer = one(ask_fink, question())

    assert answer.alerts.native_id.tolist() == ["3100310000015010001"]
    assert "has lost the last digits" in str(answer.refused[0])


@pytest.mark.parametrize("sign", ["f", "0"])
def test_a_negative_difference_is_never_a_detection(
    fink: FinkStandIn, ask_fink: Source, question: Question, shower: Shower, sign: str
) -> None:
    """Both spellings of a negative difference are heard."""
    shower(fink, count=3, isdiffpos=sign)

    answer = one(ask_fink, question())

    assert answer.alerts.negative.all()
    assert len(answer.alerts) == 3


@pytest.mark.parametrize("sign", [None, "None", "nan", ""])
def test_an_unknown_sign_is_no_detection(
    fink: FinkStandIn, ask_fink: Source, question: Question, shower: Shower, sign: object
) -> None:
    """A row that does not say its sign is quarantined; the others go on."""
    shower(fink, count=2)
    shower(fink, count=1, start=5, isdiffpos=sign)

    answer = one(ask_fink, question())

    assert len(answer.alerts) == 2
    assert "i:isdiffpos" in str(answer.refused[0])


def test_the_rare_band_is_read(fink: FinkStandIn, ask_fink: Source, question: Question) -> None:
    """Filter 3 is i; one that the band map lacks is quarantined by name."""
    for night, band in enumerate("gi"):
        fink.add_alert("ZTFa", FIRST_JD + night, band, 18.0, 0.1, 157.3415, 29.5106667)

    both = one(ask_fink, question())
    lacking = one(ask_fink, question(rules=Rules(band_map={"g": "g-ZTF"})))

    assert both.alerts.band.tolist() == ["g", "i"]
    assert lacking.alerts.band.tolist() == ["g"]
    assert "which the band map lacks" in str(lacking.refused[0])


# How it is asked ------------------------------------------------------------------------------


def test_many_objects_are_one_request(
    fink: FinkStandIn, ask_fink: Source, question: Question, shower: Shower, served: Served
) -> None:
    """Fifty light curves by id are one request of the columns that are read; one more, two."""
    asks = []
    for number in range(51):
        shower(fink, f"ZTF{number:02}", count=2, north=10.0 * number)
        asks.append(question(name=f"t{number}", object_id=f"ZTF{number:02}", ra=None, dec=None))

    answers = list(ask_fink.fetch(asks))

    assert [len(answer.alerts) for answer in answers] == [2] * 51
    assert [answer.target_name for answer in answers] == [ask.target.name for ask in asks]
    first, second = served(fink, 2)
    assert len(asked(first)["objectId"].split(",")) == 50
    assert asked(second)["objectId"] == "ZTF50"
    assert len(asked(first)["columns"].split(",")) == 11
    assert asked(first)["output-format"] == "json"


def test_what_is_new_of_many_targets_is_one_request(
    fink: FinkStandIn, ask_fink: Source, question: Question, shower: Shower, served: Served
) -> None:
    """Objects accepted before are asked for together, without a cone; the date is applied."""
    asks = []
    for number in range(10):
        shower(fink, f"ZTF{number}", count=9, ra=10.0 * number)
        asks.append(
            question(
                name=f"t{number}",
                ra=10.0 * number,
                since_ms=time_ms(FIRST_JD + 6),
                known_objects=(f"ZTF{number}",),
            )
        )

    answers = list(ask_fink.fetch(asks))

    assert [len(answer.alerts) for answer in answers] == [2] * 10
    assert not any(answer.full for answer in answers)
    assert paths(served(fink, 1)) == ["objects"]


def test_an_object_is_found_by_position(
    fink: FinkStandIn, ask_fink: Source, question: Question, shower: Shower, served: Served
) -> None:
    """Cone first, then the light curves of all its objects; what does not belong is counted."""
    shower(fink, count=5)
    shower(fink, "ZTF18nucleus", count=2, north=4.0)
    shower(fink, "ZTF18far", count=2, north=60.0)

    answer = one(ask_fink, question())

    assert len(answer.alerts) == 5
    assert answer.set_aside == {"ZTF18nucleus": 2}
    cone, objects = served(fink, 2)
    assert paths([cone, objects]) == ["conesearch", "objects"]
    assert "i:jd" not in asked(cone)["columns"]
    assert set(asked(objects)["objectId"].split(",")) == {"ZTF19aacgslb", "ZTF18nucleus"}


def test_neighbours_are_ambiguous_here_too(
    fink: FinkStandIn, ask_fink: Source, question: Question, shower: Shower
) -> None:
    """Two objects within 3 arcsec are reported, not chosen between; an id ends it."""
    shower(fink, count=5)
    shower(fink, "ZTF18neighbour", count=2, north=2.0)

    assert one(ask_fink, question()).status is Status.AMBIGUOUS
    assert one(ask_fink, question(object_id="ZTF19aacgslb")).status is Status.OK


def test_a_new_id_of_the_same_object_is_joined(
    fink: FinkStandIn, ask_fink: Source, question: Question, shower: Shower
) -> None:
    """A detection under two ids is one point; both ids make up the target."""
    shower(fink, count=5)
    shower(fink, "ZTF19renamed", count=7)

    answer = one(ask_fink, question())

    assert len(answer.alerts) == 7
    assert set(answer.accepted_objects) == {"ZTF19aacgslb", "ZTF19renamed"}


def test_a_target_that_had_nothing_is_looked_for_by_position(
    fink: FinkStandIn, ask_fink: Source, question: Question, shower: Shower, served: Served
) -> None:
    """Without known objects an incremental question looks around, once."""
    shower(fink, count=5)

    answer = one(ask_fink, question(since_ms=time_ms(FIRST_JD + 2)))

    assert (answer.status, answer.full) == (Status.OK, True)
    assert len(answer.alerts) == 5
    assert paths(served(fink, 2)) == ["conesearch", "objects"]


def test_recent_rows_that_cannot_tell_lead_to_a_full_read(
    fink: FinkStandIn, ask_fink: Source, question: Question, shower: Shower, served: Served
) -> None:
    """An id of the target that was not accepted before makes it read everything."""
    shower(fink, count=5)
    ask = question(
        object_id="ZTF19aacgslb", since_ms=time_ms(FIRST_JD), known_objects=("ZTF19old",)
    )

    answer = one(ask_fink, ask)

    assert (answer.full, len(answer.alerts)) == (True, 5)
    assert paths(served(fink, 2)) == ["conesearch", "objects"]


def test_a_cone_that_is_ignored_is_noticed(question: Question, shower: Shower) -> None:
    """Objects all over the sky are never taken for those of a cone, nor even read."""

    class Deaf(FinkStandIn):
        def _cone(self, payload: Mapping[str, Any]) -> list[dict[str, Any]]:
            return super()._cone({**payload, "ra": 12.0, "dec": 29.5, "radius": 18000})

    with Deaf() as server:
        for number in range(5):
            shower(server, f"ZTF{number}", count=1, ra=10.0 + number)
        source = build_source("fink", {"FINK_URL": server.api_url})
        answer = one(source, question())
        source.close()

    assert isinstance(answer.error, SourceReplyError)
    assert answer.reason == "answered without the filter: 5 of 5 objects lie outside the cone"


@pytest.mark.parametrize(("ra", "dec"), [(0.0, 29.5), (157.0, 0.0), (0.0, 0.0)])
def test_a_cone_at_zero_is_a_cone(
    fink: FinkStandIn,
    ask_fink: Source,
    question: Question,
    *,
    shower: Shower,
    ra: float,
    dec: float,
) -> None:
    """RA 0 and Dec 0 are places like any other; around RA 0 both sides are one."""
    shower(fink, count=2, ra=ra, dec=dec, east=0.3)
    shower(fink, count=2, start=5, ra=(ra - 1e-5) % 360, dec=dec)

    assert len(one(ask_fink, question(ra=ra, dec=dec)).alerts) == 4


def test_a_cone_that_was_cut_is_an_error(
    fink: FinkStandIn, ask_fink: Source, question: Question
) -> None:
    """As many alerts as were asked for may hide another object: nothing is taken."""
    for number in range(5000):
        fink.add_alert(
            "ZTF18star", FIRST_JD + number / 50, "g", 15.0, 0.1, 157.3415, 29.5106667, candid=1
        )
    fink.add_alert("ZTF19aacgslb", FIRST_JD, "g", 18.0, 0.1, 157.3415, 29.5106667)

    answer = one(ask_fink, question())

    assert isinstance(answer.error, SourceReplyError)
    assert answer.reason.startswith("has 5000 alerts or more in one cone")


def test_what_is_loaded_later_is_found_later(
    fink: FinkStandIn, ask_fink: Source, question: Question, shower: Shower
) -> None:
    """Its tables are filled once a day: the overlap brings what came late."""
    shower(fink, count=4)
    fink.loaded_until_jd = FIRST_JD + 1.5
    since = question(since_ms=time_ms(FIRST_JD - 1), known_objects=("ZTF19aacgslb",))

    assert len(one(ask_fink, since).alerts) == 2
    fink.loaded_until_jd = FIRST_JD + 3.5
    assert len(one(ask_fink, since).alerts) == 4


# Silence, refusals and garbage ----------------------------------------------------------------


def test_empty_and_unknown_are_told_apart(ask_fink: Source, question: Question) -> None:
    """Both are 200 and an empty list; only a named object can be unknown."""
    assert one(ask_fink, question()).status is Status.EMPTY
    unknown = one(ask_fink, question(object_id="ZTF19aaaaaaa", ra=None, dec=None))
    assert unknown.status is Status.UNKNOWN
    assert unknown.reason == "it has no alert of ZTF19aaaaaaa"


def test_a_refusal_without_json_is_told(fink: FinkStandIn, question: Question) -> None:
    """The 400 that is the text of a Python dictionary appears in the message."""
    fink.faults.add(
        Fault("status", status=400, body="{'status': 'error', 'text': 'no such thing'}")
    )
    source = build_source("fink", {"FINK_URL": fink.api_url})
    answer = one(source, question())
    source.close()

    assert isinstance(answer.error, SourceRefusedError)
    assert "{'status': 'error', 'text': 'no such thing'}" in str(answer.error)


def test_a_wrong_address_is_told_from_an_empty_answer(
    fink: FinkStandIn, question: Question
) -> None:
    """A 404 of any web server is an error, never an unknown object."""
    source = build_source("fink", {"FINK_URL": fink.url})
    answer = one(source, question(object_id="ZTF19aaaaaaa", ra=None, dec=None))
    source.close()

    assert isinstance(answer.error, SourceRefusedError)
    assert "FINK_URL" in str(answer.error)


def test_one_object_that_breaks_the_server_stops_only_itself(
    fink: FinkStandIn, question: Question, shower: Shower
) -> None:
    """A batch that is a 500 is asked for in halves until the one at fault stands alone."""

    class Fragile(FinkStandIn):
        def handle(self, request: Request) -> Reply:
            if b"ZTF2" in request.body:
                return self.server_error(request)
            return super().handle(request)

    with Fragile() as server:
        asks = []
        for number in range(5):
            shower(server, f"ZTF{number}", count=3)
            asks.append(
                question(name=f"t{number}", object_id=f"ZTF{number}", ra=None, dec=None)
            )
        source = build_source("fink", {"FINK_URL": server.api_url})
        answers = list(source.fetch(asks))
        source.close()

    assert [answer.status for answer in answers] == [
        *(Status.OK, Status.OK, Status.ERROR, Status.OK, Status.OK)
    ]
    assert "answered 500" in answers[2].reason


def test_a_target_that_cannot_be_looked_up_stops_only_itself(
    fink: FinkStandIn, ask_fink: Source, question: Question, shower: Shower
) -> None:
    """A cone that is refused leaves the other targets of the batch alone."""
    shower(fink, "ZTFb", count=3)
    fink.faults.add(Fault("status", path="conesearch", status=400, times=1))

    bad, good = ask_fink.fetch([question(name="a"), question(name="b")])

    assert isinstance(bad.error, SourceRefusedError)
    assert bad.error.target == "a"
    assert good.status is Status.OK


def test_an_id_with_a_comma_is_no_batch(
    fink: FinkStandIn, ask_fink: Source, question: Question, shower: Shower
) -> None:
    """It would be taken for two objects: the target is wrong, and its neighbours go on."""
    shower(fink, "ZTFb", count=3)
    place = {"ra": None, "dec": None}

    bad, good = ask_fink.fetch(
        [
            question(name="a", object_id="ZTFa,ZTFb", **place),
            question(name="b", object_id="ZTFb", **place),
        ]
    )

    assert isinstance(bad.error, TargetError)
    assert good.status is Status.OK


@pytest.mark.parametrize(
    ("body", "fact"),
    [
        ("<html>Welcome</html>", "not JSON"),
        ('{"status": "error"}', "no list of rows"),
        ('[{"objectId": "ZTFa"}]', "format changed: a row has no i:objectId"),
        ("[3]", "format changed: a row has no i:objectId"),
        ('[{"i:objectId": "ZTFb"}]', "a row is of ZTFb, which nobody asked for"),
        ('[{"i:objectId": "ZTFa", "jd": 3}]', "sent 1 rows and none can be read"),
    ],
)
def test_another_shape_is_an_error(body: str, fact: str) -> None:
    """A reply of another shape is named, and not taken for an empty one."""
    answer = recorded(body.encode(), by_id("ZTFa"))

    assert isinstance(answer.error, SourceReplyError)
    assert fact in answer.reason


def test_a_tag_that_is_new_is_counted_and_left_out() -> None:
    """A row of a kind that nobody knows yet is no detection."""
    rows = json.loads(golden("fink_objects.json"))
    rows[0]["d:tag"] = "dubious"

    answer = recorded(json.dumps(rows).encode(), by_id("ZTF25aaaaaaa"))

    assert len(answer.alerts) == 4
    assert answer.dropped["has the tag dubious"] == 1


def test_a_server_that_is_down_is_tried_again(
    fink: FinkStandIn, ask_fink: Source, question: Question, shower: Shower, waits: list[float]
) -> None:
    """A 503 is repeated with a wait; after that every target of the batch hears of it."""
    shower(fink, count=3)
    fink.faults.add(Fault("status", status=503, times=1))
    assert one(ask_fink, question()).status is Status.OK
    assert len(waits) == 1

    fink.faults.add(Fault("status", status=503))
    asks = [question(name=n, object_id="ZTFa", ra=None, dec=None) for n in ("a", "b")]
    answers = list(ask_fink.fetch(asks))
    assert [answer.error.target for answer in answers if answer.error] == ["a", "b"]
    assert all(isinstance(answer.error, SourceUnavailableError) for answer in answers)


def test_it_declares_what_it_can() -> None:
    """Batches, ids, positions and limits; no forced photometry, no token."""
    can = SOURCES["fink"].capabilities

    assert (can.batch_size, can.by_id, can.by_position, can.since) == (50, True, True, "client")
    assert can.limits
    assert not can.forced
    assert not can.needs_token
