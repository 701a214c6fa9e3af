"""One bad point stops only itself: found, set aside with its reason, released or rejected."""

from __future__ import annotations

import time
from typing import TYPE_CHECKING

from yse_ingest.reconcile import Auditor
from yse_ingest.sandbox.faults import Fault
from yse_ingest.targets import Target

if TYPE_CHECKING:
    from tests.service.conftest import House
    from yse_ingest.service import Service

NP, OBJECT = Target("2019np"), "ZTF19aacgslb"
RA, DEC, CANDID = 157.3415, 29.5106667, 740000000315015001
POISON = (
    "CREATE TRIGGER poison BEFORE INSERT ON YSE_App_transientphotdata WHEN {} "
    "BEGIN SELECT RAISE(ABORT, 'FOREIGN KEY constraint failed'); END"
)


def poisoned(house: House, condition: str) -> None:
    """Make YSE-PZ end with a 500 in mid-request at points of this kind."""
    with house.ysepz.store.connect() as database:
        database.run(POISON.format(condition))


def healed(house: House) -> None:
    with house.ysepz.store.connect() as database:
        database.run("DROP TRIGGER poison")


def cured(house: House, service: Service) -> None:
    """Fetch everything again, and upload what is owed."""
    service.state.clocks.forget("2019np", "mars")
    house.cycle(service, "2019np")


def uploads(house: House) -> int:
    return sum("add_transient_phot" in path for path in house.writes())


def mags(house: House) -> list[float]:
    return sorted(row["mag"] for row in house.ysepz.rows("2019np"))


def test_a_poison_point_is_found_and_the_rest_is_stored(house: House) -> None:
    """Halving finds the one point that YSE-PZ ends at; the other nineteen stand, once each."""
    house.alerts(OBJECT, 20)
    poisoned(house, "NEW.mag = 18.013")
    service = house.service()
    service.enqueue(NP)
    (hint,) = service.refresh(["2019np"])

    outcome = service.upload(hint.name, hint.key, hint.fence, attempt=1)

    assert outcome.state == "refused"
    assert outcome.counts == {"verified": 19, "refused": 1}
    assert mags(house) == [18 + 0.001 * n for n in range(20) if n != 13]
    (row,) = service.state.quarantine.list("2019np")
    assert row["source"] == "YSE-PZ"
    assert "IntegrityError" in row["reason"]
    assert service.state.outbox.owed(hint.key) is None


def test_a_poison_point_is_not_sent_again_until_released(house: House) -> None:
    """Quiet cycles leave it alone; `release` tries it once more; new values do so by itself."""
    house.alerts(OBJECT, 3)
    house.mars.add_alert(OBJECT, 2458530.5, "g", 19.0, 0.1, RA, DEC, candid=CANDID)
    poisoned(house, "NEW.mag = 19.0")
    service = house.service()
    service.enqueue(NP)
    house.cycle(service, "2019np")
    assert len(mags(house)) == 3
    sent = uploads(house)
    cured(house, service)
    assert uploads(house) == sent

    assert service.state.quarantine.release("2019np", str(CANDID)) == 1
    cured(house, service)
    assert uploads(house) == sent + 1
    assert len(service.state.quarantine.list("2019np")) == 1

    house.mars.update_alert(CANDID, magpsf=18.9)
    cured(house, service)
    assert len(mags(house)) == 4


def test_a_rejected_row_is_never_sent(house: House) -> None:
    """Rejected for good outlives fetches in full and FLUSHALL, and spares what is owed."""
    house.alerts(OBJECT, 3)
    house.mars.add_alert(OBJECT, 2458530.5, "g", 19.0, 0.1, RA, DEC, candid=CANDID)
    service = house.service()
    service.enqueue(NP)
    hints = service.refresh(["2019np"])
    service.state.quarantine.reject("2019np", str(CANDID), "satellite trail")
    for hint in hints:
        service.upload(hint.name, hint.key, hint.fence, attempt=1)
    assert len(mags(house)) == 3
    cured(house, service)
    service.state._connection.call("FLUSHALL")

    again = house.service()
    again.enqueue(NP)
    again.listen()
    again.state._connection.call("DEL", again.state._quiet)
    house.cycle(again, "2019np")
    assert len(mags(house)) == 3

    assert again.state.quarantine.release("2019np", str(CANDID)) == 1
    cured(house, again)
    assert len(mags(house)) == 4


def test_a_server_that_refuses_everything_is_not_the_points_fault(house: House) -> None:
    """Where every point is refused the row waits as refused, and no point is set aside."""
    house.alerts(OBJECT, 20)
    poisoned(house, "1")
    service = house.service()
    service.enqueue(NP)
    house.cycle(service, "2019np")
    assert service.state.quarantine.list("2019np") == []
    assert uploads(house) < 20
    healed(house)

    assert service.state.outbox.release_refused("1")
    for hint in service.drain():
        service.upload(hint.name, hint.key, hint.fence, attempt=1)

    assert len(mags(house)) == 20


def test_poison_points_side_by_side_are_not_the_servers_fault(house: House) -> None:
    """Where the first ones are all bad, those behind them are stored all the same."""
    house.alerts(OBJECT, 10)
    poisoned(house, "NEW.mag < 18.0025")
    service = house.service()
    service.enqueue(NP)
    house.cycle(service, "2019np")

    assert len(mags(house)) == 7
    assert len({row["native_id"] for row in service.state.quarantine.list("2019np")}) == 3


def test_a_poison_point_delays_no_other_target(house: House) -> None:
    """The other target of the batch is stored in the same cycle."""
    house.alerts(OBJECT, 4)
    house.ysepz.add_transient("2020abc", 10.0, 5.0)
    house.mars.add_alert("ZTF20abc", 2458900.5, "g", 17.0, 0.1, 10.0, 5.0)
    poisoned(house, "NEW.mag = 18.001")
    service = house.service()
    service.enqueue(NP)
    service.enqueue(Target("2020abc"))

    house.cycle(service, "2019np", "2020abc")

    assert len(mags(house)) == 3
    assert len(house.ysepz.rows("2020abc")) == 1
    assert Auditor(service).key("2019np") == "1"


def test_a_point_refused_by_a_fault_of_the_server_is_not_lost(house: House) -> None:
    """One point owed, one page of a mail server that is down: it is stored later, by itself."""
    house.alerts(OBJECT, 3)
    service = house.service(YSE_INGEST_REFUSED_WAIT="0.5")
    service.enqueue(NP)
    house.cycle(service, "2019np")
    house.mars.add_alert(OBJECT, 2458530.5, "g", 19.0, 0.1, RA, DEC)
    page = (
        "<title>ConnectionRefusedError at /add_transient_phot/</title>"
        '<pre class="exception_value">[Errno 111] Connection refused</pre>'
    )
    fault = Fault("status", path="^/add_transient", status=500, body=page, times=1)
    house.ysepz.faults.add(fault)
    house.cycle(service, "2019np")
    assert len(mags(house)) == 3

    deadline = time.monotonic() + 20
    while len(mags(house)) < 4 and time.monotonic() < deadline:
        house.cycle(service, "2019np")

    assert len(mags(house)) == 4
    assert service.state.quarantine.list("2019np") == []


def test_a_poison_point_is_tried_again_less_and_less_often(house: House) -> None:
    """Each refusal doubles its wait, and a quiet target is not read in full for it for ever."""
    house.alerts(OBJECT, 3)
    house.mars.add_alert(OBJECT, 2458530.5, "g", 19.0, 0.1, RA, DEC, candid=CANDID)
    poisoned(house, "NEW.mag = 19.0")
    service = house.service(YSE_INGEST_REFUSED_WAIT="0.2")
    service.enqueue(NP)
    waits = []
    for _ in range(4):
        house.cycle(service, "2019np")
        refusal = service.state.quarantine.refusals("2019np")[str(CANDID)]
        waits.append(refusal.until_ms - service.state.now_ms())
        deadline = time.monotonic() + 20
        while service.state.quarantine.refused("2019np") and time.monotonic() < deadline:
            time.sleep(0.02)

    assert refusal.times == 4
    assert waits[3] > 3 * waits[1]
    service.state.quarantine.reject("2019np", str(CANDID), "it will not go")
    house.cycle(service, "2019np")
    read_ms = service.state.clocks.get("2019np")["mars"].detail["full_read_ms"]
    assert service.state.quarantine.refusals("2019np")[str(CANDID)].until_ms < read_ms
    assert not service.state.quarantine.retries("2019np", since_ms=read_ms)
