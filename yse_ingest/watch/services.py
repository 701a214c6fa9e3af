"""What can be wrong with YSE-PZ and the sources, as far as it was met."""

from __future__ import annotations

from typing import TYPE_CHECKING, NamedTuple

from yse_ingest.state import CREDENTIALS, FORMAT, STATE_LOST
from yse_ingest.watch.condition import Condition
from yse_ingest.watch.freshness import UNREADABLE
from yse_ingest.watch.words import counted

if TYPE_CHECKING:
    from collections.abc import Iterator

    from yse_ingest.state import Clock
    from yse_ingest.watch.sight import Sight


class Words(NamedTuple):
    """What is told of one kind of trouble besides its fact."""

    remedy: str
    safe: str = ""
    over: str = ""
    failure: bool = True


WORDS = {
    CREDENTIALS: Words(
        "Check YSE_PZ_USERNAME and the password with `yse-ingest doctor`; restart the workers.",
        "Nothing is lost: points wait in the outbox.",
        "YSE-PZ accepts the account again",
    ),
    STATE_LOST: Words(
        "See why Redis lost its data: 'appendonly yes', 'maxmemory-policy noeviction'.",
        "People's decisions were restored from their file; the rest is derived from YSE-PZ.",
        failure=False,
    ),
    FORMAT: Words(
        "Look for a newer yse_ingest; `yse-ingest sources show NAME` has the reply, and "
        "`yse-ingest sources probe NAME` names every field that differs.",
        "This source alone is stopped, and tried again by itself; what cannot be read is "
        "not sent.",
        "its rows can be read again",
    ),
    "second-writer": Words(
        "See `yse-ingest doctor`; agree on one writer for each transient.",
        "Rows of others are left as they are.",
        "nobody else writes there any more",
    ),
    "second-installation": Words(
        "End the other one; then `yse-ingest targets resume NAME`.",
        "The target concerned is stopped; nothing is sent twice.",
        "the second installation is gone",
    ),
    "budget": Words(
        "See `yse-ingest status`; uploads come first, the rest waits.",
        "Nothing is lost: it is done later.",
        "there is room in the budget again",
        failure=False,
    ),
    "follow": Words(
        "`yse-ingest targets sync --list` shows the lists, `yse-ingest vocab` YSE-PZ's names.",
        "The targets stay as they are; it is tried again.",
        "the targets can be listed again",
        failure=False,
    ),
}
"""Kinds of trouble that others note (`yse_ingest.state.troubles`)."""
OTHER = Words("See `yse-ingest status`.", over="that is over")


def writing_held(sight: Sight) -> Iterator[Condition]:
    """Hold while a person, or the service itself, stopped all writing."""
    if sight.held is not None:
        yield Condition(
            "held",
            f"writing is held: {sight.held}",
            remedy="When what it waits for is over: `yse-ingest resume`.",
            safe=_owed(sight),
            over="writing goes on",
            at_once=True,
        )


def ysepz_away(sight: Sight) -> Iterator[Condition]:
    """Hold while YSE-PZ does not answer: from its breaker, not from single requests."""
    if sight.breaker["open"]:
        yield Condition(
            "away",
            "YSE-PZ does not answer",
            remedy="Ask who runs it. It is tried again by itself, one request at a time.",
            safe=_owed(sight),
            over="YSE-PZ answers again",
            since_ms=sight.breaker["since_ms"] or None,
            limit_s=sight.settings.limit_ysepz_s,
        )


def noted(sight: Sight) -> Iterator[Condition]:
    """Hold for each trouble that was noted where it was met."""
    for trouble in sight.troubles:
        words = WORDS.get(trouble.kind, OTHER)
        yield Condition(
            ":".join(filter(None, (trouble.kind, trouble.subject))),
            trouble.fact,
            remedy=words.remedy,
            safe=words.safe,
            over=words.over,
            since_ms=trouble.since_ms,
            failure=words.failure,
            at_once=trouble.kind == STATE_LOST,
        )


def source_silent(sight: Sight) -> Iterator[Condition]:
    """Hold for each source that answers nothing: none of what was asked since has an answer.

    Its breaker knows, or the targets that were asked: a breaker opens after several failures,
    and then keeps most targets from being asked.
    """
    for source, clocks in sight.by_source().items():
        answered_ms = max(
            [sight.heard_ms.get(source, 0), *(clock.answered_ms or 0 for _, clock in clocks)]
        )
        silent = [
            (name, clock)
            for name, clock in clocks
            if clock.silent_ms is not None
            and clock.status == "error"
            # In the same millisecond: who was asked then has failed since.
            and (clock.asked_ms or 0) >= answered_ms
        ]
        breaker = sight.sources.get(source, {})
        since_ms = [clock.silent_ms for _, clock in silent if clock.silent_ms is not None]
        known = any(each.kind == FORMAT and each.subject == source for each in sight.troubles)
        if breaker.get("open") and not known and not _unreadable(clocks):
            since_ms.append(breaker["since_ms"])
        if since_ms:
            yield Condition(
                f"source:{source}",
                f"{source} answers nothing{_waiting(clocks, _why(sight, silent))}",
                remedy=f"Nothing to do here; ask who runs {source} when it lasts.",
                safe="It is tried again by itself; nothing observed is lost.",
                over=f"{source} answers again",
                since_ms=min(since_ms),
                limit_s=sight.settings.limit_source_s,
            )


def format_changed(sight: Sight) -> Iterator[Condition]:
    """Hold for each source whose answers are not what was agreed."""
    known = {trouble.subject for trouble in sight.troubles if trouble.kind == FORMAT}
    for source, clocks in sight.by_source().items():
        unread = _unreadable(clocks)
        if unread and source not in known:
            yield Condition(
                f"format:{source}",
                f"{source} answers something that cannot be read"
                f" ({counted(len(unread), 'target')}{_why(sight, unread)})",
                remedy="Its format may have changed: look for a newer version of yse_ingest.",
                safe="What cannot be read is not sent; it is asked again.",
                over=f"{source} can be read again",
                since_ms=min(clock.silent_ms or sight.now_ms for _, clock in unread),
            )


def _waiting(clocks: list[tuple[str, Clock]], why: str) -> str:
    """Say how many have no answer, or could not be asked."""
    count = sum(
        clock.silent_ms is not None or clock.unasked_ms is not None for _, clock in clocks
    )
    return f" ({counted(count, 'target')} wait for it{why})" if count else ""


def _unreadable(clocks: list[tuple[str, Clock]]) -> list[tuple[str, Clock]]:
    return [
        (name, clock)
        for name, clock in clocks
        if clock.silent_ms is not None and clock.status == UNREADABLE
    ]


def _why(sight: Sight, silent: list[tuple[str, Clock]]) -> str:
    """Return the reason of one that may be named, without the name."""
    for name, clock in silent:
        if name not in sight.private and clock.error and clock.unasked_ms is None:
            return ": " + clock.error.replace(f"{name}: ", "").rstrip(".")
    return ""


def _owed(sight: Sight) -> str:
    owed = counted(sight.owed.points, "point")
    return f"{owed} of {counted(sight.owed.transients, 'transient')} wait; none is lost."
