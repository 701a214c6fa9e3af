"""MARS: what is fetched is everything, once, and asked for as its contract wants it."""

from __future__ import annotations

import json
from typing import TYPE_CHECKING

import numpy as np
import pytest

from tests.sources.asking import FIRST_JD, one, time_ms
from yse_ingest.sandbox import supernovae
from yse_ingest.sandbox.mars import MarsStandIn
from yse_ingest.sources import Ask, Status, build_source
from yse_ingest.targets import Rules, Target
from yse_ingest.times import to_time_ms

if TYPE_CHECKING:
    from tests.sources.asking import Question, Served, Shower
    from yse_ingest.sandbox.server import Reply, Request
    from yse_ingest.sources import Source


RA, DEC = 157.3415, 29.5106667


def test_sn_2019np_arrives_whole_and_exact(
    mars: MarsStandIn, ask_mars: Source, question: Question
) -> None:
    """The 33 published detections of SN 2019np come back to the millisecond and 1e-6 mag."""
    published = supernovae.load()
    supernovae.fill_mars(mars, published)
    np2019 = published[0]

    answer = one(ask_mars, question(ra=np2019.ra, dec=np2019.dec))

    assert answer.status is Status.OK
    assert answer.full
    assert len(answer.alerts) == 33
    by_time = sorted(np2019.alerts, key=lambda alert: alert.jd)
    expected = to_time_ms(np.array([alert.jd for alert in by_time]))
    assert answer.alerts.time_ms.tolist() == expected.tolist()
    assert np.allclose(answer.alerts.mag, [a.magpsf for a in by_time], atol=1e-6, rtol=0)
    assert set(answer.alerts.object_id) == {"ZTF19aacgslb"}
    assert answer.newest_ms == expected[-1]


def test_three_pages_arrive_whole(
    mars: MarsStandIn,
    ask_mars: Source,
    question: Question,
    shower: Shower,
    served: Served,
) -> None:
    """A light curve of 250 alerts takes three pages, although has_next is always false."""
    shower(mars, count=250)

    answer = one(ask_mars, question())

    assert len(answer.alerts) == 250
    assert [dict(entry.query)["page"] for entry in served(mars, 3)] == ["1", "2", "3"]
    assert answer.alerts.time_ms[0] == time_ms(FIRST_JD)
    assert np.all(np.diff(answer.alerts.time_ms) > 0)


@pytest.mark.parametrize(("count", "requests"), [(99, 1), (100, 2), (200, 3), (0, 1)])
def test_full_last_pages_end_with_a_404(
    mars: MarsStandIn,
    ask_mars: Source,
    question: Question,
    *,
    shower: Shower,
    count: int,
    requests: int,
    served: Served,
) -> None:
    """After an exact multiple of 100 rows the 404 of the next page means the end."""
    shower(mars, count=count)

    answer = one(ask_mars, question())

    assert len(answer.alerts) == count
    served(mars, requests)
    assert answer.status is (Status.OK if count else Status.EMPTY)
    assert answer.error is None


@pytest.mark.parametrize("late_by_days", [-300.5, 300.5])
def test_alerts_that_arrive_between_pages_shift_nothing(
    question: Question, shower: Shower, late_by_days: float
) -> None:
    """Alerts ingested while pages are read neither hide nor repeat others, old or new."""

    class Growing(MarsStandIn):
        pages = 0

        def handle(self, request: Request) -> Reply:
            reply = super().handle(request)
            self.pages += 1
            if self.pages < 3:
                shower(self, count=3, start=late_by_days + 10 * self.pages)
            return reply

    with Growing() as mars:
        shower(mars, count=205)
        before = mars.alert_count
        source = build_source("mars", {"MARS_URL": mars.url})
        answer = one(source, question())
        source.close()

    ids = answer.alerts.native_id.tolist()
    assert len(ids) == len(set(ids)) == before + 6


def test_what_is_sent_is_what_the_contract_wants(
    mars: MarsStandIn,
    ask_mars: Source,
    question: Question,
    served: Served,
) -> None:
    """A query is formatted plainly: seven decimals, no plus sign, ids in ascending order."""
    one(ask_mars, question(ra=0.00000004, dec=-1.5, since_ms=time_ms(2458600.5)))

    (entry,) = served(mars, 1)
    assert dict(entry.query) == {
        "format": "json",
        "sort_value": "id",
        "sort_order": "asc",
        "cone": "0.0000000,-1.5000000,0.0014",
        "jd__gt": "2458600.5000000000",
        "page": "1",
    }


def test_the_cone_never_hides_a_neighbour(
    mars: MarsStandIn,
    ask_mars: Source,
    question: Question,
    served: Served,
) -> None:
    """However small the cone is configured, 3" are looked at."""
    one(ask_mars, question(rules=Rules(cone_radius_arcsec=1.0)))

    assert dict(served(mars, 1)[0].query)["cone"].endswith(",0.0008333333")


def test_rows_of_both_queries_are_taken_once(
    mars: MarsStandIn,
    ask_mars: Source,
    question: Question,
    shower: Shower,
    served: Served,
) -> None:
    """With an object id, cone and object are asked for, and rows of both count once."""
    shower(mars, count=4)
    shower(mars, count=2, start=300, east=8.0)  # the same object, far out of the cone

    answer = one(ask_mars, question(object_id="ZTF19aacgslb"))

    assert len(answer.alerts) == 6
    assert {
        tuple(key for key, _ in e.query if key in {"cone", "objectId"}) for e in served(mars, 2)
    } == {
        ("cone",),
        ("objectId",),
    }


def test_an_object_id_is_enough(
    mars: MarsStandIn,
    ask_mars: Source,
    shower: Shower,
    served: Served,
) -> None:
    """A target without coordinates is asked for by its object id alone."""
    shower(mars, count=4)

    answer = one(ask_mars, Ask(Target("np", object_id="ZTF19aacgslb"), Rules()))

    assert len(answer.alerts) == 4
    assert answer.objects[0].separation_arcsec is None
    served(mars, 1)


def test_an_object_id_alone_is_followed_incrementally(
    mars: MarsStandIn, ask_mars: Source, shower: Shower
) -> None:
    """Recent rows of the object are enough, once it was accepted."""
    shower(mars, count=4)
    target = Target("np", object_id="ZTF19aacgslb")
    since_ms = time_ms(FIRST_JD + 2)

    first = one(ask_mars, Ask(target, Rules(), since_ms=since_ms))
    later = one(ask_mars, Ask(target, Rules(), since_ms, known_objects=first.accepted_objects))

    assert (first.full, len(first.alerts)) == (True, 4)
    assert (later.full, len(later.alerts)) == (False, 1)


def test_an_unknown_object_id_is_told_from_no_data(
    mars: MarsStandIn,
    ask_mars: Source,
    question: Question,
    shower: Shower,
) -> None:
    """A named object without an alert is unknown, and what stands there instead is named."""
    shower(mars, count=4)

    answer = one(ask_mars, question(object_id="ZTF19aaaaaaa"))

    assert answer.status is Status.UNKNOWN
    assert answer.reason == "it has no alert of ZTF19aaaaaaa, but of ZTF19aacgslb"
    assert len(answer.alerts) == 0


def test_a_target_that_says_nothing_is_an_error_of_its_own(
    mars: MarsStandIn,
    ask_mars: Source,
    question: Question,
    shower: Shower,
) -> None:
    """A target without coordinates and object id fails alone; the batch goes on."""
    shower(mars, count=4)

    answers = list(ask_mars.fetch([Ask(Target("nowhere"), Rules()), question()]))

    assert [answer.status for answer in answers] == [Status.ERROR, Status.OK]
    assert str(answers[0].error) == (
        "targets: nowhere: it has neither coordinates nor an object id. "
        "Give ra and dec in degrees, or object_id."
    )


# Incremental ----------------------------------------------------------------------------------


def test_only_what_is_new_is_asked_for(
    mars: MarsStandIn,
    ask_mars: Source,
    question: Question,
    shower: Shower,
    served: Served,
) -> None:
    """With a time, only later rows are fetched, and the answer says so."""
    shower(mars, count=150)
    since = time_ms(FIRST_JD + 147)

    answer = one(ask_mars, question(since_ms=since, known_objects=("ZTF19aacgslb",)))

    assert len(answer.alerts) == 2
    assert not answer.full
    assert answer.alerts.time_ms.min() > since
    served(mars, 1)


def test_nothing_new_is_empty_and_no_error(
    mars: MarsStandIn,
    ask_mars: Source,
    question: Question,
    shower: Shower,
) -> None:
    """A quiet target answers EMPTY with nothing in it."""
    shower(mars, count=3)

    answer = one(
        ask_mars, question(since_ms=time_ms(FIRST_JD + 2), known_objects=("ZTF19aacgslb",))
    )

    assert answer.status is Status.EMPTY
    assert (len(answer.alerts), answer.newest_ms, answer.full) == (0, None, False)


def test_a_newcomer_is_decided_on_everything(
    mars: MarsStandIn,
    ask_mars: Source,
    question: Question,
    shower: Shower,
) -> None:
    """An object that was not there at the last full read makes the source read all of it."""
    shower(mars, count=20)
    shower(mars, "ZTF25renamed", count=2, start=20, east=0.4)
    since = time_ms(FIRST_JD + 18)

    answer = one(ask_mars, question(since_ms=since, known_objects=("ZTF19aacgslb",)))

    assert answer.full
    assert len(answer.alerts) == 22
    assert set(answer.accepted_objects) == {"ZTF19aacgslb", "ZTF25renamed"}
    again = one(ask_mars, question(since_ms=since, known_objects=answer.accepted_objects))
    assert not again.full
    assert len(again.alerts) == 3


def test_a_newcomer_in_a_batch_leaves_the_others_alone(
    mars: MarsStandIn,
    ask_mars: Source,
    question: Question,
    shower: Shower,
    served: Served,
) -> None:
    """Only the target with a newcomer is read in full, by a GET of its own."""
    since = time_ms(FIRST_JD + 5)
    for number in range(4):
        shower(mars, f"ZTF{number}", count=10, ra=10.0 * number)
    shower(mars, "ZTFnew", count=1, start=9.5, ra=20.0, north=2.0)

    answers = list(
        ask_mars.fetch(
            [
                question(name=f"t{n}", ra=10.0 * n, since_ms=since, known_objects=(f"ZTF{n}",))
                for n in range(4)
            ]
        )
    )

    assert [answer.full for answer in answers] == [False, False, True, False]
    assert [answer.status.value for answer in answers] == ["ok", "ok", "ambiguous", "ok"]
    assert [entry.method for entry in served(mars, 2)] == ["POST", "GET"]


# Many targets ---------------------------------------------------------------------------------


def test_many_targets_share_one_post(
    mars: MarsStandIn, ask_mars: Source, served: Served
) -> None:
    """31 supernovae are two requests, with the rows that 31 single questions have."""
    published = supernovae.load()
    supernovae.fill_mars(mars, published)
    asks = [Ask(Target(sn.name, sn.ra, sn.dec), Rules()) for sn in published]

    together = list(ask_mars.fetch(asks))

    assert [entry.method for entry in served(mars, 2)] == ["POST", "POST"]
    assert [answer.target_name for answer in together] == [sn.name for sn in published]
    for answer, ask in zip(together, asks, strict=True):
        alone = one(ask_mars, ask)
        assert answer.alerts.native_id.tolist() == alone.alerts.native_id.tolist()
        assert answer.status is alone.status is Status.OK


def test_the_values_of_a_post_are_text(
    mars: MarsStandIn,
    ask_mars: Source,
    question: Question,
    served: Served,
) -> None:
    """A number 0 would switch a filter off: every value of a query is a string."""
    list(ask_mars.fetch([question(since_ms=0), question(name="b", object_id="ZTFb")]))

    (entry,) = served(mars, 1)
    queries = json.loads(entry.body)["queries"]
    assert [sorted(query) for query in queries] == [
        ["cone", "id", "jd__gt"],
        ["cone", "id"],
        ["id", "objectId"],
    ]
    assert all(isinstance(value, str) for query in queries for value in query.values())


def test_one_poisoned_target_does_not_sink_the_batch(
    mars: MarsStandIn,
    ask_mars: Source,
    question: Question,
    shower: Shower,
) -> None:
    """A 500 for the whole POST is split until only the target that causes it fails."""
    for number in range(7):
        shower(mars, f"ZTF{number}", count=5, ra=10.0 * number)
    shower(mars, "ZTF3", count=1, start=20, ra=30.0, fid=4)  # its page is a 500

    answers = list(ask_mars.fetch([question(name=f"t{n}", ra=10.0 * n) for n in range(7)]))

    assert [answer.status.value for answer in answers] == ["ok"] * 3 + ["error"] + ["ok"] * 3
    assert all(len(answer.alerts) == 5 for answer in answers if answer.error is None)
    assert str(answers[3].error).startswith(
        "MARS: t3: answered 500, text/html, '500 Internal Server Error "
    )
    assert str(answers[3].error).endswith(
        "It never says why: check the coordinates and the radius of this target."
    )


def test_no_question_is_no_request(mars: MarsStandIn, ask_mars: Source) -> None:
    """An empty batch asks nothing."""
    assert list(ask_mars.fetch([])) == []
    assert not mars.log


# Rows -----------------------------------------------------------------------------------------


def test_a_bad_row_stops_only_itself(
    mars: MarsStandIn,
    ask_mars: Source,
    question: Question,
    shower: Shower,
) -> None:
    """Rows with a missing or impossible value are refused with reasons, the others go on."""
    shower(mars, count=3)
    shower(mars, count=1, start=10, magpsf=-999.0, sigmapsf=float("nan"), first_candid=77)

    answer = one(ask_mars, question())

    assert len(answer.alerts) == 3
    (refusal,) = answer.refused
    assert str(refusal) == (
        "77: candidate.magpsf is missing (-999.0); candidate.sigmapsf is missing (nan)"
    )
    assert "X-Amz" not in refusal.excerpt


def test_nan_tokens_sink_no_page(
    mars: MarsStandIn,
    ask_mars: Source,
    question: Question,
    shower: Shower,
) -> None:
    """A page with bare NaN and Infinity in columns that photometry does not need is read."""
    shower(mars, count=3, chipsf=float("nan"), classtar=float("inf"), rb=None)

    answer = one(ask_mars, question())

    assert len(answer.alerts) == 3
    assert np.all(np.isnan(answer.alerts.quality))


def test_no_readable_row_at_all_is_an_error(
    mars: MarsStandIn,
    ask_mars: Source,
    question: Question,
    shower: Shower,
) -> None:
    """When every row is refused the target is not empty: something is wrong."""
    shower(mars, count=3, sigmapsf=float("nan"), first_candid=5)

    answer = one(ask_mars, question())

    assert answer.status is Status.ERROR
    assert answer.reason == (
        "sent 3 rows and none can be read: 5: candidate.sigmapsf is missing (nan)"
    )


def test_a_band_without_a_name_is_refused(
    mars: MarsStandIn,
    ask_mars: Source,
    question: Question,
    shower: Shower,
) -> None:
    """A row whose band the band map lacks is refused, and does not stop the light curve."""
    shower(mars, count=4)

    answer = one(ask_mars, question(rules=Rules(band_map={"g": "g-ZTF"})))

    assert set(answer.alerts.band) == {"g"}
    assert len(answer.refused) == 2
    assert str(answer.refused[0]).endswith("band is r, which the band map lacks (g)")


def test_negative_subtractions_are_known_as_such(
    mars: MarsStandIn,
    ask_mars: Source,
    question: Question,
    shower: Shower,
) -> None:
    """All four spellings of isdiffpos are told apart: t and 1, f and 0."""
    for number, sign in enumerate("t1f0"):
        shower(mars, count=1, start=number, isdiffpos=sign)

    answer = one(ask_mars, question())

    assert answer.alerts.negative.tolist() == [False, False, True, True]


def test_twins_are_set_aside_by_name(
    mars: MarsStandIn,
    ask_mars: Source,
    question: Question,
    shower: Shower,
) -> None:
    """Two detections of one exposure leave one: the higher score; the other names it."""
    shower(mars, count=1, rb=0.47, first_candid=11)
    shower(mars, count=1, rb=0.54, first_candid=12)
    shower(mars, count=1, start=2, first_candid=13)

    answer = one(ask_mars, question())

    assert answer.alerts.native_id.tolist() == ["12", "13"]
    assert [(twin.native_id, twin.twin_of) for twin in answer.twins] == [("11", "12")]
