"""What a service is joined to: settings, Redis, YSE-PZ, sources; built when first needed."""

from __future__ import annotations

import logging
import random
import threading
import time
from dataclasses import dataclass, replace
from typing import TYPE_CHECKING, cast

from yse_ingest.choice import groups_of
from yse_ingest.directory import Directory, located, needs_place
from yse_ingest.directory import LocalShelf as LocalNames
from yse_ingest.errors import (
    HeldBackError,
    SettingsError,
    StateError,
    UnknownTargetError,
    YsePzError,
)
from yse_ingest.meter import LocalMeter
from yse_ingest.pipeline import rules_for, wanted_kinds
from yse_ingest.schemas.targets import TargetsFile, load_targets_file
from yse_ingest.sources import (
    SOURCES,
    ZTF,
    ProcessMemory,
    Trail,
    Waiting,
    build_source,
    rates_of,
)
from yse_ingest.sources import Timeouts as SourceTimeouts
from yse_ingest.sources.rates import rates_in
from yse_ingest.sources.setup import Setup
from yse_ingest.sources.tns import RATE, Tns
from yse_ingest.state import CREDENTIALS
from yse_ingest.state import State as Store
from yse_ingest.targets import source_names
from yse_ingest.times import iso_of_unix, time_ms_of_date
from yse_ingest.ysepz import LocalGate, Speed, Timeouts, Transient, YsePz, resolve
from yse_ingest.ysepz.aliases import LocalShelf

if TYPE_CHECKING:
    from collections.abc import Callable, Iterable, Mapping
    from contextlib import AbstractContextManager
    from pathlib import Path
    from typing import Self

    from yse_ingest.choice import Group
    from yse_ingest.directory import Shelf as Names
    from yse_ingest.limits import Purpose
    from yse_ingest.meter import Meter, Rate
    from yse_ingest.settings import Settings
    from yse_ingest.sources import Capabilities, Kind, Memory, Source, Survey
    from yse_ingest.state import FileSync, LedgerStore
    from yse_ingest.state.budget import Budget
    from yse_ingest.state.meters import SharedMeter
    from yse_ingest.targets import Cadence, Rules, Target
    from yse_ingest.ysepz import BulkReadBack, Resolution
    from yse_ingest.ysepz.aliases import Shelf
    from yse_ingest.ysepz.gate import Gate, Turn

logger = logging.getLogger(__name__)

CREATION_KEY = "name:"
"""Outbox rows of targets that YSE-PZ does not hold yet are keyed by name."""


@dataclass(frozen=True)
class Hint:
    """Work that was claimed for one upload task: "look at this transient"."""

    name: str
    key: str
    fence: int


class _GateOf:
    """The gate of the state where one is in use, else of this process; told at each request."""

    def __init__(self, clients: Clients) -> None:
        self._clients = clients

    def turn(self, request: str, *, purpose: Purpose) -> AbstractContextManager[Turn]:
        """Wait for a turn; see `yse_ingest.ysepz.gate.Gate.turn`."""
        return self._clients.gate.turn(request, purpose=purpose)


class _MeterOf:
    """The meter of the state where one is in use, else of this process."""

    def __init__(self, clients: Clients, source: str) -> None:
        self._clients = clients
        self._source = source
        title, rates, _ = _metered(source, clients.settings.environment)
        self._own = LocalMeter(title, rates)
        self._is_alone = False

    def take(self, *, patience_s: float, after_s: float = 0.0) -> float:
        """Reserve one request; see `yse_ingest.meter.Meter.take`."""
        return self._meter().take(patience_s=patience_s, after_s=after_s)

    def pause(self, seconds: float, *, why: str) -> None:
        """Let nobody ask for so long."""
        self._meter().pause(seconds, why=why)

    def closed(self) -> bool:
        """Tell whether nobody may ask now."""
        return self._meter().closed()

    def _meter(self) -> Meter:
        if self._is_alone or not self._clients.is_shared:
            return self._own
        try:
            return self._clients.meter(self._source)
        except StateError as error:
            # A person at a terminal: no worker lives without the state.
            logger.warning("counted by this process alone", extra={"error": str(error)})
            self._is_alone = True
            return self._own


class Clients:
    """The settings and everything they lead to. Thread-safe: clients are shared."""

    def __init__(
        self,
        settings: Settings,
        *,
        state: Store | None = None,
        ysepz: YsePz | None = None,
        clock: Callable[[], float] = time.time,
        draw: Callable[[], float] = random.random,
    ) -> None:
        self.settings = settings
        self.speed = Speed()
        self.clock = clock
        self.draw = draw
        self._lock = threading.RLock()
        self._state = state
        self._ysepz = ysepz
        self._own_gate = LocalGate(settings.in_flight, patience_s=settings.limits.patience_s)
        self._own_aliases = LocalShelf(clock)
        self._own_memory = ProcessMemory()
        self._own_names = LocalNames()
        self.directory = Directory(self._tns_client, self._names, clock=clock)
        self._tns: Tns | None = None
        self._sources: dict[str, Source] = {}
        self._meters: dict[str, SharedMeter] = {}
        self._trails: dict[str, Trail] = {}
        self._file: TargetsFile | None = None
        self._file_stamp: float | None = None
        self._default_rules: tuple[TargetsFile | None, dict[tuple[str | None, str], Rules]] = (
            None,
            {},
        )
        """Of targets that override nothing, by their sources and the one that is asked."""
        self._synced_stamp: float | None = None

    @classmethod
    def from_settings(cls, settings: Settings) -> Self:
        """Return one that builds its clients when they are first needed."""
        return cls(settings)

    @property
    def state(self) -> Store:
        """Return the state in Redis."""
        with self._lock:
            if self._state is None:
                self._state = Store.connect(
                    self.settings.service_state_url,
                    namespace=self.settings.namespace,
                    decisions=self.settings.decisions_file,
                    request_limit_s=self.settings.request_limit_s,
                    limits=self.settings.limits,
                )
            return self._state

    @property
    def gate(self) -> Gate:
        """Return where requests to YSE-PZ wait for their turns.

        It is that of the state where one is configured or in use, so that all processes and
        hosts count together; `push` and `fetch` without Redis have one of their own.
        """
        return self.state.gate if self.is_shared else self._own_gate

    @property
    def is_shared(self) -> bool:
        """Tell whether a state is configured or in use: then all processes count together."""
        return self._state is not None or self.settings.state_url is not None

    def _aliases(self) -> Shelf:
        """Return where the aliases are kept: as with the gate."""
        return self.state.aliases if self.is_shared else self._own_aliases

    def _names(self) -> Names:
        """Return where the answers of TNS are kept: as with the gate."""
        return self.state.names if self.is_shared else self._own_names

    def _tns_client(self) -> Tns | None:
        """Return the client of TNS; None without a key."""
        with self._lock:
            if self._tns is None:
                self._tns = Tns.from_setup(
                    Setup(
                        environment=self.settings.environment,
                        timeouts=self._source_timeouts(),
                        meter=_MeterOf(self, Tns.name),
                    )
                )
            return self._tns

    def meter(self, source: str) -> SharedMeter:
        """Return what counts the requests of all workers and hosts to a source."""
        with self._lock:
            if source not in self._meters:
                title, rates, batch_size = _metered(source, self.settings.environment)
                self._meters[source] = self.state.source_meter(
                    source,
                    service=title,
                    rates=rates,
                    # So many stand behind one request: no more than one message brings.
                    batch_size=min(batch_size, self.settings.batch_size),
                )
            return self._meters[source]

    def trail(self, source: str) -> Trail:
        """Return what a source last answered to this thread."""
        with self._lock:
            return self._trails.setdefault(source, Trail())

    @property
    def memory(self) -> Memory:
        """Return where sources keep what they work on: as with the gate."""
        return self.state.pending if self.is_shared else self._own_memory

    @property
    def budget(self) -> Budget:
        """Return the account of YSE-PZ's time: ask it before work begins that may wait."""
        return self.state.budget

    def held_back(self, purpose: Purpose, names: Iterable[str]) -> HeldBackError | None:
        """Return why work for these targets must wait for the budget; None: it need not.

        What a person asked for, by `push` or by adding the target by hand, never waits.
        """
        spending = self.budget.spending()
        names = list(names)
        if spending.allows(purpose) or self.state.targets.by_hand(names):
            return None
        until_ms = spending.until_ms(purpose)
        wait_s = 3600.0 if until_ms is None else (until_ms - spending.now_ms) / 1000
        about = iso_of_unix(spending.now_ms / 1000 + wait_s)
        return HeldBackError(
            f"held by the budget until about {about}: YSE-PZ has worked for us "
            f"{spending.total():.0f} s of {spending.limit():.0f} s in the last hour",
            service="YSE-PZ",
            target=", ".join(names),
            retry_after=wait_s,
            remedy="Nothing to do; YSE_INGEST_BUDGET allows more. `push` is never held.",
        )

    @property
    def ysepz(self) -> YsePz:
        """Return the client of YSE-PZ.

        Raises
        ------
        SettingsError
            When none is configured.
        """
        with self._lock:
            if self._ysepz is None:
                self._ysepz = YsePz(
                    self.settings.require_ysepz_url(),
                    self.settings.account(),
                    gate=_GateOf(self),
                    aliases=self._aliases,
                    timeouts=Timeouts(
                        connect_s=self.settings.connect_timeout_s,
                        read_s=self.settings.read_timeout_s,
                        slow_s=min(8.0, 0.8 * self.settings.request_limit_s),
                    ),
                    may_write=not self.settings.shadow,
                )
            return self._ysepz

    def bulk_read_back(self, purpose: Purpose) -> BulkReadBack | None:
        """Return the photometry of all transients by the saved query; None: there is none.

        An audit proves with it what agrees, and reads back one by one only what does not.
        """
        title = self.settings.bulk_query
        return self.ysepz.for_purpose(purpose).bulk_read_back(title) if title else None

    @property
    def ledgers(self) -> LedgerStore:
        """Return what YSE-PZ holds; in shadow, what it would hold."""
        return self.state.shadow.ledgers if self.settings.shadow else self.state.ledgers

    def source(self, name: str) -> Source:
        """Return a source by name, the first default one for an empty name."""
        name = name or source_names(self.settings.default_source)[0]
        with self._lock:
            if name not in self._sources:
                self._sources[name] = build_source(
                    name,
                    self.settings.environment,
                    timeouts=self._source_timeouts(),
                    meter=_MeterOf(self, name) if name in SOURCES else None,
                    trail=self.trail(name),
                    memory=lambda: self.memory,
                )
            return self._sources[name]

    def patient_source(self, name: str, tell: Callable[[str], None]) -> Source:
        """Return a source for somebody who sits and waits for its answer.

        Parameters
        ----------
        name
            As for `source`.
        tell
            Is given a line before each wait.
        """
        source = self.source(name)
        if not source.capabilities.asynchronous:
            return source
        # What the protocol wants of a class is on this object: it is that of the source.
        patience_s = self.settings.source_patience_s
        return cast("Source", Waiting(source, patience_s=patience_s, tell=tell))

    def _source_timeouts(self) -> SourceTimeouts:
        settings = self.settings
        return SourceTimeouts(
            connect_s=settings.source_connect_timeout_s,
            get_s=settings.source_get_timeout_s,
            post_s=settings.source_post_timeout_s,
            fetch_s=settings.message_s - settings.source_get_timeout_s,
        )

    def targets_file(self) -> TargetsFile:
        """Return the targets file, read again when it changed; an empty one where none is."""
        path = self.settings.targets_file
        with self._lock:
            if path is None:
                self._file = self._file or TargetsFile()
            else:
                stamp = path.stat().st_mtime if path.exists() else None
                if self._file is None or stamp != self._file_stamp:
                    self._file, self._file_stamp = self._load_targets_file(path), stamp
                    for problem in self._file.problems:
                        logger.error("targets file", extra={"problem": str(problem)})
            return self._file

    def _load_targets_file(self, path: Path) -> TargetsFile:
        settings = self.settings
        return load_targets_file(path, rules=settings.rules, source=settings.default_source)

    @property
    def default_cadence(self) -> Cadence:
        """Return how often targets are asked about that do not say it [s], or "adaptive"."""
        return self.targets_file().default_cadence_s or self.settings.cadence_s

    def cadence_of(self, target: Target, now_ms: int) -> Cadence:
        """Return how often a target is asked about at a time [s], or "adaptive".

        Its own cadence, until that is over; then the default. `yse_ingest.state.targets` claims
        by the same rule.
        """
        over = target.until is not None and now_ms >= time_ms_of_date(target.until)
        return (None if over else target.cadence_s) or self.default_cadence

    def sources_of(self, target: Target) -> tuple[str, ...]:
        """Return the names of the sources of a target, in the operator's order."""
        default = self.targets_file().default_source or self.settings.default_source
        return target.sources or source_names(default)

    def groups_of(self, target: Target) -> list[Group]:
        """Return the sources of a target by survey."""
        return groups_of(self.sources_of(target))

    def source_of(self, target: Target) -> str:
        """Return the name of the first source of a target."""
        return self.sources_of(target)[0]

    def rules(self, target: Target, source: str = "") -> Rules:
        """Return how a target's photometry of one source is chosen and sent.

        Parameters
        ----------
        source
            Where it is from; empty: the target's own source.
        """
        file = self.targets_file()
        if target.overrides:
            return self._rules(target, source, file)
        known_file, known = self._default_rules
        if known_file is not file:
            known = {}
            self._default_rules = file, known
        key = (target.source, source)
        if key not in known:
            known[key] = self._rules(target, source, file)
        return known[key]

    def _rules(self, target: Target, source: str, file: TargetsFile) -> Rules:
        own = self.source_of(target)
        source = source or own
        return rules_for(
            target,
            self.settings.rules,
            survey=_survey(source),
            home=_survey(source_names(file.default_source or self.settings.default_source)[0]),
            own=_survey(own),
            file=file.defaults,
            source=file.source_overrides.get(source, {}),
        )

    def readers(self, target: Target) -> frozenset[str]:
        """Return the groups for whose members alone some of a target's photometry is.

        One private source makes a target private: what is told of it is told of them all.
        """
        sources = self.sources_of(target)
        return frozenset(group for name in sources for group in self.rules(target, name).groups)

    def private(self, targets: Iterable[Target]) -> frozenset[str]:
        """Return the names of those of which some photometry is for groups alone."""
        found: list[str] = []
        alike: dict[tuple[str | None, str], frozenset[str]] = {}
        for target in targets:
            # Nothing else of a target decides it; there may be a hundred thousand.
            key = (target.source, str(target.overrides.get("groups")))
            if key not in alike:
                alike[key] = self.readers(target)
            found += [target.name] if alike[key] else []
        return frozenset(found)

    def kinds(self, target: Target, source: str = "") -> frozenset[Kind]:
        """Return what is wanted of a target's source, of that which the source has."""
        known = capabilities_of(source or self.source_of(target))
        if known is None:
            return frozenset()
        return wanted_kinds(self.rules(target, source), known) & known.kinds

    def locate(self, target: Target) -> Transient | None:
        """Return the transient a target is, cached; None for one that is still to be created.

        Raises
        ------
        UnknownTargetError
            When YSE-PZ does not know it and the target does not allow creation.
        """
        cached = self.state.resolutions.get(target.name)
        if cached is not None:
            return Transient.from_dict(cached)
        found = self.resolve(self.ysepz, target)
        self.state.troubles.clear(CREDENTIALS)
        if found.transient is not None:
            self.remember(target.name, found.transient)
            return found.transient
        if target.creation is None:
            raise self.unknown(target)
        return None

    def resolve(self, client: YsePz, target: Target) -> Resolution:
        """Return which transient a target is; TNS says where it is when nobody else does.

        Raises
        ------
        YseIngestError
            As `yse_ingest.ysepz.resolve`, and as `Directory.look_up`.
        """
        found = resolve(client, target)
        if found.transient is not None or not needs_place(target):
            return found
        entry = self.directory.look_up(target.name)
        if entry is None or entry.found is None:
            return found
        return resolve(client, replace(self.completed(target), name=entry.found.name))

    def completed(self, target: Target) -> Target:
        """Return a target with the place that TNS gave it, where it has none of its own."""
        entry = self.directory.kept(target.name) if needs_place(target) else None
        if entry is None or entry.found is None:
            return target
        surveys = {_survey(source).name for source in self.sources_of(target)}
        return located(target, entry.found, survey=surveys.pop() if len(surveys) == 1 else None)

    def unknown(self, target: Target) -> UnknownTargetError:
        """Return the error of a target that is no transient, and may not become one."""
        fact = "YSE-PZ has no transient of this name or place"
        if needs_place(target) and (entry := self.directory.kept(target.name)) is not None:
            fact += f"; TNS {entry}"
        return UnknownTargetError(
            fact,
            service="YSE-PZ",
            target=target.name,
            remedy="Check the name, or let it be created: --create --status S --obs-group G.",
        )

    def remember(self, name: str, transient: Transient) -> None:
        """Cache which transient a target is."""
        self.state.resolutions.put(name, transient.as_dict())

    def listen(self) -> None:
        """After a lost state: hear of YSE-PZ before anything is claimed.

        An answer tells that what was sent before has left YSE-PZ's queue: only then does the
        request limit say when it must have ended.
        """
        mark = self.state.unheard()
        if mark is None:
            return
        try:
            self.ysepz.ping()
        except YsePzError as error:
            logger.warning("state lost, YSE-PZ is not heard of", extra={"error": str(error)})
        else:
            self.state.heard(mark, self.settings.request_limit_s)

    def claim(self, key: str, *, early: bool = False) -> int | None:
        """Claim one outbox row for an upload, before its time where a person asks.

        Return its fence; None where it is not to be had.
        """
        self.listen()
        claim = self.state.outbox.claim_key(
            key,
            lease_s=self.settings.lease_s,
            cap=self.settings.uploads_in_flight,
            early=early,
        )
        return claim.fence if claim else None

    def sync_targets_file(self) -> FileSync | None:
        """Bring the registry in step with the targets file, when either has changed.

        Return what that changed; None: nothing was to be done.
        """
        if self.settings.targets_file is None:
            return None
        file = self.targets_file()
        stamp = self._file_stamp
        if stamp != self._synced_stamp or not self.state.targets.knows_file():
            synced = self.state.targets.sync_file(file.targets)
            self._synced_stamp = stamp
            return synced
        return None


def _metered(source: str, environment: Mapping[str, str]) -> tuple[str, tuple[Rate, ...], int]:
    """Return the title of what is asked, how often it may be, and for how many at once."""
    if source == Tns.name:
        return Tns.title, rates_in(environment, RATE), 1
    kind = SOURCES[source]
    return kind.title, rates_of(kind, environment), kind.capabilities.batch_size


def capabilities_of(source: str) -> Capabilities | None:
    """Return what a source can do; None: it cannot be used, and says so when it is asked."""
    try:
        return SOURCES[source].capabilities
    except (KeyError, SettingsError):
        return None


def _survey(source: str) -> Survey:
    known = capabilities_of(source)
    return ZTF if known is None else known.survey
