"""ALeRCE's LSST: many objects in one request, signed fluxes in nJy, times in TAI."""

from __future__ import annotations

import json
from typing import TYPE_CHECKING, Any

import numpy as np
import pytest

from tests.sources.asking import answered, asking, check_alerts, golden, one
from yse_ingest.errors import SourceRefusedError, SourceReplyError, SourceUnavailableError
from yse_ingest.sandbox.alerce import AlerceLsstStandIn
from yse_ingest.sandbox.faults import Fault
from yse_ingest.sandbox.server import Reply, StandIn
from yse_ingest.sources import Ask, Kind, Status, build_source
from yse_ingest.sources.base import LSST
from yse_ingest.targets import Rules, Target
from yse_ingest.times import to_time_ms

if TYPE_CHECKING:
    from collections.abc import Iterator

    from tests.sources.asking import Served
    from yse_ingest.sandbox.server import LoggedRequest, Request
    from yse_ingest.sources import Source


OID = 170587116732400001
MJD = 61217.4167
RA, DEC = 9.3, -42.3
RULES = Rules().with_overrides(LSST.rules)
EVERYTHING = frozenset(Kind)


@pytest.fixture
def lsst() -> Iterator[AlerceLsstStandIn]:
    with AlerceLsstStandIn() as stand_in:
        yield stand_in


@pytest.fixture
def ask_lsst(lsst: AlerceLsstStandIn, waits: list[float]) -> Iterator[Source]:
    with asking("alerce-lsst", {"ALERCE_LSST_URL": lsst.url}, waits) as source:
        yield source


def ask(**fields: Any) -> Ask:
    """Return a question about a place at which there is an object."""
    target = {"name": "2026abc", "ra": RA, "dec": DEC} | fields.pop("target", {})
    return Ask(Target(**target), **{"rules": RULES, **fields})


def at(mjd: float) -> int:
    return int(to_time_ms(np.array([mjd]), date_format="mjd", scale="tai")[0])


def paths(entries: list[LoggedRequest]) -> list[str]:
    return [entry.path.rpartition("/")[2] for entry in entries]


def test_the_golden_light_curve_reads_as_it_always_did() -> None:
    """Fluxes, times, bands, and every reason for which a row is left out."""
    expected = json.loads(golden("alerce_lsst_expected.json"))

    def reply(request: Request) -> Reply:
        table = {"detections": "detections", "forced-photometry": "forced"}
        name = table[request.path.removeprefix("/lightcurve_api/")]
        return Reply(200, golden(f"alerce_lsst_{name}.json"))

    question = Ask(Target("2026abc", object_id=str(OID)), RULES, kinds=EVERYTHING)
    answer = answered("alerce-lsst", question, reply, "ALERCE_LSST_URL")

    check_alerts(answer, expected, mag_abs=5e-4, err_abs=5e-5)
    forced = answer.forced
    assert answer.dropped == expected["dropped"]
    assert forced.native_id.tolist() == expected["forced_id"]
    assert forced.band.tolist() == expected["forced_band"]
    assert forced.flux.tolist() == pytest.approx(expected["forced_flux"], abs=5e-3)
    assert forced.flux_err.tolist() == pytest.approx(expected["forced_flux_err"], abs=5e-3)


def test_an_object_is_found_by_position(
    lsst: AlerceLsstStandIn, ask_lsst: Source, served: Served
) -> None:
    """A cone in seconds of arc, then the light curve of what is there."""
    lsst.add_detection(OID, MJD, "r", 5000.0, 100.0, RA, DEC)
    lsst.add_detection(OID + 1000, MJD, "r", 5000.0, 100.0, RA, DEC + 60 / 3600)

    answer = one(ask_lsst, ask())

    assert (answer.status, answer.accepted_objects) == (Status.OK, (str(OID),))
    cone, detections = served(lsst, 2)
    assert dict(cone.query)["survey"] == "lsst"
    assert float(dict(cone.query)["radius"]) == pytest.approx(5.04)
    assert detections.query == [("survey_id", "lsst"), ("oid", str(OID))]


def test_many_light_curves_are_one_request(
    lsst: AlerceLsstStandIn, ask_lsst: Source, served: Served
) -> None:
    """What is new of fifty targets is one request, and another one for forced photometry."""
    questions = []
    for number in range(50):
        oid = OID + 1000 * number
        for night in range(3):
            lsst.add_detection(oid, MJD + night, "r", 5000.0, 100.0, RA, DEC + number / 10)
        lsst.add_forced(oid, MJD + 5, "r", 120.0, 200.0)
        target = {"name": f"t{number}", "dec": DEC + number / 10}
        questions.append(
            ask(
                target=target,
                since_ms=at(MJD + 1.5),
                known_objects=(str(oid),),
                kinds=EVERYTHING,
            )
        )

    answers = list(ask_lsst.fetch(questions))

    assert [len(answer.alerts) for answer in answers] == [1] * 50
    assert [len(answer.forced) for answer in answers] == [1] * 50
    assert paths(served(lsst, 2)) == ["detections", "forced-photometry"]


def test_forced_photometry_is_not_asked_for_unless_wanted(
    lsst: AlerceLsstStandIn, ask_lsst: Source, served: Served
) -> None:
    """By default there are detections alone."""
    lsst.add_detection(OID, MJD, "r", 5000.0, 100.0)
    lsst.add_forced(OID, MJD + 5, "r", 120.0, 200.0)

    assert len(one(ask_lsst, ask()).forced) == 0
    assert paths(served(lsst, 2)) == ["list_objects", "detections"]


def test_detections_outlive_forced_photometry(
    lsst: AlerceLsstStandIn, ask_lsst: Source
) -> None:
    """Where that fails the detections still count, and the answer says what it lacks."""
    lsst.add_detection(OID, MJD, "r", 5000.0, 100.0)
    lsst.faults.add(Fault("error_before", path="forced"))

    answer = one(ask_lsst, ask(kinds=EVERYTHING))

    assert (answer.status, len(answer.alerts)) == (Status.OK, 1)
    assert answer.reason.startswith("its forced photometry could not be read: answered 500")


@pytest.mark.parametrize(("ra", "dec"), [(0.0, DEC), (RA, 0.0), (0.0, 0.0)])
def test_a_cone_at_zero_is_a_cone(
    lsst: AlerceLsstStandIn, ask_lsst: Source, ra: float, dec: float
) -> None:
    """Nothing has to be nudged here."""
    lsst.add_detection(OID, MJD, "r", 5000.0, 100.0, ra, dec)
    lsst.add_detection(OID + 1000, MJD, "r", 5000.0, 100.0, 100.0, 10.0)

    answer = one(ask_lsst, ask(target={"ra": ra, "dec": dec}))

    assert (answer.status, len(answer.alerts)) == (Status.OK, 1)


def test_pages_are_read_to_the_last(
    lsst: AlerceLsstStandIn, ask_lsst: Source, served: Served
) -> None:
    """``has_next`` is believed here."""
    for number in range(101):
        lsst.add_detection(
            OID + number, MJD, "r", 900.0, 9.0, RA, DEC + (3.2 + number / 99) / 3600
        )

    answer = one(ask_lsst, ask())

    assert len(answer.set_aside) == 101
    assert paths(served(lsst, 3))[:2] == ["list_objects", "list_objects"]


def test_a_long_list_is_halved(
    lsst: AlerceLsstStandIn, ask_lsst: Source, served: Served
) -> None:
    """A list that is too long for the service is asked for in two."""
    lsst.list_max = 1
    for number in range(2):
        lsst.add_detection(OID + number, MJD, "r", 900.0, 9.0, RA, DEC + number)
    questions = [ask(target={"name": f"t{n}", "dec": DEC + n}) for n in range(2)]

    answers = list(ask_lsst.fetch(questions))

    assert [answer.status for answer in answers] == [Status.OK, Status.OK]
    assert [entry.status for entry in served(lsst, 5)] == [200, 200, 500, 200, 200]


def test_one_object_that_fails_stops_only_itself() -> None:
    """An object on which the service breaks does not hold up its neighbours."""

    class Brittle(AlerceLsstStandIn):
        def handle(self, request: Request) -> Reply:
            if ("oid", str(OID)) in request.query:
                return self.server_error(request)
            return super().handle(request)

    with Brittle() as server:
        for number in range(4):
            server.add_detection(OID + number, MJD, "r", 900.0, 9.0, RA, DEC + number)
        source = build_source("alerce-lsst", {"ALERCE_LSST_URL": server.url})
        questions = [ask(target={"name": f"t{n}", "dec": DEC + n}) for n in range(4)]
        first, *others = source.fetch(questions)
        source.close()

    assert isinstance(first.error, SourceRefusedError)
    assert [answer.status for answer in others] == [Status.OK] * 3


def test_a_service_that_is_away_is_not_stormed(
    lsst: AlerceLsstStandIn, ask_lsst: Source, served: Served
) -> None:
    """Every target of the batch is told by three requests."""
    lsst.faults.add(Fault("status", status=503))
    questions = [
        ask(target={"name": f"t{n}"}, since_ms=at(MJD), known_objects=(str(OID + n),))
        for n in range(50)
    ]

    answers = list(ask_lsst.fetch(questions))

    assert all(isinstance(answer.error, SourceUnavailableError) for answer in answers)
    served(lsst, 3)


def test_the_name_of_another_survey_is_not_sent(
    lsst: AlerceLsstStandIn, ask_lsst: Source, served: Served
) -> None:
    """A ZTF name would fail the whole batch: the place is asked for, or else nothing."""
    lsst.add_detection(OID, MJD, "r", 5000.0, 100.0)
    here = ask(target={"object_id": "ZTF26aaaaaaa"})
    nowhere = Ask(Target("2026xyz", object_id="ZTF26bbbbbbb"), RULES)

    found, unknown = ask_lsst.fetch([here, nowhere])

    assert (found.status, unknown.status) == (Status.OK, Status.UNKNOWN)
    assert not [entry for entry in served(lsst, 2) if "ZTF26" in str(entry.query)]


def test_an_unknown_object_is_unknown(lsst: AlerceLsstStandIn, ask_lsst: Source) -> None:
    """No row of the object that the target names."""
    answer = one(ask_lsst, Ask(Target("2026abc", object_id="5"), RULES))

    assert answer.status is Status.UNKNOWN
    assert lsst.name == ask_lsst.name


def test_rows_of_another_object_are_not_believed() -> None:
    """A service that forgets which objects were asked for is not believed."""

    class Deaf(AlerceLsstStandIn):
        def handle(self, request: Request) -> Reply:
            request.query[:] = [
                (key, str(OID + 1000) if key == "oid" else value)
                for key, value in request.query
            ]
            return super().handle(request)

    with Deaf() as server:
        server.add_detection(OID + 1000, MJD, "r", 5000.0, 100.0)
        source = build_source("alerce-lsst", {"ALERCE_LSST_URL": server.url})
        answer = one(source, Ask(Target("2026abc", object_id=str(OID)), RULES))
        source.close()

    assert isinstance(answer.error, SourceReplyError)
    assert "answered without the filter: a row is of" in answer.reason


@pytest.mark.parametrize("body", ["{}", "[3]", '[{"oid": null}]', "null", "<html>"])
def test_another_shape_is_an_error(body: str) -> None:
    """A reply of another shape is named and not taken for an empty one."""

    class Strange(StandIn):
        def handle(self, request: Request) -> Reply:
            return Reply(200, body.encode())

    with Strange() as server:
        source = build_source("alerce-lsst", {"ALERCE_LSST_URL": server.url})
        answer = one(source, Ask(Target("2026abc", object_id=str(OID)), RULES))
        source.close()

    assert isinstance(answer.error, SourceReplyError)


def test_a_new_object_beside_the_known_one_is_found_by_a_full_read(
    lsst: AlerceLsstStandIn, ask_lsst: Source
) -> None:
    """The survey gives an object a new id: what is new is asked by the old one alone."""
    lsst.add_detection(OID, MJD, "r", 5000.0, 100.0)
    lsst.add_detection(OID + 7, MJD + 3, "r", 5000.0, 100.0)

    recent = one(ask_lsst, ask(since_ms=at(MJD + 1), known_objects=(str(OID),)))
    everything = one(ask_lsst, ask())

    assert recent.status is Status.EMPTY
    assert (len(everything.alerts), everything.full) == (2, True)
    assert set(everything.accepted_objects) == {str(OID), str(OID + 7)}


def test_one_visit_is_measured_once(lsst: AlerceLsstStandIn, ask_lsst: Source) -> None:
    """Two names of one thing have a measurement each of the same visit: one is taken."""
    for number in range(2):
        lsst.add_detection(OID + number, MJD + number, "r", 5000.0, 100.0)
        lsst.add_forced(OID + number, MJD + 5, "r", 120.0, 200.0, visit=2026062500700)

    answer = one(ask_lsst, ask(kinds=EVERYTHING))

    assert len(answer.accepted_objects) == 2
    assert answer.forced.native_id.tolist() == ["fp:2026062500700"]


@pytest.mark.parametrize(
    ("score", "status"), [(0.49, Status.EMPTY), (0.5, Status.OK), (None, Status.OK)]
)
def test_reliability_is_a_rule(
    lsst: AlerceLsstStandIn, ask_lsst: Source, score: float | None, status: Status
) -> None:
    """Below 0.5 a detection is left out and counted; one without a score stays by default."""
    lsst.add_detection(OID, MJD, "r", 5000.0, 100.0, reliability=score)

    answer = one(ask_lsst, ask())

    assert answer.status is status
    assert answer.dropped == ({"reliability is below 0.5": 1} if status is Status.EMPTY else {})
