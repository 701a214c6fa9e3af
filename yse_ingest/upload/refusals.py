"""Refusals: points that YSE-PZ refused by themselves, until it takes them."""

from __future__ import annotations

from typing import TYPE_CHECKING

from yse_ingest.pipeline import Outcome

if TYPE_CHECKING:
    from yse_ingest.pipeline import Receipt
    from yse_ingest.upload.work import Work

REFUSED_BY_YSEPZ = "YSE-PZ"
"""The source noted in quarantine for points that YSE-PZ itself refused."""
_HELD = (
    Outcome.ACCEPTED,
    Outcome.VERIFIED,
    Outcome.SAME,
    Outcome.ADOPTED,
    Outcome.ELSEWHERE,
    Outcome.DIFFERS,
)


def quarantine_refused(work: Work, target_name: str, receipt: Receipt) -> None:
    """Set aside the points that YSE-PZ refused by themselves, so that the rest goes on."""
    rows = receipt.rows(Outcome.REFUSED)
    if not len(rows):
        return
    curve = receipt.plan.curve.take(rows)
    values = dict(
        zip(curve.native_id.tolist(), map(str, curve.value_hash.tolist()), strict=True)
    )
    work.state.quarantine.refuse(target_name, values, wait_s=work.settings.refused_wait_s)
    work.state.quarantine.put(
        target_name,
        [
            {
                "native_id": native_id,
                "field": "point",
                "value": value,
                "reason": str(receipt.error),
                "source": REFUSED_BY_YSEPZ,
                "raw": "",
            }
            for native_id, value in values.items()
        ],
    )


def release_taken(work: Work, target_name: str, receipt: Receipt) -> None:
    """Forget the refusal of points that YSE-PZ holds by now."""
    refusals = work.state.quarantine.refusals(target_name)
    if not refusals:
        return
    held = receipt.rows(*_HELD)
    for native_id in refusals.keys() & set(receipt.plan.curve.native_id[held].tolist()):
        work.state.quarantine.release(target_name, native_id)
