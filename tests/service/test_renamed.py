"""A transient that people or TNS rename in YSE-PZ goes on as the same target."""

from __future__ import annotations

from typing import TYPE_CHECKING

import pytest

from yse_ingest.reconcile import Auditor
from yse_ingest.sandbox.faults import Fault
from yse_ingest.state.resolutions import KEEP_S
from yse_ingest.targets import Target

if TYPE_CHECKING:
    from tests.service.conftest import House
    from yse_ingest.service import Service

RA, DEC = 157.3415, 29.5106667
OLD, NEW = "ZTF19aacgslb", "2019zz"


@pytest.fixture(name="service")
def _service(house: House) -> Service:
    """One target with three points in YSE-PZ, whose look-up is kept."""
    house.ysepz.add_transient(OLD, RA + 1.0, DEC)
    for day in range(3):
        alert(house, day)
    service = house.service()
    service.enqueue(Target(OLD))
    house.cycle(service, OLD)
    assert len(house.ysepz.rows(OLD)) == 3
    return service


def alert(house: House, day: int) -> None:
    house.mars.add_alert(OLD, 2458500.5 + day, "g", 18.0, 0.05, RA + 1.0, DEC)


def renamed(house: House, *, slug: str) -> None:
    with house.ysepz.store.connect() as database:
        pk = database.named("transient", OLD)[0]["id"]
        database.update("transient", [pk], {"name": NEW, "slug": slug})


def known_as(service: Service) -> str:
    found = service.locate(Target(OLD))
    assert found is not None
    return found.name


@pytest.mark.parametrize("slug", ["2019zz", "ztf19aacgslb"], ids=["new-slug", "old-slug"])
def test_a_renamed_transient_gets_its_points_at_once(
    house: House, service: Service, slug: str
) -> None:
    """The refusal of the old name has it looked up by its number, and nothing is owed."""
    renamed(house, slug=slug)
    alert(house, 3)

    house.cycle(service, OLD)

    assert len(house.ysepz.rows(NEW)) == 4
    assert service.state.outbox.rows(10) == []
    assert known_as(service) == NEW
    written = len(house.writes())
    house.cycle(service, OLD)
    assert len(house.writes()) == written


@pytest.mark.parametrize("slug", ["2019zz", "ztf19aacgslb"], ids=["new-slug", "old-slug"])
def test_a_read_back_shows_the_new_name(house: House, service: Service, slug: str) -> None:
    """Whoever reads back first learns of it there, and nothing is taken for gone."""
    renamed(house, slug=slug)
    hint = Auditor(service).claim("2", Target(OLD))
    assert hint is not None

    assert service.upload(hint.name, hint.key, hint.fence, attempt=1).state == "audited"

    assert known_as(service) == NEW
    alert(house, 3)
    house.cycle(service, OLD)
    assert len(house.ysepz.rows(NEW)) == 4
    assert [each.status for each in house.ysepz.log if each.method == "POST"] == [200, 200]


def test_a_number_that_was_given_anew_is_not_believed(house: House, service: Service) -> None:
    """After a set-back another thing may have the number: neither name nor place are ours."""
    with house.ysepz.store.connect() as database:
        database.run("DELETE FROM YSE_App_transient WHERE id = ?", [2])
    with house.ysepz.store.connect() as database:
        database.run("DELETE FROM sqlite_sequence WHERE name = 'YSE_App_transient'", [])
    assert house.ysepz.add_transient("2026zz", 20.0, 10.0) == 2
    alert(house, 3)

    house.cycle(service, OLD)

    assert house.ysepz.rows("2026zz") == []
    (row,) = service.state.outbox.rows(10)
    assert row.place == "refused"
    assert "number 2 of this name any more" in str(row.reason)
    assert service.state.resolutions.get(OLD) is None


@pytest.mark.parametrize("number", [2, 3], ids=["known-number", "other-number"])
def test_nothing_goes_to_another_transient_that_has_the_name_now(
    house: House, service: Service, number: int
) -> None:
    """A look-up of an hour ago is made again by number: points cannot be taken back."""
    if number == 2:
        renamed(house, slug="2019zz")
    else:
        with house.ysepz.store.connect() as database:
            database.run("DELETE FROM YSE_App_transient WHERE id = 2", [])
    assert house.ysepz.add_transient(OLD, 20.0, 10.0) == 3
    known = service.state.resolutions.get(OLD)
    assert known is not None
    service.state.resolutions.put(OLD, known, keep_s=KEEP_S - 3601)
    alert(house, 3)

    house.cycle(service, OLD)

    assert house.ysepz.rows(OLD) == []
    if number == 2:
        assert len(house.ysepz.rows(NEW)) == 4
    else:
        (row,) = service.state.outbox.rows(10)
        assert "number 2 of this name any more" in str(row.reason)


def test_a_recent_look_up_is_not_made_again(house: House, service: Service) -> None:
    """A new point costs YSE-PZ one request."""
    alert(house, 3)
    requests = len(house.ysepz.log)

    house.cycle(service, OLD)

    assert [each.path for each in list(house.ysepz.log)[requests:]] == ["/add_transient_phot/"]


def test_a_name_that_somebody_stored_with_a_blank_at_its_end(house: House) -> None:
    """It is the same name to YSE-PZ's database, and its row stays as it is."""
    house.ysepz.add_transient("2019bl ", 20.0, 10.0)
    house.mars.add_alert("ZTF19blank", 2458500.5, "g", 18.0, 0.05, 20.0, 10.0)
    before = house.ysepz.transient_row("2019bl")

    assert house.push(Target("2019bl")).state == "verified"

    assert house.ysepz.transient_row("2019bl") == before
    assert before["name"] == "2019bl "


def rename_status(house: House, new: str) -> None:
    """Give the status of every transient another name, as an administrator does."""
    with house.ysepz.store.connect() as database:
        (row,) = database.named("transientstatus", "Following")
        database.update("transientstatus", [row["id"]], {"name": new})


def status_of(service: Service) -> str | None:
    kept = service.state.resolutions.get(OLD)
    return None if kept is None else kept["status"]


def looked_up(house: House) -> bool:
    return any(each.path == "/api/transients/2/" for each in house.ysepz.log)


def test_a_renamed_status_is_looked_up_again_once(house: House, service: Service) -> None:
    """The refusal names the status: the same points go at once, under its new name."""
    rename_status(house, "Followed")
    alert(house, 3)
    written = len(house.writes())

    house.cycle(service, OLD)

    assert len(house.ysepz.rows(OLD)) == 4
    assert len(house.writes()) - written == 2
    assert service.state.outbox.rows(10) == []
    assert status_of(service) == "Followed"


def test_the_status_sent_is_that_of_the_read_back(house: House, service: Service) -> None:
    """Whoever reads back first sends what stands there, whatever the look-up said."""
    rename_status(house, "Followed")
    service.state.ledgers.drop_all()
    alert(house, 3)
    written = len(house.writes())

    house.cycle(service, OLD)

    assert len(house.ysepz.rows(OLD)) == 4
    assert len(house.writes()) - written == 1


def test_a_status_that_stays_unknown_is_refused_once(house: House, service: Service) -> None:
    """It is looked up; where that says the same, the points are not sent a second time."""
    body = '{"message": "status Following is not in DB"}'
    house.ysepz.faults.add(Fault("status", path="/add_transient_phot/", status=200, body=body))
    alert(house, 3)
    written = len(house.writes())
    assert not looked_up(house)

    house.cycle(service, OLD)

    assert looked_up(house)
    assert len(house.writes()) - written == 1
    (row,) = service.state.outbox.rows(10)
    assert row.place == "refused"
    assert "status Following is not in DB" in str(row.reason)


def test_a_look_up_without_a_status_is_made_again(house: House, service: Service) -> None:
    """A status that was too new for the list of them is no reason to refuse for days."""
    kept = service.state.resolutions.get(OLD)
    assert kept is not None
    service.state.resolutions.put(OLD, {**kept, "status": None})
    alert(house, 3)

    house.cycle(service, OLD)

    assert len(house.ysepz.rows(OLD)) == 4
    assert status_of(service) == "Following"
