"""Fink for LSST: signed flux in nJy, the middle of the exposure in TAI, forced photometry."""

from __future__ import annotations

import json
from typing import TYPE_CHECKING, Any

import numpy as np
import pytest

from tests.sources.asking import answered, asked, check_alerts, check_forced, golden, one
from tests.sources.lsst import DEC, MJD, OID, OTHER, RA, RULES, WITH_FORCED, by_id, question
from yse_ingest.errors import SourceRefusedError, SourceReplyError
from yse_ingest.photometry import light_curve
from yse_ingest.sandbox.faults import Fault
from yse_ingest.sandbox.server import Reply
from yse_ingest.sources import LSST, SOURCES, Ask, Status
from yse_ingest.times import to_time_ms

if TYPE_CHECKING:
    from tests.sources.asking import Served
    from yse_ingest.sandbox.fink import FinkLsstStandIn
    from yse_ingest.sandbox.server import LoggedRequest, Request
    from yse_ingest.sources import Answer, Source


def recorded(ask: Ask, **bodies: bytes) -> Answer:
    """Return what becomes of recorded replies, by route."""

    def reply(request: Request) -> Reply:
        return Reply(200, bodies[request.path.strip("/")])

    return answered("fink-lsst", ask, reply, "FINK_LSST_URL")


def light_curve_for(ask: Ask) -> Answer:
    return recorded(
        ask, sources=golden("fink_lsst_sources.json"), fp=golden("fink_lsst_fp.json")
    )


def routes(entries: list[LoggedRequest]) -> list[str]:
    return [entry.path.removeprefix("/api/v1/") for entry in entries]


def add(stand_in: FinkLsstStandIn, object_id: int = OID, count: int = 3, **values: Any) -> None:
    fields = {"ra": RA, "dec": DEC, "start": 0.0, "flux": 2400.0, "err": 380.0} | values
    start, flux, err = (fields.pop(name) for name in ("start", "flux", "err"))
    for night in range(count):
        stand_in.add_source(
            object_id, MJD + start + night, "gr"[night % 2], flux, err, **fields
        )


# What its rows mean ---------------------------------------------------------------------------


def test_the_golden_reply_reads_as_it_always_did() -> None:
    """Replies in the documented shape give these columns, refusals and counts."""
    expected = json.loads(golden("fink_lsst_expected.json"))

    answer = light_curve_for(by_id(kinds=WITH_FORCED))

    check_alerts(answer, expected, mag_abs=5e-4, err_abs=5e-4)
    check_forced(answer, expected, flux_abs=5e-4)
    assert answer.dropped == expected["dropped"]


def test_the_worked_numbers() -> None:
    """2400 +- 380 nJy is 66.10 +- 10.47 at 27.5 and magnitude 22.949; negative has none."""
    answer = light_curve_for(by_id())
    curve, negative = light_curve(answer.alerts, **LSST.rules, keep_negatives=True)

    assert (curve.flux[0], curve.flux_err[0]) == pytest.approx((66.10, 10.47), abs=5e-3)
    assert curve.mag[0] == pytest.approx(22.949, abs=5e-4)
    assert curve.flux[1] == pytest.approx(-66.10, abs=5e-3)
    assert np.isnan(curve.mag[1])
    assert negative == 1
    assert curve.band.tolist() == ["r-LSST", "i-LSST", "u-LSST"]
    assert (curve.instrument, curve.obs_group) == ("LSSTCam", "LSST")


def test_time_is_37_s_earlier_in_utc(fink_lsst: FinkLsstStandIn, ask_fink_lsst: Source) -> None:
    """A time on the wire is TAI, 37 s ahead of UTC, for detections and forced photometry."""
    add(fink_lsst, count=1)
    fink_lsst.add_forced(OID, MJD, "r", 1.0, 1.0)

    answer = one(ask_fink_lsst, question(kinds=WITH_FORCED))

    as_utc = int(to_time_ms(np.array([MJD]), date_format="mjd")[0])
    assert answer.alerts.time_ms.tolist() == [as_utc - 37_000]
    assert answer.forced.time_ms.tolist() == [as_utc - 37_000]


def test_what_is_below_three_sigma_is_no_detection(
    fink_lsst: FinkLsstStandIn, ask_fink_lsst: Source
) -> None:
    """A source with a faint flux, of either sign or none, is counted; it gets no magnitude."""
    add(fink_lsst, count=2)
    for night, flux in enumerate((1139.0, -1139.0, 0.0), start=5):
        fink_lsst.add_source(OID, MJD + night, "r", flux, 380.0, RA, DEC)
    fink_lsst.add_source(OID, MJD + 9, "r", 1141.0, 380.0, RA, DEC)

    answer = one(ask_fink_lsst, question())

    assert len(answer.alerts) == 3
    assert answer.dropped == {"below 3 sigma": 3}
    assert not answer.refused


def test_reliability_is_a_rule(fink_lsst: FinkLsstStandIn, ask_fink_lsst: Source) -> None:
    """Below the limit a source is dropped and counted; 0 is no cut; a missing one is kept."""
    add(fink_lsst, count=1)
    add(fink_lsst, count=1, start=3, reliability=0.3)
    add(fink_lsst, count=1, start=5, reliability=None)
    strict = RULES.with_overrides({"missing_score": "drop"})
    free = RULES.with_overrides({"min_reliability": 0.0})

    by_default, all_, known = (
        one(ask_fink_lsst, question(rules=rules)) for rules in (RULES, free, strict)
    )

    assert len(by_default.alerts) == 2
    assert by_default.dropped == {"reliability is below 0.5": 1}
    assert len(all_.alerts) == 3
    assert len(known.alerts) == 1
    assert known.dropped == {"reliability is below 0.5": 1, "has no reliability": 1}


def test_the_whole_light_of_the_place_is_never_taken(
    fink_lsst: FinkLsstStandIn, ask_fink_lsst: Source, served: Served
) -> None:
    """scienceFlux, which holds the galaxy, is not even asked for."""
    add(fink_lsst)

    answer = one(ask_fink_lsst, by_id(kinds=WITH_FORCED))

    assert answer.alerts.mag == pytest.approx([22.949] * 3, abs=5e-4)
    for entry in served(fink_lsst, 2):
        assert "scienceFlux" not in asked(entry)["columns"]


@pytest.mark.parametrize("value", [None, -999.0, 0.0, "nan"])
def test_an_error_that_is_missing_is_no_error(
    fink_lsst: FinkLsstStandIn, ask_fink_lsst: Source, value: object
) -> None:
    """A row without the error of its flux is quarantined; the others go on."""
    add(fink_lsst, count=2)
    add(fink_lsst, count=1, start=5, psfFluxErr=value)

    answer = one(ask_fink_lsst, question())

    assert len(answer.alerts) == 2
    assert "r:psfFluxErr" in str(answer.refused[0])


def test_all_six_bands_and_no_other(fink_lsst: FinkLsstStandIn, ask_fink_lsst: Source) -> None:
    """The six from u to y are read; a filter that nobody knows is quarantined by name."""
    for night, band in enumerate("ugrizyN"):
        fink_lsst.add_source(OID, MJD + night, band, 2400.0, 380.0, RA, DEC)

    answer = one(ask_fink_lsst, question())

    assert "".join(answer.alerts.band) == "ugrizy"
    assert "r:band is 'N'" in str(answer.refused[0])


def test_ids_keep_their_last_digits(fink_lsst: FinkLsstStandIn, ask_fink_lsst: Source) -> None:
    """Ids beyond 2^53 come through whole; one that was a float is refused."""
    add(fink_lsst, count=1, dia_source_id=170587116732400009)
    add(fink_lsst, count=1, start=2, diaSourceId=1.705871167324e17)

    answer = one(ask_fink_lsst, question())

    assert answer.alerts.native_id.tolist() == ["170587116732400009"]
    assert answer.accepted_objects == (str(OID),)
    assert "has lost the last digits" in str(answer.refused[0])


# Forced photometry ----------------------------------------------------------------------------


def test_forced_photometry_only_for_who_wants_it(
    fink_lsst: FinkLsstStandIn, ask_fink_lsst: Source, served: Served
) -> None:
    """It is a route of its own, asked in one request; who does not want it gets none."""
    for object_id in (OID, OTHER):
        add(fink_lsst, object_id)
        fink_lsst.add_forced(object_id, MJD - 1, "r", -55.0, 370.0)

    wants, other = ask_fink_lsst.fetch(
        [by_id(kinds=WITH_FORCED, name="a"), by_id(OTHER, name="b")]
    )

    assert wants.forced.flux == pytest.approx([-1.515], abs=5e-4)
    assert len(other.forced) == 0
    assert len(other.alerts) == 3
    entries = served(fink_lsst, 2)
    assert routes(entries) == ["sources", "fp"]


def test_forced_photometry_of_a_neighbour_stays_out(
    fink_lsst: FinkLsstStandIn, ask_fink_lsst: Source
) -> None:
    """Only what was measured at the place of the target's own object belongs."""
    add(fink_lsst)
    add(fink_lsst, OTHER, dec=DEC + 4 / 3600)
    for object_id in (OID, OTHER):
        fink_lsst.add_forced(object_id, MJD - 1, "r", -55.0, 370.0)

    answer = one(ask_fink_lsst, question(kinds=WITH_FORCED))

    assert answer.forced.object_id.tolist() == [str(OID)]


def test_forced_photometry_of_two_names_of_one_thing_is_one_row(
    fink_lsst: FinkLsstStandIn, ask_fink_lsst: Source
) -> None:
    """What was measured in one exposure for both of its objects counts once."""
    for object_id in (OID, OTHER):
        add(fink_lsst, object_id)
        fink_lsst.add_forced(object_id, MJD - 1, "r", -55.0, 370.0)

    answer = one(ask_fink_lsst, question(kinds=WITH_FORCED))

    assert set(answer.accepted_objects) == {str(OID), str(OTHER)}
    assert len(answer.forced) == 1


def test_an_incremental_question_gets_new_forced_photometry(
    fink_lsst: FinkLsstStandIn, ask_fink_lsst: Source
) -> None:
    """What is older than the date is left out, of both kinds."""
    add(fink_lsst, count=4)
    for night in range(4):
        fink_lsst.add_forced(OID, MJD + night + 0.3, "r", 10.0, 370.0)
    since_ms = int(to_time_ms(np.array([MJD + 2]), date_format="mjd")[0])

    answer = one(
        ask_fink_lsst,
        question(since_ms=since_ms, known_objects=(str(OID),), kinds=WITH_FORCED),
    )

    assert (len(answer.alerts), len(answer.forced), answer.full) == (1, 2, False)


def test_forced_photometry_that_fails_is_told(
    fink_lsst: FinkLsstStandIn, ask_fink_lsst: Source
) -> None:
    """The detections still count, and the answer says what it lacks."""
    add(fink_lsst)
    fink_lsst.faults.add(Fault("status", path="fp", status=400, times=1))

    answer = one(ask_fink_lsst, by_id(kinds=WITH_FORCED))

    assert (answer.status, len(answer.alerts), len(answer.forced)) == (Status.OK, 3, 0)
    assert answer.reason.startswith("its route fp could not be read: answered 400")


# How it is asked ------------------------------------------------------------------------------


def test_many_objects_are_one_request(
    fink_lsst: FinkLsstStandIn, ask_fink_lsst: Source, served: Served
) -> None:
    """Fifty light curves by id are one request, with the ids as text; one more, two."""
    asks = []
    for number in range(51):
        add(fink_lsst, OID + number, count=2, ra=number * 5.0)
        asks.append(by_id(OID + number, name=f"t{number}"))

    answers = list(ask_fink_lsst.fetch(asks))

    assert [len(answer.alerts) for answer in answers] == [2] * 51
    first, second = served(fink_lsst, 2)
    assert len(asked(first)["diaObjectId"].split(",")) == 50
    assert asked(second)["diaObjectId"] == str(OID + 50)


def test_a_batch_that_is_empty_is_asked_object_by_object(
    fink_lsst: FinkLsstStandIn, ask_fink_lsst: Source, served: Served
) -> None:
    """The version that answers nothing to a list hides no light curve."""
    for object_id in (OID, OTHER):
        add(fink_lsst, object_id)
    fink_lsst.lists_broken = True

    answers = list(ask_fink_lsst.fetch([by_id(name="a"), by_id(OTHER, name="b")]))

    assert [len(answer.alerts) for answer in answers] == [3, 3]
    assert routes(served(fink_lsst, 3)) == ["sources"] * 3


def test_an_object_is_found_by_position(
    fink_lsst: FinkLsstStandIn, ask_fink_lsst: Source, served: Served
) -> None:
    """Cone first, then its light curves; neighbours within 3 arcsec make it ambiguous."""
    add(fink_lsst)
    add(fink_lsst, OTHER, dec=DEC + 10 / 3600)

    answer = one(ask_fink_lsst, question())

    assert len(answer.alerts) == 3
    cone, _ = served(fink_lsst, 2)
    assert "r:midpointMjdTai" not in asked(cone)["columns"]
    add(fink_lsst, OTHER + 1, dec=DEC + 2 / 3600)
    assert one(ask_fink_lsst, question()).status is Status.AMBIGUOUS


def test_a_crowded_field_hides_nothing(
    fink_lsst: FinkLsstStandIn, ask_fink_lsst: Source
) -> None:
    """The server cuts before it looks at the distance: we ask for more than a tile holds."""
    for night in range(1500):
        fink_lsst.add_source(OTHER, MJD + night, "r", 2400.0, 380.0, RA, DEC + 100 / 3600)
    add(fink_lsst)

    assert len(one(ask_fink_lsst, question()).alerts) == 3


def test_the_id_of_another_survey_is_no_object_here(
    fink_lsst: FinkLsstStandIn, ask_fink_lsst: Source
) -> None:
    """A target named by ZTF is found by its position; without one, nobody knows it."""
    add(fink_lsst)

    placed = one(ask_fink_lsst, question(object_id="ZTF25aaaaaaa"))
    lost = one(ask_fink_lsst, question(object_id="ZTF25aaaaaaa", ra=None, dec=None))

    assert (placed.status, placed.accepted_objects) == (Status.OK, (str(OID),))
    assert lost.status is Status.UNKNOWN


def test_empty_unknown_and_error_are_told_apart(
    fink_lsst: FinkLsstStandIn, ask_fink_lsst: Source
) -> None:
    """An empty list is an answer; a refusal without JSON is none, and names the setting."""
    assert one(ask_fink_lsst, question()).status is Status.EMPTY
    assert one(ask_fink_lsst, by_id()).status is Status.UNKNOWN
    fink_lsst.faults.add(Fault("status", status=400, body="{'status': 'error'}"))
    refused = one(ask_fink_lsst, by_id())
    assert isinstance(refused.error, SourceRefusedError)
    assert "FINK_LSST_URL" in str(refused.error)


@pytest.mark.parametrize(
    ("body", "fact"),
    [
        ("<html>Welcome</html>", "not JSON"),
        ('{"status": "error"}', "no list of rows"),
        ('[{"diaObjectId": 1}]', "format changed: a row has no r:diaObjectId"),
        ('[{"r:diaObjectId": 1.7e17}]', "which nobody asked for"),
        ('[{"r:diaObjectId": 170587116732400001}]', "sent 1 rows and none can be read"),
    ],
)
def test_another_shape_is_an_error(body: str, fact: str) -> None:
    """A reply of another shape is named, and not taken for an empty one."""
    answer = recorded(by_id(), sources=body.encode())

    assert isinstance(answer.error, SourceReplyError)
    assert fact in answer.reason


def test_it_declares_what_it_can() -> None:
    """Batches, forced photometry, no limits, and how its times are to be read."""
    can = SOURCES["fink-lsst"].capabilities

    assert (can.batch_size, can.by_id, can.by_position, can.since) == (50, True, True, "client")
    assert can.survey is LSST
    assert can.forced
    assert not can.limits
    assert (can.time_scale, can.time_of) == ("tai", "middle")
