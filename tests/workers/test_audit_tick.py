"""The rolling audit on a real worker: the tick's message leads to one read-back."""

from __future__ import annotations

from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from collections.abc import Callable

    from tests.workers.conftest import Service


def test_a_tick_reads_the_oldest_proof_back(
    service: Service, until: Callable[..., float]
) -> None:
    """An edit by another account is found by the tick, told, and left as it is."""
    service.env |= {"YSE_INGEST_AUDIT_AGE": "0.001", "YSE_INGEST_AUDIT_SHARE": "1"}
    worker = service.worker("everything")
    service.know("2019np")
    service.python("from workers import enqueue_target; enqueue_target('2019np')")
    until(lambda: "state=verified" in worker.text)
    service.ysepz.set_flag(service.ysepz.rows("2019np")[0]["pk"], "Bad", "human")
    before = service.ysepz.rows("2019np")

    service.python("from workers.dispatch import audit; audit.delay()")

    until(lambda: "state=audited" in worker.text)
    assert service.ysepz.rows("2019np") == before
    found = service.python(
        "from workers.resources import service; print(service().state.audits.found('1'))"
    )
    assert "'changed': 1" in found
    assert "'ours': 32" in found
