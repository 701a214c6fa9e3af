"""The service: the pipeline joined to the state that survives a crash.

Each method is what one Celery task does, callable without Celery: `dispatch`, `refresh`,
`upload`, `drain`, `sweep`. A message is only a hint to call one of them; what is due and what
is owed stand in Redis, so that a lost message is made anew and a doubled one is refused.
"""

from __future__ import annotations

import contextlib
import logging
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any

from yse_ingest.clients import CREATION_KEY, Clients, Hint
from yse_ingest.errors import LeaseLostError, StateError, TargetError, YseIngestError
from yse_ingest.fetch import Fetch, owed
from yse_ingest.follow import Followed, follow, follow_lists, preview
from yse_ingest.schemas._load import load
from yse_ingest.schemas.backfill import BackfillSchema
from yse_ingest.state import Backfill
from yse_ingest.upload import Upload, UploadOutcome
from yse_ingest.watch.sight import waiting as waiting_in
from yse_ingest.watch.telling import watch

if TYPE_CHECKING:
    from collections.abc import Collection, Iterable, Mapping, Sequence

    from yse_ingest.ledger import Ledger
    from yse_ingest.photometry import LightCurve
    from yse_ingest.pipeline import Fetched
    from yse_ingest.selection import Selection
    from yse_ingest.state import FileSync
    from yse_ingest.targets import Target

logger = logging.getLogger(__name__)

DISPATCH_MAX = 1000
"""Targets that one tick claims."""
HINT_S = 30.0
"""A message that asks about a target at once has so long, before `dispatch` does [s];"""
HINT_EACH_S = 0.5
"""and so much longer for each that is enqueued with it: new ones are looked up first [s]."""
SWEEP_ROWS = 1000
"""Outbox rows that one sweep looks at."""


@dataclass(frozen=True)
class FetchBatch:
    """Targets of one source that are due now."""

    source: str
    names: tuple[str, ...]


def backfill_of(given: Mapping[str, Any]) -> Backfill | None:
    """Return what is to be read again, as ``full``, ``from_date`` and ``to_date`` say.

    None: nothing is.

    Raises
    ------
    marshmallow.ValidationError
        When one of them is no date, or they contradict each other.
    """
    loaded = load(BackfillSchema(), given)
    from_ms, to_ms = loaded.get("from_date"), loaded.get("to_date")
    wanted = loaded.get("full") or from_ms is not None or to_ms is not None
    return Backfill(from_ms, to_ms) if wanted else None


class Service(Clients):
    """What the tasks and the terminal call. State is Redis; any number may run at once."""

    def enqueue(self, target: Target) -> str:
        """Write a target as due now; return its canonical name. The hint is the caller's.

        Raises
        ------
        TargetError
            As `check`.
        """
        return self.enqueue_many([target])[0]

    def enqueue_many(
        self,
        targets: Sequence[Target],
        *,
        bare: Collection[str] = (),
        again: Mapping[str, Backfill] | None = None,
        hinted: bool = False,
    ) -> list[str]:
        """Write targets as due now, all or none; return their canonical names, in order.

        Parameters
        ----------
        bare
            Names of which nothing more is said: those that are followed stay as they are.
        again
            What is to be read again, by name. Nothing is sent twice: the ledger knows what
            YSE-PZ holds.
        hinted
            The caller sends messages that ask about them at once: `dispatch` does only where
            nobody has after `HINT_S`. A caller whose broker is away says so with `unhinted`.

        Raises
        ------
        TargetError
            As `check`.
        """
        for target in targets:
            self.check(target)
        registry, again = self.state.targets, again or {}
        for name, backfill in again.items():
            self.state.backfills.ask(name, backfill)
        known = self._as_they_are(bare, again)
        wanted = [target for target in targets if target.name not in known]
        names = [target.name for target in targets]
        due_ms = self.state.now_ms() + (self._hint_ms(len(names)) if hinted else 0)
        registry.put_many(wanted, origin="adhoc", due_ms=due_ms)
        registry.set_due_many(names, due_ms)
        if hinted:
            self.state.hinted.note(names, due_ms)
        for target in targets:
            self.state.choices.waiting(target.name)  # a person asks: nobody is left out
        return names

    def _hint_ms(self, count: int) -> int:
        """Return how long messages about so many targets have [ms]."""
        return round(1000 * min(HINT_S + HINT_EACH_S * (count - 1), self.settings.fetch_lost_s))

    def unhinted(self, names: Sequence[str]) -> None:
        """Have `dispatch` ask about targets for which no message could be sent."""
        # Without Redis they are due a little later.
        with contextlib.suppress(StateError):
            self.state.targets.set_due_many(names, self.state.now_ms())

    def _as_they_are(self, names: Collection[str], again: Collection[str]) -> set[str]:
        """Return those that are followed, and not because of a list or file that they left.

        What only a list has becomes a person's own, unless it is merely to be read again.
        """
        if not names:
            return set()
        self.sync_targets_file()
        known = {
            target.name
            for target, origin in self.state.targets.many(names)
            if origin != "list" or target.name in again
        }
        return known.difference(self.state.targets.that_left(sorted(known)))

    def check(self, target: Target) -> None:
        """Refuse a target whose own rules contradict those of the file or the settings.

        Raises
        ------
        TargetError
            Naming the rule, and what to do.
        """
        stated = target.overrides.keys() & {"negatives", "flux_zero_point"}
        if stated and (reason := self.rules(target).contradiction) is not None:
            raise TargetError(
                f"negatives {reason}",
                service="targets",
                target=target.name,
                field="negatives",
                value="flux",
                remedy="Nothing was written; correct it and call again.",
            )

    def dispatch(self) -> list[FetchBatch]:
        """Claim the targets that are due, grouped by source into batches.

        Safe to repeat: a target is claimed atomically and moved to its next time, so that two
        beats or a doubled tick never ask twice.
        """
        self.sync_targets_file()
        room = self._room()
        if not room:
            return []
        claimed = self.state.targets.claim_due(
            self.state.now_ms(), room, cadence_s=self.default_cadence
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

    def _room(self) -> int:
        """Return how many targets may be claimed: less, or none, while many messages wait.

        What is not claimed stays due; claimed, it would only wait in the queue, and expire.
        """
        targets = self.state.targets
        try:
            waiting = waiting_in(self.settings)["fetch"]
        except StateError:
            return DISPATCH_MAX  # who calls this without a broker sends no messages
        free = max(0, self.settings.fetch_queue_max - waiting)
        if not free:
            if targets.press(waiting):
                fields = {"waiting": waiting, "most": self.settings.fetch_queue_max}
                logger.warning("fetch queue is full, no target is claimed", extra=fields)
        elif 2 * free >= self.settings.fetch_queue_max and targets.press(None):
            logger.info(
                "fetch queue has room again, targets are claimed", extra={"waiting": waiting}
            )
        return min(DISPATCH_MAX, free * self.settings.batch_size)

    def refresh(self, names: Sequence[str]) -> list[Hint]:
        """Bring what YSE-PZ is owed for these targets up to date; claim what can be sent.

        Each target is committed by itself: a bad one stops only itself, a crash repeats only
        the unfinished. Safe to repeat: the outbox merges, and the ledger knows what is stored.
        """
        return Fetch(self).run(names)

    def owed(self, fetched: Fetched, key: str) -> tuple[LightCurve, Ledger | None]:
        """Return the exposures that YSE-PZ does not hold as they are, and its ledger."""
        return owed(self, fetched, key)

    def drain(self) -> list[Hint]:
        """Claim every outbox row that is due, as many as may be in flight.

        Where the budget is spent, what a person asked for goes on; the rest stays owed.
        """
        self.listen()
        if not self.budget.allows("upload"):
            return self._drain_by_hand()
        claims = self.state.outbox.claim(
            self.settings.uploads_in_flight,
            lease_s=self.settings.lease_s,
            cap=self.settings.uploads_in_flight,
        )
        return [Hint(self._name_of(claim.key), claim.key, claim.fence) for claim in claims]

    def _drain_by_hand(self) -> list[Hint]:
        due = self.state.outbox.due_targets(SWEEP_ROWS)
        names = {name for row in due.values() for name in row}
        asked = self.state.targets.by_hand(names)
        wanted = [key for key, row in due.items() if not row or asked.intersection(row)]
        claims = {key: self.claim(key) for key in wanted[: self.settings.uploads_in_flight]}
        return [Hint(self._name_of(key), key, fence) for key, fence in claims.items() if fence]

    def _name_of(self, key: str) -> str:
        """Return a target of an outbox row: messages carry it for people."""
        row = self.state.outbox.owed(key)
        return row.targets[0] if row and row.targets else key.removeprefix(CREATION_KEY)

    def sweep(self) -> dict[str, int]:
        """Make anew what got lost: hints, leases, rows in no queue; notice a lost state."""
        lost = self.state.notice_loss(self.settings.request_limit_s)
        before_ms = self.state.now_ms() - int(self.settings.refused_wait_s * 1000)
        refused = [
            row.key
            for row in self.state.outbox.rows(SWEEP_ROWS)
            if row.place == "refused" and (row.at_ms or 0) < before_ms
        ]
        return {
            "state_lost": int(lost),
            "orphans": self.state.outbox.sweep(),
            "released": sum(self.state.outbox.release_refused(key) for key in refused),
            "lost_fetches": self.state.targets.sweep(older_than_s=self.settings.fetch_lost_s),
            "old_troubles": self._sweep_troubles(),
        }

    def _sweep_troubles(self) -> int:
        """Forget the troubles of sources that are asked no more about a target."""
        troubles = self.state.clocks.troubles(SWEEP_ROWS)
        targets = self.state.targets.many(dict.fromkeys(name for name, _ in troubles))
        sources = {target.name: self.sources_of(target) for target, _ in targets}
        old = [each for each in troubles if each[1] not in sources.get(each[0], ())]
        for name, source in old:
            self.state.clocks.forget(name, source)
        return len(old)

    def follow(self, *, now: bool = False) -> Followed | None:
        """Bring the targets in step with YSE-PZ's lists; None: it is not due.

        With ``now`` it is done though it is not due.

        Safe to repeat, and on any number of hosts.
        """
        return follow(self, now=now)

    def follow_lists(self, selections: Iterable[Selection]) -> Followed:
        """Follow lists of YSE-PZ from now on; see `yse_ingest.follow.follow_lists`."""
        return follow_lists(self, selections)

    def preview_lists(
        self,
        *,
        adding: Iterable[Selection] = (),
        ending: Collection[Selection] = (),
        file: Iterable[Target] | None = None,
    ) -> tuple[FileSync | None, Followed | None]:
        """Return what a sync would change; see `yse_ingest.follow.preview`."""
        return preview(self, adding=adding, ending=ending, file=file)

    def watch(self) -> list[str]:
        """Tell people what began or is over; return the keys of what is told now.

        Safe to repeat, and on any number of hosts: each change is told once.
        """
        return watch(self)

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
        work = Upload(self, name, row, fence=fence, attempt=attempt, target=target)
        try:
            return work.run(verify=verify)
        except LeaseLostError as error:
            return UploadOutcome("stale", error=error)
        except StateError:
            raise
        except YseIngestError as error:
            return work.stopped(error)
