"""Sources that read the light curves of many objects in one request."""

from __future__ import annotations

from dataclasses import dataclass, replace
from typing import TYPE_CHECKING, TypeVar

from yse_ingest.errors import (
    SourceRefusedError,
    SourceReplyError,
    SourceUnavailableError,
    YseIngestError,
)
from yse_ingest.sources.answers import Reading, answer

if TYPE_CHECKING:
    from collections.abc import Callable, Iterable, Iterator, Mapping, Sequence
    from typing import Any

    from yse_ingest.sources.base import Answer, Ask, Kind
    from yse_ingest.sources.reply import HttpReply
    from yse_ingest.sources.setup import Option

Part = TypeVar("Part")
Curve = TypeVar("Curve")

TOO_LONG = frozenset({413, 414, 500, 502})
"""Answers to a long list of objects after which two shorter lists may succeed."""
FAILURES_MAX = 3
"""After so many lists that cannot be had, the rest is not asked for."""


@dataclass(frozen=True)
class Wanted:
    """The objects whose light curves have to be read for one question."""

    object_ids: tuple[str, ...]
    everything: bool
    """Whether these are all objects of the place, not only those known before."""


def known_objects(ask: Ask) -> tuple[str, ...]:
    """Return the objects that tell what is new of a target; none: everything has to be read."""
    own = ask.target.object_id
    if ask.since_ms is None or (own is not None and own not in ask.known_objects):
        return ()
    return ask.known_objects


def in_parts(
    object_ids: Sequence[str], read: Callable[[Sequence[str]], Mapping[str, Part] | None]
) -> dict[str, Part | YseIngestError]:
    """Return what there is of each object, read in lists as long as the service takes.

    Parameters
    ----------
    read
        Returns None where the list is too long, never for a single object.

    Returns
    -------
    parts
        Object id to what was read, or to what kept it away: one bad object stops only itself,
        a service that is away is not asked again.
    """
    found: dict[str, Part | YseIngestError] = {}
    waiting = [list(object_ids)] if object_ids else []
    failures = 0
    while waiting:
        part = waiting.pop()
        try:
            got = read(part)
        except YseIngestError as error:
            failures += 1
            found |= dict.fromkeys(part, error)
            if failures >= FAILURES_MAX or isinstance(error, SourceUnavailableError):
                found |= dict.fromkeys((one for rest in waiting for one in rest), error)
                break
            continue
        if got is None:
            middle = len(part) // 2
            waiting += [part[middle:], part[:middle]]
        else:
            found |= got
    return found


def batched(
    asks: Sequence[Ask],
    *,
    size: int,
    find: Callable[[Ask], Iterable[str]],
    read: Callable[[Sequence[str], frozenset[Kind]], Mapping[str, Curve | YseIngestError]],
    reading: Callable[[Ask, Sequence[Curve]], Reading],
    service: str,
) -> Iterator[Answer]:
    """Iterate over one answer per question, in their order; light curves are read in batches.

    A question about what is new is answered by the objects that were accepted before; a new
    object of the same target is found when everything is read.

    Parameters
    ----------
    size
        Questions of one batch.
    find
        Returns every object that may be the target: the one it names, and those near it.
    read
        Returns the light curve of each object (an empty one where it is not known), or what
        kept it away.
    reading
        Returns the rows of some light curves.
    service
        Name of the source, for messages.
    """

    def wanted(ask: Ask) -> Wanted | YseIngestError:
        try:
            known = known_objects(ask)
            return Wanted(known or tuple(dict.fromkeys(find(ask))), everything=not known)
        except YseIngestError as error:
            return error

    def reader(
        ask: Ask,
        first: Wanted | YseIngestError,
        curves: Mapping[str, Curve | YseIngestError],
    ) -> Callable[[bool], Reading]:
        def rows(full: bool) -> Reading:
            """Read from the batch, or anew where that cannot tell."""
            if isinstance(first, YseIngestError):
                raise first
            if first.everything or not full:
                return reading(ask, _unfailed(curves[one] for one in first.object_ids))
            again = read(tuple(dict.fromkeys(find(ask))), ask.kinds)
            return reading(ask, _unfailed(again.values()))

        return rows

    for start in range(0, len(asks), size):
        batch = asks[start : start + size]
        firsts = [wanted(ask) for ask in batch]
        object_ids = dict.fromkeys(
            one for first in firsts if isinstance(first, Wanted) for one in first.object_ids
        )
        kinds: frozenset[Kind] = frozenset().union(*(ask.kinds for ask in batch))
        curves = read(tuple(object_ids), kinds)
        for ask, first in zip(batch, firsts, strict=True):
            whole = isinstance(first, Wanted) and first.everything
            question = replace(ask, since_ms=None) if whole else ask
            yield answer(question, reader(ask, first, curves), service=service)


def rows_of(reply: HttpReply, *, option: Option, key: str | None = None) -> list[Any]:
    """Return the rows of a reply: the list that it is, or that stands under a key.

    Parameters
    ----------
    option
        The setting that holds the address, for the remedy.

    Raises
    ------
    SourceError
        When it is a refusal, or has no such list.
    """
    if reply.status != 200:
        raise SourceRefusedError(
            f"answered {reply.describe()}",
            service=reply.service,
            remedy=f"Check {option.variable} and the target.",
        )
    is_what = f"{option.doc[0].lower()}{option.doc[1:].rstrip('.')}"
    remedy = f"Check that {option.variable} is the {is_what}."
    if key is not None:
        return reply.rows(key, remedy=remedy)
    rows = reply.json()
    if not isinstance(rows, list):
        raise SourceReplyError(
            f"answered no list of rows ({reply.describe()})",
            service=reply.service,
            remedy=remedy,
        )
    return rows


def _unfailed(curves: Iterable[Curve | YseIngestError]) -> list[Curve]:
    """Return the light curves, or raise what kept one of them away."""
    kept = []
    for curve in curves:
        if isinstance(curve, YseIngestError):
            raise curve
        kept.append(curve)
    return kept
