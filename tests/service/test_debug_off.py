"""A YSE-PZ that shows no exception: what its bare page may mean is found out, not believed."""

from __future__ import annotations

import time
from typing import TYPE_CHECKING

import pytest

from tests.service.test_quarantine import healed, mags, poisoned, uploads
from yse_ingest.sandbox.faults import Fault
from yse_ingest.sandbox.ysepz.errors import BARE_PAGE
from yse_ingest.targets import Target

if TYPE_CHECKING:
    from tests.service.conftest import House
    from yse_ingest.service import Service
    from yse_ingest.upload import UploadOutcome

NP, OBJECT = Target("2019np"), "ZTF19aacgslb"
SHELF = [{"obs_date": "2018-01-17T00:00:00", "band": "g-ZTF", "mag": 17.0, "mag_err": 0.1}]


@pytest.fixture(name="service")
def _service(house: House) -> Service:
    """Follow a target in a YSE-PZ whose debug page is off."""
    house.ysepz.debug = False
    house.ysepz.add_photometry("2019np", SHELF, user="human")
    house.alerts(OBJECT, 20)
    service = house.service()
    service.state.targets.put(NP, origin="file", due_ms=0)
    return service


def until_it_rests(service: Service, *, seconds: float = 20.0) -> list[UploadOutcome]:
    """Fetch, and upload until nothing is owed or what is owed is refused."""
    ended: list[UploadOutcome] = []
    hints = service.refresh(["2019np"])
    end = time.monotonic() + seconds
    while hints or any(row.place != "refused" for row in service.state.outbox.rows(10)):
        assert time.monotonic() < end
        ended += [service.upload(each.name, each.key, each.fence, attempt=1) for each in hints]
        hints = service.drain()
        time.sleep(0.02)
    return ended


def test_a_poison_point_is_found_without_its_reason(house: House, service: Service) -> None:
    """It settles once; where the same comes again, halving finds the one point."""
    poisoned(house, "NEW.mag = 18.013")

    ended = until_it_rests(service)

    assert sum(each.state == "settling" for each in ended[:2]) > 0
    assert ended[-1].counts["refused"] == 1
    assert mags(house) == [17.0, *(18 + 0.001 * n for n in range(20) if n != 13)]
    (row,) = service.state.quarantine.list("2019np")
    assert row["source"] == "YSE-PZ"
    assert "does not say why" in row["reason"]


def test_a_server_at_fault_is_no_poison(house: House, service: Service) -> None:
    """Where each point ends so none is set aside, and all come back after the wait."""
    poisoned(house, "1")
    until_it_rests(service)
    assert service.state.quarantine.list("2019np") == []
    assert uploads(house) < 20
    (row,) = service.state.outbox.rows(10)
    assert row.place == "refused"

    healed(house)
    assert service.state.outbox.release_refused("1")
    until_it_rests(service)
    assert len(mags(house)) == 21


def test_what_fails_in_another_way_is_looked_for_in_no_point(
    house: House, service: Service
) -> None:
    """A server that goes down after its bare page is away: nothing is halved."""
    path = "^/add_transient_phot"
    house.ysepz.faults.add(
        Fault("status", path=path, times=1, status=500, body=BARE_PAGE),
        Fault("status", path=path, times=1, status=502, body=BARE_PAGE),
    )
    ended = until_it_rests(service)
    assert [each.counts for each in ended if each.counts.get("refused")] == []
    assert uploads(house) == 3
    assert len(mags(house)) == 21


def test_a_transient_that_was_deleted_is_told(house: House, service: Service) -> None:
    """Its bare page is no absence of YSE-PZ: it is looked up by its number."""
    service.locate(NP)
    with house.ysepz.store.connect() as database:
        database.run("DELETE FROM YSE_App_transient")
    (hint,) = service.refresh(["2019np"])
    ended = service.upload(hint.name, hint.key, hint.fence, attempt=1)
    assert "no transient number 1 of this name any more" in str(ended.error)
    assert service.state.resolutions.get("2019np") is None


def test_one_that_is_deleted_while_it_settles_is_told(house: House, service: Service) -> None:
    """Settling reads back as every upload does, and waits for no transient that is gone."""
    lost = Fault("drop_before", path="^/add_transient_phot", times=1)
    house.ysepz.faults.add(lost)
    (hint,) = service.refresh(["2019np"])
    ended = service.upload(hint.name, hint.key, hint.fence, attempt=1)
    assert ended.state == "settling"
    with house.ysepz.store.connect() as database:
        database.run("DELETE FROM YSE_App_transient")
    end = time.monotonic() + 10
    while ended.state == "settling" and time.monotonic() < end:
        for each in service.drain():
            ended = service.upload(each.name, each.key, each.fence, attempt=1)
        time.sleep(0.02)
    assert "no transient number 1 of this name any more" in str(ended.error)


def test_a_transient_that_is_there_is_asked_again_later(house: House, service: Service) -> None:
    """A page that fails for another reason is no deletion."""
    (hint,) = service.refresh(["2019np"])
    house.ysepz.faults.add(
        Fault("status", path="^/download_data/", times=1, status=500, body=BARE_PAGE)
    )
    ended = service.upload(hint.name, hint.key, hint.fence, attempt=1)
    assert ended.state == "retry"
    assert any(each.path == "/api/transients/1/" for each in house.ysepz.log)
    assert service.state.resolutions.get("2019np") is not None
    ended = service.upload(hint.name, hint.key, hint.fence, attempt=2)
    assert ended.state == "verified"
