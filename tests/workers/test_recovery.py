"""kill -9 and a restart of the broker: afterwards each point is stored exactly once."""

from __future__ import annotations

from collections import Counter
from typing import TYPE_CHECKING

from yse_ingest.sandbox.faults import Fault

if TYPE_CHECKING:
    from collections.abc import Callable

    from tests.workers.conftest import Service


def each_once(service: Service, name: str) -> bool:
    """Tell whether every published detection stands once."""
    rows = Counter((row["band"], row["obs_date"]) for row in service.ysepz.rows(name))
    return set(rows.values()) == {1} and len(rows) == service.published(name)


def test_a_worker_killed_in_mid_upload_and_a_broker_restart_double_nothing(
    service: Service, until: Callable[..., float]
) -> None:
    """The upload worker dies while YSE-PZ works on its request, then the broker dies too."""
    name = next(iter(service.supernovae))
    service.know(name)
    service.worker("fetch", "fetch", "control")
    upload = service.worker("upload", "upload")
    service.celery("beat")
    # Executed although its client is gone: the points get stored, nobody hears of it.
    service.ysepz.faults.add(Fault("slow", path="^/add_transient_phot", times=1, seconds=1.0))
    service.python(f"from workers import enqueue_target; enqueue_target('{name}')")
    until(lambda: not service.ysepz.state()["faults"], what="YSE-PZ works on the upload")
    upload.kill()
    service.redis.kill()
    service.redis.start()
    again = service.worker("upload2", "upload")
    until(lambda: each_once(service, name) and "state=verified" in again.text, within=60)
    assert each_once(service, name)
