"""A Redis that lost its last second leads to no second row, however slow YSE-PZ is."""

from __future__ import annotations

import os
import threading
import time
from typing import TYPE_CHECKING, Any

import requests

from yse_ingest.sandbox.faults import Fault
from yse_ingest.state.embedded import EmbeddedRedis
from yse_ingest.targets import Target

if TYPE_CHECKING:
    from pathlib import Path

RA, DEC = 157.3415, 29.5106667


def test_a_request_in_ysepzs_queue_is_not_sent_again_beside_itself(
    house: Any, tmp_path: Path
) -> None:
    """A power cut takes the claim back while its request waits behind two busy workers."""
    with EmbeddedRedis(tmp_path / "redis") as redis:
        house.redis = redis
        house.alerts("ZTF19aacgslb", 5)
        service = house.service()
        service.enqueue(Target("2019np"))
        house.cycle(service, "2019np")
        for day in range(5):
            house.mars.add_alert("ZTF19aacgslb", 2458530.5 + day, "g", 19.0, 0.1, RA, DEC)
        (hint,) = service.refresh(["2019np"])
        assert service.state.outbox.release(hint.key, hint.fence)
        (log,) = (tmp_path / "redis" / "appendonlydir").glob("*.incr.aof")
        flushed = log.stat().st_size

        # Four requests of other people on two server workers: 1.8 s, above the request limit.
        house.ysepz.faults.add(Fault("slow", path="^/get_transient", times=4, seconds=0.9))
        house.ysepz.real_cost = 1.0
        crowd = [threading.Thread(target=_ask, args=[house.ysepz.url]) for _ in range(4)]
        for each in crowd:
            each.start()
        _until(lambda: house.ysepz.state()["waiting"] == 2)
        (hint,) = service.drain()
        upload = threading.Thread(target=_upload, args=[service, hint])
        upload.start()
        _until(lambda: house.ysepz.state()["waiting"] == 3)
        redis.kill()
        os.truncate(log, flushed)
        redis.start()

        # A worker with its vocabulary at hand asks YSE-PZ nothing before it sends.
        while service.state.outbox.owed(hint.key) is not None:
            for each in service.drain():
                service.upload(each.name, each.key, each.fence, attempt=1)
            time.sleep(0.02)
        for each in (upload, *crowd):
            each.join()
        assert len(house.ysepz.rows("2019np")) == 10


def _ask(url: str) -> None:
    requests.get(f"{url}/get_transient/x/", auth=("othercron", "sandbox-only"), timeout=20)


def _upload(service: Any, hint: Any) -> None:
    service.upload(hint.name, hint.key, hint.fence, attempt=1)


def _until(true: Any) -> None:
    end = time.monotonic() + 20
    while not true():
        assert time.monotonic() < end
        time.sleep(0.01)
