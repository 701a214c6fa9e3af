"""Sight: everything that conditions are judged by, read from Redis once.

Of the targets those alone that may have something to tell: whose look has come
(`yse_ingest.state.looks`), whose source gave no clear answer, for which points are owed too
long. What is told keeps its look, so that it is seen again at each tick until it is over.
"""

from __future__ import annotations

from dataclasses import dataclass
from functools import cached_property
from typing import TYPE_CHECKING, Any

from yse_ingest.errors import StateError, YseIngestError
from yse_ingest.sources import SOURCES, Status
from yse_ingest.state import QUEUES, Look, key_prefix, side_connection
from yse_ingest.watch.channels import names_of
from yse_ingest.watch.freshness import Freshness, freshness, next_look, spread

if TYPE_CHECKING:
    from collections.abc import Iterator, Mapping, Sequence

    from yse_ingest.choice import Group
    from yse_ingest.clients import Clients
    from yse_ingest.settings import Settings
    from yse_ingest.state import Choice, Clock, Delivery, RowSummary, Standing, State, Trouble
    from yse_ingest.targets import Target

ROWS_MAX = 100_000
UNCLEAR = frozenset({Status.AMBIGUOUS, Status.UNKNOWN})
"""Answers that a person must make clear."""
CLOCKS_AT_ONCE = 1000
OWED_NAMED = 50
"""So many of the transients to which something is owed for too long are read."""
NEXT = 100
"""So many targets that are asked next are looked at, where a source is down."""


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
    owed: Standing
    """What is owed, and what of it for too long."""
    followed_count: int
    """How many targets there are, paused ones with them."""
    targets: Sequence[Target]
    """Those that may have something to tell."""
    looks: Mapping[str, int | None]
    """Each name that was looked for to when that was to be; None: nobody knew."""
    basis: str | None
    """By which settings, where every target was looked at."""
    heard_ms: Mapping[str, int]
    """Source to when it last answered a target without an error."""
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

    @cached_property
    def private(self) -> frozenset[str]:
        """Return the names of targets of which nothing but counts may be told."""
        if self.file_error is not None:
            return frozenset(target.name for target in self.targets)
        return self.clients.private(self.targets)

    def is_private(self, row: RowSummary) -> bool:
        """Tell whether an owed row is of a private target."""
        return not self.private.isdisjoint(row.targets)

    @cached_property
    def followed(self) -> list[tuple[Target, list[Group]]]:
        """Return each of these targets that is not paused, and its sources by survey."""
        if self.file_error is not None:
            return []
        groups: dict[str | None, list[Group]] = {}
        for target in self.targets:
            if target.source not in groups:
                groups[target.source] = self.clients.groups_of(target)
        return [
            (target, groups[target.source])
            for target in self.targets
            if target.name not in self.paused
        ]

    @cached_property
    def asked(self) -> list[tuple[Target, str, Clock | None, Freshness]]:
        """Return each of these targets that is not paused: source, clock, freshness.

        Once for each survey, by the source whose answers hold.
        """
        found = []
        for target, groups in self.followed:
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
                found.append((target, source, clock, fresh))
        return found

    def next_looks(self) -> Iterator[Look]:
        """Return when each target that was looked at is to be looked at next."""
        if self.file_error is not None:
            return
        floor_ms = self.now_ms + round(1000 * self.settings.freshness_s)
        names = {target.name for target in self.targets}
        for name, known_ms in self.looks.items():
            if name not in names:
                yield Look(name, known_ms, None)
            elif name in self.paused:
                yield Look(name, known_ms, spread(name, floor_ms, self.now_ms))
        standing: dict[str, list[Freshness]] = {}
        telling = {name for name, choices in self.choices.items() if _tells(choices)}
        for target, _, clock, fresh in self.asked:
            standing.setdefault(target.name, []).append(fresh)
            if fresh.stale or (clock is not None and clock.status in UNCLEAR):
                telling.add(target.name)
        for target, _ in self.followed:
            if target.name not in self.looks:
                continue
            known = self.looks[target.name]
            if target.name in telling:
                # At each tick, until there is nothing more to tell.
                yield Look(target.name, known, 0 if known is None else min(known, self.now_ms))
            else:
                stands = standing.get(target.name, ())
                next_ms = next_look(self.clients, target, stands, self.now_ms)
                yield Look(target.name, known, next_ms)

    def by_source(self) -> dict[str, list[tuple[str, Clock]]]:
        """Return the clocks of these targets that are not paused, by source.

        All that have no answer are among them; `heard_ms` knows of those that have.
        """
        found: dict[str, list[tuple[str, Clock]]] = {}
        for target, groups in self.followed:
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
    late_ms = now_ms - round(1000 * clients.settings.limit_owed_s)
    owed = state.outbox.standing(late_ms, named=OWED_NAMED)
    breakers = {name: state.source_breaker(name).state() for name in SOURCES}
    wanted, looks, basis = _wanted(clients, state, owed, now_ms, by_file=file_error is None)
    if any(each["open"] for each in breakers.values()):
        # Who is asked next will find it open: it holds back some target at least.
        wanted = list(dict.fromkeys([*wanted, *state.targets.by_due(NEXT)]))
    targets = [target for target, _ in state.targets.many(wanted)]
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
        sources=breakers,
        quiet_until_ms=state.quiet_until_ms(),
        owed=owed,
        followed_count=state.targets.count(),
        targets=targets,
        looks=looks,
        basis=basis,
        heard_ms={name: state.source_records.get(name).heard_ms or 0 for name in SOURCES},
        clocks=clocks,
        choices=choices,
        paused=state.targets.paused_of(names),
        added_ms=state.targets.added_ms(names),
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


def _wanted(
    clients: Clients, state: State, late: Standing, now_ms: int, *, by_file: bool
) -> tuple[list[str], dict[str, int | None], str | None]:
    """Return the names to look at, when each was to be, and by which settings if it is all."""
    owed = [name for row in late.oldest for name in row.targets]
    if not by_file:
        # Nothing is judged by it, and nothing named.
        return owed, {}, None
    settings, file = clients.settings, clients.targets_file()
    basis = "|".join(
        (
            str(settings.freshness_s),
            str(clients.default_cadence),
            file.default_source or settings.default_source,
        )
    )
    if state.looks.cover(basis):
        looks: dict[str, int | None] = dict(state.looks.due(now_ms))
        more = dict.fromkeys([*owed, *state.clocks.troubled(ROWS_MAX)])
        missing = [name for name in more if name not in looks]
        known = state.looks.known(missing)
        return [*looks, *missing], looks | {name: known.get(name) for name in missing}, None
    names = state.targets.names()
    return names, dict.fromkeys(names) | state.looks.due(), basis


def _tells(choices: Mapping[str, Choice]) -> bool:
    return any(choice.disagreements or choice.passed for choice in choices.values())


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
