"""Settling: what YSE-PZ holds after an outcome that nobody saw, before anything is sent."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

from yse_ingest.clients import CREATION_KEY

if TYPE_CHECKING:
    from collections.abc import Callable

    from yse_ingest.upload.work import Work
    from yse_ingest.ysepz import ReadBack


def settle(
    work: Work, stage: dict[str, Any], read_back: Callable[[], ReadBack]
) -> tuple[bool, ReadBack | None]:
    """Take one step of settling; True when it is known what YSE-PZ holds.

    (1) a cheap GET is answered; (2) then wait until the server must have ended the request:
    an answer alone is no proof, the other worker may still be writing (measured 2026-11:
    3 of 4 early repeats stored points twice); (3) two equal read-backs. ``bare`` goes with it:
    the request failed at once, on a page without a reason.
    """
    settings = work.settings
    bare = {"bare": True} if stage.get("bare") else {}
    if stage.get("stage") == "ping":
        work.client.ping()
        wait = max(settings.request_limit_s, 3 * float(stage.get("seconds", 0.0)))
        _back_to_settle(work, {**bare, "stage": "compare"}, wait_s=wait)
        return False, None
    stored, digest = _look(work, read_back)
    if digest == stage.get("digest"):
        return True, stored
    again = {**bare, "stage": "compare", "digest": digest}
    _back_to_settle(work, again, wait_s=settings.settle_gap_s)
    return False, None


def _look(work: Work, read_back: Callable[[], ReadBack]) -> tuple[ReadBack | None, str]:
    if work.key.startswith(CREATION_KEY):
        found = work.client.transient_by_name(work.name)
        return None, f"transient {found.pk if found else None}"
    stored = read_back()
    return stored, stored.digest


def _back_to_settle(work: Work, stage: dict[str, Any], *, wait_s: float) -> None:
    """Put the row back until the next step of settling: it occupies no worker."""
    work.state.outbox.finish(
        work.key,
        work.fence,
        sent=work.row,
        result="settling",
        due_ms=work.state.now_ms() + int(wait_s * 1000),
        settle=stage,
        reason=work.row.reason,
    )
