"""A row of ours that holds other values than those sent is told, and waits for its turn."""

from __future__ import annotations

from dataclasses import replace
from typing import TYPE_CHECKING, Any

import pytest

from yse_ingest.pipeline import deliver, fetch_light_curve, plan_upload
from yse_ingest.planning import Correction
from yse_ingest.targets import Target

if TYPE_CHECKING:
    from tests.service.conftest import House
    from yse_ingest.service import Service
    from yse_ingest.upload import UploadOutcome

OBJECT = "ZTF19aacgslb"
RA, DEC = 157.3415, 29.5106667
NP = Target("2019np")
CANDID = 740000000315015001


def corrected(house: House, service: Service, mag: float) -> list[UploadOutcome]:
    """Let the source change its one value; return how each upload ended that was due then."""
    house.mars.update_alert(CANDID, magpsf=mag)
    service.state.clocks.forget("2019np", "mars")
    ended: list[UploadOutcome] = []
    hints = service.refresh(["2019np"])
    while hints and len(ended) < 5:
        ended += [service.upload(each.name, each.key, each.fence, attempt=1) for each in hints]
        hints = service.drain()
    return ended


def stored(house: House, target: Target = NP) -> Service:
    """Return a service that has sent one point of 19.0 mag."""
    service = house.service()
    service.state.targets.put(target, origin="file", due_ms=0)
    house.mars.add_alert(OBJECT, 2458530.5, "g", 19.0, 0.02, RA, DEC, candid=CANDID)
    house.cycle(service, "2019np")
    return service


def spoil(house: House) -> None:
    """Let the database of YSE-PZ store 18.7 mag where 18.5 is sent."""
    with house.ysepz.store.connect() as database:
        database.run(
            "CREATE TRIGGER spoil AFTER UPDATE ON YSE_App_transientphotdata "
            "WHEN NEW.mag = 18.5 BEGIN "
            "UPDATE YSE_App_transientphotdata SET mag = 18.7 WHERE id = NEW.id; END"
        )


def patches(house: House) -> int:
    return sum(each.method == "PATCH" for each in house.ysepz.log)


def values(house: House) -> dict[str, Any]:
    (row,) = house.ysepz.rows("2019np")
    return row


def test_a_flux_in_jansky_follows_its_magnitude(house: House) -> None:
    """A correction of 0.01 mag changes the flux beside it, however small its unit."""
    target = Target("2019np", overrides={"flux_zero_point": 8.9})
    service = stored(house, target)
    before = values(house)
    (ended,) = corrected(house, service, 18.99)
    assert (ended.state, ended.counts) == ("verified", {"corrected": 1})
    after = values(house)
    assert after["mag"] == 18.99
    assert after["flux"] == pytest.approx(before["flux"] * 10**0.004)
    assert after["flux_err"] == pytest.approx(before["flux_err"] * 10**0.004)


def test_an_altered_row_is_told_and_waits(house: House) -> None:
    """It is not sent again at once; the error names row, field and both values."""
    service = stored(house)
    spoil(house)
    (ended,) = corrected(house, service, 18.5)
    assert (ended.state, ended.counts) == ("refused", {"altered": 1})
    for part in ("row 1 holds mag 18.7 where 18.5 was sent", "administrator", "2019np"):
        assert part in str(ended.error)
    assert patches(house) == 1
    (row,) = service.state.outbox.rows(10)
    assert (row.place, row.attempts) == ("refused", 1)
    assert "holds mag 18.7" in str(row.reason)


def test_an_altered_row_is_corrected_at_its_next_turn(house: House) -> None:
    """It is no edit of a person, nor is it called done: it is compared and changed again."""
    service = stored(house)
    spoil(house)
    corrected(house, service, 18.5)
    for sent in (2, 3):
        assert service.state.outbox.release_refused("1")
        for hint in service.drain():
            service.upload(hint.name, hint.key, hint.fence, attempt=1)
        assert patches(house) == sent
        (row,) = service.state.outbox.rows(10)
        assert (row.place, row.attempts) == ("refused", 1)
    with house.ysepz.store.connect() as database:
        database.run("DROP TRIGGER spoil")
    assert service.state.outbox.release_refused("1")
    for hint in service.drain():
        service.upload(hint.name, hint.key, hint.fence, attempt=1)
    assert service.state.outbox.rows(10) == []
    assert values(house)["mag"] == 18.5
    assert service.state.audits.found("1")["ours"] == 1


def test_nothing_is_sent_where_nothing_can_be_corrected(house: House) -> None:
    """A correction without a field is no request: it is told as altered."""
    service = stored(house)
    client, transient = service.ysepz, service.locate(NP)
    assert transient is not None
    fetched = fetch_light_curve(NP.at(RA, DEC), service.source("mars"))
    plan = plan_upload(
        fetched.curve,
        transient,
        rules=fetched.rules,
        gaps=fetched.gaps,
        tolerance_ms=fetched.tolerance_ms,
        account=client.account.username,
        vocabulary=client.vocabulary(),
        stored=client.read_back(transient.slug),
    )
    empty = Correction(row=0, pk=values(house)["pk"], changes={}, old={})
    receipt = deliver(replace(plan, corrections=(empty,)), client)
    assert patches(house) == 0
    assert (receipt.state, receipt.outcome) == ("refused", ["altered"])
    assert "holds values that cannot be corrected" in str(receipt.error)
