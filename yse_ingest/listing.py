"""Listing: what YSE-PZ says of the lists that are followed."""

from __future__ import annotations

from collections import Counter
from dataclasses import dataclass
from typing import TYPE_CHECKING

from yse_ingest.errors import (
    HeldBackError,
    TargetError,
    VocabularyError,
    YsePzReplyError,
    YsePzUnavailableError,
)
from yse_ingest.targets import Target, canonical_name
from yse_ingest.ysepz import NO_SLUG, SAVE_IT, Listed, name_key

if TYPE_CHECKING:
    from collections.abc import Collection, Iterable, Iterator, Mapping

    from yse_ingest.errors import YseIngestError
    from yse_ingest.selection import Selection, Term
    from yse_ingest.ysepz import Transient, YsePz


@dataclass(frozen=True)
class Listing:
    """What the lists held at one moment."""

    counts: Mapping[Selection, int]
    """How many transients each list has."""
    usable: Mapping[str, Transient | None]
    """Names that can be followed; None: nothing but the name is known."""
    unusable: tuple[str, ...]
    """Names that cannot be followed, or that several transients have, if behind a prefix."""
    unread: Mapping[Selection, YseIngestError]
    """Lists that could not be read, while others could: nobody knows what they have."""
    odd: tuple[str, ...] = ()
    """What is left out or read otherwise because of an odd row: a sentence each."""


def listing(
    client: YsePz, wanted: Iterable[Selection], *, needed: Collection[Selection] = ()
) -> Listing:
    """Read the lists, each status, tag and query once.

    A list that cannot be read by its own fault does not hold up the others.

    Parameters
    ----------
    needed
        Those that must be read.

    Raises
    ------
    VocabularyError
        When YSE-PZ does not know one of the names of what is needed, or of all lists: before
        any list is read, but for queries.
    YsePzError
        When it does not answer as it should.
    """
    wanted = tuple(wanted)
    terms = sorted({term for selection in wanted for term in selection.terms})
    faults: dict[Term, YseIngestError] = {}
    for term in terms:
        if term.kind != "query":
            try:
                client.check_listable(term.kind, term.name)
            except VocabularyError as error:
                faults[term] = error
    _stop_where(wanted, faults, needed)
    read: dict[Term, _Read] = {}
    for term in (each for each in terms if each not in faults):
        try:
            read[term] = _Read(client, term)
        except HeldBackError:
            raise
        except (VocabularyError, YsePzUnavailableError, YsePzReplyError) as error:
            if term.kind != "query" or any(term in each.terms for each in needed):
                raise
            faults[term] = error  # its SQL, perhaps: a YSE-PZ that is away stops the next one
    unread = _stop_where(wanted, faults, needed)
    found = {each: _chosen(each, read) for each in wanted if each not in unread}
    usable, unusable = _usable(_once(found.values()))
    counts = {selection: len(listed) for selection, listed in found.items()}
    return Listing(counts, usable, tuple(unusable), unread, tuple(_odd(read)))


def _odd(read: Mapping[Term, _Read]) -> Iterator[str]:
    """Tell which rows could not be used as they are."""
    for term, each in read.items():
        columns = Counter(column for one in each.listed for column in one.unread)
        for column, count in columns.items():
            yield f"{term}: {column} cannot be read in {count} rows, which are looked up"
    places = [one.transient for each in read.values() for one in each.listed if one.transient]
    for name in dict.fromkeys(place.name for place in places if not place.slug):
        yield f"{name}: {NO_SLUG}. {SAVE_IT}"


def _stop_where(
    wanted: Collection[Selection],
    faults: Mapping[Term, YseIngestError],
    needed: Collection[Selection],
) -> dict[Selection, YseIngestError]:
    """Return the lists that cannot be read; raise where one is needed, or all are such."""
    unread = {
        each: next(faults[term] for term in each.terms if term in faults)
        for each in wanted
        if not faults.keys().isdisjoint(each.terms)
    }
    for each, error in unread.items():
        if each in needed or len(unread) == len(wanted):
            raise error
    return unread


class _Read:
    """What YSE-PZ has of one term."""

    def __init__(self, client: YsePz, term: Term) -> None:
        if term.kind == "query":
            self.listed = client.listed_by_query(term.name)
        else:
            self.listed = [
                Listed(one.name, one) for one in client.transients_with(term.kind, term.name)
            ]
        self._pks = {one.transient.pk for one in self.listed if one.transient is not None}
        self._names = {name_key(one.name) for one in self.listed}
        self._names_only = {name_key(one.name) for one in self.listed if one.transient is None}

    def has(self, one: Listed) -> bool:
        """Tell whether a transient is in it, by its number, or where that lacks by its name."""
        if one.transient is None:
            return name_key(one.name) in self._names
        return one.transient.pk in self._pks or name_key(one.name) in self._names_only


def _chosen(selection: Selection, read: Mapping[Term, _Read]) -> list[Listed]:
    """Return the transients of one list, each once."""
    # A query may know no more than the name: what else knows it is taken first.
    *others, first = (read[term] for term in selection.terms)
    return _once([[one for one in first.listed if all(each.has(one) for each in others)]])


def _once(lists: Iterable[Iterable[Listed]]) -> list[Listed]:
    """Return the transients of several lists, each once, where its number is known."""
    found: dict[int, Listed] = {}
    names_only: dict[str, Listed] = {}
    for one in _every(lists):
        if one.transient is not None:
            found.setdefault(one.transient.pk, one)
        else:
            names_only.setdefault(name_key(one.name), one)
    known = {name_key(one.name) for one in found.values()}
    # A query that joins tables has a name many times.
    return [*found.values(), *(one for key, one in names_only.items() if key not in known)]


def _every(lists: Iterable[Iterable[Listed]]) -> Iterator[Listed]:
    for each in lists:
        yield from each


def _usable(found: list[Listed]) -> tuple[dict[str, Transient | None], list[str]]:
    """Return the names that can be followed, each with its transient; and those that cannot."""
    names: dict[str, list[Listed]] = {}
    for one in found:
        # "2021abc" and "SN2021abc" would be one target: nobody could tell which it is.
        names.setdefault(name_key(canonical_name(one.name)), []).append(one)
    usable: dict[str, Transient | None] = {}
    unusable = []
    for same in names.values():
        try:
            name = Target(same[0].name).name
        except TargetError:
            unusable.append(same[0].name)
            continue
        place = same[0].transient
        if len(same) > 1 or (place is not None and not place.slug):
            unusable += dict.fromkeys(one.name for one in same)
        else:
            usable[name] = place
    return usable, unusable
