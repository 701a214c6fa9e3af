"""`push`: fetch, send the difference and read back, in one process and without Celery.

With a state URL it takes the transient's lease in Redis like any worker. Without one it needs
no Redis: what YSE-PZ holds is read back, and a lock file per YSE-PZ and account keeps two
pushes of this machine apart. In that file each request is noted before it is sent, so that the
push after a killed one settles first.
"""

from __future__ import annotations

import fcntl
import json
import os
import time
from contextlib import contextmanager
from dataclasses import dataclass, field
from typing import TYPE_CHECKING, Any

from yse_ingest.backoff import backoff_delay
from yse_ingest.choice import check_readers, union_of
from yse_ingest.delta import Verdict
from yse_ingest.errors import (
    LeaseLostError,
    OutcomeUnknownError,
    StateError,
    YseIngestError,
)
from yse_ingest.judge import held
from yse_ingest.pipeline import (
    Fetched,
    Outcome,
    Receipt,
    State,
    deliver,
    fetch_light_curve,
    plan_upload,
)
from yse_ingest.privacy import shelf_is_shown
from yse_ingest.pushed import journal_path, lock_path, note_places
from yse_ingest.shadow import rehearse
from yse_ingest.sources import Status
from yse_ingest.ysepz import create

if TYPE_CHECKING:
    from collections.abc import Callable, Iterator, Mapping, Sequence
    from pathlib import Path

    from yse_ingest.choice import Group
    from yse_ingest.service import Service
    from yse_ingest.settings import Settings
    from yse_ingest.targets import Target
    from yse_ingest.ysepz import ReadBack, Transient, YsePz

    Progress = Callable[[str], None]

ROUNDS_MAX = 6
"""How often one push begins anew after an unclear outcome before it gives up."""


@dataclass
class PushResult:
    """What one push did, for people and for JSON."""

    target: str
    source: str
    state: str = "failed"
    """verified, owed, settling, refused, held, failed; else what the source said."""
    passed: dict[str, str] = field(default_factory=dict)
    """Sources that gave no light curve, and why, where another one did."""
    disagreements: list[str] = field(default_factory=list)
    """What two sources say differently, each as a sentence."""
    transient: str | None = None
    transient_id: int | None = None
    created: bool = False
    resolved_by: str | None = None
    fetched: int = 0
    quarantined: int = 0
    negative: int = 0
    dropped: dict[str, int] = field(default_factory=dict)
    """Why rows of the source are not sent, to their number."""
    new: int = 0
    changed: int = 0
    same: int = 0
    adopted: int = 0
    elsewhere: int = 0
    differs: int = 0
    left: int = 0
    """Exposures whose row somebody moved or removed: not sent again."""
    sent: int = 0
    corrected: int = 0
    verified: int = 0
    """Exposures that stand in YSE-PZ as the source has them, seen in the last read-back."""
    set_aside: dict[str, int] = field(default_factory=dict)
    bands: dict[str, int] = field(default_factory=dict)
    """Band to the number of exposures that stand in YSE-PZ."""
    answers: list[str] = field(default_factory=list)
    reason: str = ""
    error: YseIngestError | None = None

    @property
    def done(self) -> bool:
        """Tell whether YSE-PZ holds what the source has."""
        return self.state in {State.VERIFIED, State.ACCEPTED, Status.EMPTY}

    def as_dict(self) -> dict[str, Any]:
        """Return the result for JSON."""
        plain = {key: value for key, value in vars(self).items() if key != "error"}
        if self.error is not None:
            plain["error"] = {**self.error.as_dict(), "message": str(self.error)}
        return plain


def push(
    service: Service, targets: Sequence[Target], *, progress: Progress | None = None
) -> Iterator[PushResult]:
    """Bring YSE-PZ up to date for each target, one after the other; by survey, if several.

    One target that fails stops only itself; its error stands in its result. What stops all of
    them (no lock, no Redis, no account) is raised.
    """
    tell = progress or (lambda _message: None)
    if service.settings.state_url:
        for target in targets:
            for group in service.groups_of(target):
                yield _guarded(_LeasedPush(service, target, group, tell))
        return
    with _lock(service.settings, service.ysepz.account.username) as journal:
        for target in targets:
            for group in service.groups_of(target):
                yield _guarded(_SoloPush(service, target, group, tell, journal))


def _guarded(one: _Push) -> PushResult:
    try:
        one.run()
    except StateError as error:
        one.result.error, one.result.state = error, "failed"
    except YseIngestError as error:
        one.result.error = error
    return one.result


class _Push:
    """One target in one survey: what both ways of pushing have in common."""

    def __init__(self, service: Service, target: Target, group: Group, tell: Progress) -> None:
        self.service = service
        self.settings = service.settings
        self.target = target
        self.tell = tell
        self.group = group
        self.result = PushResult(target=target.name, source=", ".join(group.sources))

    def run(self) -> None:
        raise NotImplementedError  # pragma: no cover  both kinds have their own

    def fetch(self, transient: Transient | None) -> Fetched | None:
        """Ask the sources for everything; None where there is nothing to send."""
        where = self.target
        if transient is not None:
            self.result.transient, self.result.transient_id = transient.name, transient.pk
            where = where.at(transient.ra, transient.dec)
        discovery_ms = transient.discovery_ms if transient is not None else None
        result = self.result
        answers, errors = [], []
        for source in self.group.sources:
            self.tell(f"asking {source} for {self.target.name}")
            try:
                answers.append(self.ask(source, where, discovery_ms))
            except YseIngestError as error:
                errors.append(error)
                result.passed[source] = error.fact
        if not answers:
            result.passed.clear()
            raise errors[0]
        check_readers(answers)
        fetched, disagreements = union_of(answers, self.group)
        result.disagreements = [str(each) for each in disagreements]
        answer = fetched.answer
        result.fetched = sum(fetched.counts.values())
        result.quarantined = len(answer.refused) + len(answer.twins)
        result.negative = fetched.negative
        result.dropped = dict(fetched.dropped)
        result.set_aside = dict(answer.set_aside)
        result.reason = answer.reason
        if answer.status is not Status.OK or not len(fetched.curve):
            result.state = str(Status.EMPTY if answer.status is Status.OK else answer.status)
            return None
        return fetched

    def ask(self, source: str, where: Target, discovery_ms: int | None) -> Fetched:
        """Ask one source for everything."""
        return fetch_light_curve(
            where,
            self.service.patient_source(source, self.tell),
            rules=self.service.rules(self.target, source),
            discovery_ms=discovery_ms,
        )

    def count(self, receipt: Receipt, *, first: bool) -> None:
        """Add one receipt to the result."""
        result, comparison = self.result, receipt.plan.comparison
        if first:
            result.new = comparison.count(Verdict.NEW)
            result.changed = comparison.count(Verdict.CHANGED)
            result.same = comparison.count(Verdict.SAME)
            result.adopted = comparison.count(Verdict.ADOPTED)
            result.elsewhere = comparison.count(Verdict.ELSEWHERE)
            result.differs = len(receipt.plan.differing)
            result.left = comparison.count(Verdict.MOVED)
        result.sent += receipt.count(
            Outcome.ACCEPTED, Outcome.VERIFIED, Outcome.ABSENT, Outcome.ALTERED
        )
        result.corrected += receipt.count(Outcome.CORRECTED)
        standing = (Outcome.SAME, Outcome.VERIFIED, Outcome.CORRECTED)
        result.verified = receipt.count(*standing)
        bands: dict[str, int] = {}
        for row in receipt.rows(*standing, Outcome.ADOPTED, Outcome.ELSEWHERE):
            band = str(receipt.plan.curve.band[row])
            bands[band] = bands.get(band, 0) + 1
        result.bands = bands
        result.answers += receipt.answers
        result.state = str(receipt.state)
        result.error = receipt.error


class _LeasedPush(_Push):
    """A push that takes the transient's lease in Redis, like any worker."""

    def run(self) -> None:
        service, state = self.service, self.service.state
        if (reason := state.outbox.held()) is not None:
            self.result.state = "held"
            raise held(reason)
        transient = service.locate(self.target)
        if transient is None:
            self.target = service.completed(self.target)
        fetched = self.fetch(transient)
        if fetched is None:
            return
        key = str(transient.pk) if transient is not None else f"name:{self.target.name}"
        name = self.target.name
        state.outbox.owe(
            key,
            fetched.curve,
            target=name,
            gaps=dict(fetched.gaps),
            tolerance_ms=fetched.tolerance_ms,
        )
        fence = service.claim(key, early=True)
        first = True
        give_up = time.monotonic() + self.patience_s()
        attempt = 1
        while True:
            if fence is None:
                self.refuse_if_busy(key, first=first, give_up=give_up)
                time.sleep(0.2)
                fence, attempt = service.claim(key), 1
                continue
            outcome = service.upload(
                name, key, fence, attempt=attempt, verify=True, target=self.target
            )
            for receipt in outcome.receipts:
                self.count(receipt, first=first)
                first = False
            self.result.error = outcome.error
            if outcome.retry_in is not None:
                self.tell(f"{outcome.error} Again in {outcome.retry_in:.0f} s.")
                time.sleep(outcome.retry_in)
                attempt += 1
            elif outcome.state == "created":
                self.result.created = True
                hint = next(iter(outcome.hints), None)
                made = state.resolutions.get(name)
                key = str(made["pk"]) if made else key
                fence, attempt = (hint.fence if hint else None), 1
            elif outcome.state == "settling" or (
                outcome.state == "later" and outcome.error is None
            ):
                self.result.state = "settling" if outcome.state == "settling" else "owed"
                self.tell(str(outcome.error) if outcome.error else "settling")
                fence = None
            elif outcome.state == "later":
                # It waits for somebody else: YSE-PZ, or who mends the account.
                self.result.state = "owed"
                return
            else:
                self.result.state = outcome.state
                return

    def patience_s(self) -> float:
        """Return how long a push waits for a row that settles [s]."""
        return 4 * self.settings.request_limit_s + 10 * self.settings.settle_gap_s

    def refuse_if_busy(self, key: str, *, first: bool, give_up: float) -> None:
        """Give up where somebody else holds the transient, or the wait is over."""
        outbox = self.service.state.outbox
        busy = outbox.in_flight(key)
        if not (first and busy) and time.monotonic() < give_up:
            return
        if busy:
            fact = "this transient is being uploaded by the service"
        else:
            row = outbox.owed(key)
            why = (row.reason if row else None) or "YSE-PZ is away, or others are uploaded"
            fact = f"its upload must wait: {why}"
        raise StateError(
            fact,
            service="Redis",
            target=self.target.name,
            remedy="The points are in the outbox; the service sends them. See "
            f"`yse-ingest status {self.target.name}`.",
        )


class _SoloPush(_Push):
    """A push that needs no Redis."""

    def __init__(
        self, service: Service, target: Target, group: Group, tell: Progress, journal: Journal
    ) -> None:
        super().__init__(service, target, group, tell)
        self.journal = journal
        service.ysepz.vocabulary()
        self.client: YsePz = service.ysepz.for_purpose("push")
        self.client.before_request = self.note

    def note(self, what: str) -> None:
        """Note a request before it is sent."""
        self.journal.note(what, transient=self.result.transient or self.target.name)

    def run(self) -> None:
        self.settle_previous()
        found = self.service.resolve(self.client, self.target)
        self.result.resolved_by = str(found.by)
        transient = found.transient
        if transient is None:
            if self.target.creation is None:
                raise self.service.unknown(self.target)
            self.target = self.service.completed(self.target)
        fetched = self.fetch(transient)
        if fetched is None:
            return
        error: YseIngestError | None = None
        for attempt in range(1, ROUNDS_MAX + 1):
            try:
                if transient is None:
                    self.tell(f"creating {self.target.name}")
                    transient = create(
                        self.client,
                        self.target,
                        self.client.vocabulary(),
                        settled=isinstance(error, OutcomeUnknownError),
                    )
                    self.result.created = True
                    self.result.transient = transient.name
                    self.result.transient_id = transient.pk
                    self.journal.done()
                receipt = self.send(fetched, transient, before=error)
                error = receipt.error
                self.count(receipt, first=attempt == 1)
            except YseIngestError as caught:
                error = caught
            if error is None:
                self.journal.done()
                return
            if not self.wait_for_another_round(error, attempt, transient):
                if not isinstance(error, OutcomeUnknownError):
                    self.journal.done()
                raise error

    def send(
        self, fetched: Fetched, transient: Transient, *, before: YseIngestError | None
    ) -> Receipt:
        """Read back, plan, deliver and prove one round; ``before``: how the last one ended."""
        self.tell(f"reading back {transient.name}")
        stored = self.client.read_back(transient.slug)
        plan = plan_upload(
            fetched.curve,
            transient,
            rules=fetched.rules,
            gaps=fetched.gaps,
            tolerance_ms=fetched.tolerance_ms,
            account=self.client.account.username,
            vocabulary=self.client.vocabulary(),
            stored=stored,
            speed=self.service.speed,
            seconds_max=self.settings.request_seconds_max,
            bytes_max=self.settings.request_bytes_max,
        )
        if plan.chunks:
            path = journal_path(self.settings, self.client.account.username)
            note_places(path, transient.pk, [plan.curve.take(chunk) for chunk in plan.chunks])
        if plan.chunks or plan.corrections:
            points = sum(len(chunk) for chunk in plan.chunks)
            self.tell(f"sending {points} points and {len(plan.corrections)} corrections")
        if self.settings.shadow:
            return rehearse(plan, at=time.time())
        unsure = isinstance(before, OutcomeUnknownError)
        return deliver(
            plan,
            self.client,
            verify=True,
            probe=unsure and not shelf_is_shown(stored, plan.rules),
            isolate=isinstance(before, OutcomeUnknownError) and before.bare,
        )

    def wait_for_another_round(
        self, error: YseIngestError, attempt: int, transient: Transient | None
    ) -> bool:
        """Wait as the error demands; False where another round is useless."""
        if isinstance(error, LeaseLostError) or attempt == ROUNDS_MAX:
            return False
        if isinstance(error, OutcomeUnknownError):
            self.result.state = str(State.SETTLING)
            self.tell(f"{error} Waiting until YSE-PZ must have ended it.")
            settle(self.client, transient, self.settings, since=time.time())
            self.journal.done()
            return True
        if error.retryable and attempt <= self.settings.retries:
            wait = backoff_delay(
                attempt,
                base=self.settings.retry_wait_s,
                cap=self.settings.retry_wait_max_s,
                jitter=0.0,
                after=error.retry_after,
            )
            self.result.state = str(State.OWED)
            self.tell(f"{error} Again in {wait:.0f} s.")
            time.sleep(wait)
            return True
        if error.retryable:
            self.result.state = str(State.OWED)
        return False

    def settle_previous(self) -> None:
        """Settle what a killed push may have left under way."""
        unfinished = self.journal.unfinished()
        if unfinished is None:
            return
        self.tell(
            f"an earlier push of {unfinished['transient']} was ended in mid-request; "
            "waiting until YSE-PZ must have ended it"
        )
        found = self.client.transient_by_name(unfinished["transient"])
        settle(self.client, found, self.settings, since=float(unfinished["at"]))
        self.journal.done()


def settle(
    client: YsePz, transient: Transient | None, settings: Settings, *, since: float
) -> ReadBack | None:
    """Wait until YSE-PZ must have ended what was sent at ``since``; return what it then holds.

    See `yse_ingest.service`: an answered read-back alone is no proof.
    """
    for attempt in range(1, settings.retries + 2):
        try:
            client.ping()
            break
        except YseIngestError as error:
            if not error.retryable or attempt > settings.retries:
                raise
            time.sleep(
                backoff_delay(
                    attempt,
                    base=settings.retry_wait_s,
                    cap=settings.retry_wait_max_s,
                    jitter=0.0,
                    after=error.retry_after,
                )
            )
    limit = max(settings.request_limit_s, 3 * settings.request_seconds_max)
    time.sleep(max(0.0, since + limit - time.time()))
    if transient is None:
        time.sleep(settings.settle_gap_s)
        return None
    before = client.read_back(transient.slug)
    while True:
        time.sleep(settings.settle_gap_s)
        now = client.read_back(transient.slug)
        if now.digest == before.digest:
            return now
        before = now


class Journal:
    """The requests of one push, each noted before it is sent."""

    def __init__(self, path: Path) -> None:
        self._file = path.open("r+", encoding="utf-8")

    @property
    def fileno(self) -> int:
        """Return the descriptor that is locked."""
        return self._file.fileno()

    def unfinished(self) -> Mapping[str, Any] | None:
        """Return the note of a request that nobody saw ended."""
        self._file.seek(0)
        lines = self._file.read().splitlines()
        if not lines:
            return None
        try:
            note = json.loads(lines[-1])
        except json.JSONDecodeError:
            # The note was being written when the push was killed: nothing was sent yet.
            return None
        return note if isinstance(note, dict) and "what" in note else None

    def note(self, what: str, *, transient: str) -> None:
        """Write down, on the disk, what is about to be sent."""
        self._replace(json.dumps({"at": time.time(), "what": what, "transient": transient}))

    def done(self) -> None:
        """Write down that nothing is under way."""
        self._replace("")

    def _replace(self, text: str) -> None:
        self._file.seek(0)
        self._file.truncate()
        self._file.write(text)
        self._file.flush()
        os.fsync(self._file.fileno())

    def close(self) -> None:
        """Close the file, and with it the lock."""
        self._file.close()


@contextmanager
def _lock(settings: Settings, account: str) -> Iterator[Journal]:
    path = lock_path(settings, account)
    path.parent.mkdir(parents=True, exist_ok=True, mode=0o700)
    path.touch(mode=0o600)
    journal = Journal(path)
    give_up = time.monotonic() + settings.lease_s
    try:
        while True:
            try:
                fcntl.flock(journal.fileno, fcntl.LOCK_EX | fcntl.LOCK_NB)
                break
            except BlockingIOError as error:
                if time.monotonic() >= give_up:
                    raise StateError(
                        "another push to this YSE-PZ is under way on this machine",
                        service="push",
                        field="lock file",
                        value=str(path),
                        remedy="Wait for it to end, then push again.",
                    ) from error
                time.sleep(0.2)
        yield journal
    finally:
        journal.close()
