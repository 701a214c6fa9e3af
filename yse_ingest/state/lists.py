"""Lists of YSE-PZ that people want followed: decisions, beside those of the targets file."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

from yse_ingest.selection import Selection
from yse_ingest.state.keys import dumps, loads

if TYPE_CHECKING:
    from collections.abc import Iterable

    from yse_ingest.state.connection import Connection
    from yse_ingest.state.decisions import DecisionLog
    from yse_ingest.state.keys import Keys


class ListStore:
    """What is followed until a person ends it."""

    def __init__(self, connection: Connection, keys: Keys, decisions: DecisionLog) -> None:
        self._connection = connection
        self._decisions = decisions
        self._lists = keys("targets", "lists")

    def all(self) -> dict[Selection, int]:
        """Return the lists with since when each is followed [Unix ms], the oldest first."""
        raw = self._connection.call("HGETALL", self._lists)
        found = {Selection.from_list(loads(text)): int(since) for text, since in raw.items()}
        return dict(sorted(found.items(), key=lambda each: (each[1], each[0])))

    def add(
        self, selections: Iterable[Selection], *, since_ms: int | None = None
    ) -> list[Selection]:
        """Follow lists; return those that were not followed. Safe to repeat.

        Parameters
        ----------
        since_ms
            Since when [Unix ms]; None: now.
        """
        since_ms = self._connection.now_ms() if since_ms is None else since_ms
        new = [
            each
            for each in selections
            if self._connection.call("HSETNX", self._lists, _field(each), since_ms)
        ]
        if new:
            self._decisions.append_many(("list_added", _about(each, since_ms)) for each in new)
        return new

    def end(self, selections: Iterable[Selection]) -> list[Selection]:
        """Follow lists no more; return those that were followed. Safe to repeat."""
        ended = [
            each
            for each in selections
            if self._connection.call("HDEL", self._lists, _field(each))
        ]
        if ended:
            self._decisions.append_many(
                ("list_ended", {"terms": each.as_list()}) for each in ended
            )
        return ended

    def decided(self) -> list[tuple[str, dict[str, Any]]]:
        """Return the decisions that lead to these lists."""
        return [("list_added", _about(each, since_ms)) for each, since_ms in self.all().items()]


def _field(selection: Selection) -> str:
    return dumps(selection.as_list())


def _about(selection: Selection, since_ms: int) -> dict[str, Any]:
    return {"terms": selection.as_list(), "since_ms": since_ms}
