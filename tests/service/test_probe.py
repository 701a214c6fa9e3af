"""While YSE-PZ is down, one probe at a time asks whether it is back."""

from __future__ import annotations

import time
from typing import Any

from yse_ingest.sandbox.faults import Fault
from yse_ingest.targets import Target


def test_a_probe_does_not_try_again_beside_the_next_one(house: Any) -> None:
    """Celery's own retries end with the opening of the breaker: its clock alone decides."""
    house.alerts("ZTF19aacgslb", 2)
    service = house.service(YSE_INGEST_PROBE_WAIT="0.1", YSE_INGEST_OWED_WAIT="0.05")
    service.enqueue(Target("2019np"))
    (hint,) = service.refresh(["2019np"])
    house.ysepz.faults.add(Fault("status", status=503))
    retries = []
    for attempt in (1, 2, 3, 4):
        outcome = service.upload(hint.name, hint.key, hint.fence, attempt=attempt)
        retries.append(outcome.retry_in is not None)
    assert retries == [True, True, True, False]
    probes: list[bool] = []
    while len(probes) < 3:
        for each in service.drain():
            outcome = service.upload(each.name, each.key, each.fence, attempt=1)
            probes.append(service.state.outbox.breaker()["open"] and outcome.retry_in is None)
        time.sleep(0.02)
    assert probes == [True, True, True]
