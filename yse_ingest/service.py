"""The service: the pipeline joined to the state that survives a crash.

Each method is what one Celery task does, callable without Celery: `dispatch`, `refresh`,
`upload`, `drain`, `sweep`. A message is only a hint to call one of them; what is due and what
is owed stand in Redis, so that a lost message is made anew and a doubled one is refused.
"""

from __future__ import annotations

import copy
import logging
import random
import threading
import time
from dataclasses import dataclass, field
from typing import TYPE_CHECKING, Any

import numpy as np

from yse_ingest.backoff import backoff_delay
from yse_ingest.delta import Verdict, compare, windows
from yse_ingest.errors import (
    CredentialsError,
    LeaseLostError,
    OutcomeUnknownError,
    StateError,
    UnknownTargetError,
    YseIngestError,
    YsePzError,
)
from yse_ingest.pipeline import (
    Fetched,
    Outcome,
    Receipt,
    State,
    deliver,
    fetch_light_curves,
    plan_upload,
    rules_for,
)
from yse_ingest.schemas.targets import TargetsFile, load_targets_file
from yse_ingest.sources import Ask, Status, build_source
from yse_ingest.sources import Timeouts as SourceTimeouts
from yse_ingest.state import State as Store
from yse_ingest.targets import Target, canonical_name
from yse_ingest.ysepz import Speed, Timeouts, Transient, YsePz, create, resolve

if TYPE_CHECKING:
    from collections.abc import Callable, Sequence

    from yse_ingest.ledger import Ledger
    from yse_ingest.photometry import LightCurve
    from yse_ingest.settings import Settings
    from yse_ingest.sources import Source
    from yse_ingest.state import OwedRow
    from yse_ingest.targets import Rules
    from yse_ingest.ysepz import ReadBack

logger = logging.getLogger(__name__)

CREATION_KEY = "name:"
"""Outbox rows of targets that YSE-PZ does not hold yet are keyed by name."""
REFUSED_AGAIN_S = 3600.0
"""A refused row is tried again after this: what was wrong may have been mended [s]."""
DISPATCH_MAX = 1000
"""Targets that one tick claims."""
SWEEP_ROWS = 1000
"""Outbox rows that one sweep looks at."""
OWED_WAIT_S = 30.0
OWED_WAIT_MAX_S = 1800.0
"""First and longest wait of a row that YSE-PZ could not take [s]."""
REFUSED_BY_YSEPZ = "YSE-PZ"
"""The source noted in quarantine for points that YSE-PZ itself refused."""
RESOLVE_AGAIN_S = 60.0
"""A target that could not be looked up is asked for again after this [s]."""


@dataclass(frozen=True)
class Hint:
    """Work that was claimed for one upload task: "look at this transient"."""

    name: str
    key: str
    fence: int


@dataclass(frozen=True)
class FetchBatch:
    """Targets of one source that are due now."""

    source: str
    names: tuple[str, ...]


@dataclass(frozen=True)
class UploadOutcome:
    """How one upload task ended."""

    state: str
    retry_in: float | None = None
    """Nothing was written and the lease still holds: try again after this [s]."""
    hints: tuple[Hint, ...] = ()
    error: YseIngestError | None = None
    counts: dict[str, int] = field(default_factory=dict)
    receipts: tuple[Receipt, ...] = ()


class Service:
    """What the tasks and the terminal call. Thread-safe: clients are shared, state is Redis."""

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
        self._clock = clock
        self._draw = draw
        self._lock = threading.RLock()
        self._state = state
        self._ysepz = ysepz
        self._sources: dict[str, Source] = {}
        self._file: TargetsFile | None = None
        self._file_stamp: float | None = None

    @classmethod
    def from_settings(cls, settings: Settings) -> Service:
        """Return a service that builds its clients when they are first needed."""
        return cls(settings)

    # ------------------------------------------------------------------ collaborators

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
                )
            return self._state

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
                    timeouts=Timeouts(
                        connect_s=self.settings.connect_timeout_s,
                        read_s=self.settings.read_timeout_s,
                        slow_s=min(8.0, 0.8 * self.settings.request_limit_s),
                    ),
                )
            return self._ysepz

    def source(self, name: str) -> Source:
        """Return a source by name, the default one for an empty name."""
        name = name or self.settings.default_source
        with self._lock:
            if name not in self._sources:
                settings = self.settings
                self._sources[name] = build_source(
                    name,
                    mars_url=settings.mars_url,
                    alerce_url=settings.alerce_url,
                    timeouts=SourceTimeouts(
                        connect_s=settings.source_connect_timeout_s,
                        get_s=settings.source_get_timeout_s,
                        post_s=settings.source_post_timeout_s,
                        fetch_s=settings.message_s - settings.source_get_timeout_s,
                    ),
                )
            return self._sources[name]

    def targets_file(self) -> TargetsFile:
        """Return the targets file, read again when it changed; an empty one where none is."""
        path = self.settings.targets_file
        with self._lock:
            if path is None:
                self._file = self._file or TargetsFile()
            else:
                stamp = path.stat().st_mtime if path.exists() else None
                if self._file is None or stamp != self._file_stamp:
                    self._file, self._file_stamp = load_targets_file(path), stamp
                    for problem in self._file.problems:
                        logger.error("targets file", extra={"problem": str(problem)})
            return self._file

    def source_of(self, target: Target) -> str:
        """Return the name of the source that a target is asked for at."""
        file = self.targets_file()
        return target.source or file.default_source or self.settings.default_source

    def rules(self, target: Target) -> Rules:
        """Return how this target's photometry is chosen and sent."""
        file = self.targets_file()
        source = self.source_of(target)
        return rules_for(
            target,
            self.settings.rules,
            file=file.defaults,
            source=file.source_overrides.get(source, {}),
        )

    # ------------------------------------------------------------------ what is due

    def enqueue(self, target: Target) -> str:
        """Write a target as due now; return its canonical name. The hint is the caller's."""
        self.state.targets.put(target, origin="adhoc", due_ms=self.state.now_ms())
        return target.name

    def dispatch(self) -> list[FetchBatch]:
        """Claim the targets that are due, grouped by source into batches.

        Safe to repeat: a target is claimed atomically and moved to its next time, so that two
        beats or a doubled tick never ask twice.
        """
        self.sync_targets_file()
        claimed = self.state.targets.claim_due(
            self.state.now_ms(),
            DISPATCH_MAX,
            cadence_s=self.targets_file().default_cadence_s or self.settings.cadence_s,
        )
        by_source: dict[str, list[str]] = {}
        for name, source in claimed:
            source = source or self.targets_file().default_source or ""
            by_source.setdefault(source or self.settings.default_source, []).append(name)
        size = self.settings.batch_size
        return [
            FetchBatch(source=source, names=tuple(names[start : start + size]))
            for source, names in sorted(by_source.items())
            for start in range(0, len(names), size)
        ]

    def sync_targets_file(self) -> None:
        """Bring the registry in step with the targets file, when that has changed."""
        before = self._file_stamp
        file = self.targets_file()
        if self.settings.targets_file is not None and self._file_stamp != before:
            self.state.targets.sync_file(file.targets)

    # ------------------------------------------------------------------ fetch

    def refresh(self, names: Sequence[str]) -> list[Hint]:
        """Bring what YSE-PZ is owed for these targets up to date; claim what can be sent.

        Each target is committed by itself: a bad one stops only itself, a crash repeats only
        the unfinished. Safe to repeat: the outbox merges, and the ledger knows what is stored.
        """
        questions: dict[str, list[Ask]] = {}
        places: dict[str, str] = {}
        for name in dict.fromkeys(canonical_name(each) for each in names):
            target = self.state.targets.get(name)
            if target is None:
                logger.error("unknown target", extra={"target": name})
                continue
            source = self.source_of(target)
            try:
                key, ask = self._question(target, source)
            except StateError:
                raise
            except YseIngestError as error:
                self._failed(target, source, error)
                continue
            places[name] = key
            questions.setdefault(source, []).append(ask)
        hints: list[Hint] = []
        for source, asks in questions.items():
            for fetched in fetch_light_curves(asks, self.source(source)):
                hint = self._commit(fetched, places[fetched.target.name])
                hints += [hint] if hint else []
        return hints

    def _failed(self, target: Target, source: str, error: YseIngestError) -> None:
        logger.warning(
            "not fetched", extra={"target": target.name, "source": source, "error": str(error)}
        )
        self.state.clocks.record(
            target.name,
            source,
            asked_ms=self.state.now_ms(),
            status=str(Status.ERROR) if error.retryable else "refused",
            error=str(error),
        )
        if error.retryable:
            wait = max(RESOLVE_AGAIN_S, error.retry_after or 0.0)
            self.state.targets.set_due(target.name, self.state.now_ms() + int(wait * 1000))

    def _question(self, target: Target, source: str) -> tuple[str, Ask]:
        """Return the target's outbox key and what to ask; look it up where need be."""
        place = self.locate(target)
        known = self.state.clocks.get(target.name).get(source)
        detail = dict(known.detail) if known else {}
        ledger = None if place is None else self.state.ledgers.get(place.pk)
        now_ms = self.state.now_ms()
        full_read_ms = detail.get("full_read_ms") or 0
        due_in_full = (
            ledger is None
            or known is None
            or known.status not in {Status.OK, Status.EMPTY}
            or not detail.get("newest_ms")
            or now_ms - full_read_ms > self.settings.full_read_s * 1000
        )
        since_ms = None
        if not due_in_full:
            since_ms = int(detail["newest_ms"] - self.settings.overlap_s * 1000)
        where = target if place is None else target.at(place.ra, place.dec)
        ask = Ask(
            target=where,
            rules=self.rules(target),
            since_ms=since_ms,
            discovery_ms=None if place is None else place.discovery_ms,
            known_objects=tuple(detail.get("object_ids", ())),
        )
        return (CREATION_KEY + target.name if place is None else str(place.pk)), ask

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
        found = resolve(self.ysepz, target)
        if found.transient is not None:
            self.remember(target.name, found.transient)
            return found.transient
        if target.creation is None:
            raise UnknownTargetError(
                "YSE-PZ has no transient of this name or place",
                service="YSE-PZ",
                target=target.name,
                remedy="Check the name, or let the target be created: give status and "
                "obs_group (`--create --status S --obs-group G`).",
            )
        return None

    def remember(self, name: str, transient: Transient) -> None:
        """Cache which transient a target is."""
        self.state.resolutions.put(name, transient.as_dict())

    def _commit(self, fetched: Fetched, key: str) -> Hint | None:
        """Record one answer, owe what is new, and claim it for an upload."""
        name, answer = fetched.target.name, fetched.answer
        self._record(fetched)
        if answer.error is not None:
            self._failed(fetched.target, fetched.source, answer.error)
            return None
        owed, ledger = self.owed(fetched, key)
        logger.info(
            "fetched",
            extra={
                "target": name,
                "source": fetched.source,
                "status": str(answer.status),
                "full": answer.full,
                "points": len(fetched.curve),
                "negative": fetched.negative,
                "quarantined": len(answer.refused),
                "owed": len(owed),
            },
        )
        shrunk = ledger is not None and ledger.with_gaps(fetched.gaps).gaps != ledger.gaps
        if not len(owed) and not shrunk:
            return None
        self.state.outbox.owe(
            key, owed, target=name, gaps=dict(fetched.gaps), tolerance_ms=fetched.tolerance_ms
        )
        claim = self.claim(key)
        return Hint(name, key, claim) if claim else None

    def _record(self, fetched: Fetched) -> None:
        name, answer = fetched.target.name, fetched.answer
        if answer.error is not None:
            return
        before = self.state.clocks.get(name).get(fetched.source)
        detail = dict(before.detail) if before else {}
        newest = answer.newest_ms
        if newest is not None:
            detail["newest_ms"] = max(newest, detail.get("newest_ms") or 0)
        if answer.full:
            detail["full_read_ms"] = self.state.now_ms()
            detail["object_ids"] = list(answer.accepted_objects)
        detail["reason"] = answer.reason
        detail["set_aside"] = dict(answer.set_aside)
        detail["negative"] = fetched.negative
        now_ms = self.state.now_ms()
        self.state.clocks.record(
            name,
            fetched.source,
            asked_ms=now_ms,
            answered_ms=now_ms,
            status=str(answer.status),
            detail=detail,
        )
        refused = [
            {
                "native_id": refusal.native_id or "",
                "field": fault.field,
                "value": fault.value,
                "reason": fault.reason,
                "source": fetched.source,
                "raw": refusal.excerpt,
            }
            for refusal in answer.refused
            for fault in refusal.faults
        ]
        refused += [
            {
                "native_id": twin.native_id,
                "field": "candid",
                "value": twin.native_id,
                "reason": f"twin of {twin.twin_of}: one exposure reported twice",
                "source": fetched.source,
                "raw": "",
            }
            for twin in answer.twins
        ]
        if refused:
            self.state.quarantine.put(name, refused)

    def owed(self, fetched: Fetched, key: str) -> tuple[LightCurve, Ledger | None]:
        """Return the exposures that YSE-PZ does not hold as they are, and its ledger.

        Where there is no ledger every exposure is owed; the upload reads back and compares.
        """
        empty = fetched.curve.take(slice(0, 0))
        if fetched.answer.status is not Status.OK:
            return empty, None
        curve = self._without_refused(fetched)
        ledger = None if key.startswith(CREATION_KEY) else self.state.ledgers.get(int(key))
        if ledger is None:
            # Part of a light curve says nothing about the smallest gap: ask in full next time.
            return (curve if fetched.answer.full else empty), None
        window = windows(
            curve.band,
            instrument=curve.instrument,
            gaps=ledger.with_gaps(fetched.gaps).gaps,
            tolerance_ms=fetched.tolerance_ms,
            mjdmatchmin=fetched.rules.mjdmatchmin,
        )
        verdicts = compare(
            curve,
            ledger,
            window,
            ours=ledger.ours,
            value_hash=ledger.value_hash,
            send_stored_elsewhere=fetched.rules.send_stored_elsewhere,
        )
        return curve.take(verdicts.where(Verdict.NEW, Verdict.CHANGED)), ledger

    def _without_refused(self, fetched: Fetched) -> LightCurve:
        """Leave out what people rejected, and what YSE-PZ refused while its values stay."""
        name, curve = fetched.target.name, fetched.curve
        rejected = self.state.quarantine.rejected(name)
        refused = {
            (row["native_id"], row["value"])
            for row in self.state.quarantine.list(name)
            if row["source"] == REFUSED_BY_YSEPZ
        }
        if not refused and not rejected:
            return curve
        keep = [
            native_id not in rejected and (native_id, str(value_hash)) not in refused
            for native_id, value_hash in zip(
                curve.native_id.tolist(), curve.value_hash.tolist(), strict=True
            )
        ]
        return curve.take(np.array(keep, dtype=bool))

    # ------------------------------------------------------------------ upload

    def claim(self, key: str) -> int | None:
        """Claim one outbox row for an upload; return its fence."""
        claim = self.state.outbox.claim_key(
            key, lease_s=self.settings.lease_s, cap=self.settings.uploads_in_flight
        )
        return claim.fence if claim else None

    def drain(self) -> list[Hint]:
        """Claim every outbox row that is due, as many as may be in flight."""
        claims = self.state.outbox.claim(
            self.settings.uploads_in_flight,
            lease_s=self.settings.lease_s,
            cap=self.settings.uploads_in_flight,
        )
        return [Hint(self._name_of(claim.key), claim.key, claim.fence) for claim in claims]

    def _name_of(self, key: str) -> str:
        """Return a target of an outbox row: messages carry it for people."""
        row = self.state.outbox.owed(key)
        return row.targets[0] if row and row.targets else key.removeprefix(CREATION_KEY)

    def sweep(self) -> dict[str, int]:
        """Make anew what got lost: hints, leases, rows in no queue; notice a lost state."""
        lost = self.state.notice_loss(self.settings.request_limit_s)
        before_ms = self.state.now_ms() - int(REFUSED_AGAIN_S * 1000)
        refused = [
            row.key
            for row in self.state.outbox.rows(SWEEP_ROWS)
            if row.place == "refused" and (row.at_ms or 0) < before_ms
        ]
        return {
            "state_lost": int(lost),
            "orphans": self.state.outbox.sweep(),
            "released": sum(self.state.outbox.release_refused(key) for key in refused),
            "lost_fetches": self.state.targets.sweep(),
        }

    def upload(
        self,
        name: str,
        key: str,
        fence: int,
        *,
        attempt: int,
        verify: bool = False,
        target: Target | None = None,
    ) -> UploadOutcome:
        """Send what one transient is owed, under its lease.

        Safe to repeat: START accepts exactly the next attempt of the current fence, so that a
        doubled or late message ends here.

        Parameters
        ----------
        name
            Target, for people; the work is named by
        key
            the outbox row and
        fence
            the claim.
        attempt
            1 for the first try under this fence, then 2, ...
        verify
            Read back even where nothing asks for it.
        target
            The target itself, where it is not in the registry (`push`).
        """
        if not self.state.outbox.start(key, fence, attempt, lease_s=self.settings.lease_s):
            return UploadOutcome("stale")
        row = self.state.outbox.owed(key)
        if row is None:
            return UploadOutcome("nothing owed")
        upload = _Upload(self, name, row, fence=fence, attempt=attempt, target=target)
        try:
            return upload.run(verify=verify)
        except LeaseLostError as error:
            return UploadOutcome("stale", error=error)
        except StateError:
            raise
        except YseIngestError as error:
            return upload.stopped(error)


class _Upload:
    """One upload under one lease: settle, create, read back, send, record."""

    def __init__(
        self,
        service: Service,
        name: str,
        row: OwedRow,
        *,
        fence: int,
        attempt: int,
        target: Target | None,
    ) -> None:
        self.service = service
        self.given = target
        self.settings = service.settings
        self.state = service.state
        self.name = name
        self.row = row
        self.key = row.key
        self.fence = fence
        self.attempt = attempt
        self.client = self._client()
        self.deadline = service._clock() + self.settings.message_s  # noqa: SLF001
        self.receipts: list[Receipt] = []

    def _client(self) -> YsePz:
        """Return a client of this upload, which shares connections and what was read."""
        client = copy.copy(self.service.ysepz)
        client.before_request = self.hold
        return client

    def hold(self, _request: str) -> None:
        """Renew the lease before a request; raise where it is lost."""
        if not self.state.outbox.renew(self.key, self.fence, lease_s=self.settings.lease_s):
            raise LeaseLostError(
                "the lease of this transient has passed on",
                service="Redis",
                target=self.name,
                remedy="Nothing to do: its new holder reads back and sends what is missing.",
            )

    def run(self, *, verify: bool) -> UploadOutcome:
        """Do the upload; raises what stops it before anything was sent."""
        self.service.ysepz.vocabulary()
        self.client = self._client()
        stored = None
        if self.row.settle is not None:
            settled, stored = self.settle(self.row.settle)
            if not settled:
                return UploadOutcome("settling")
        if self.key.startswith(CREATION_KEY):
            return self.create()
        transient = self.transient()
        ledger = self.state.ledgers.get(transient.pk)
        if not self.row.curves and ledger is not None:
            # Only a smaller gap was seen: nothing to send, but the window has shrunk.
            self.keep(transient, ledger.with_gaps(self.row.gaps))
        for target_name, curve in self.row.curves:
            verify = verify or stored is not None or self._must_read_back(curve, ledger)
            if verify and stored is None:
                stored = self.client.read_back(transient.slug)
            receipt = self.send(target_name, curve, transient, ledger, stored)
            ledger = receipt.ledger(ledger, account=self.client.account.username)
            stored = receipt.read_back
            self.keep(transient, ledger)
            self.state.receipts.put(
                str(transient.pk), {"target": target_name, **receipt.as_dict()}
            )
            self.receipts.append(receipt)
            if receipt.state not in {State.VERIFIED, State.ACCEPTED}:
                break
        return self.finish()

    def keep(self, transient: Transient, ledger: Ledger) -> None:
        """Write the ledger down."""
        self.state.ledgers.put(transient.pk, ledger, name=transient.name, slug=transient.slug)

    def _must_read_back(self, curve: LightCurve, ledger: Ledger | None) -> bool:
        """Tell whether the plan needs to see the rows: first upload, or a changed value."""
        if ledger is None or not ledger.read_back_ms:
            return True
        window = windows(
            curve.band,
            instrument=curve.instrument,
            gaps=ledger.with_gaps(self.row.gaps).gaps,
            tolerance_ms=self.row.tolerance_ms,
        )
        verdicts = compare(
            curve, ledger, window, ours=ledger.ours, value_hash=ledger.value_hash
        )
        return verdicts.count(Verdict.CHANGED) > 0

    def send(
        self,
        target_name: str,
        curve: LightCurve,
        transient: Transient,
        ledger: Ledger | None,
        stored: ReadBack | None,
    ) -> Receipt:
        """Plan and deliver one target's points."""
        target = self.target(target_name) or Target(target_name)
        plan = plan_upload(
            curve,
            transient,
            rules=self.service.rules(target),
            gaps=self.row.gaps,
            tolerance_ms=self.row.tolerance_ms,
            account=self.client.account.username,
            vocabulary=self.client.vocabulary(),
            stored=stored,
            ledger=ledger,
            speed=self.service.speed,
            seconds_max=self.settings.request_seconds_max,
            bytes_max=self.settings.request_bytes_max,
        )
        return deliver(plan, self.client, verify=stored is not None, deadline=self.deadline)

    def target(self, name: str) -> Target | None:
        """Return a target of the row: the given one, or the registry's."""
        if self.given is not None and self.given.name == name:
            return self.given
        return self.state.targets.get(name)

    def transient(self) -> Transient:
        """Return the transient of the row's key."""
        cached = self.state.resolutions.get(self.name)
        if cached is not None and str(cached["pk"]) == self.key:
            return Transient.from_dict(cached)
        found = self.client.transient_by_pk(int(self.key))
        if found is None:
            raise UnknownTargetError(
                f"YSE-PZ has no transient number {self.key} any more",
                service="YSE-PZ",
                target=self.name,
                remedy="It was deleted or merged there; enqueue the target again.",
            )
        self.service.remember(self.name, found)
        return found

    def create(self) -> UploadOutcome:
        """Create the transient under the one creation lease, and hand its points to its id."""
        lease = self.state.leases.take("create", lease_s=self.settings.lease_s)
        if lease is None:
            return self.later("another creation is under way", wait_s=2.0, count=False)
        try:
            target = self.target(self.name)
            if target is None:
                raise UnknownTargetError(
                    "the target is gone",
                    service="targets",
                    target=self.name,
                    remedy="It was removed; nothing is created.",
                )
            transient = create(
                self.client,
                target,
                self.client.vocabulary(),
                settled=self.row.settle is not None,
            )
        finally:
            self.state.leases.release("create", lease)
        self.service.remember(self.name, transient)
        key = str(transient.pk)
        self.state.outbox.move(self.key, key, fence=self.fence)
        fence = self.service.claim(key)
        logger.info("created", extra={"target": self.name, "transient": transient.pk})
        hints = (Hint(self.name, key, fence),) if fence else ()
        return UploadOutcome("created", hints=hints)

    # ---------------------------------------------------------------- unclear outcomes

    def settle(self, stage: dict[str, Any]) -> tuple[bool, ReadBack | None]:
        """Take one step of settling; True when it is known what YSE-PZ holds.

        (1) a cheap GET is answered; (2) then wait until the server must have ended the request:
        an answer alone is no proof, the other worker may still be writing (measured 2026-11:
        3 of 4 early repeats stored points twice); (3) two equal read-backs.
        """
        settings = self.settings
        if stage.get("stage") == "ping":
            self.client.ping()
            wait = max(settings.request_limit_s, 3 * float(stage.get("seconds", 0.0)))
            self.back_to_settle({"stage": "compare"}, wait_s=wait)
            return False, None
        stored, digest = self._look()
        if digest == stage.get("digest"):
            return True, stored
        self.back_to_settle(
            {"stage": "compare", "digest": digest}, wait_s=settings.settle_gap_s
        )
        return False, None

    def _look(self) -> tuple[ReadBack | None, str]:
        if self.key.startswith(CREATION_KEY):
            found = self.client.transient_by_name(self.name)
            return None, f"transient {found.pk if found else None}"
        stored = self.client.read_back(self.transient().slug)
        return stored, stored.digest

    def back_to_settle(self, stage: dict[str, Any], *, wait_s: float) -> None:
        """Put the row back until the next step of settling: it occupies no worker."""
        self.state.outbox.finish(
            self.key,
            self.fence,
            sent=self.row,
            result="settling",
            due_ms=self.state.now_ms() + int(wait_s * 1000),
            settle=stage,
            reason=self.row.reason,
        )

    # ---------------------------------------------------------------- endings

    def finish(self) -> UploadOutcome:
        """Write down how the upload ended."""
        if not self.receipts:
            self.state.outbox.finish(self.key, self.fence, sent=self.row, result="done")
            return UploadOutcome("nothing owed")
        last = self.receipts[-1]
        counts: dict[str, int] = {}
        for receipt in self.receipts:
            for outcome in Outcome:
                if count := receipt.count(outcome):
                    counts[str(outcome)] = counts.get(str(outcome), 0) + count
        self._quarantine_refused()
        if last.state in {State.VERIFIED, State.ACCEPTED}:
            self.state.outbox.record(ok=True)
            self.state.outbox.finish(self.key, self.fence, sent=self.row, result="done")
            return UploadOutcome(str(last.state), counts=counts, receipts=tuple(self.receipts))
        if last.error is None:
            # Time ran out: the rest is due at once.
            return self.later("more than one message's worth", wait_s=0.0, count=False)
        ending = self.stopped(last.error)
        return UploadOutcome(
            ending.state,
            retry_in=ending.retry_in,
            error=last.error,
            counts=counts,
            receipts=tuple(self.receipts),
        )

    def _quarantine_refused(self) -> None:
        for receipt in self.receipts:
            rows = receipt.rows(Outcome.REFUSED)
            if not len(rows):
                continue
            curve = receipt.plan.curve.take(rows)
            self.state.quarantine.put(
                self.name,
                [
                    {
                        "native_id": native_id,
                        "field": "point",
                        "value": str(value_hash),
                        "reason": str(receipt.error),
                        "source": REFUSED_BY_YSEPZ,
                        "raw": "",
                    }
                    for native_id, value_hash in zip(
                        curve.native_id.tolist(), curve.value_hash.tolist(), strict=True
                    )
                ],
            )

    def stopped(self, error: YseIngestError) -> UploadOutcome:
        """Put the row where its error belongs: retry, settle, later or refused."""
        if isinstance(error, LeaseLostError):
            return UploadOutcome("stale", error=error)
        if isinstance(error, OutcomeUnknownError):
            seconds = max((receipt.predicted_s for receipt in self.receipts), default=0.0)
            self.state.outbox.finish(
                self.key,
                self.fence,
                sent=self.row,
                result="settling",
                due_ms=self.state.now_ms(),
                settle={"stage": "ping", "seconds": seconds},
                reason=str(error),
            )
            return UploadOutcome("settling", error=error)
        if error.retryable:
            if isinstance(error, YsePzError):
                self.state.outbox.record(ok=False)
            return self._again(error)
        if isinstance(error, CredentialsError):
            return self.later(str(error), wait_s=300.0, error=error)
        self.state.outbox.finish(
            self.key,
            self.fence,
            sent=self.row,
            result="refused",
            reason=str(error),
            attempts_delta=1,
        )
        return UploadOutcome("refused", error=error)

    def _again(self, error: YseIngestError) -> UploadOutcome:
        settings = self.settings
        draw = self.service._draw()  # noqa: SLF001
        wait = backoff_delay(
            self.attempt,
            base=settings.retry_wait_s,
            cap=settings.retry_wait_max_s,
            jitter=draw,
            after=error.retry_after,
        )
        settling = self.row.settle is not None
        if (
            not settling
            and self.attempt <= settings.retries
            and wait <= settings.retry_wait_max_s
        ):
            lease_s = wait + settings.lease_s
            if self.state.outbox.renew(self.key, self.fence, lease_s=lease_s):
                return UploadOutcome("retry", retry_in=wait, error=error)
            return UploadOutcome("stale", error=error)
        longer = backoff_delay(
            self.row.attempts + 1,
            base=OWED_WAIT_S,
            cap=OWED_WAIT_MAX_S,
            jitter=draw,
            after=error.retry_after,
        )
        return self.later(str(error), wait_s=longer, error=error)

    def later(
        self,
        reason: str,
        *,
        wait_s: float,
        count: bool = True,
        error: YseIngestError | None = None,
    ) -> UploadOutcome:
        """Put the row back, due after a wait; what was delivered is taken out by its ledger."""
        self.state.outbox.finish(
            self.key,
            self.fence,
            sent=self.row,
            result="settling" if self.row.settle is not None else "later",
            settle=self.row.settle,
            due_ms=self.state.now_ms() + int(wait_s * 1000),
            reason=reason,
            attempts_delta=int(count),
        )
        return UploadOutcome("later", error=error)
