"""Shadow: everything runs beside the old jobs, and nothing but GET leaves."""

from __future__ import annotations

import copy
from typing import TYPE_CHECKING, Any

import pytest

from yse_ingest.errors import PayloadError
from yse_ingest.targets import Target

if TYPE_CHECKING:
    from collections.abc import Callable

RA, DEC = 157.3415, 29.5106667
NP = Target("2019np")
SHADOW = {"YSE_INGEST_SHADOW": "true"}
THEIRS = [
    {"obs_date": f"2019-01-{day:02d}T00:00:00.000", "band": band, "mag": 18.0, "mag_err": 0.05}
    for day, band in ((17, "g-ZTF"), (18, "r-ZTF"))
]


def test_shadow_plans_all_and_writes_nothing(house: Any) -> None:
    """New points, a correction and a creation are planned: the log of YSE-PZ has GETs alone."""
    candid = 740000000315015001
    house.alerts("ZTF19aacgslb", 5)
    house.mars.add_alert("ZTF19aacgslb", 2458530.5, "g", 19.0, 0.1, RA, DEC, candid=candid)
    house.mars.add_alert("ZTF20abc", 2458900.5, "g", 18.0, 0.1, 10.0, 5.0)
    house.push(NP)
    house.mars.update_alert(candid, magpsf=18.5)
    house.mars.add_alert("ZTF19aacgslb", 2458531.5, "g", 19.1, 0.1, RA, DEC)
    before = house.ysepz.rows("2019np")
    written = len(house.writes())
    service = house.service(**SHADOW)
    service.enqueue(NP)
    creation = {"status": "New", "obs_group": "ZTF"}
    service.enqueue(Target("2020abc", ra=10.0, dec=5.0, creation=creation))

    house.cycle(service, "2019np", "2020abc")

    assert len(house.writes()) == written
    assert house.ysepz.rows("2019np") == before
    assert house.ysepz.transients() == ["2019np"]
    receipt = service.state.receipts.last("1")
    assert (receipt["state"], receipt["requests"]) == ("shadow", 0)
    assert receipt["counts"] == {"same": 5, "planned": 2}
    assert receipt["corrections"][0]["old"]["mag"] == 19.0
    assert service.state.receipts.last("name:2020abc")["creation"] is True


def test_shadow_owes_nothing_and_asks_once(house: Any) -> None:
    """Planned once: further cycles ask YSE-PZ nothing, and the outbox stays empty."""
    house.alerts("ZTF19aacgslb", 30)
    house.ysepz.add_photometry("2019np", THEIRS)
    service = house.service(**SHADOW)
    service.enqueue(NP)
    house.cycle(service, "2019np")
    requests = len(house.ysepz.log)

    for number in range(3):
        house.mars.add_alert("ZTF19aacgslb", 2458540.5 + number, "g", 19.0, 0.1, RA, DEC)
        house.cycle(service, "2019np")

    assert len(house.ysepz.log) == requests
    assert service.state.outbox.counts()["points"] == 0
    assert len(service.state.shadow.planned("1")) == 31
    assert service.state.ledgers.get(1) is None


def test_leaving_shadow_sends_exactly_what_is_missing(house: Any) -> None:
    """What others stored during the shadow week, under any header, is not stored again."""
    house.alerts("ZTF19aacgslb", 30)
    house.ysepz.add_photometry("2019np", THEIRS[:1])
    shadow = house.service(**SHADOW)
    shadow.enqueue(NP)
    house.cycle(shadow, "2019np")
    house.ysepz.add_photometry("2019np", THEIRS[1:], obs_group="YSE")
    theirs = house.ysepz.rows("2019np")

    service = house.service()
    for _ in range(3):
        house.cycle(service, "2019np")

    rows = house.ysepz.rows("2019np")
    assert [row for row in rows if row["created_by"] == "othercron"] == theirs
    assert len(rows) == 30
    assert not service.state.shadow.targets()
    assert len(house.writes()) == 1


def test_a_target_adopted_before_is_read_back_where_something_is_to_be_sent(house: Any) -> None:
    """A row that was live before the shadow week keeps its ledger, and nothing is doubled."""
    house.alerts("ZTF19aacgslb", 4)
    live = house.service()
    live.enqueue(NP)
    house.cycle(live, "2019np")
    house.mars.add_alert("ZTF19aacgslb", 2458540.5, "g", 19.0, 0.1, RA, DEC)
    shadow = house.service(**SHADOW)
    house.cycle(shadow, "2019np")
    assert len(house.ysepz.rows("2019np")) == 4

    house.cycle(house.service(), "2019np")
    house.cycle(house.service(), "2019np")

    assert len(house.ysepz.rows("2019np")) == 5
    assert len(house.writes()) == 2


def test_a_push_in_shadow_sends_nothing(house: Any) -> None:
    """`push` is a rehearsal too, with and without a state."""
    house.alerts("ZTF19aacgslb", 4)

    result = house.push(NP, **SHADOW)

    assert (result.state, result.new, result.sent, result.done) == ("shadow", 4, 0, False)
    assert house.writes() == []


@pytest.mark.parametrize("method", ["POST", "PATCH", "PUT", "DELETE", "OPTIONS", "post"])
def test_the_gate_cannot_be_passed_by(house: Any, method: Any) -> None:
    """Neither a copy of the client, nor its connections, let anything but GET leave."""
    client = copy.copy(house.service(**SHADOW).ysepz)
    with pytest.raises(AttributeError):
        client.may_write = True

    ways: list[Callable[[], object]] = [
        lambda: client._http.send(method, "/add_transient/", content={}),
        lambda: client._http._session().request(method, f"{client.url}/add_transient/"),
    ]
    for send in ways:
        with pytest.raises(PayloadError, match="only reads"):
            send()

    assert len(house.ysepz.log) == 0
    client.ping()
