"""A header that a group hides from our account: one point a try, until that one is seen."""

from __future__ import annotations

import json
from typing import TYPE_CHECKING

import pytest

from yse_ingest.push import push
from yse_ingest.sandbox.faults import Fault
from yse_ingest.targets import Target

if TYPE_CHECKING:
    from tests.service.conftest import House
    from yse_ingest.service import Service

OBJECT = "ZTF19aacgslb"
NP = Target("2019np")
SHELF = ("ZTF-Cam", "ZTF")
HIDDEN = {"obs_date": "2018-01-17T00:00:00", "band": "g-ZTF", "mag": 18.0, "mag_err": 0.1}
ALERTS = 6


@pytest.fixture(name="service")
def _service(house: House) -> Service:
    """Follow a target without groups, to whose header somebody has attached one."""
    house.alerts(OBJECT, ALERTS)
    house.ysepz.add_photometry("2019np", [HIDDEN], user="human", groups=["YSE"])
    service = house.service()
    service.state.targets.put(NP, origin="file", due_ms=0)
    return service


def points(house: House) -> list[int]:
    """Return how many points each upload held."""
    uploads = [json.loads(each.body) for each in house.ysepz.log if each.method == "POST"]
    return [len(upload) - len(("header", "transient", "photheader")) for upload in uploads]


def try_again(house: House, service: Service) -> None:
    assert service.state.outbox.release_refused("1")
    for hint in service.drain():
        service.upload(hint.name, hint.key, hint.fence, attempt=1)


def test_a_later_try_sends_one_point(house: House, service: Service) -> None:
    """What a hidden header holds is in no model: the whole light curve may cost a minute."""
    house.cycle(service, "2019np")
    assert sum(points(house)) == ALERTS
    before = len(points(house))
    for _ in range(2):
        try_again(house, service)
    assert points(house)[before:] == [1, 1]
    assert len(house.ysepz.rows("2019np")) == ALERTS + 1


def test_the_remedy_is_told(house: House, service: Service) -> None:
    """Which header is hidden, by what, and what can be done."""
    house.cycle(service, "2019np")
    (row,) = service.state.outbox.rows(10)
    assert row.place == "refused"
    for part in (
        "accepted, but invisible to this user",
        "A group hides the header (ZTF-Cam, ZTF) from this account",
        "add it to the group",
        "obs_group of its own",
    ):
        assert part in str(row.reason)


def test_a_hidden_header_teaches_no_speed(house: House, service: Service) -> None:
    """The requests of all others are not cut by what nobody can see."""
    house.cycle(service, "2019np")
    try_again(house, service)
    assert service.speed.ratio == 1.0


def test_all_is_sent_once_the_point_is_seen(house: House, service: Service) -> None:
    """The account became a member: what is missing goes at once, and nothing is remembered."""
    house.cycle(service, "2019np")
    assert service.state.audits.hidden("1") == {SHELF}
    with house.ysepz.store.connect() as database:
        database.run("DELETE FROM YSE_App_transientphotometry_groups")
        database.run("DELETE FROM YSE_App_transientphotdata WHERE id > 2")
    before = len(points(house))
    try_again(house, service)
    sent = points(house)[before:]
    assert (sent[0], sum(sent)) == (1, ALERTS - 1)
    assert len(house.ysepz.rows("2019np")) == ALERTS + 1
    assert service.state.audits.stopped("1") is None
    assert service.state.outbox.rows(10) == []
    assert service.state.audits.hidden("1") == set()


def test_after_an_unclear_end_one_point_goes_ahead(house: House, service: Service) -> None:
    """Where nothing is shown of a header, a second request may be killed like the first."""
    lost = Fault("drop_after", path="/add_transient_phot/", times=1)
    house.ysepz.faults.add(lost)
    (result,) = push(service, [NP])
    assert "invisible to this user" in str(result.error)
    assert points(house)[1:] == [1]
    assert service.speed.ratio == 1.0


def test_a_push_without_state_sends_one_point_after_an_unclear_end(
    house: House, service: Service
) -> None:
    """The same in one process, with nothing to remember it by."""
    house.ysepz.faults.add(Fault("drop_after", path="/add_transient_phot/", times=1))
    result = house.push(NP)
    assert "invisible to this user" in str(result.error)
    assert points(house)[1:] == [1]
