"""What can be wrong with targets: stale, owed for too long, unclear, refused rows."""

from __future__ import annotations

from typing import TYPE_CHECKING

from yse_ingest.choice import LACKS
from yse_ingest.watch.condition import Condition
from yse_ingest.watch.sight import UNCLEAR
from yse_ingest.watch.words import NAMES_MAX, counted, lasting, minute_of, some

if TYPE_CHECKING:
    from collections.abc import Iterator

    from yse_ingest.watch.freshness import Freshness
    from yse_ingest.watch.sight import Sight

STALE_MAX = 500
"""So many stale targets are told by name."""
TWIN = "twin of"
"""Reason of rows that are set aside by design: nothing to tell."""
NOT_ASKED = frozenset({"beat", "broker", "queue:control", "queue:fetch", "work:dispatch"})
"""Conditions from which it follows that no target is asked."""
NOT_UPLOADED = frozenset(
    {"beat", "broker", "queue:control", "queue:upload", "away", "held", "credentials", "quiet"}
)


def file_unusable(sight: Sight) -> Iterator[Condition]:
    """Hold while the targets file cannot be read."""
    if sight.file_error is not None:
        yield Condition(
            "targets-file",
            f"the targets file cannot be used: {sight.file_error}",
            remedy="Mend the file that YSE_INGEST_TARGETS names; it is read again by itself.",
            safe="Nothing is forgotten.",
            over="the targets file can be used again",
        )


def owed_too_long(sight: Sight) -> Iterator[Condition]:
    """Hold while points are owed for longer than their limit: one condition for all."""
    owed = sight.owed
    if not owed.oldest:
        return
    since_ms = owed.oldest[0].since_ms
    points = counted(owed.late_points, "point")
    shown = [row for row in owed.oldest if not sight.is_private(row)]
    names = [name for row in shown for name in row.targets]
    named = some(names)
    if owed.late_transients > len(owed.oldest):
        named = ", ".join([*names[:NAMES_MAX], "and others"])
    why = next((f"; the oldest: {row.reason}" for row in shown if row.reason), "")
    yield Condition(
        "owed",
        f"{points} of {counted(owed.late_transients, 'transient')} are owed since"
        f" {minute_of(since_ms)}" + (f": {named}{why}" if names else ""),
        remedy="`yse-ingest status NAME` says why; `yse-ingest push NAME` sends now.",
        safe="They wait in the outbox and are tried again.",
        over="nothing is owed for too long any more",
        since_ms=since_ms,
        limit_s=sight.settings.limit_owed_s,
        causes=NOT_UPLOADED,
    )


def stale(sight: Sight) -> Iterator[Condition]:
    """Hold for each target that had no answer within its limit.

    Private ones are counted, and those that are many: whoever is stale for longest is named.
    """
    late = [each for each in sight.asked if each[3].stale]
    told = [each for each in late if each[0].name not in sight.private]
    seen: set[str] = set()
    told.sort(key=lambda each: (each[3].late_ms or 0, each[0].name))
    for target, source, clock, fresh in told[:STALE_MAX]:
        causes = NOT_ASKED
        if fresh.silence == "no answer":
            causes = frozenset({f"source:{source}", f"format:{source}"})
        elif clock is not None and clock.unasked_ms is not None:
            causes = frozenset({"away", "credentials", f"source:{source}", f"format:{source}"})
        subject = f"{target.name}:{source}" if target.name in seen else target.name
        seen.add(target.name)
        yield Condition(
            f"stale:{subject}",
            f"{target.name}: {source}: {_said(sight, fresh)}"
            + (f": {clock.error.rstrip('.')}" if clock is not None and clock.error else ""),
            remedy=f"See `yse-ingest status {target.name}`.",
            safe="What was observed stays at the source; nothing is lost.",
            over=f"{target.name} is fresh again",
            since_ms=fresh.answered_ms or sight.added_ms.get(target.name),
            limit_s=fresh.limit_s,
            causes=causes,
        )
    if more := len(told[STALE_MAX:]):
        yield Condition(
            "stale-more",
            f"{counted(more, 'more target')} had no answer within the limit",
            remedy="See `yse-ingest status`.",
            safe="What was observed stays at the source; nothing is lost.",
            over=f"no more than {STALE_MAX} targets are stale",
            causes=NOT_ASKED | {"source", "format", "away", "credentials"},
        )
    if hidden := len(late) - len(told):
        yield Condition(
            "stale-private",
            f"{counted(hidden, 'private target')} had no answer within the limit",
            remedy="See `yse-ingest status`.",
            safe="What was observed stays at the source; nothing is lost.",
            over="no private target is stale any more",
            causes=NOT_ASKED | {"source", "format", "away", "credentials"},
        )


def unclear(sight: Sight) -> Iterator[Condition]:
    """Hold for each target of which a person must say which object it is."""
    hidden = 0
    seen: set[str] = set()
    for target, source, clock, _ in sight.asked:
        if clock is None or clock.status not in UNCLEAR:
            continue
        if target.name in sight.private:
            hidden += 1
            continue
        subject = f"{target.name}:{source}" if target.name in seen else target.name
        seen.add(target.name)
        yield Condition(
            f"unclear:{subject}",
            f"{target.name}: {source}: {clock.status}: {clock.detail.get('reason') or ''}",
            remedy=f"`yse-ingest status {target.name}` says what to choose from.",
            safe="Nothing is sent for it until then.",
            over=f"{target.name} is clear again",
            failure=False,
        )
    if hidden:
        yield Condition(
            "unclear-private",
            f"{counted(hidden, 'private target')}: it is not clear which object is meant",
            remedy="See `yse-ingest status`.",
            over="every private target is clear again",
            failure=False,
        )


def disagreements(sight: Sight) -> Iterator[Condition]:
    """Hold for each target about an alert of which two sources say different things."""
    hidden = 0
    for target, groups in sight.followed:
        choices = sight.choices.get(target.name, {})
        facts = [
            fact
            for group in groups
            if group.has_choice and group.survey in choices
            for fact in choices[group.survey].disagreements
        ]
        if facts and target.name in sight.private:
            hidden += 1
        elif facts:
            more = f", and {len(facts) - 1} more" if len(facts) > 1 else ""
            yield Condition(
                f"disagreement:{target.name}",
                f"{target.name}: sources disagree on the {facts[0]}{more}",
                remedy=f"See `yse-ingest status {target.name}`; `quarantine reject` leaves a "
                "row out for good, another order of sources lets another one stand.",
                safe="One of the values stands, nothing is averaged or stored twice.",
                over=f"the sources of {target.name} agree again",
                failure=False,
            )
    if hidden:
        yield Condition(
            "disagreement-private",
            f"{counted(hidden, 'private target')}: two sources disagree",
            remedy="See `yse-ingest status`.",
            over="the sources of every private target agree again",
            failure=False,
        )


def passed_over(sight: Sight) -> Iterator[Condition]:
    """Hold for each source that answers, and lacks what another one has."""
    lacking: dict[str, set[str]] = {}
    instead: dict[str, set[str]] = {}
    for target, groups in sight.followed:
        for group in groups:
            choice = sight.choices.get(target.name, {}).get(group.survey)
            if choice is None or choice.speaks is None:
                continue
            for source, why in choice.passed.items():
                if why.startswith(LACKS):
                    lacking.setdefault(source, set()).add(target.name)
                    instead.setdefault(source, set()).add(choice.speaks)
    for source, names in sorted(lacking.items()):
        others = " and ".join(sorted(instead[source]))
        yield Condition(
            f"lacking:{source}",
            f"{source} lacks what {others} reported ({counted(len(names), 'target')}); "
            f"{others} is asked instead",
            remedy=f"Nothing to do here; ask who runs {source} when it lasts.",
            safe=f"Nothing is lost: {others} has it.",
            over=f"{source} has caught up, and is asked again",
            failure=False,
        )


def new_kinds_of_refusal(sight: Sight) -> Iterator[Condition]:
    """Hold for each kind of refused row that was ever seen: it is told once."""
    for (source, field, reason), first_ms in sight.kinds.items():
        if reason.startswith(TWIN):
            continue
        yield Condition(
            f"quarantine:{source}|{field}|{reason}",
            f"rows of {source} are refused for a new reason: {field} {reason}",
            remedy="See `yse-ingest quarantine list`.",
            safe="The other rows of their light curves go on.",
            since_ms=first_ms,
            failure=False,
            at_once=True,
        )


def _said(sight: Sight, fresh: Freshness) -> str:
    limit = lasting(fresh.limit_s)
    if fresh.silence == "never asked":
        return f"never asked, though it is followed for longer than {limit}"
    told = {"not asked", "pending", "no answer"}
    what = fresh.silence if fresh.silence in told else "no answer"
    since = minute_of(fresh.since_ms or sight.now_ms)
    return f"{what} since {since}; its limit is {limit}"
