"""`State`: one connection, one namespace, everything that is kept in it."""

from __future__ import annotations

import itertools
import logging
import uuid
from typing import TYPE_CHECKING, Any, Self

from yse_ingest.errors import StateVersionError, TargetError
from yse_ingest.limits import Limits
from yse_ingest.selection import Selection
from yse_ingest.state import scripts
from yse_ingest.state.adoptions import Adoptions
from yse_ingest.state.aliases import AliasShelf
from yse_ingest.state.audits import Audits
from yse_ingest.state.backfills import BackfillStore
from yse_ingest.state.breaker import Breaker
from yse_ingest.state.budget import Budget
from yse_ingest.state.choices import Choices
from yse_ingest.state.clocks import Clocks
from yse_ingest.state.connection import Connection, Finding, refuse_old_server
from yse_ingest.state.decisions import DecisionLog
from yse_ingest.state.gate import SharedGate
from yse_ingest.state.heartbeats import Heartbeats
from yse_ingest.state.hinted import Hinted
from yse_ingest.state.installation import Installation, Loss
from yse_ingest.state.keys import Keys
from yse_ingest.state.layouts import pack_first_layout
from yse_ingest.state.leases import Leases
from yse_ingest.state.ledgers import LedgerStore
from yse_ingest.state.lists import ListStore
from yse_ingest.state.looks import Looks
from yse_ingest.state.meters import SharedMeter
from yse_ingest.state.names import NameStore
from yse_ingest.state.notices import Notices
from yse_ingest.state.outbox import Outbox
from yse_ingest.state.pending import Pending
from yse_ingest.state.quarantine import Quarantine
from yse_ingest.state.receipts import Receipts
from yse_ingest.state.resolutions import ResolutionStore
from yse_ingest.state.shadow import Shadow
from yse_ingest.state.source_records import SourceRecords
from yse_ingest.state.targets import (
    EXPIRED,
    LEFT,
    TargetStore,
    target_from_json,
    target_to_json,
)
from yse_ingest.state.tombstones import Tombstones
from yse_ingest.state.troubles import STATE_LOST, Troubles

if TYPE_CHECKING:
    from collections.abc import Iterable, Iterator, Sequence
    from contextlib import AbstractContextManager
    from pathlib import Path
    from types import TracebackType

    from yse_ingest.meter import Rate
    from yse_ingest.state.connection import Read
    from yse_ingest.state.decisions import Decision

logger = logging.getLogger(__name__)

LAYOUT = 2
"""Number of the layout in Redis; raised when older code would misread it."""
REQUEST_LIMIT_S = 30.0
"""How long YSE-PZ may still work on a request that nobody waits for [s]."""
TOLD_LOST_S = 3600.0
"""So long a lost state is something to tell people about [s]."""


class State:
    """What the service remembers. Thread-safe; every error is a `StateError`."""

    def __init__(
        self,
        connection: Connection,
        *,
        namespace: str,
        decisions: Path | None,
        limits: Limits | None = None,
    ) -> None:
        keys = Keys(namespace)
        self._connection = connection
        self._keys = keys
        self._quiet = keys("quiet")
        self.namespace = namespace
        self._request_limit_s = REQUEST_LIMIT_S
        self.decisions = DecisionLog(decisions, connection, keys)
        self._installation = Installation(connection, keys, self.decisions)
        self.targets = TargetStore(connection, keys, self.decisions)
        self.lists = ListStore(connection, keys, self.decisions)
        self.resolutions = ResolutionStore(connection, keys)
        self.names = NameStore(connection, keys)
        self.ledgers = LedgerStore(connection, keys)
        self.limits = limits or Limits()
        self._breaker = Breaker(connection, keys("outbox", "breaker"), self.limits)
        self.budget = Budget(connection, keys, self.limits)
        self.gate = SharedGate(
            connection, keys, limits=self.limits, breaker=self._breaker, budget=self.budget
        )
        self.shadow = Shadow(connection, keys, self.ledgers)
        self.adoptions = Adoptions(connection, keys)
        self.outbox = Outbox(
            connection,
            keys,
            self.decisions,
            breaker=self._breaker,
            installation=lambda: self._installation.id,
            lost=lambda: self.notice_loss(self._request_limit_s),
        )
        self.leases = Leases(connection, keys)
        self.aliases = AliasShelf(connection, keys, self.leases)
        self.quarantine = Quarantine(connection, keys, self.decisions)
        self.receipts = Receipts(connection, keys)
        self.clocks = Clocks(connection, keys)
        self.pending = Pending(connection, keys)
        self.choices = Choices(connection, keys)
        self.hinted = Hinted(connection, keys)
        self.backfills = BackfillStore(connection, keys)
        self.audits = Audits(connection, keys, self.decisions)
        self.tombstones = Tombstones(connection, keys, self.decisions)
        self.heartbeats = Heartbeats(connection, keys)
        self.troubles = Troubles(connection, keys)
        self.source_records = SourceRecords(connection, keys)
        self.notices = Notices(connection, keys)
        self.looks = Looks(connection, keys)

    @classmethod
    def connect(
        cls,
        url: str,
        *,
        namespace: str,
        decisions: Path | None,
        socket_timeout: float = 15.0,
        connect_timeout: float = 5.0,
        request_limit_s: float = REQUEST_LIMIT_S,
        limits: Limits | None = None,
    ) -> Self:
        """Connect, check the server and the layout, and see whether the state was lost.

        Parameters
        ----------
        url
            ``redis://``, ``rediss://`` or ``unix://``.
        namespace
            Name of this service's part of the Redis.
        decisions
            File of people's decisions; None: they are in Redis alone.
        socket_timeout, connect_timeout
            How long to wait for a reply, and for a connection [s].
        request_limit_s
            See `notice_loss` [s].
        limits
            How much of YSE-PZ's time may be taken.

        Raises
        ------
        SettingsError
            When URL or namespace cannot work.
        StateUnavailableError
            When Redis gives no answer.
        StateVersionError
            When a newer version wrote this state.
        StateError
            When Redis is too old, refuses this user, or belongs to another installation.
        """
        connection = Connection.open(
            url, socket_timeout=socket_timeout, connect_timeout=connect_timeout
        )
        state = cls(connection, namespace=namespace, decisions=decisions, limits=limits)
        try:
            refuse_old_server(connection.call("INFO", "server"), address=connection.address)
            state._check_layout()
            state.notice_loss(request_limit_s)
        except BaseException:
            connection.close()
            raise
        return state

    @classmethod
    def look_at(cls, url: str, *, namespace: str, timeout_s: float) -> Self:
        """Return the state for reading alone: nothing is checked, recovered or written.

        Raises
        ------
        SettingsError
            When URL or namespace cannot work.
        """
        connection = Connection.open(url, socket_timeout=timeout_s, connect_timeout=timeout_s)
        return cls(connection, namespace=namespace, decisions=None)

    @property
    def installed(self) -> bool:
        """Tell whether this Redis holds a state at all."""
        return bool(self._connection.call("EXISTS", self._keys("installed")))

    def __enter__(self) -> Self:
        """Return the state; it is closed at the end of the block."""
        return self

    def __exit__(
        self,
        kind: type[BaseException] | None,
        error: BaseException | None,
        traceback: TracebackType | None,
    ) -> None:
        """Close the connections."""
        self.close()

    def close(self) -> None:
        """Close the connections; the next use opens them again."""
        self._connection.close()

    @property
    def address(self) -> str:
        """Return where the Redis is, without user and password."""
        return self._connection.address

    def check(self) -> list[Finding]:
        """Return what a health check of the Redis finds."""
        return self._connection.check()

    def now_ms(self) -> int:
        """Return the time of Redis, the one clock of all processes [Unix ms]."""
        return self._connection.now_ms()

    def reading_ahead(self, reads: Iterable[Read]) -> AbstractContextManager[None]:
        """Read in one round trip what is asked for next; see `Connection.reading_ahead`."""
        return self._connection.reading_ahead(reads)

    def restarted_ms(self) -> int:
        """Return when a restart of Redis was last noticed [Unix ms]; 0: never.

        Nothing is sent between a restart and its discovery: what was sent before may be
        forgotten.
        """
        return self._installation.restarted_ms()

    def source_breaker(self, source: str) -> Breaker:
        """Return the breaker of a source, for one question and its answer."""
        return Breaker(self._connection, self._keys("breaker", source), self.limits)

    def source_meter(
        self, source: str, *, service: str, rates: Sequence[Rate], batch_size: int
    ) -> SharedMeter:
        """Return what counts the requests to a source; see `SharedMeter`."""
        return SharedMeter(
            self._connection,
            self._keys,
            source,
            service=service,
            rates=rates,
            batch_size=batch_size,
        )

    def quiet_until_ms(self) -> int:
        """Return until when nothing may be claimed [Unix ms]; 0: there was no loss."""
        until_ms = int(self._connection.call("GET", self._quiet) or 0)
        if self.unheard() is None:
            return until_ms
        return max(until_ms, self.now_ms() + round(self._request_limit_s * 1000))

    def unheard(self) -> str | None:
        """Return the mark of a loss after which YSE-PZ was not heard of; None: none is."""
        mark: str | None = self._connection.call("HGET", self._installation.key, "unheard")
        return mark

    def heard(self, mark: str, request_limit_s: float) -> bool:
        """Note that YSE-PZ answered a request that was begun after `unheard`.

        Whatever was sent before has left its queue: from now on the request limit counts.
        False: there was another loss in the meantime.
        """
        return bool(
            self._connection.run(
                scripts.HEARD,
                keys=[self._installation.key, self._quiet],
                args=[mark, max(1, round(request_limit_s * 1000))],
            )
        )

    def notice_loss(self, request_limit_s: float) -> bool:
        """Find out whether Redis lost the state, and recover; return whether it did.

        After a loss a request may still be under way that nobody remembers. So nothing is
        claimed until YSE-PZ was `heard` of and ``request_limit_s`` is over; every claim ends as
        one of unknown outcome; ledgers are derived anew; decisions are restored. A first start
        has nothing to wait for. A claim that meets a lost state calls this by itself.

        A Redis that was merely started again may have lost its last second (``appendfsync
        everysec``): what was claimed and sent in it. Then the same is done, and ledgers stay:
        what they miss is owed again, and the first upload of each transient reads back.

        Parameters
        ----------
        request_limit_s
            How long YSE-PZ may still work on a request [s].

        Raises
        ------
        StateError
            When this Redis belongs to the decisions of another file.
        """
        self._request_limit_s = request_limit_s
        with self._installation.file() as file:
            loss = self._installation.examine(file, snapshot=self._decided)
            if loss is None:
                return False
            self._recover(loss, request_limit_s)
        return True

    def _recover(self, loss: Loss, request_limit_s: float) -> None:
        until_ms = self.now_ms() + max(1, round(request_limit_s * 1000))
        # First of all, and the mark last: whoever dies in between begins again.
        self._connection.call("SET", self._quiet, until_ms)
        self._connection.call("HSET", self._installation.key, "unheard", uuid.uuid4().hex)
        # An older copy may have an older layout.
        self._check_layout()
        claims = self.outbox.void_claims()
        ledgers = 0
        if not loss.restarted:
            ledgers = self.ledgers.drop_all() + self.shadow.ledgers.drop_all()
        self.targets.forget_file()
        restored = len(self.apply_all(loss.replay))
        what = "Redis was started again" if loss.restarted else "Redis had lost the state"
        self.troubles.note(STATE_LOST, fact=what, lasting_s=TOLD_LOST_S)
        self._installation.write(loss.mark)
        logger.warning(
            "%s, nothing is uploaded for a while",
            what,
            extra={
                "quiet_s": request_limit_s,
                "claims": claims,
                "ledgers": ledgers,
                "decisions": restored,
            },
        )

    def restore_decisions(self) -> int:
        """Bring every decision of the file into Redis again; return how many."""
        return len(self.apply_all(self.decisions.entries()))

    def import_decisions(self, path: Path) -> int:
        """Take over the decisions of an exported file; return how many."""
        return self.decisions.import_(path, apply=self.apply_all)

    def apply_all(self, decisions: Sequence[Decision]) -> list[Decision]:
        """Bring decisions into Redis in their order, as `apply`; return those it could.

        Targets that were added one after the other go in together.
        """
        done: list[Decision] = []
        for added, run in itertools.groupby(decisions, lambda one: one.what == "target_added"):
            some = list(run)
            if added and self._put_added(some):
                done += some
            else:
                done += [one for one in some if self.apply(one)]
        return done

    def _put_added(self, decisions: Sequence[Decision]) -> bool:
        """Put targets that were added; False, and none is put, where one cannot be read."""
        silent = DecisionLog(None, self._connection, self._keys)
        try:
            targets = [target_from_json(one.about["target"]) for one in decisions]
        except (TargetError, KeyError, TypeError, AttributeError):
            return False
        TargetStore(self._connection, self._keys, silent).put_many(targets, origin="adhoc")
        return True

    def apply(self, decision: Decision) -> bool:
        """Bring one decision into Redis without noting it again; return whether it could.

        What a newer version decided, or a person's hand wrote, is left alone with a warning.
        """
        silent = DecisionLog(None, self._connection, self._keys)
        targets = TargetStore(self._connection, self._keys, silent)
        quarantine = Quarantine(self._connection, self._keys, silent)
        outbox = Outbox(self._connection, self._keys, silent, breaker=self._breaker)
        about = decision.about
        try:
            match decision.what:
                case "target_added":
                    targets.put(target_from_json(about["target"]), origin="adhoc")
                case "target_removed":
                    targets.remove(about["name"])
                case "paused":
                    targets.pause(about["name"], about["reason"])
                case "resumed":
                    targets.resume(about["name"])
                case "cadence":
                    targets.set_cadence(about["name"], about["cadence_s"])
                case "rejected":
                    quarantine.reject(about["target"], about["native_id"], about["reason"])
                case "accepted":
                    quarantine.accept(about["target"], about["native_id"])
                case "list_added" | "list_ended":
                    self._apply_list(decision, silent)
                case "held":
                    outbox.hold(about["reason"])
                case "unheld":
                    outbox.unhold()
                case _:
                    return self._apply_finding(decision, silent)
        except (TargetError, KeyError, TypeError, AttributeError) as error:
            logger.warning(
                "decision not understood",
                extra={"seq": decision.seq, "what": decision.what, "reason": str(error)},
            )
            return False
        return True

    def _apply_list(self, decision: Decision, silent: DecisionLog) -> None:
        lists = ListStore(self._connection, self._keys, silent)
        selection = Selection.from_list(decision.about["terms"])
        if decision.what == "list_added":
            lists.add([selection], since_ms=decision.about.get("since_ms"))
        else:
            lists.end([selection])

    def _apply_finding(self, decision: Decision, silent: DecisionLog) -> bool:
        """Bring back what an audit found and a person must know, or has decided upon."""
        audits = Audits(self._connection, self._keys, silent)
        tombstones = Tombstones(self._connection, self._keys, silent)
        about = decision.about
        match decision.what:
            case "gone":
                tombstones.restore(about["transient"], about["rows"])
            case "gone_forgotten":
                tombstones.forget(about["transient"], since_ms=about["since_ms"])
            case "stopped":
                audits.stop(about["key"], about["reason"])
            case "taken":
                audits.take(about["key"])
            case "set_back":
                audits.put_set_back(about["since_ms"])
            case "set_back_over":
                audits.end_set_back()
            case _:
                return False
        return True

    def _decided(self) -> Iterator[tuple[str, dict[str, Any]]]:
        """Return what people decided, as far as Redis knows."""
        for target, origin in self.targets.all():
            if origin == "adhoc":
                yield "target_added", {"target": target_to_json(target)}
        for name, cadence_s in self.targets.cadences().items():
            yield "cadence", {"name": name, "cadence_s": cadence_s}
        for name, reason in self.targets.paused().items():
            if reason not in LEFT.values() and not reason.startswith(EXPIRED):
                yield "paused", {"name": name, "reason": reason}
        yield from self.lists.decided()
        for name, rows in self.quarantine.rejections().items():
            for native_id, reason in rows.items():
                yield "rejected", {"target": name, "native_id": native_id, "reason": reason}
        if held := self.outbox.held():
            yield "held", {"reason": held}
        for transient_id in self.tombstones.transients():
            stones = self.tombstones.get(transient_id)
            gone = {field: list(stone) for field, stone in stones.items()}
            yield "gone", {"transient": transient_id, "rows": gone}
        for key, reason in self.audits.stops().items():
            yield "stopped", {"key": key, "reason": reason}
        if (since_ms := self.audits.set_back_ms()) is not None:
            yield "set_back", {"since_ms": since_ms}

    def _check_layout(self) -> None:
        key = self._keys("version")
        layout = int(self._connection.call("GET", key) or 0)
        if layout > LAYOUT:
            raise StateVersionError(
                f"the state at {self.address} was written by a newer version"
                f" (layout {layout}, this one knows {LAYOUT})",
                service="Redis",
                remedy="Install that version again, or use another namespace.",
            )
        if layout == LAYOUT:
            return
        if layout == 1:
            began_ms = self.now_ms()
            moved = pack_first_layout(self._connection, self._keys)
            seconds = round((self.now_ms() - began_ms) / 1000, 1)
            logger.info("older state, packed anew", extra={"seconds": seconds, **moved})
        elif layout:
            dropped = self.ledgers.drop_all()
            logger.info("older state, ledgers derived anew", extra={"ledgers": dropped})
        self._connection.call("SET", key, LAYOUT)
