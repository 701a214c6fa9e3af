"""Sight: everything that conditions are judged by, read from Redis once."""

from __future__ import annotations

from dataclasses import dataclass
from functools import cached_property
from typing import TYPE_CHECKING, Any

from yse_ingest.errors import StateError, YseIngestError
from yse_ingest.sources import SOURCES
from yse_ingest.state import QUEUES, key_prefix, side_connection
from yse_ingest.watch.channels import names_of
from yse_ingest.watch.freshness import Freshness, freshness

if TYPE_CHECKING:
    from collections.abc import Iterator, Mapping, Sequence

    from yse_ingest.choice import Group
    from yse_ingest.clients import Clients
    from yse_ingest.settings import Settings
    from yse_ingest.state import Choice, Clock, Delivery, RowSummary, State, Trouble
    from yse_ingest.targets import Target

ROWS_MAX = 100_000
CLOCKS_AT_ONCE = 1000


@dataclass(frozen=True)
class Sight:
    """What Redis knew at one moment. Times are Unix times [ms]."""

    clients: Clients
    file_error: str | None
    """Why the targets file cannot be read: then nothing is judged by it, nothing named."""
    now_ms: int
    installed: bool
    heartbeats: Mapping[str, int]
    queues: Mapping[str, int] | None
    """Queue to its length; None: the broker gave no answer."""
    held: str | None
    breaker: Mapping[str, Any]
    """Of YSE-PZ; see `yse_ingest.state.breaker.Breaker.state`."""
    sources: Mapping[str, Mapping[str, Any]]
    """Source to the state of its breaker."""
    quiet_until_ms: int
    rows: Sequence[RowSummary]
    """What is owed."""
    targets: Sequence[Target]
    clocks: Mapping[str, Mapping[str, Clock]]
    choices: Mapping[str, Mapping[str, Choice]]
    """Target to how it stands at the sources of each survey that has several."""
    paused: Mapping[str, str]
    added_ms: Mapping[str, int]
    troubles: Sequence[Trouble]
    kinds: Mapping[tuple[str, str, str], int]
    """Kinds of refusal (source, field, reason) to when they were first seen."""
    deliveries: Mapping[str, Delivery]
    """Channel to how telling goes there."""
    stops: Mapping[str, str]
    """Transients at which nothing is sent, with the reason."""
    writers: Sequence[Mapping[str, Any]]
    """Who else writes where we do: `yse_ingest.state.audits.Audits.writers`."""
    noted_ms: Mapping[str, int]
    """Condition to since when it was noted."""

    @property
    def settings(self) -> Settings:
        """Return the settings: the limits."""
        return self.clients.settings

    @property
    def points_owed(self) -> int:
        """Return how many points are owed."""
        return sum(row.points for row in self.rows)

    @cached_property
    def private(self) -> frozenset[str]:
        """Return the names of targets of which nothing but counts may be told."""
        if self.file_error is not None:
            return frozenset(target.name for target in self.targets)
        return self.clients.private(self.targets)

    def is_private(self, row: RowSummary) -> bool:
        """Tell whether an owed row is of a private target."""
        return not self.private.isdisjoint(row.targets)

    def followed(self) -> Iterator[tuple[Target, list[Group]]]:
        """Return each target that is followed and not paused, and its sources by survey."""
        for target in self.targets:
            if target.name not in self.paused and self.file_error is None:
                yield target, self.clients.groups_of(target)

    def asked(self) -> Iterator[tuple[Target, str, Clock | None, Freshness]]:
        """Return each target that is followed and not paused: source, clock, freshness.

        Once for each survey, by the source whose answers hold.
        """
        for target, groups in self.followed():
            for group in groups:
                source = group.speaks(self.choices.get(target.name, {}).get(group.survey))
                clock = self.clocks.get(target.name, {}).get(source)
                fresh = freshness(
                    self.clients,
                    target,
                    clock,
                    added_ms=self.added_ms.get(target.name),
                    now_ms=self.now_ms,
                )
                yield target, source, clock, fresh

    def by_source(self) -> dict[str, list[tuple[str, Clock]]]:
        """Return every clock of the targets that are followed and not paused, by source."""
        found: dict[str, list[tuple[str, Clock]]] = {}
        for target, groups in self.followed():
            clocks = self.clocks.get(target.name, {})
            for source in (name for group in groups for name in group.sources):
                if source in clocks:
                    found.setdefault(source, []).append((target.name, clocks[source]))
        return found


def look(clients: Clients, state: State) -> Sight:
    """Read everything once.

    Raises
    ------
    StateError
        When Redis gives no answer.
    """
    now_ms = state.now_ms()
    file_error = None
    try:
        clients.targets_file()
    except YseIngestError as error:
        file_error = error.fact
    targets = [target for target, _ in state.targets.all()]
    names = [target.name for target in targets]
    clocks: dict[str, dict[str, Clock]] = {}
    choices: dict[str, dict[str, Choice]] = {}
    for start in range(0, len(names), CLOCKS_AT_ONCE):
        clocks |= state.clocks.all(names[start : start + CLOCKS_AT_ONCE])
        choices |= state.choices.all(names[start : start + CLOCKS_AT_ONCE])
    try:
        queues: dict[str, int] | None = waiting(clients.settings)
    except StateError:
        queues = None
    return Sight(
        clients=clients,
        file_error=file_error,
        now_ms=now_ms,
        installed=state.installed,
        heartbeats=state.heartbeats.all(),
        queues=queues,
        held=state.outbox.held(),
        breaker=state.outbox.breaker(),
        sources={name: state.source_breaker(name).state() for name in SOURCES},
        quiet_until_ms=state.quiet_until_ms(),
        rows=state.outbox.rows(ROWS_MAX),
        targets=targets,
        clocks=clocks,
        choices=choices,
        paused=state.targets.paused(),
        added_ms=state.targets.added_ms(),
        troubles=state.troubles.all(),
        kinds=state.quarantine.kinds(),
        deliveries={
            name: state.notices.delivery(name, now_ms=now_ms)
            for name in names_of(clients.settings)
        },
        stops=state.audits.stops(),
        writers=state.audits.writers(),
        noted_ms=state.notices.since(),
    )


def waiting(settings: Settings) -> dict[str, int]:
    """Return how many messages wait in each queue.

    Raises
    ------
    StateError
        When the broker gives no answer.
    """
    prefix = key_prefix(settings.namespace)
    broker = side_connection(settings.broker_url)
    try:
        lengths = broker.batch([("LLEN", f"{prefix}{queue}") for queue in QUEUES])
    finally:
        broker.close()
    return dict(zip(QUEUES, map(int, lengths), strict=True))
