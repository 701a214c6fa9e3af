"""Questions: what to ask a source about a target: all of it, or what is new."""

from __future__ import annotations

from typing import TYPE_CHECKING

from yse_ingest.choice import first_ms, known_objects
from yse_ingest.sources import Ask, Kind, Status

if TYPE_CHECKING:
    from collections.abc import Iterable, Iterator

    from yse_ingest.clients import Clients
    from yse_ingest.fetch.rounds import Round
    from yse_ingest.state.connection import Read


def reads_of(clients: Clients, rounds: Iterable[Round]) -> Iterator[Read]:
    """Yield what `question` reads of each target."""
    state = clients.state
    for one in rounds:
        name = one.target.name
        yield state.clocks.read_of(name)
        yield state.shadow.read_of(name)
        yield state.quarantine.read_of(name)
        if one.place is not None:
            yield clients.ledgers.read_of(one.place.pk)


def question(clients: Clients, one: Round, source: str, now_ms: int) -> Ask:
    """Return what to ask a source about a target now [Unix ms]."""
    state, target, place = clients.state, one.target, one.place
    clocks = state.clocks.get(target.name)
    known = clocks.get(source)
    detail = dict(known.detail) if known else {}
    is_known = place is not None and clients.ledgers.holds(place.pk)
    full_read_ms = detail.get("full_read_ms") or 0
    due_in_full = (
        one.backfill is not None
        or not is_known
        or known is None
        or known.status not in {Status.OK, Status.EMPTY}
        or not detail.get("newest_ms")
        or (not clients.settings.shadow and state.shadow.holds(target.name))
        or state.quarantine.retries(target.name, since_ms=full_read_ms)
        or now_ms - full_read_ms > clients.settings.full_read_s * 1000
        # What is wanted since then lies further back than what is new.
        or not clients.kinds(target, source) <= set(detail.get("kinds", [Kind.DETECTION]))
    )
    since_ms = None
    if one.backfill is not None and is_known:
        since_ms = one.backfill.from_ms
    if not due_in_full:
        since_ms = int(detail["newest_ms"] - clients.settings.overlap_s * 1000)
    where = target if place is None else target.at(place.ra, place.dec)
    return Ask(
        target=where,
        rules=clients.rules(target, source),
        since_ms=since_ms,
        newest_ms=detail.get("newest_ms"),
        discovery_ms=None if place is None else place.discovery_ms,
        first_ms=first_ms(clients.sources_of(target), clocks),
        known_objects=known_objects(one.group.sources, source, clocks),
    )
