"""The message: what began and what is over, what is safe, what to do."""

from __future__ import annotations

import platform
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any

from yse_ingest.times import iso_of_unix
from yse_ingest.watch.secrets import blanked
from yse_ingest.watch.words import counted, lasting, minute_of

if TYPE_CHECKING:
    from collections.abc import Mapping, Sequence

    from yse_ingest.state import Change
    from yse_ingest.watch.sight import Sight

CHANGES_MAX = 50
"""So many changes stand in one message; the others are counted."""
SUBJECT_LENGTH = 150


@dataclass(frozen=True)
class Message:
    """One message, for people and for programs."""

    subject: str
    text: str
    document: Mapping[str, Any]
    """The same as JSON values."""


@dataclass(frozen=True)
class _Story:
    """All pending changes of one condition, of which the last one counts."""

    last: Change
    began_ms: int
    changes: int


def compose(changes: Sequence[Change], sight: Sight) -> Message:
    """Return the message that tells these changes; what changed often is told once.

    Parameters
    ----------
    changes
        What is to be told, oldest first.
    sight
        How everything stands.
    """
    stories: dict[str, _Story] = {}
    for change in changes:
        known = stories.pop(change.key, None)
        stories[change.key] = _Story(
            change,
            known.began_ms if known else change.since_ms,
            known.changes + 1 if known else 1,
        )
    told = sorted(stories.values(), key=lambda story: story.last.what)
    hide = sight.settings.environment
    parts = [_part(story) for story in told[:CHANGES_MAX]]
    if more := len(told) - CHANGES_MAX:
        parts += [f"... and {more} more"] if more > 0 else []
    text = "\n\n".join([_where(sight), *parts, _stand(sight)])
    return Message(
        subject=blanked(_subject(told), hide),
        text=blanked(text, hide) + "\n",
        document={
            "subject": blanked(_subject(told), hide),
            "host": platform.node(),
            "namespace": sight.settings.namespace,
            "at": iso_of_unix(sight.now_ms / 1000),
            "targets": sight.followed_count,
            "points_owed": sight.owed.points,
            "changes": [
                {
                    name: blanked(value, hide) if isinstance(value, str) else value
                    for name, value in _document(story).items()
                }
                for story in told[:CHANGES_MAX]
            ],
            "more": max(0, more),
        },
    )


def trial(*, namespace: str) -> Message:
    """Return the message of `yse-ingest notify --test`."""
    subject = "yse_ingest: a test message"
    text = (
        f"yse_ingest on {platform.node()}, namespace {namespace}\n\n"
        "This is a test: messages about this service arrive here.\n"
    )
    document = {"subject": subject, "host": platform.node(), "namespace": namespace}
    return Message(subject, text, {**document, "test": True, "changes": []})


def _subject(told: Sequence[_Story]) -> str:
    first = told[0].last
    fact = first.fact if first.what == "began" else f"over: {first.over}"
    more = f" (+{len(told) - 1} more)" if len(told) > 1 else ""
    # A line break in a subject would begin another header.
    line = " ".join(fact.split())
    room = SUBJECT_LENGTH - len(more)
    return f"yse_ingest: {line if len(line) <= room else line[: room - 3] + '...'}{more}"


def _part(story: _Story) -> str:
    last = story.last
    if last.what == "began":
        lines = [
            f"WRONG  {last.fact}.",
            f"       since {minute_of(last.since_ms)}",
            f"       safe: {last.safe}" if last.safe else "",
            f"       do:   {last.remedy}",
        ]
    else:
        lasted = lasting((last.at_ms - last.since_ms) / 1000)
        since = f"{minute_of(last.since_ms)} to {minute_of(last.at_ms)}"
        lines = [f"OVER   {last.over}.", f"       it lasted {lasted}: {since}"]
    if story.changes > 1:
        lines.append(f"       {story.changes} changes since {minute_of(story.began_ms)}")
    return "\n".join(filter(None, lines))


def _document(story: _Story) -> dict[str, Any]:
    last = story.last
    return {
        "what": last.what,
        "key": last.key,
        "fact": last.fact if last.what == "began" else last.over,
        "since": iso_of_unix(last.since_ms / 1000),
        "at": iso_of_unix(last.at_ms / 1000),
        "safe": last.safe,
        "remedy": last.remedy,
        "changes": story.changes,
    }


def _where(sight: Sight) -> str:
    return f"yse_ingest on {platform.node()}, namespace {sight.settings.namespace}"


def _stand(sight: Sight) -> str:
    owed = counted(sight.owed.points, "point")
    return (
        f"As it stands at {minute_of(sight.now_ms)}: {counted(sight.followed_count, 'target')}"
        f" followed, {owed} owed to {counted(sight.owed.transients, 'transient')}.\n"
        "`yse-ingest health` says what is wrong now."
    )
