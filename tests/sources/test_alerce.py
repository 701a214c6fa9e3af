"""ALeRCE: one object at a time, found by id or by position."""

from __future__ import annotations

import json
from typing import TYPE_CHECKING

import numpy as np
import pytest

from tests.sources.asking import FIRST_JD, answered, check_alerts, golden, one
from yse_ingest.errors import SourceRefusedError, SourceReplyError
from yse_ingest.sandbox import supernovae
from yse_ingest.sandbox.alerce import AlerceStandIn
from yse_ingest.sandbox.faults import Fault
from yse_ingest.sandbox.server import Reply, StandIn
from yse_ingest.sources import Ask, Status, build_source
from yse_ingest.targets import Rules, Target
from yse_ingest.times import to_time_ms

if TYPE_CHECKING:
    from tests.sources.asking import Question, Served, Shower
    from yse_ingest.sandbox.mars import MarsStandIn
    from yse_ingest.sandbox.server import LoggedRequest, Request
    from yse_ingest.sources import Source


def paths(entries: list[LoggedRequest]) -> list[str]:
    return [entry.path.removeprefix("/ztf/v1") for entry in entries]


def test_the_golden_light_curve_reads_as_it_always_did() -> None:
    """A reply in the documented shape gives these columns and this refusal."""
    expected = json.loads(golden("alerce_lightcurve_expected.json"))

    def reply(request: Request) -> Reply:
        assert request.path == "/objects/ZTF19aacgslb/lightcurve"
        return Reply(200, golden("alerce_lightcurve.json"))

    ask = Ask(Target("2019np", object_id="ZTF19aacgslb"), Rules())
    answer = answered("alerce", ask, reply, "ALERCE_URL")

    check_alerts(answer, expected)
    assert set(answer.alerts.object_id) == {"ZTF19aacgslb"}


def test_sn_2019np_is_what_mars_has(
    alerce: AlerceStandIn,
    ask_alerce: Source,
    mars: MarsStandIn,
    ask_mars: Source,
    question: Question,
) -> None:
    """Both sources give the same 33 detections, to the millisecond."""
    published = supernovae.load()[:1]
    supernovae.fill_alerce(alerce, published)
    supernovae.fill_mars(mars, published)
    ask = question(ra=published[0].ra, dec=published[0].dec)

    here, there = one(ask_alerce, ask), one(ask_mars, ask)

    assert len(here.alerts) == 33
    assert here.alerts.native_id.tolist() == there.alerts.native_id.tolist()
    assert here.alerts.time_ms.tolist() == there.alerts.time_ms.tolist()
    assert here.alerts.mag.tolist() == pytest.approx(there.alerts.mag.tolist(), abs=1e-9)


def test_an_object_is_found_by_position(
    alerce: AlerceStandIn,
    ask_alerce: Source,
    question: Question,
    shower: Shower,
    served: Served,
) -> None:
    """Cone first, then the light curve of each object; what does not belong is counted."""
    shower(alerce, count=5)
    shower(alerce, "ZTF18nucleus", count=2, north=4.0)
    shower(alerce, "ZTF18far", count=2, north=60.0)

    answer = one(ask_alerce, question())

    assert len(answer.alerts) == 5
    assert answer.set_aside == {"ZTF18nucleus": 2}
    assert paths(served(alerce, 3)) == [
        "/objects/",
        "/objects/ZTF18nucleus/lightcurve",
        "/objects/ZTF19aacgslb/lightcurve",
    ]


def test_a_detection_under_two_ids_counts_once(
    alerce: AlerceStandIn,
    ask_alerce: Source,
    question: Question,
    shower: Shower,
) -> None:
    """The service lists a detection under each id it was ever given to; it is one point."""
    shower(alerce, count=5)
    shower(alerce, "ZTF19renamed", count=7)

    answer = one(ask_alerce, question())

    assert len(answer.alerts) == 7
    assert set(answer.accepted_objects) == {"ZTF19aacgslb", "ZTF19renamed"}


def test_neighbours_are_ambiguous_here_too(
    alerce: AlerceStandIn,
    ask_alerce: Source,
    question: Question,
    shower: Shower,
) -> None:
    """The rule of which object it is does not depend on the source."""
    shower(alerce, count=5)
    shower(alerce, "ZTF18neighbour", count=2, north=2.0)

    assert one(ask_alerce, question()).status is Status.AMBIGUOUS
    assert one(ask_alerce, question(object_id="ZTF19aacgslb")).status is Status.OK


def test_a_cone_full_of_objects_is_no_cone(
    alerce: AlerceStandIn, ask_alerce: Source, question: Question, shower: Shower
) -> None:
    """Five hundred objects within seconds of arc are refused before they are all read."""
    for number in range(500):
        shower(alerce, f"ZTF{number:03}", count=1)

    answer = one(ask_alerce, question())

    assert answer.reason == "has more than 500 objects in one cone"
    assert ask_alerce.url == f"{alerce.api_url}/"


def test_an_empty_cone_is_empty(ask_alerce: Source, question: Question) -> None:
    """No object in the cone is no data, not an error."""
    assert one(ask_alerce, question()).status is Status.EMPTY


def test_an_unknown_object_is_unknown(ask_alerce: Source, question: Question) -> None:
    """The API's own 404 for an object means that it does not know it."""
    answer = one(ask_alerce, question(object_id="ZTF19aaaaaaa", ra=None, dec=None))

    assert answer.status is Status.UNKNOWN
    assert answer.reason == "it has no alert of ZTF19aaaaaaa"


def test_a_wrong_address_is_told_from_an_unknown_object(
    alerce: AlerceStandIn, question: Question
) -> None:
    """A 404 of somebody else's web server is an error, and names what came."""
    source = build_source("alerce", {"ALERCE_URL": alerce.url})
    answer = one(source, question(object_id="ZTF19aaaaaaa"))
    source.close()

    assert isinstance(answer.error, SourceRefusedError)
    assert str(answer.error).startswith("ALeRCE: 2019np: answered 404")


def test_odd_object_ids_stay_within_the_address(
    alerce: AlerceStandIn,
    ask_alerce: Source,
    question: Question,
    served: Served,
) -> None:
    """An object id with slashes is quoted, not a way to another page."""
    one(ask_alerce, question(object_id="../../x?y", ra=None, dec=None))

    assert served(alerce, 1)[0].path.startswith("/ztf/v1/objects/../../x?y")


@pytest.mark.parametrize(("ra", "dec"), [(0.0, 29.5), (157.0, 0.0), (0.0, 0.0)])
def test_a_cone_at_zero_is_not_dropped(
    alerce: AlerceStandIn,
    ask_alerce: Source,
    question: Question,
    *,
    shower: Shower,
    served: Served,
    ra: float,
    dec: float,
) -> None:
    """At exactly RA 0 or Dec 0 the service forgets the cone: we ask a nanodegree beside it."""
    shower(alerce, count=5, ra=ra, dec=dec)
    shower(alerce, "ZTFelsewhere", count=5, ra=200.0)

    answer = one(ask_alerce, question(ra=ra, dec=dec))

    assert len(answer.alerts) == 5
    assert answer.set_aside == {}
    served(alerce, 2)


def test_a_cone_that_is_ignored_is_noticed(question: Question, shower: Shower) -> None:
    """Objects all over the sky are never taken for those of a cone."""

    class Deaf(AlerceStandIn):
        def handle(self, request: Request) -> Reply:
            request.query[:] = [pair for pair in request.query if pair[0] != "ra"]
            return super().handle(request)

    with Deaf() as server:
        for number in range(5):
            shower(server, f"ZTF{number}", count=1, ra=10.0 + number)
        source = build_source("alerce", {"ALERCE_URL": server.api_url})
        answer = one(source, question())
        source.close()

    assert isinstance(answer.error, SourceReplyError)
    assert answer.reason == ("answered without the filter: 5 of 5 objects lie outside the cone")


def test_many_objects_are_read_page_by_page(
    alerce: AlerceStandIn,
    ask_alerce: Source,
    question: Question,
    shower: Shower,
    served: Served,
) -> None:
    """Pages are read until a short one, although has_next is always false."""
    for number in range(101):
        shower(alerce, f"ZTF{number:03}", count=1, north=3.2 + number / 100)

    answer = one(ask_alerce, question())

    assert len(answer.set_aside) == 101
    served(alerce, 2 + 101)


def test_only_what_is_new_comes_back(
    alerce: AlerceStandIn,
    ask_alerce: Source,
    question: Question,
    shower: Shower,
    served: Served,
) -> None:
    """The time is applied here; where nothing was seen since, the light curve is not read."""
    shower(alerce, count=10)
    shower(alerce, "ZTF18nucleus", count=2, north=4.0)
    since = int(to_time_ms(np.array([FIRST_JD + 7]))[0])

    answer = one(ask_alerce, question(since_ms=since, known_objects=("ZTF19aacgslb",)))

    assert len(answer.alerts) == 2
    assert not answer.full
    assert paths(served(alerce, 2)) == ["/objects/", "/objects/ZTF19aacgslb/lightcurve"]


@pytest.mark.parametrize("status", [400, 403, 500])
def test_a_refusal_is_an_error_of_the_target_alone(
    alerce: AlerceStandIn,
    ask_alerce: Source,
    question: Question,
    shower: Shower,
    status: int,
) -> None:
    """One light curve that fails stops its own target; the next one goes on."""
    shower(alerce, "ZTFa", count=3)
    shower(alerce, "ZTFb", count=3, ra=20.0)
    alerce.faults.add(Fault("status", path="ZTFa/lightcurve", status=status))

    bad, good = ask_alerce.fetch([question(), question(name="b", ra=20.0)])

    assert isinstance(bad.error, SourceRefusedError)
    assert good.status is Status.OK


def test_garbage_is_shown(
    alerce: AlerceStandIn, ask_alerce: Source, question: Question
) -> None:
    """A page of HTML is no list of objects; the message names what to check."""
    alerce.faults.add(Fault("garbage"))

    assert "answered something that is not JSON" in str(one(ask_alerce, question()).error)


@pytest.mark.parametrize("body", ["[]", "{}", '{"items": 3}', '{"items": [{"oid": ""}]}'])
def test_another_shape_is_an_error(question: Question, body: str) -> None:
    """A reply of another shape is named and not taken for an empty one."""

    class Strange(StandIn):
        def handle(self, request: Request) -> Reply:
            return Reply(200, body.encode())

    with Strange() as server:
        source = build_source("alerce", {"ALERCE_URL": server.url})
        answer = one(source, question())
        source.close()

    assert isinstance(answer.error, SourceReplyError)
