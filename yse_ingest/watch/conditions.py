"""Conditions: everything that can be wrong, each judged by one small function.

A new one is a function from a `Sight` to the conditions that hold, added to `CONDITIONS`; what
only the path of an error knows is noted there (`yse_ingest.state.troubles`), and its words are
added to `yse_ingest.watch.services.WORDS`.
"""

from __future__ import annotations

from dataclasses import replace
from itertools import chain
from typing import TYPE_CHECKING

from yse_ingest.watch import audits, machinery, services, targets

if TYPE_CHECKING:
    from collections.abc import Callable, Iterator

    from yse_ingest.watch.condition import Condition
    from yse_ingest.watch.sight import Sight

CONDITIONS: tuple[Callable[[Sight], Iterator[Condition]], ...] = (
    machinery.state_empty,
    machinery.quiet_time,
    machinery.broker_away,
    machinery.beat_silent,
    machinery.queue_silent,
    machinery.work_not_done,
    machinery.notices_unsent,
    services.writing_held,
    services.ysepz_away,
    services.noted,
    audits.second_installation,
    audits.second_writer,
    services.source_silent,
    services.format_changed,
    targets.file_unusable,
    targets.owed_too_long,
    targets.stale,
    targets.unclear,
    targets.disagreements,
    targets.passed_over,
    targets.new_kinds_of_refusal,
)


def conditions(sight: Sight) -> list[Condition]:
    """Return what holds now, causes first; what follows from another one is marked so."""
    found = [
        replace(each, since_ms=sight.noted_ms.get(each.key, sight.now_ms))
        if each.since_ms is None
        else each
        for each in chain.from_iterable(judge(sight) for judge in CONDITIONS)
    ]
    lasting = [each for each in found if each.is_due(sight.now_ms)]
    causes = {label for each in lasting for label in (each.kind, each.key)}
    return [replace(each, explained=not causes.isdisjoint(each.causes)) for each in found]
