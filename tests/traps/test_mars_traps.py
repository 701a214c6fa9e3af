"""The ten worst traps of MARS, by their numbers in the measured contract, through the product.

``make guards`` removes each guard from a copy of the source and sees its test fail.
"""

from __future__ import annotations

import dataclasses
from typing import TYPE_CHECKING, Any

import pytest

from yse_ingest.sandbox.faults import Fault
from yse_ingest.sandbox.mars import MarsStandIn
from yse_ingest.targets import Target

if TYPE_CHECKING:
    from yse_ingest.sandbox.server import Reply, Request

RA, DEC = 157.3415, 29.5106667
NP = Target("2019np")


def mags(house: Any) -> list[float]:
    """Return the stored magnitudes in the order of time."""
    rows = sorted(house.ysepz.rows("2019np"), key=lambda row: row["obs_date"])
    return [row["mag"] for row in rows]


def test_trap_01_all_pages_arrive_though_has_next_is_false(house: Any) -> None:
    """The discovery stands on the last of three pages, of which none says that more follow."""
    for number in range(210):
        house.alert(0.3 * number, mag=15 + 0.001 * number)

    result = house.push(NP)

    assert (result.state, result.verified) == ("verified", 210)
    assert mags(house)[0] == 15.0


class Growing(MarsStandIn):
    """A server that ingests alerts, old and new ones, while its pages are read."""

    pages = 0

    def handle(self, request: Request) -> Reply:
        reply = super().handle(request)
        self.pages += 1
        if self.pages < 3:
            for number in range(3):
                jd = 2458500.5 + (-1) ** number * (400.0 + 10 * self.pages + number)
                self.add_alert("ZTF19aacgslb", jd, "g", 18.0, 0.05, RA, DEC)
        return reply


def test_trap_02_alerts_that_arrive_between_pages_shift_none(build: Any) -> None:
    """Read in the order of insertion, no row is repeated and none is missed."""
    house = build(mars=Growing())
    for number in range(205):
        house.alert(0.3 * number)

    result = house.push(NP)

    assert (result.state, result.verified) == ("verified", 211)


def test_trap_03_an_alert_that_was_ingested_late_is_found(house: Any) -> None:
    """The next question goes back by days: an older exposure than the newest is not missed."""
    for number in range(5):
        house.alert(number)
    service = house.service()
    service.enqueue(NP)
    house.cycle(service, "2019np")
    house.alert(2.5, mag=17.0)

    house.cycle(service, "2019np")

    assert 17.0 in mags(house)
    assert len(mags(house)) == 6


class Unfiltered(MarsStandIn):
    """A server that does not understand the filter, and answers with the whole sky."""

    def handle(self, request: Request) -> Reply:
        query = [(key, value) for key, value in request.query if key != "cone"]
        return super().handle(dataclasses.replace(request, query=query))


def test_trap_04_an_answer_without_the_filter_is_an_error(build: Any) -> None:
    """Photometry of the whole sky is not taken for a target's, nor for "nothing new"."""
    house = build(mars=Unfiltered())
    for number in range(5):
        house.mars.add_alert("ZTF20far", 2458600.5 + number, "g", 18.0, 0.05, 10.0, 5.0)

    result = house.push(NP)

    assert "answered without the filter" in str(result.error)
    assert house.writes() == []


def test_trap_05_the_sign_of_a_subtraction_is_text(house: Any) -> None:
    """Of t, f, 1, 0 the negative ones are no detections; anything else is quarantined."""
    for number, sign in enumerate(("t", "f", "1", "0", "x")):
        house.alert(number, mag=15.0 + number, isdiffpos=sign)

    result = house.push(NP)

    assert mags(house) == [15.0, 17.0]
    assert (result.negative, result.quarantined) == (2, 1)


def test_trap_06_two_alerts_of_one_exposure_are_one_point(house: Any) -> None:
    """The higher real-bogus score stays; the other is kept in quarantine as its twin."""
    house.alert(0, mag=15.492, rb=0.54)
    house.alert(0, mag=15.606, rb=0.47)
    service = house.service()
    service.enqueue(NP)

    house.cycle(service, "2019np")

    assert mags(house) == [15.492]
    (twin,) = service.state.quarantine.list("2019np")
    assert twin["reason"].startswith("twin of")


def test_trap_07_points_closer_than_0_01_d_are_points(house: Any) -> None:
    """Visits five minutes apart in one band are all stored, in one upload and over several."""
    for number in range(3):
        house.alert(number * 300 / 86400, mag=15.0 + number)
    service = house.service()
    service.enqueue(NP)
    house.cycle(service, "2019np")
    house.alert(150 / 86400, mag=19.0)

    house.cycle(service, "2019np")

    assert mags(house) == [15.0, 19.0, 16.0, 17.0]


def test_trap_08_a_neighbour_in_the_cone_is_not_mixed_in(house: Any) -> None:
    """The nucleus 3.1" away stands in every reply, and in no light curve."""
    for number in range(3):
        house.alert(number)
    for number in range(9):
        house.alert(number - 200.0, mag=13.0, object_id="ZTF18nucleus", dec=DEC + 3.1 / 3600)

    result = house.push(NP)

    assert mags(house) == [18.0, 18.0, 18.0]
    assert result.set_aside == {"ZTF18nucleus": 9}


def test_trap_09_alerts_without_a_score_are_kept(house: Any) -> None:
    """A filter on drb would drop every alert before 2019-06: none is ever asked for."""
    house.alert(0, drb=None)
    house.alert(1, drb=0.9)

    result = house.push(NP)

    assert result.verified == 2


@pytest.mark.parametrize("status", [404, 500])
def test_trap_10_an_error_page_is_not_no_data(house: Any, status: int) -> None:
    """A 404 or 500 on the first page is an error; after a full page a 404 is its end."""
    for number in range(100):
        house.alert(number)
    house.mars.faults.add(Fault("status", status=status, times=1))

    failed = house.push(NP)
    whole = house.push(NP)

    assert failed.error is not None
    assert f"answered {status}" in str(failed.error)
    assert (whole.state, whole.verified) == ("verified", 100)
