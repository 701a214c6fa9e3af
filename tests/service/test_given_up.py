"""An upload that we gave up is not sent again while it may still be written."""

from __future__ import annotations

import threading
import time
from typing import Any

import requests

from yse_ingest.sandbox.faults import Fault
from yse_ingest.targets import Target

RA, DEC = 157.3415, 29.5106667


def test_both_server_workers_are_busy_when_the_client_gives_up(house: Any) -> None:
    """Its request waits in the queue, is written after all, and once only."""
    house.alerts("ZTF19aacgslb", 5)
    service = house.service()
    service.enqueue(Target("2019np"))
    house.cycle(service, "2019np")
    for day in range(5):
        house.mars.add_alert("ZTF19aacgslb", 2458530.5 + day, "g", 19.0, 0.1, RA, DEC)
    (hint,) = service.refresh(["2019np"])
    # Eight requests on two workers: 3.6 s, above the read time-out of 2 s.
    house.ysepz.faults.add(Fault("slow", path="^/get_transient", times=8, seconds=0.9))
    house.ysepz.real_cost = 1.0
    crowd = [threading.Thread(target=_ask, args=[house.ysepz.url]) for _ in range(8)]
    for each in crowd:
        each.start()
    end = time.monotonic() + 30
    while house.ysepz.state()["waiting"] < 6:
        assert time.monotonic() < end

    outcome = service.upload(hint.name, hint.key, hint.fence, attempt=1)

    assert outcome.state == "settling"
    assert len(house.ysepz.rows("2019np")) == 5
    while service.state.outbox.owed(hint.key) is not None:
        assert time.monotonic() < end
        for each in service.drain():
            service.upload(each.name, each.key, each.fence, attempt=1)
        time.sleep(0.02)
    for each in crowd:
        each.join()
    writes = [each for each in house.ysepz.log if each.path == "/add_transient_phot/"]
    assert any(each.client_gone for each in writes)
    assert len(house.ysepz.rows("2019np")) == 10


def test_what_ends_unclear_again_and_again_comes_back_less_and_less_often(house: Any) -> None:
    """Each time is looked into; between two that follow each other the wait doubles."""
    house.alerts("ZTF19aacgslb", 5)
    bare = Fault("status", path="^/add_transient_phot", times=4, status=500, body="<h1>Oh</h1>")
    house.ysepz.faults.add(bare)
    service = house.service(YSE_PZ_REQUEST_LIMIT="0.2", YSE_INGEST_SETTLE_GAP="0.05")
    service.enqueue(Target("2019np"))
    hints = service.refresh(["2019np"])
    waits_ms: list[tuple[int, int]] = []
    end = time.monotonic() + 30
    while hints or service.state.outbox.rows(1):
        assert time.monotonic() < end
        for each in hints:
            before_ms = service.state.now_ms()
            service.upload(each.name, each.key, each.fence, attempt=1)
            (row,) = service.state.outbox.rows(1) or [None]
            if row is not None and row.settle is not None and row.settle["stage"] == "ping":
                waits_ms.append((row.at_ms - service.state.now_ms(), row.at_ms - before_ms))
        hints = service.drain()

    assert len(waits_ms) == 4
    assert waits_ms[0][0] <= 0
    for (least_ms, most_ms), expected_ms in zip(waits_ms[1:], (200, 400, 800), strict=True):
        assert most_ms >= expected_ms
        assert least_ms <= 1.5 * expected_ms
    assert len(house.ysepz.rows("2019np")) == 5
    # Nothing is shown of a header that is not there yet: one point went ahead.
    assert len(house.writes()) == 6


def _ask(url: str) -> None:
    requests.get(f"{url}/get_transient/x/", auth=("othercron", "sandbox-only"), timeout=20)
