"""Clocks: when a source was last asked about a target, and when and what it last answered."""

from __future__ import annotations

from dataclasses import dataclass, field, fields
from typing import TYPE_CHECKING, Any, Literal

from yse_ingest.state import scripts
from yse_ingest.state.connection import Read
from yse_ingest.state.keys import dumps, loads
from yse_ingest.targets import canonical_name

if TYPE_CHECKING:
    from collections.abc import Iterable, Mapping

    from yse_ingest.state.connection import Connection
    from yse_ingest.state.keys import Keys

UNCLEAR = frozenset({"ambiguous", "unknown"})
"""Answers that a person must make clear."""


@dataclass(frozen=True)
class Clock:
    """What is known of one target at one source.

    Three kinds of silence are told apart by `silence`: a source that was not asked (never, or
    not any more), one that was asked and gave no answer, and one that answered (``status`` and
    ``detail`` say what: for instance that there is nothing new). One that works on the question
    is not silent: it is pending.
    """

    asked_ms: int | None = None
    """When it was last asked [Unix ms]; None: never."""
    answered_ms: int | None = None
    """When it last answered [Unix ms]; None: never."""
    status: str | None = None
    """What became of the last question, in one word."""
    error: str | None = None
    """Why the last question has no answer, or was not asked; None where it has one."""
    silent_ms: int | None = None
    """Since when questions have no answer [Unix ms]; None: the last one has."""
    unasked_ms: int | None = None
    """Since when it is not asked although it is due [Unix ms]; None: it is."""
    pending_ms: int | None = None
    """Since when the source works on a question [Unix ms]; None: it does not."""
    detail: Mapping[str, Any] = field(default_factory=dict)
    """What the last answer said."""

    @property
    def silence(
        self,
    ) -> Literal["never asked", "not asked", "pending", "no answer", "answered"]:
        """Return how the silence of a source is to be read."""
        if self.asked_ms is None:
            return "never asked"
        if self.unasked_ms is not None:
            return "not asked"
        if self.pending_ms is not None and self.error is None:
            return "pending"
        if self.error is not None or self.answered_ms is None:
            return "no answer"
        return "answered"


class Clocks:
    """The clocks of every target, by source."""

    def __init__(self, connection: Connection, keys: Keys) -> None:
        self._connection = connection
        self._keys = keys
        self._pending = keys("targets", "pending")
        self._troubled = keys("clocks", "troubled")
        self._looks = keys("watch", "looks")

    def record(
        self,
        name: str,
        source: str,
        *,
        asked_ms: int,
        status: str,
        answered_ms: int | None = None,
        error: str | None = None,
        detail: Mapping[str, Any] | None = None,
    ) -> None:
        """Note one question and what became of it.

        With an ``error`` the time and detail of the last answer stay as they are.

        Parameters
        ----------
        name, source
            Which target, where.
        asked_ms
            When it was asked [Unix ms].
        status
            What became of it, in one word.
        answered_ms
            When it answered [Unix ms]; None: it did not.
        error
            Why it did not, as text.
        detail
            What the answer said; JSON. None keeps the known one.
        """
        commands = self._recording(
            name,
            source,
            asked_ms=asked_ms,
            status=status,
            answered_ms=answered_ms,
            error=error,
            detail=detail,
        )
        self._connection.batch(commands, atomic=True)

    def record_answers(
        self, source: str, answers: Iterable[tuple[str, Mapping[str, Any]]]
    ) -> None:
        """Note the answers to several questions in one go.

        Parameters
        ----------
        source
            Who answered.
        answers
            Target, and what `record` takes by keyword.
        """
        commands = [
            command
            for name, noted in answers
            for command in self._recording(name, source, **noted)
        ]
        self._connection.batch(commands, atomic=True)

    def _recording(
        self,
        name: str,
        source: str,
        *,
        asked_ms: int,
        status: str,
        answered_ms: int | None = None,
        error: str | None = None,
        detail: Mapping[str, Any] | None = None,
    ) -> list[tuple[Any, ...]]:
        name = canonical_name(name)
        key = self._keys("clock", name)
        noted: dict[str, str | int] = {"asked_ms": asked_ms, "status": status}
        if answered_ms is not None:
            noted["answered_ms"] = answered_ms
        if error is None and answered_ms is None:
            error = "no answer"
        flat = [part for item in noted.items() for part in (f"{source}|{item[0]}", item[1])]
        commands: list[tuple[Any, ...]] = [
            ("HSET", key, *flat),
            *(() if detail is None else (_detail(key, source, detail),)),
            ("ZREM", self._pending, name),
        ]
        commands.append(("HDEL", key, f"{source}|unasked_ms"))
        if error is None:
            quiet = [f"{source}|{part}" for part in ("error", "silent_ms", "pending_ms")]
            commands.append(("HDEL", key, *quiet))
        else:
            commands.append(("HSET", key, f"{source}|error", error))
            commands.append(("HSETNX", key, f"{source}|silent_ms", asked_ms))
        member = troubled_member(name, source)
        if error is None and status not in UNCLEAR:
            commands.append(("ZREM", self._troubled, member))
        else:
            commands.append(("ZADD", self._troubled, "NX", asked_ms, member))
        return commands

    def pending(self, name: str, source: str, *, asked_ms: int) -> None:
        """Note that a source was asked, and works on the question.

        What its last answer said stays, its status too.
        """
        name = canonical_name(name)
        key = self._keys("clock", name)
        over = [f"{source}|{part}" for part in ("unasked_ms", "error", "silent_ms")]
        self._connection.batch(
            [
                ("HSET", key, f"{source}|asked_ms", asked_ms),
                ("HSETNX", key, f"{source}|pending_ms", asked_ms),
                ("HDEL", key, *over),
                ("ZREM", self._pending, name),
                ("ZREM", self._troubled, troubled_member(name, source)),
            ],
            atomic=True,
        )

    def unasked(self, name: str, source: str, *, reason: str) -> None:
        """Note that a target was due and the source could not be asked, and why.

        Its last question and answer stay as they are: nobody was asked.
        """
        name = canonical_name(name)
        key = self._keys("clock", name)
        now_ms = self._connection.now_ms()
        self._connection.batch(
            [
                ("HSETNX", key, f"{source}|unasked_ms", now_ms),
                ("HSET", key, f"{source}|error", reason),
                ("ZADD", self._troubled, "NX", now_ms, troubled_member(name, source)),
                ("ZREM", self._pending, name),
            ],
            atomic=True,
        )

    def get(self, name: str) -> dict[str, Clock]:
        """Return the clocks of a target by source; a source never asked is missing."""
        return _clocks(self._connection.call(*self.read_of(name).command))

    def read_of(self, name: str) -> Read:
        """Return what `get` reads."""
        return Read(("HGETALL", self._keys("clock", canonical_name(name))))

    def all(self, names: Iterable[str]) -> dict[str, dict[str, Clock]]:
        """Return the clocks of many targets in one go, by name as given."""
        wanted = list(names)
        replies = self._connection.batch(
            [("HGETALL", self._keys("clock", canonical_name(name))) for name in wanted]
        )
        return {name: _clocks(raw) for name, raw in zip(wanted, replies, strict=True)}

    def forget(self, name: str, source: str) -> None:
        """Forget one clock: the next question is a full one."""
        parts = (item.name for item in fields(Clock))
        key = self._keys("clock", canonical_name(name))
        self._connection.batch(
            [
                _detail(key, source, {}),
                ("HDEL", key, *(f"{source}|{part}" for part in parts)),
                ("ZREM", self._troubled, troubled_member(canonical_name(name), source)),
                ("ZADD", self._looks, "XX", 0, canonical_name(name)),
            ]
        )

    def troubled(self, limit: int) -> list[str]:
        """Return targets without an answer, or an unclear one, longest so first; each once."""
        members = self._connection.call("ZRANGE", self._troubled, 0, limit - 1)
        return list(dict.fromkeys(member.rsplit("|", 1)[0] for member in members))

    def count_troubled(self) -> int:
        """Return how many questions have no answer, or an unclear one."""
        return int(self._connection.call("ZCARD", self._troubled))


def _detail(key: str, source: str, detail: Mapping[str, Any]) -> tuple[Any, ...]:
    """Return the command that notes a detail in the place of the last one.

    Each part is a field of its own: Redis packs a hash of short values into a third of what
    one of a long value takes. What is empty is not noted.
    """
    parts = [
        part
        for name, value in detail.items()
        if value not in ("", {})
        for part in (f"{source}|.{name}", dumps(value))
    ]
    return ("EVAL", scripts.CLOCK_DETAIL, 1, key, f"{source}|.", f"{source}|detail", *parts)


def troubled_member(name: str, source: str) -> str:
    """Return under what a target at a source is noted as without an answer."""
    return f"{name}|{source}"


def _clocks(raw: Mapping[str, str]) -> dict[str, Clock]:
    sources: dict[str, dict[str, Any]] = {}
    for label, value in raw.items():
        source, part = label.rsplit("|", 1)
        if part.startswith("."):
            detail = sources.setdefault(source, {}).setdefault("detail", {})
            detail[part[1:]] = loads(value)
            continue
        if part == "detail":  # of an older state: all parts in one field
            sources.setdefault(source, {}).setdefault("detail", {}).update(loads(value))
            continue
        if part.endswith("_ms"):
            known: Any = int(value)
        else:
            known = value
        sources.setdefault(source, {})[part] = known
    return {source: Clock(**parts) for source, parts in sources.items()}
