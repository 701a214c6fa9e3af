"""ALeRCE: upper limits, forced photometry, and which of many objects changed."""

from __future__ import annotations

import math
from typing import TYPE_CHECKING, Any

import pytest

from tests.sources.asking import FIRST_JD, golden, one, time_ms
from yse_ingest.errors import SourceReplyError, SourceUnavailableError
from yse_ingest.sandbox.alerce import AlerceStandIn
from yse_ingest.sandbox.faults import Fault
from yse_ingest.sandbox.server import Reply, StandIn
from yse_ingest.sources import Ask, Kind, Status, build_source
from yse_ingest.targets import Rules, Target
from yse_ingest.times import format_time_ms

if TYPE_CHECKING:
    from tests.sources.asking import Question, Served, Shower
    from yse_ingest.sandbox.server import LoggedRequest, Request
    from yse_ingest.sources import Source


OID = "ZTF19aacgslb"
EVERYTHING = frozenset(Kind)


def paths(entries: list[LoggedRequest]) -> list[str]:
    return [entry.path.removeprefix("/ztf/v1/objects/") for entry in entries]


# Upper limits ---------------------------------------------------------------------------------


def test_limits_come_with_the_light_curve(
    alerce: AlerceStandIn,
    ask_alerce: Source,
    question: Question,
    *,
    shower: Shower,
    served: Served,
) -> None:
    """20.37 is a limit of 5 sigma, 142.243 of flux; it costs no request."""
    shower(alerce, count=3)
    alerce.add_non_detection(OID, FIRST_JD - 3, "g", 20.37)

    answer = one(ask_alerce, question(kinds=frozenset({Kind.DETECTION, Kind.LIMIT})))

    assert answer.limits.mag_limit.tolist() == [20.37]
    assert answer.limits.flux_err.tolist() == pytest.approx([142.243], abs=5e-4)
    assert answer.limits.time_ms.tolist() == [time_ms(FIRST_JD - 3)]
    assert set(answer.limits.object_id) == {OID}
    assert len(answer.alerts) == 3
    served(alerce, 2)


def test_limits_are_left_out_unless_wanted(
    alerce: AlerceStandIn, ask_alerce: Source, question: Question, shower: Shower
) -> None:
    """By default there are none."""
    shower(alerce, count=3)
    alerce.add_non_detection(OID, FIRST_JD - 3, "g", 20.37)

    assert len(one(ask_alerce, question()).limits) == 0


@pytest.mark.parametrize("undefined", [100.0, -999.0, -99999.0])
def test_a_limit_that_stands_for_none_is_none(
    alerce: AlerceStandIn,
    ask_alerce: Source,
    question: Question,
    *,
    shower: Shower,
    undefined: float,
) -> None:
    """100, -999 and -99999 are no magnitudes: the row is set aside, and stops nothing."""
    shower(alerce, count=3)
    alerce.add_non_detection(OID, FIRST_JD - 3, "g", undefined)
    alerce.add_non_detection(OID, FIRST_JD - 2, "r", 20.61)

    answer = one(ask_alerce, question(kinds=EVERYTHING))

    assert answer.limits.mag_limit.tolist() == [20.61]
    assert [refusal.faults[0].field for refusal in answer.refused] == ["diffmaglim"]
    assert len(answer.alerts) == 3


def test_limits_of_a_neighbour_are_not_taken(
    alerce: AlerceStandIn, ask_alerce: Source, question: Question, shower: Shower
) -> None:
    """A limit is of the object in whose light curve it stands."""
    shower(alerce, count=3)
    shower(alerce, "ZTF18nucleus", count=2, north=4.0)
    alerce.add_non_detection("ZTF18nucleus", FIRST_JD - 3, "g", 20.37)

    answer = one(ask_alerce, question(kinds=EVERYTHING))

    assert answer.status is Status.OK
    assert len(answer.limits) == 0


# Total magnitudes -----------------------------------------------------------------------------


def test_corrected_magnitudes_are_never_taken(
    alerce: AlerceStandIn, ask_alerce: Source, question: Question, shower: Shower
) -> None:
    """They are of source and reference together: the difference is what stands."""
    shower(alerce, count=3, magpsf=19.42, sigmapsf=0.12, corrected=True, magnr=17.0)
    shower(alerce, count=1, start=5, magpsf=19.42, sigmapsf=0.12, dubious=True)

    answer = one(ask_alerce, question())

    assert set(answer.alerts.mag.tolist()) == {19.42}
    assert set(answer.alerts.mag_err.tolist()) == {0.12}
    assert len(answer.alerts) == 4


# Forced photometry ----------------------------------------------------------------------------


def test_the_golden_forced_photometry_reads_as_it_always_did() -> None:
    """Magnitudes and signs become signed fluxes at 27.5; an error of 2.4 mag is a flux too."""

    class Recorded(StandIn):
        def handle(self, request: Request) -> Reply:
            if request.path.startswith("/v2/forced-photometry/"):
                return Reply(200, golden("alerce_forced.json"))
            detection = {
                "candid": "3103350000015010002", "mjd": 60903.35, "fid": 2, "magpsf": 18.9,
                "sigmapsf": 0.07, "isdiffpos": 1, "ra": 150.1, "dec": 2.2,
            }  # fmt: skip
            return Reply.json({"detections": [detection], "non_detections": []})

    with Recorded() as server:
        addresses = {"ALERCE_URL": server.url, "ALERCE_FORCED_URL": f"{server.url}/v2"}
        source = build_source("alerce", addresses)
        target = Target("2025abc", object_id="ZTF25aaaaaaa")
        answer = one(source, Ask(target, Rules(), kinds=EVERYTHING))
        source.close()

    forced = answer.forced
    assert forced.native_id.tolist() == [
        "fp:3103350000015",
        "fp:3105350000015",
        "fp:3106350000015",
    ]
    assert forced.band.tolist() == ["r", "g", "i"]
    assert forced.flux.tolist() == pytest.approx([2679.168, -91.201, 1706.082], abs=5e-4)
    assert forced.flux_err.tolist() == pytest.approx([148.061, 201.605, 188.569], abs=5e-4)
    assert format_time_ms(forced.time_ms).tolist()[0] == "2025-08-16T08:24:00.000"
    assert answer.dropped == {"has no flux (100)": 1}
    assert answer.refused == ()


def test_forced_photometry_is_of_the_same_flux_scale(
    alerce: AlerceStandIn, ask_alerce: Source, question: Question, shower: Shower
) -> None:
    """812.5 +- 45.1 DN at zero point 26.2 are 2690.4 +- 149.3, and so with a sign."""
    shower(alerce, count=3)
    alerce.add_forced(OID, FIRST_JD + 1.3, "r", 812.5, 45.1)
    alerce.add_forced(OID, FIRST_JD + 2.3, "r", -812.5, 45.1, isdiffpos=False)

    answer = one(ask_alerce, question(kinds=frozenset({Kind.DETECTION, Kind.FORCED})))

    assert answer.forced.flux.tolist() == pytest.approx([2690.4, -2690.4], abs=0.05)
    assert answer.forced.flux_err.tolist() == pytest.approx([149.3, 149.3], abs=0.05)
    assert len(answer.alerts) == 3


def test_forced_photometry_is_not_asked_for_unless_wanted(
    alerce: AlerceStandIn, ask_alerce: Source, question: Question, *, shower: Shower
) -> None:
    """It costs a request for each object."""
    shower(alerce, count=3)
    alerce.add_forced(OID, FIRST_JD, "r", 812.5, 45.1)

    answer = one(ask_alerce, question(kinds=frozenset({Kind.DETECTION, Kind.LIMIT})))

    assert len(answer.forced) == 0
    assert not [entry for entry in alerce.log if "forced" in entry.path]


def test_an_object_without_forced_photometry_has_none(
    alerce: AlerceStandIn, ask_alerce: Source, question: Question, shower: Shower
) -> None:
    """The service answers an empty list, also for an object that it does not know."""
    shower(alerce, count=3)

    answer = one(ask_alerce, question(kinds=EVERYTHING))

    assert (answer.status, len(answer.forced), answer.reason) == (Status.OK, 0, "")


@pytest.mark.parametrize(
    ("fault", "why"),
    [
        (Fault("error_before", path="forced"), "answered 500"),
        (Fault("garbage", path="forced"), "answered something that is not JSON"),
        (Fault("status", path="forced", status=503), "answered 503"),
    ],
    ids=["500", "garbage", "503"],
)
def test_detections_outlive_the_service_of_forced_photometry(
    alerce: AlerceStandIn,
    ask_alerce: Source,
    question: Question,
    *,
    shower: Shower,
    fault: Fault,
    why: str,
) -> None:
    """Where it fails the detections still count, and the answer says what it lacks."""
    shower(alerce, count=3)
    alerce.faults.add(fault)

    answer = one(ask_alerce, question(kinds=EVERYTHING))

    assert (answer.status, len(answer.alerts)) == (Status.OK, 3)
    assert answer.reason.startswith(f"its forced photometry could not be read: {why}")


def test_forced_photometry_that_is_away_does_not_take_the_time_of_others(
    alerce: AlerceStandIn,
    ask_alerce: Source,
    question: Question,
    *,
    shower: Shower,
    served: Served,
) -> None:
    """Its service is asked for one target of a batch, with two repetitions; all are told."""
    asks = []
    for number in range(5):
        shower(alerce, f"ZTF20aa{number}", count=3, ra=10.0 + number)
        asks.append(question(name=f"t{number}", ra=10.0 + number, kinds=EVERYTHING))
    alerce.faults.add(Fault("status", path="forced", status=503))

    answers = list(ask_alerce.fetch(asks))

    assert [len(answer.alerts) for answer in answers] == [3] * 5
    assert all("could not be read: answered 503" in answer.reason for answer in answers)
    assert sum("forced" in entry.path for entry in served(alerce, 5 * 2 + 3)) == 3


def test_forced_photometry_of_another_object_is_refused(
    alerce: AlerceStandIn, ask_alerce: Source, question: Question, shower: Shower
) -> None:
    """A service that ignores which object was asked for is not believed."""
    shower(alerce, count=3)
    alerce.add_forced(OID, FIRST_JD, "r", 812.5, 45.1)["oid"] = "ZTF18other"

    answer = one(ask_alerce, question(kinds=EVERYTHING))

    assert len(answer.forced) == 0
    assert "forced photometry of ZTF18other instead of" in answer.reason


def test_one_exposure_is_measured_once(
    alerce: AlerceStandIn, ask_alerce: Source, question: Question, shower: Shower
) -> None:
    """Two names of one thing have a measurement each of the same exposure: one is taken."""
    shower(alerce, count=3)
    shower(alerce, "ZTF19renamed", count=3, start=5)
    alerce.add_forced(OID, FIRST_JD + 2.3, "r", 812.5, 45.1)
    alerce.add_forced("ZTF19renamed", FIRST_JD + 2.3, "r", 810.0, 45.1)

    answer = one(ask_alerce, question(kinds=EVERYTHING))

    assert set(answer.accepted_objects) == {OID, "ZTF19renamed"}
    assert answer.forced.flux.tolist() == pytest.approx([2690.4], abs=0.05)


def test_a_procstatus_that_is_not_clean_is_counted(
    alerce: AlerceStandIn, ask_alerce: Source, question: Question, shower: Shower
) -> None:
    """It is text; which codes are good is a rule."""
    shower(alerce, count=3)
    for night, procstatus in enumerate(("0", "56", "56,57", "61")):
        alerce.add_forced(OID, FIRST_JD + night, "r", 812.5, 45.1, procstatus=procstatus)

    strict = one(ask_alerce, question(kinds=EVERYTHING))
    lenient = one(
        ask_alerce, question(kinds=EVERYTHING, rules=Rules(procstatus=("0", "56", "57")))
    )

    assert (len(strict.forced), len(lenient.forced)) == (1, 3)
    assert strict.dropped == {"procstatus is not 0": 3}


@pytest.mark.parametrize(
    ("cuts", "kept"),
    [({}, 3), ({"min_rb": 0.5}, 2), ({"min_rb": 0.5, "missing_score": "drop"}, 1)],
    ids=["by default none", "least", "a missing one drops"],
)
def test_a_real_bogus_cut_is_a_rule(
    alerce: AlerceStandIn,
    ask_alerce: Source,
    question: Question,
    *,
    shower: Shower,
    cuts: dict[str, Any],
    kept: int,
) -> None:
    """A detection out of another alert's history has no rb: whether it stays is a rule too."""
    shower(alerce, count=1, rb=0.9)
    shower(alerce, count=1, start=1, rb=0.3)
    shower(alerce, count=1, start=2, rb=None, parent_candid=3103350000015010002)

    answer = one(ask_alerce, question(rules=Rules(**cuts)))

    assert len(answer.alerts) == kept
    assert sum(answer.dropped.values()) == 3 - kept


def test_a_missing_flux_is_counted(
    alerce: AlerceStandIn, ask_alerce: Source, question: Question, shower: Shower
) -> None:
    """100 stands for no flux: such an exposure is told by a number."""
    shower(alerce, count=3)
    alerce.add_forced(OID, FIRST_JD, "r", math.nan, 45.1)

    answer = one(ask_alerce, question(kinds=EVERYTHING))

    assert answer.dropped == {"has no flux (100)": 1}


# Which of these changed -----------------------------------------------------------------------


def test_which_of_fifty_changed_is_one_request(
    alerce: AlerceStandIn,
    ask_alerce: Source,
    question: Question,
    *,
    shower: Shower,
    served: Served,
) -> None:
    """Fifty targets, two with a new detection: one list and two light curves are asked for."""
    asks = []
    for number in range(50):
        oid = f"ZTF20aa{number:02}"
        shower(alerce, oid, count=5, ra=10.0 + number)
        asks.append(
            question(
                name=f"t{number}",
                ra=10.0 + number,
                since_ms=time_ms(FIRST_JD + 1),
                newest_ms=time_ms(FIRST_JD + 4),
                known_objects=(oid,),
            )
        )
    shower(alerce, "ZTF20aa07", count=1, ra=17.0, start=6)
    shower(alerce, "ZTF20aa33", count=1, ra=43.0, start=7)

    answers = list(ask_alerce.fetch(asks))

    changed = [answer.target_name for answer in answers if answer.status is Status.OK]
    assert changed == ["t7", "t33"]
    # What is new, and what lies within the overlap.
    assert [len(answers[7].alerts), len(answers[33].alerts)] == [4, 4]
    assert {answer.status for answer in answers} == {Status.OK, Status.EMPTY}
    assert paths(served(alerce, 3)) == ["", "ZTF20aa07/lightcurve", "ZTF20aa33/lightcurve"]


def test_a_single_object_is_no_pattern(
    alerce: AlerceStandIn,
    ask_alerce: Source,
    question: Question,
    *,
    shower: Shower,
    served: Served,
) -> None:
    """One oid would be matched like a pattern of SQL: it is named twice."""
    shower(alerce, "ZTF_9", count=5)
    shower(alerce, "ZTF19", count=9, ra=20.0)
    ask = question(
        since_ms=time_ms(FIRST_JD), newest_ms=time_ms(FIRST_JD + 4), known_objects=("ZTF_9",)
    )

    answer = one(ask_alerce, ask)

    assert answer.status is Status.EMPTY
    (request,) = served(alerce, 1)
    assert request.query.count(("oid", "ZTF_9")) == 2


def test_long_lists_are_halved(
    alerce: AlerceStandIn,
    ask_alerce: Source,
    question: Question,
    *,
    shower: Shower,
    served: Served,
    waits: list[float],
) -> None:
    """A list that is answered with 502 is asked for in two halves, without waiting."""
    alerce.list_max = 2
    asks = []
    for number in range(4):
        shower(alerce, f"ZTF20aa{number}", count=5, ra=10.0 + number)
        asks.append(
            question(
                name=f"t{number}",
                ra=10.0 + number,
                since_ms=time_ms(FIRST_JD),
                newest_ms=time_ms(FIRST_JD + 4),
                known_objects=(f"ZTF20aa{number}",),
            )
        )

    answers = list(ask_alerce.fetch(asks))

    assert [answer.status for answer in answers] == [Status.EMPTY] * 4
    assert [entry.status for entry in served(alerce, 3)] == [502, 200, 200]
    assert waits == []


def test_a_service_that_is_away_is_not_stormed(
    alerce: AlerceStandIn, ask_alerce: Source, question: Question, served: Served
) -> None:
    """Where even one object is a 502, the others are not asked for: every target is told."""
    alerce.faults.add(Fault("status", status=502))
    asks = [
        question(name=f"t{n}", since_ms=time_ms(FIRST_JD), known_objects=(f"ZTF20aa{n}",))
        for n in range(50)
    ]

    answers = list(ask_alerce.fetch(asks))

    assert all(isinstance(answer.error, SourceUnavailableError) for answer in answers)
    # 50, 25, 12, 6, 3, and one object with two repetitions.
    served(alerce, 8)


def test_a_list_of_other_objects_is_not_believed(question: Question, shower: Shower) -> None:
    """A service that forgets the filter does not say which of ours changed."""

    class Deaf(AlerceStandIn):
        def handle(self, request: Request) -> Reply:
            request.query[:] = [pair for pair in request.query if pair[0] != "oid"]
            return super().handle(request)

    with Deaf() as server:
        shower(server, "ZTF18other", count=5)
        source = build_source("alerce", {"ALERCE_URL": server.api_url})
        answer = one(source, question(since_ms=time_ms(FIRST_JD), known_objects=(OID,)))
        source.close()

    assert isinstance(answer.error, SourceReplyError)
    assert answer.reason == "answered without the filter: nobody asked for ZTF18other"


def test_an_object_that_was_named_since_is_read_in_full(
    alerce: AlerceStandIn, ask_alerce: Source, question: Question, shower: Shower
) -> None:
    """What was accepted before says nothing about an object that the operator names now."""
    shower(alerce, count=5)
    shower(alerce, "ZTF18named", count=5, north=1.9)
    ask = question(
        object_id="ZTF18named",
        since_ms=time_ms(FIRST_JD + 3),
        newest_ms=time_ms(FIRST_JD + 9),
        known_objects=(OID,),
    )

    answer = one(ask_alerce, ask)

    assert answer.full
    assert "ZTF18named" in answer.accepted_objects


def test_a_full_read_finds_what_the_list_misses(
    alerce: AlerceStandIn, ask_alerce: Source, question: Question, shower: Shower
) -> None:
    """A late alert that is older than the newest moves nothing: the full read has it."""
    shower(alerce, count=1)
    shower(alerce, count=1, start=9)
    known = {"since_ms": time_ms(FIRST_JD + 6), "newest_ms": time_ms(FIRST_JD + 9)}
    shower(alerce, count=1, start=8)

    recent = one(ask_alerce, question(known_objects=(OID,), **known))
    everything = one(ask_alerce, question())

    assert recent.status is Status.EMPTY
    assert len(everything.alerts) == 3


def test_an_object_that_no_list_shows_is_read(
    alerce: AlerceStandIn, ask_alerce: Source, question: Question, shower: Shower
) -> None:
    """That nothing is said of an object does not mean that nothing happened."""
    shower(alerce, count=5)
    alerce.unlisted = frozenset({OID})
    ask = question(
        since_ms=time_ms(FIRST_JD + 1), newest_ms=time_ms(FIRST_JD + 3), known_objects=(OID,)
    )

    assert one(ask_alerce, ask).newest_ms == time_ms(FIRST_JD + 4)


def test_a_list_without_an_end_is_no_list(question: Question) -> None:
    """Page after page of the same objects is refused: nobody knows what is missing."""

    class Endless(StandIn):
        def handle(self, request: Request) -> Reply:
            return Reply.json({"items": [{"oid": OID, "lastmjd": 58494.0}] * 100})

    with Endless() as server:
        source = build_source("alerce", {"ALERCE_URL": server.url})
        answer = one(source, question(since_ms=time_ms(FIRST_JD), known_objects=(OID,)))
        source.close()

    assert answer.reason == "lists 1 objects on more than 5 pages"


def test_an_object_whose_date_cannot_be_read_is_read(
    question: Question, shower: Shower, served: Served
) -> None:
    """One odd date in the list stops nothing: the light curve tells."""

    class Odd(AlerceStandIn):
        def handle(self, request: Request) -> Reply:
            reply = super().handle(request)
            reply.body = reply.body.replace(b'"lastmjd": 5', b'"lastmjd": -5')
            return reply

    with Odd() as server:
        shower(server, count=5)
        source = build_source("alerce", {"ALERCE_URL": server.api_url})
        known = {"newest_ms": time_ms(FIRST_JD + 4), "known_objects": (OID,)}
        answer = one(source, question(since_ms=time_ms(FIRST_JD + 1), **known))
        source.close()
        requests = paths(served(server, 2))

    assert answer.status is Status.OK
    assert requests == ["", f"{OID}/lightcurve"]


def test_the_name_of_another_survey_is_not_asked_for(
    alerce: AlerceStandIn,
    ask_alerce: Source,
    question: Question,
    *,
    shower: Shower,
    served: Served,
) -> None:
    """A target that is named by its LSST id is found by its position."""
    shower(alerce, count=3)

    answer = one(ask_alerce, question(object_id="170587116732400001"))

    assert (answer.status, len(answer.alerts)) == (Status.OK, 3)
    served(alerce, 2)
