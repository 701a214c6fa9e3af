"""Clocks: when a source was last asked about a target, and when and what it last answered.

Those of one target are one packed value: by source what `_KEPT` names, in its order, without
what is not known at the end.
"""

from __future__ import annotations

from dataclasses import dataclass, field, replace
from typing import TYPE_CHECKING, Any, Literal

from yse_ingest.state import scripts
from yse_ingest.state.packed import PackedHash
from yse_ingest.targets import canonical_name

if TYPE_CHECKING:
    from collections.abc import Callable, Iterable, Mapping, Sequence

    from yse_ingest.state.connection import Connection, Read
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


_KEPT = (
    "status",
    "detail",
    "asked_ms",
    "answered_ms",
    "pending_ms",
    "silent_ms",
    "unasked_ms",
    "error",
)

ClocksOf = dict[str, Clock]
"""The clocks of one target, by source."""


class Clocks:
    """The clocks of every target, by source."""

    def __init__(self, connection: Connection, keys: Keys) -> None:
        self._connection = connection
        self._packed = PackedHash(connection, keys("clock"))
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
        noted = noted_answer(
            asked_ms=asked_ms,
            status=status,
            answered_ms=answered_ms,
            error=error,
            detail=detail,
        )
        self._change([name], source, lambda _, clocks: noted(clocks.get(source)))

    def record_answers(
        self, names: Iterable[str], source: str, noting: Callable[[str, ClocksOf], Clock]
    ) -> None:
        """Note the answers to several questions, each over what was known just before.

        Parameters
        ----------
        names
            The targets.
        source
            Who answered.
        noting
            Returns a target's new clock there for its name, as given, and its clocks; it is
            called once more where somebody else wrote them at the same time.
        """
        self._change(names, source, noting)

    def _change(
        self,
        names: Iterable[str],
        source: str,
        how: Callable[[str, ClocksOf], Clock | None],
        *,
        asked: bool = True,
    ) -> None:
        """Change the clocks at one source; where somebody else does so too, once more.

        Parameters
        ----------
        how
            Returns the new clock for a name and what was known; None: it is forgotten.
        asked
            Whether the claim that led to the question is served by it.
        """
        keys = [self._packed.key, self._troubled, *([self._pending] if asked else [])]
        waiting = list(dict.fromkeys(names))
        while waiting:
            canonical = [canonical_name(name) for name in waiting]
            args: list[str | int | bytes] = []
            for name, key, raw in zip(
                waiting, canonical, self._packed.raws(canonical), strict=True
            ):
                clocks = self._clocks(key, raw)
                after = how(name, clocks)
                clocks.pop(source, None)
                if after is not None:
                    clocks[source] = after
                member = troubled_member(key, source)
                args += [
                    key,
                    raw or b"",
                    self._packed_of(key, clocks),
                    member,
                    _troubled_since(after),
                ]
            missed = self._connection.run(scripts.CLOCKS_SWAP, keys=keys, args=args)
            waiting = [waiting[place] for place in missed]

    def _packed_of(self, name: str, clocks: ClocksOf) -> bytes:
        return self._packed.pack(name, kept_clocks(clocks)) if clocks else b""

    def _clocks(self, name: str, raw: bytes | None) -> ClocksOf:
        return clocks_of(self._packed.value_of(name, raw))

    def pending(self, name: str, source: str, *, asked_ms: int) -> None:
        """Note that a source was asked, and works on the question.

        What its last answer said stays, its status too.
        """

        def noting(_: str, clocks: ClocksOf) -> Clock:
            known = clocks.get(source, Clock())
            since_ms = asked_ms if known.pending_ms is None else known.pending_ms
            return replace(
                known,
                asked_ms=asked_ms,
                pending_ms=since_ms,
                error=None,
                silent_ms=None,
                unasked_ms=None,
            )

        self._change([name], source, noting)

    def unasked(self, name: str, source: str, *, reason: str) -> None:
        """Note that a target was due and the source could not be asked, and why.

        Its last question and answer stay as they are: nobody was asked.
        """
        now_ms = self._connection.now_ms()

        def noting(_: str, clocks: ClocksOf) -> Clock:
            known = clocks.get(source, Clock())
            since_ms = now_ms if known.unasked_ms is None else known.unasked_ms
            return replace(known, unasked_ms=since_ms, error=reason)

        self._change([name], source, noting)

    def get(self, name: str) -> ClocksOf:
        """Return the clocks of a target by source; a source never asked is missing."""
        return clocks_of(self._packed.get(canonical_name(name)))

    def read_of(self, name: str) -> Read:
        """Return what `get` reads."""
        return self._packed.read_of(canonical_name(name))

    def all(self, names: Iterable[str]) -> dict[str, ClocksOf]:
        """Return the clocks of many targets in one go, by name as given."""
        wanted = list(names)
        raws = self._packed.raws([canonical_name(name) for name in wanted])
        return {
            name: self._clocks(canonical_name(name), raw)
            for name, raw in zip(wanted, raws, strict=True)
        }

    def forget(self, name: str, source: str) -> None:
        """Forget one clock: the next question is a full one."""
        self._change([name], source, lambda *_: None, asked=False)
        self._connection.call("ZADD", self._looks, "XX", 0, canonical_name(name))

    def troubled(self, limit: int) -> list[str]:
        """Return targets without an answer, or an unclear one, longest so first; each once."""
        return list(dict.fromkeys(name for name, _ in self.troubles(limit)))

    def troubles(self, limit: int) -> list[tuple[str, str]]:
        """Return names and sources without an answer, or an unclear one, longest so first."""
        members = self._connection.call("ZRANGE", self._troubled, 0, limit - 1)
        return [tuple(member.rsplit("|", 1)) for member in members]

    def count_troubled(self) -> int:
        """Return how many questions have no answer, or an unclear one."""
        return int(self._connection.call("ZCARD", self._troubled))


def troubled_member(name: str, source: str) -> str:
    """Return under what a target at a source is noted as without an answer."""
    return f"{name}|{source}"


def noted_answer(
    *,
    asked_ms: int,
    status: str,
    answered_ms: int | None = None,
    error: str | None = None,
    detail: Mapping[str, Any] | None = None,
) -> Callable[[Clock | None], Clock]:
    """Return what makes of a known clock the one after a question; see `Clocks.record`."""
    if error is None and answered_ms is None:
        error = "no answer"

    def noted(known: Clock | None) -> Clock:
        known = known or Clock()
        silent_ms = asked_ms if known.silent_ms is None else known.silent_ms
        return Clock(
            asked_ms=asked_ms,
            answered_ms=known.answered_ms if answered_ms is None else answered_ms,
            status=status,
            error=error,
            silent_ms=None if error is None else silent_ms,
            pending_ms=None if error is None else known.pending_ms,
            detail=known.detail if detail is None else detail,
        )

    return noted


def _troubled_since(clock: Clock | None) -> int | str:
    """Return since when a clock is noted as troubled, where it is not yet; "": it is not."""
    if clock is None:
        return ""
    if clock.error is None and (clock.pending_ms is not None or clock.status not in UNCLEAR):
        return ""
    since_ms = clock.unasked_ms if clock.unasked_ms is not None else clock.asked_ms
    return since_ms or 0


def kept_clocks(clocks: Mapping[str, Clock]) -> dict[str, list[Any]]:
    """Return the clocks of a target as they are kept."""
    return {source: _kept(clock) for source, clock in clocks.items()}


def _kept(clock: Clock) -> list[Any]:
    kept: list[Any] = [getattr(clock, name) for name in _KEPT]
    # What is empty is not kept.
    kept[1] = {name: each for name, each in clock.detail.items() if each not in ("", {})}
    while kept and kept[-1] in (None, {}):
        kept.pop()
    return kept


def clocks_of(value: Mapping[str, Sequence[Any]] | None) -> ClocksOf:
    """Return the clocks that a value names; {}: there is none."""
    return {
        source: Clock(**dict(zip(_KEPT, kept, strict=False)))
        for source, kept in (value or {}).items()
    }
