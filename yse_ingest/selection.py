"""Selections: which transients of YSE-PZ are followed, whatever they are called."""

from __future__ import annotations

from dataclasses import dataclass
from typing import TYPE_CHECKING, Any, Literal, NamedTuple, Self, get_args

from yse_ingest.errors import TargetError

if TYPE_CHECKING:
    from collections.abc import Iterable

TermKind = Literal["status", "tag", "query"]
Match = Literal["any", "all"]
MATCHES: tuple[Match, ...] = get_args(Match)


class Term(NamedTuple):
    """One thing that YSE-PZ can be asked for: "status Following"."""

    kind: TermKind
    name: str
    """By YSE-PZ's vocabulary; of a saved query its title."""

    def __str__(self) -> str:
        return f"{self.kind} {self.name}"


@dataclass(frozen=True, order=True)
class Selection:
    """One list of YSE-PZ: the transients to which all of these terms apply."""

    terms: tuple[Term, ...]
    """Sorted, each once."""

    def __str__(self) -> str:
        """Return "status Following and tag YSE"."""
        return " and ".join(map(str, self.terms))

    @classmethod
    def of(cls, terms: Iterable[Term]) -> Self:
        """Return the selection of these terms.

        Raises
        ------
        TargetError
            When nothing could ever be in it.
        """
        found = tuple(sorted(set(terms)))
        statuses = [each.name for each in found if each.kind == "status"]
        if not found or len(statuses) > 1:
            raise TargetError(
                f"a transient has one status, and cannot have all of {', '.join(statuses)}"
                if found
                else "a list without status, tag or query holds nothing",
                service="targets",
                field="status",
                value=statuses,
                remedy='Give one status, or match "any".',
            )
        return cls(found)

    def as_list(self) -> list[list[str]]:
        """Return it as plain JSON values."""
        return [list(term) for term in self.terms]

    @classmethod
    def from_list(cls, values: Iterable[Iterable[Any]]) -> Self:
        """Return what `as_list` wrote.

        Raises
        ------
        TargetError, TypeError
            When it is something else, or what a newer version wrote.
        """
        pairs = [tuple(pair) for pair in values]
        for pair in pairs:
            if len(pair) != 2 or pair[0] not in get_args(TermKind) or type(pair[1]) is not str:
                raise TypeError(f"{pair!r} is neither a status nor a tag nor a query")
        return cls.of(Term(*pair) for pair in pairs)


def selections(
    *,
    status: Iterable[str] = (),
    tags: Iterable[str] = (),
    queries: Iterable[str] = (),
    match: Match = "any",
) -> tuple[Selection, ...]:
    """Return one selection for each of these, or with "all" one to which all of them apply.

    Raises
    ------
    TargetError
        As `Selection.of`.
    """
    terms = [
        *(Term("status", name) for name in status),
        *(Term("tag", name) for name in tags),
        *(Term("query", title) for title in queries),
    ]
    if match == "all":
        return (Selection.of(terms),) if terms else ()
    return tuple(dict.fromkeys(Selection.of([term]) for term in terms))
