"""Stored rows that cannot be read stand for their exposures, or stop their transient."""

from __future__ import annotations

import json
from typing import TYPE_CHECKING, Any

import pytest
import requests

from yse_ingest.reconcile import Auditor
from yse_ingest.sandbox.faults import Fault
from yse_ingest.targets import Target

if TYPE_CHECKING:
    from tests.service.conftest import House
    from yse_ingest.service import Service
    from yse_ingest.upload import UploadOutcome

OBJECT = "ZTF19aacgslb"
NP = Target("2019np")


def spoil(house: House, pk: int, field: str, value: Any) -> None:
    """Write into YSE-PZ's database what no column of it should hold."""
    with house.ysepz.store.connect() as database:
        database.run(
            f"UPDATE YSE_App_transientphotdata SET {field} = ? WHERE id = ?",
            [value, pk],
        )


def stored(house: House, *, count: int = 4) -> Service:
    house.alerts(OBJECT, count)
    service = house.service()
    service.enqueue(NP)
    house.cycle(service, "2019np")
    assert len(house.ysepz.rows("2019np")) == count
    return service


def audited(service: Service) -> UploadOutcome:
    hint = Auditor(service).claim("1", NP, early=True)
    assert hint is not None
    return service.upload(hint.name, hint.key, hint.fence, attempt=1)


def shown(house: House) -> dict[str, Any]:
    """Return what YSE-PZ shows of 2019np."""
    answer = requests.get(
        f"{house.ysepz.url}/download_data/2019np/", auth=("ingest", "sandbox-only"), timeout=5
    )
    reply: dict[str, Any] = answer.json()
    return reply


@pytest.mark.parametrize("known", [True, False])
def test_a_row_without_values_is_not_sent_again(house: House, known: bool) -> None:
    """With the ledger or without: no request writes, and the row is nobody's to correct."""
    service = stored(house)
    pk = house.ysepz.rows("2019np")[1]["pk"]
    spoil(house, pk, "mag", "bright")
    before = len(house.writes())
    if known:
        assert audited(service).state == "audited"
    else:
        service.state.ledgers.drop_all()
    service.state.clocks.forget("2019np", "mars")
    house.cycle(service, "2019np")
    assert house.push(NP).state == "verified"

    assert len(house.writes()) == before
    if known:
        found = service.state.audits.found("1")
        assert (found["ours"], found["changed"]) == (3, 1)


def test_a_row_without_an_owner_is_not_gone(house: House) -> None:
    """Who wrote it is what the ledger knows: nothing is gone, and nobody is named for it."""
    service = stored(house)
    reply = shown(house)
    reply["2019np"]["photometry"][0]["data"][1]["fields"]["created_by"] = None
    fault = Fault("status", path="download_data", status=200, body=json.dumps(reply))
    house.ysepz.faults.add(fault)
    before = len(house.writes())

    assert audited(service).state == "audited"

    assert service.state.tombstones.transients() == []
    assert service.state.audits.writers() == []
    assert "gone" not in service.state.audits.found("1")
    house.ysepz.faults.clear()
    assert audited(service).state == "audited"
    found = service.state.audits.found("1")
    assert (found["ours"], len(house.writes())) == (4, before)


def test_a_row_without_a_time_stops_its_transient(house: House) -> None:
    """Nothing is sent and nothing noted as gone until a person has corrected the row."""
    service = stored(house)
    pk = house.ysepz.rows("2019np")[1]["pk"]
    time = house.ysepz.rows("2019np")[1]["obs_date"]
    spoil(house, pk, "obs_date", "someday.0")
    before = len(house.writes())
    house.mars.add_alert(OBJECT, 2458600.5, "g", 19.0, 0.1, 157.3415, 29.5106667)
    service.state.audits.want("1")
    service.state.clocks.forget("2019np", "mars")

    (hint,) = service.refresh(["2019np"])
    outcome = service.upload(hint.name, hint.key, hint.fence, attempt=1)

    assert outcome.state == "refused"
    assert f"stored row {pk} of ZTF-Cam cannot be read: obs_date" in str(outcome.error)
    (row,) = service.state.outbox.rows(10)
    assert (row.place, row.points) == ("refused", 1)
    assert f"stored row {pk}" in str(row.reason)
    assert house.push(NP).state == "failed"
    assert len(house.writes()) == before
    assert service.state.tombstones.transients() == []

    spoil(house, pk, "obs_date", time)
    service.state.outbox.release_refused("1")
    (hint,) = service.drain()
    assert service.upload(hint.name, hint.key, hint.fence, attempt=1).state == "verified"
    assert len(house.ysepz.rows("2019np")) == 5


def test_what_was_unclear_stays_so_through_a_refusal(house: House) -> None:
    """A row that was settling goes on settling: its points are not sent unread afterwards."""
    service = stored(house)
    pk = house.ysepz.rows("2019np")[1]["pk"]
    time = house.ysepz.rows("2019np")[1]["obs_date"]
    house.ysepz.faults.add(Fault("drop_after", path="add_transient_phot", times=1))
    house.mars.add_alert(OBJECT, 2458600.5, "g", 19.0, 0.1, 157.3415, 29.5106667)
    (hint,) = service.refresh(["2019np"])
    assert service.upload(hint.name, hint.key, hint.fence, attempt=1).state == "settling"
    before = len(house.writes())
    spoil(house, pk, "obs_date", "someday.0")

    outcomes = settled(service)
    assert outcomes[-1] == "refused"
    spoil(house, pk, "obs_date", time)
    service.state.outbox.release_refused("1")
    outcomes = settled(service)

    assert outcomes[-1] in {"verified", "audited"}
    assert "settling" in outcomes
    assert len(house.writes()) == before
    assert len(house.ysepz.rows("2019np")) == 5


def settled(service: Service) -> list[str]:
    """Upload whatever is due until nothing waits; return how each ended."""
    outcomes: list[str] = []
    while service.state.outbox.counts()["due"]:
        for hint in service.drain():
            done = service.upload(hint.name, hint.key, hint.fence, attempt=1)
            outcomes.append(done.state)
    return outcomes


def test_a_point_that_cannot_be_read_is_not_proven(house: House) -> None:
    """It was accepted and something stands there: the receipt does not say verified."""
    house.alerts(OBJECT, 3)
    assert house.push(NP).state == "verified"
    reply = shown(house)
    reply["2019np"]["photometry"][0]["data"][1]["fields"]["mag"] = "bright"
    with house.ysepz.store.connect() as database:
        database.run("DELETE FROM YSE_App_transientphotdata", [])
    body = json.dumps(reply)
    house.ysepz.faults.add(
        Fault("status", path="download_data", status=200, body=body, after_skip=1, times=1)
    )

    result = house.push(NP)

    assert (result.state, result.sent, result.verified) == ("accepted", 3, 2)
    assert result.done
